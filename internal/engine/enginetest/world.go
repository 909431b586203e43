package enginetest

import (
	"testing"
	"time"

	"github.com/sluicehq/sluice/internal/engine"
)

// World is a cloud that one test has for itself. It has certificates for Hosts.
type World interface {
	// Engine starts an engine for cluster Cluster that knows only what the cloud tells it, as after a crash. It may be
	// called again; what was started before is not used any more. No engine waits for real time.
	Engine(t testing.TB) engine.Engine

	// Contents prints all that the cloud holds, ours and foreign: equal exactly for clouds that serve the same. It has
	// no generated ids and does not count as calls.
	Contents(t testing.TB) string

	// PlantForeign puts things into the cloud that look like an engine's and are not ours.
	PlantForeign(t testing.TB)

	// Pass lets time pass, for engines and the cloud.
	Pass(d time.Duration)

	// Calls is how many calls were made to the cloud so far, whether they changed anything or not.
	Calls() int

	// Break makes mutating calls fail from now on; the zero Fault ends that. hit tells whether the fault was met.
	Break(f Fault) (hit func() bool)
}

// Fault is a call that fails. The zero value is none.
type Fault struct {
	Nth         int  // the how manieth mutating call from now on, counted from 1
	TakesEffect bool // the call does its work and only its answer is lost
	StaysDown   bool // all later calls fail too, without effect
}

// Cluster is the name of the cluster that all stacks of the suite belong to.
const Cluster = "demo"
