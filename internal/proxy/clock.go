package proxy

import "time"

// Clock is time, passed in so that tests need no sleeps. Timeouts of idle connections, of connecting, of health checks
// and of draining all come from it; only the last words on a connection about to close use the machine's own clock.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f once, in a goroutine of its own, when d has passed. stop is as time.Timer.Stop.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// systemClock is the machine's clock.
type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) AfterFunc(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }
