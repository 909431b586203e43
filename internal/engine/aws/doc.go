// Package aws makes stacks real with Elastic Load Balancing v2 and EC2: mirror (read) · lower (pure) · diff (pure) ·
// apply. In go stacks of the model; out come AWS calls, what was observed of them, and verdicts about what AWS does not
// have. Against local AWS it is the same code with another endpoint.
//
// What always holds:
//
//   - The mirror holds all that AWS has under this cluster's tag. It is loaded in bulk (Load), written through by every
//     mutating answer, and audited (Audit). Planning and applying a stack read nothing that the mirror or the network
//     cache knows; an answer that contradicts the mirror re-reads that one thing.
//   - Ours is what carries the three tracking tags: cluster, stack and resource. They are set in the call that creates,
//     so a crash between two calls leaves nothing that the next start does not find. What lacks them is never changed or
//     deleted, also when it has the name that we want.
//   - A resource found by its resource tag keeps its physical name. Where something immutable differs (scheme, type,
//     target type, protocol) another one is made under another name and the old one goes last.
//     A load balancer that is replaced serves, with target groups of its own, until the new one is active, its targets are
//     healthy, and names have followed (handover.go). The exception: a target group of somebody else serves one load
//     balancer at a time, so rules that name one are made right after the old one went.
//   - Every wait is bounded and goes through Options.Sleep.
//
// Rules of a listener are matched by what they say, not by their tags, as the AWS Load Balancer Controller does. A rule
// that only moves is part of the listener's one SetRulePriorities call and keeps the resource tag ("80:3") with which it
// was created: the tag is not read when matching, neither here nor there, and one AddTags call for each moved rule would
// double the cost of inserting a path at the top. After a hand-back that controller rewrites the tag by itself. Priorities
// that foreign rules hold are skipped.
//
// Elsewhere: what is wanted (compile), which targets are registered when (endpoints), when to plan, retry and audit
// (control).
package aws
