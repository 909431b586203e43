package envoy_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluicehq/sluice/internal/engine/envoy"
	"github.com/sluicehq/sluice/internal/engine/envoy/envoytest"
)

// An Envoy may stop when its clients have gone, and not before; others see at once that it is not ready.
func TestShutdownWaitsForClients(t *testing.T) {
	f := newFleet(t)
	f.server.Open()
	address := f.envoy.Address(t, "ingress_http")
	eventuallyAnswers(t, address, "a.example.com", 404, "")
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	var dialer net.Dialer
	client, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	s := envoy.Shutdown{AdminSocket: f.envoy.AdminSocket, ReadyFile: filepath.Join(t.TempDir(), "ok"), Poll: 10 * time.Millisecond}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	envoytest.Eventually(t, "Envoy is not ready", func() error {
		text, err := f.envoy.Admin(t.Context(), http.MethodGet, "/ready")
		if err == nil && text == "LIVE\n" {
			err = fmt.Errorf("it is %q", text)
		}
		return err
	})
	select {
	case err := <-done:
		t.Fatalf("it may stop although a client is connected: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	_ = client.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.ReadyFile); err != nil {
		t.Error(err)
	}
}
