// Package envoytest runs a real Envoy for tests, and an incremental ADS client in Go that looks at what is sent.
package envoytest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehq/sluice/internal/engine/envoy"
)

// Envoy is a running process.
type Envoy struct {
	AdminSocket string

	admin *http.Client
	log   string
}

// patience is how long things may take that take no time on a quiet machine.
const patience = 30 * time.Second

var binary = sync.OnceValues(func() (string, error) {
	_, here, _, _ := runtime.Caller(0)
	script := filepath.Join(filepath.Dir(here), "../../../../hack/envoy")
	cmd := exec.CommandContext(context.Background(), script)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
})

// Binary is the path of an Envoy. A test that cannot have one fails, so that nobody takes its silence for success;
// with SLUICE_TEST_ENVOY=none such tests are left out by intent.
func Binary(t testing.TB) string {
	t.Helper()
	if os.Getenv("SLUICE_TEST_ENVOY") == "none" {
		t.Skip("left out, because SLUICE_TEST_ENVOY=none: the tests with a real Envoy")
	}
	path, err := binary()
	if err != nil {
		t.Fatalf("there is no Envoy for this test (%v).\nInstall Envoy, let hack/envoy fetch it, or leave these tests out by SLUICE_TEST_ENVOY=none", err)
	}
	return path
}

// Start runs an Envoy until the test ends. What config leaves open is chosen.
func Start(t testing.TB, config envoy.Bootstrap) *Envoy {
	t.Helper()
	path := Binary(t)
	dir, err := os.MkdirTemp("", "envoy") // shorter than t.TempDir: the path of a unix socket has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	config.AdminSocket = filepath.Join(dir, "admin.sock")
	config.StatsAddress = "127.0.0.1"
	text, err := config.JSON()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "envoy.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	e := &Envoy{AdminSocket: config.AdminSocket, admin: unixClient(config.AdminSocket), log: filepath.Join(dir, "log")}
	cmd := exec.CommandContext(t.Context(), path, "-c", file, "--concurrency", "1", "--service-cluster", "test", "--service-node", filepath.Base(dir),
		"--use-dynamic-base-id", "--drain-time-s", "2", "--log-level", "info", "--log-path", e.log)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(e.log)
			t.Logf("Envoy's log:\n%s", text)
		}
	})
	return e
}

// Address is where a listener listens, as soon as it does.
func (e *Envoy) Address(t testing.TB, listener string) string {
	t.Helper()
	var address string
	Eventually(t, "Envoy listens on "+listener, func() error {
		var err error
		address, err = e.address(t.Context(), listener)
		return err
	})
	return address
}

func (e *Envoy) address(ctx context.Context, listener string) (string, error) {
	text, err := e.Admin(ctx, http.MethodGet, "/listeners?format=json")
	if err != nil {
		return "", err
	}
	var listeners struct {
		Statuses []struct {
			Name    string `json:"name"`
			Address struct {
				Socket struct {
					Address string `json:"address"`
					Port    int    `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if err := json.Unmarshal([]byte(text), &listeners); err != nil {
		return "", err
	}
	for _, l := range listeners.Statuses {
		if l.Name == listener {
			return fmt.Sprintf("%s:%d", l.Address.Socket.Address, l.Address.Socket.Port), nil
		}
	}
	return "", fmt.Errorf("there is no listener %s yet", listener)
}

// Admin asks Envoy's admin interface.
func (e *Envoy) Admin(ctx context.Context, method, path string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://admin"+path, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := e.admin.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

// Stat is a counter or gauge, zero when Envoy has none by that name.
func (e *Envoy) Stat(t testing.TB, name string) int {
	t.Helper()
	text, err := e.Admin(t.Context(), http.MethodGet, "/stats?filter=^"+name+"$")
	if err != nil {
		t.Fatal(err)
	}
	var value int
	if _, err := fmt.Sscanf(strings.TrimPrefix(text, name+": "), "%d", &value); err != nil {
		return 0
	}
	return value
}

func unixClient(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}, Timeout: 5 * time.Second}
}

// Eventually waits until something holds.
func Eventually(t testing.TB, what string, holds func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s: %v", patience, what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
