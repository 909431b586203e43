// Package test has the end-to-end tests: scripts over the whole program in the lab, a real Kubernetes with local AWS.
// Run them with `make e2e`. Each *.txtar file is one script in the language of rogpeppe/go-internal/testscript, with
// the verbs that e2e_test.go adds; it opens with what it shows and why that matters.
package test
