package compile_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/engine/envoy"
	"github.com/sluicehq/sluice/internal/engine/envoy/ads"
	"github.com/sluicehq/sluice/internal/engine/envoy/envoytest"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
)

// A real Envoy takes all that any case compiles to.
func TestEnvoyAcceptsEveryCase(t *testing.T) {
	server := ads.New(slog.New(slog.DiscardHandler))
	engine, err := envoy.New(server, envoy.Options{HTTPAddress: "127.0.0.1", HTTPSAddress: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	server.Open()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, listener, nil) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	process := envoytest.Start(t, envoy.Bootstrap{XDSHost: "127.0.0.1", XDSPort: uint16(listener.Addr().(*net.TCPAddr).Port)})
	address := process.Address(t, "ingress_http")
	files, err := filepath.Glob("testdata/fleet/*/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for n, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		contents, _ := read(t, archive, func(string) bool { return true })
		stacks := compile.FleetOf(kube.New(contents), fleetOptions).Stacks
		refused := fmt.Sprint(server.Counts().Refused)
		for _, s := range stacks {
			apply(t, engine, s)
		}
		// What comes after it has been taken, it has been, too.
		apply(t, engine, marker(n))
		envoytest.Eventually(t, file+" is taken", func() error { return answers(t.Context(), address, n) })
		if now := fmt.Sprint(server.Counts().Refused); now != refused {
			t.Errorf("%s: Envoy refuses: %v", file, server.Refusals())
		}
		for _, s := range stacks {
			apply(t, engine, lb.Stack{ID: s.ID})
		}
	}
}

func apply(t *testing.T, engine *envoy.Engine, s lb.Stack) {
	t.Helper()
	p, _, err := engine.Plan(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range engine.Apply(t.Context(), p).Steps {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

func marker(n int) lb.Stack {
	body := fmt.Sprint("marker ", n)
	return lb.Stack{ID: "host:zz-marker", VirtualHosts: []lb.VirtualHost{{Host: "zz-marker", Routes: []lb.Route{{
		Match:    lb.RouteMatch{Path: lb.PathMatch{Kind: lb.PrefixPath, Value: "/"}},
		Action:   lb.RouteAction{Respond: &lb.DirectResponse{Status: 200, Body: body}},
		Insecure: lb.ServeInsecure,
	}}}}}
}

func answers(ctx context.Context, address string, n int) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", http.NoBody)
	if err != nil {
		return err
	}
	request.Host = "zz-marker"
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && string(body) != fmt.Sprint("marker ", n) {
		err = fmt.Errorf("got %q", body)
	}
	return err
}
