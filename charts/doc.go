// Package charts holds the Helm chart and its tests: each case of testdata has values and all that they render to,
// config/sluice.yaml is the chart rendered for those who do without Helm, and everything is checked against the schemas
// of Kubernetes.
package charts
