//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// drain bounds how long in-flight requests may take after SIGTERM. It is
// longer than any grace period that the kubelet grants by default, so that in
// practice the kubelet decides.
const drain = 60 * time.Second

// serve answers HTTP on port until SIGTERM or SIGINT, then stops listening,
// lets requests in flight finish, and returns the exit code.
func serve(name, port string, handler http.Handler) int {
	server := &http.Server{Addr: ":" + port, Handler: handler, ReadHeaderTimeout: 30 * time.Second}
	return serveAll(name, server)
}

func serveAll(name string, servers ...*http.Server) int {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()

	failed := make(chan error, len(servers))
	for _, server := range servers {
		go func() {
			fmt.Printf("%s: listening on %s\n", name, server.Addr)
			if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		}()
	}
	select {
	case err := <-failed:
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	case <-stop.Done():
	}
	fmt.Printf("%s: SIGTERM, finishing what is in flight\n", name)
	ctx, done := context.WithTimeout(context.Background(), drain)
	defer done()
	for _, server := range servers {
		if err := server.Shutdown(ctx); err != nil {
			fmt.Fprintf(os.Stderr, "%s: shutdown: %v\n", name, err)
			return 1
		}
	}
	return 0
}

// env is os.Getenv with a default.
func env(key, fallback string) string {
	if value := os.Getenv(key); value != "" {
		return value
	}
	return fallback
}
