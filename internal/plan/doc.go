// Package plan holds what an engine is about to do, as data: steps with a verb, a resource before and after, a reason,
// and the steps they wait for. Print shows it to a person, Run performs it; both walk the same value, so that what was
// printed is what runs.
//
// Diff makes the steps from two keyed sets of resources: what is there, and what is wanted. It knows nothing of
// ownership or of any cloud; an engine adds to the wanted set what it must leave alone.
//
// What always holds: a step stands after every step that it needs; nothing is deleted before all that is wanted has
// been made; equal sets give an empty plan.
package plan
