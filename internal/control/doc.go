// Package control is the loop: watch → mark dirty → compile → plan → apply → status, events. It is the only package
// with a Kubernetes client, and it decides nothing about load balancers: what is wanted is compile's, how it is made is
// the engine's, which targets belong to a group is endpoints'.
//
// Two loops run side by side. Stacks (stack.go): an event about an object marks the stacks that it takes part in; its
// content is ignored. Marks are gathered for a moment, then each dirty stack is worked from one immutable picture of the
// caches. Targets (targets.go): an event about an EndpointSlice, Pod or Node marks the TargetGroupBindings that it
// concerns; nothing is compiled.
//
// What always holds: a stack, and a binding, is worked by one worker at a time. Changes made by users go before
// resyncs. Every pass ends in one of plan's statuses: done, retry (with growing pauses), blocked (until an object
// changes, and slowly in between, since the cloud may change too), later. A pass with nothing to do calls neither AWS
// nor the API server. A finalizer is on every member before AWS is touched, and leaves when nothing is left. A panic in
// one pass costs that pass. What caches return is never changed.
//
// An event is recorded when what there is to say has changed, not each time it is found again.
//
// Stacks of IngressGroups are left alone as long as nothing here makes any: compile has no groups yet.
package control
