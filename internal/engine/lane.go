package engine

import "context"

// Lane says who waits for a call to the cloud. Where calls must wait for each other, those of an earlier lane go first.
type Lane int

// The lanes.
const (
	TargetsOut  Lane = iota // a pod that goes: requests to it fail until it is deregistered
	TargetsIn               // a pod that comes
	UserChanges             // somebody has changed an object
	Deletes                 // what nobody uses any more
	Resync                  // nobody has changed anything
	Audit                   // what others may have changed
)

// String is the lane's name.
func (l Lane) String() string {
	return [...]string{"targets out", "targets in", "user changes", "deletes", "resync", "audit"}[l]
}

type laneKey struct{}

// InLane returns a context whose calls are in a lane.
func InLane(ctx context.Context, l Lane) context.Context { return context.WithValue(ctx, laneKey{}, l) }

// LaneOf is the lane of a context: UserChanges when nothing was said.
func LaneOf(ctx context.Context) Lane {
	if l, ok := ctx.Value(laneKey{}).(Lane); ok {
		return l
	}
	return UserChanges
}
