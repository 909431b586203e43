// Package enginetest is the contract suite that every engine passes: Run takes a World, which an engine's own tests
// make of a cloud (or a fake of it that keeps state), and checks what engine.Engine promises.
//
// It asserts what the cloud holds afterwards, never which calls led there. What only one engine can do (call counts,
// which call comes first) is tested beside that engine.
package enginetest
