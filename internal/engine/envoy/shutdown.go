package envoy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// Shutdown takes one Envoy out of service before it stops: its readiness fails, clients are asked to close, and when
// enough have gone a file is made that ServeShutdown waits for.
type Shutdown struct {
	AdminSocket string
	ReadyFile   string
	DrainDelay  time.Duration
	CheckDelay  time.Duration
	Poll        time.Duration
	MinOpen     int
}

// Run returns when Envoy may stop.
func (s Shutdown) Run(ctx context.Context) error {
	admin := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.AdminSocket)
	}}}
	if err := wait(ctx, s.DrainDelay); err != nil {
		return err
	}
	if err := s.fail(ctx, admin); err != nil {
		return err
	}
	if err := wait(ctx, s.CheckDelay); err != nil {
		return err
	}
	for {
		open, err := openConnections(ctx, admin)
		if err == nil && open <= s.MinOpen {
			return os.WriteFile(s.ReadyFile, nil, 0o600)
		}
		if err := wait(ctx, s.Poll); err != nil {
			return err
		}
	}
}

// fail has Envoy say that it is not healthy, which drains its connections.
func (s Shutdown) fail(ctx context.Context, admin *http.Client) error {
	const attempts = 4
	pause := 200 * time.Millisecond
	for i := 1; ; i++ {
		_, err := ask(ctx, admin, http.MethodPost, "/healthcheck/fail")
		if err == nil || i == attempts {
			return err
		}
		if err := wait(ctx, pause); err != nil {
			return err
		}
		pause *= 5
	}
}

// openConnections counts those of clients.
func openConnections(ctx context.Context, admin *http.Client) (int, error) {
	text, err := ask(ctx, admin, http.MethodGet, "/stats?filter=downstream_cx_active$")
	if err != nil {
		return 0, err
	}
	return countConnections(text)
}

// countConnections adds up the listeners' connections but those of the listener for statistics and of the admin
// interface: so connections that carry TCP count, too, which no count of HTTP has.
func countConnections(text string) (int, error) {
	sum := 0
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), ": ")
		what, listeners := strings.CutPrefix(name, "listener.")
		if !ok || !listeners || strings.HasPrefix(what, "admin.") || strings.HasPrefix(what, statsName+".") || strings.Contains(what, ".worker_") {
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			return 0, fmt.Errorf("read Envoy's statistics: %s: %w", lines.Text(), err)
		}
		sum += n
	}
	return sum, nil
}

func ask(ctx context.Context, admin *http.Client, method, path string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://admin"+path, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := admin.Do(request)
	if err != nil {
		return "", fmt.Errorf("ask Envoy's admin interface: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("envoy's admin interface answers %s %s with %s", method, path, response.Status)
	}
	return string(text), err
}

// ServeShutdown answers /healthz at once, and /shutdown when the file is there.
func ServeShutdown(ctx context.Context, address, readyFile string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "OK") })
	mux.HandleFunc("/shutdown", func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := os.Stat(readyFile); !errors.Is(err, fs.ErrNotExist) {
				_, _ = io.WriteString(w, "OK")
				return
			}
			if wait(r.Context(), time.Second) != nil {
				return
			}
		}
	})
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
