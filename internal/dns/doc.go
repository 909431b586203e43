// Package dns keeps the records of names as Kubernetes objects ask for them. In go endpoints (what an object asks of a
// name, made by the package source), what is known of load balancers, and what zones have; out come changes of zones.
//
// What is decided here is pure: which zones a name is in (match.go), which record sets an endpoint means (shape.go), who
// owns what (owner.go), and for one name in one zone what shall be there (plan.go). A plan for a name is its record sets
// before and after; the changes follow from these two (change.go). Keeper remembers what zones have and makes changes
// real through a Provider, the seam to Route 53 or to a name server.
//
// What always holds: a name's records and the markers that tell their owner change together or not at all. What has no
// marker of ours is never changed. Equal wants make no change. One name that cannot be written costs no other name.
// Where it is unknown what an object wants, or whether its load balancer serves, what is there stays.
//
// Nothing here knows Kubernetes or an AWS service other than by values.
package dns
