// Package lb is the model: what every front end compiles to and every engine makes real.
//
// A Stack is the unit of planning and of failure: one load balancer with its listeners, rules, target groups, security
// groups and bindings. Values are plain and sorted; every node says which Kubernetes object asked for it; a stack prints
// as text that people review (Stack.String), and two stacks are the same exactly when their text is.
//
// What a cloud resolves is symbolic here: subnets are a selection, a shared security group is a name for it, a target
// group is referred to by its id. Nothing in this package reaches the network, and it imports the standard library only.
package lb
