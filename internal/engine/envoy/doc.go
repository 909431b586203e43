// Package envoy serves stacks by a fleet of Envoys. In go stacks with virtual hosts, and the endpoints of their
// backends; out comes what the package ads sends to every Envoy.
//
// The whole fleet serves all stacks on two shared listeners, so a stack is one virtual host, and stacks share only what
// is equal: an upstream's name has the hash of all that is said about it, a secret's that of its content. Nothing is
// ever changed under its name that requests in flight depend on.
//
// The files: engine.go puts stacks together; lower.go and its siblings turn one stack into resources, purely;
// endpoints.go is the path by which endpoints change without any stack; bootstrap.go is what an Envoy starts with.
package envoy
