package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/internal/engine/envoy"
)

// newEnvoyCommand has what runs beside an Envoy of the fleet.
func newEnvoyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "envoy",
		Short: "Start and end Envoys of the fleet",
	}
	cmd.AddCommand(newBootstrapCommand(), newShutdownCommand(), newShutdownManagerCommand())
	return cmd
}

func newBootstrapCommand() *cobra.Command {
	var b envoy.Bootstrap
	cmd := &cobra.Command{
		Use:     "bootstrap FILE",
		Short:   "Write the file that an Envoy is started with, - for standard output",
		Example: "  sluice envoy bootstrap /config/envoy.json --xds-address sluice --envoy-cafile /certs/ca.crt --envoy-cert-file /certs/tls.crt --envoy-key-file /certs/tls.key",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return bootstrap(b, cmd.OutOrStdout(), args[0])
		},
	}
	f := cmd.Flags()
	f.StringVar(&b.XDSHost, "xds-address", "127.0.0.1", "where the configuration comes from")
	f.Uint16Var(&b.XDSPort, "xds-port", 8001, "port of that address")
	f.StringVar(&b.AdminSocket, "admin-address", "/admin/admin.sock", "unix socket of Envoy's admin interface")
	f.StringVar(&b.StatsAddress, "stats-address", "0.0.0.0", "address of /ready and /stats")
	f.Uint16Var(&b.StatsPort, "stats-port", 8002, "port of that address")
	f.StringVar(&b.CA, "envoy-cafile", os.Getenv("ENVOY_CAFILE"), "file with the CA of the configuration's server; read again when its directory changes")
	f.StringVar(&b.Certificate, "envoy-cert-file", os.Getenv("ENVOY_CERT_FILE"), "file with Envoy's certificate for that server")
	f.StringVar(&b.Key, "envoy-key-file", os.Getenv("ENVOY_KEY_FILE"), "file with its key")
	f.StringVar(&b.ServerName, "xds-server-name", "contour", "name in that server's certificate")
	f.Uint64Var(&b.MaxHeap, "overload-max-heap", 0, "bytes of heap from which load is shed, 0 for no limit")
	f.Uint64Var(&b.MaxConnections, "overload-downstream-max-conn", 0, "connections of clients at most, 0 for no limit")
	return cmd
}

func bootstrap(b envoy.Bootstrap, stdout io.Writer, path string) error {
	given := 0
	for _, file := range []string{b.CA, b.Certificate, b.Key} {
		if file == "" {
			continue
		}
		given++
		if info, err := os.Stat(file); err != nil || info.Size() == 0 {
			return fmt.Errorf("%s does not exist or is empty", file)
		}
	}
	if given != 0 && given != 3 {
		return errors.New("--envoy-cafile, --envoy-cert-file and --envoy-key-file are needed all three, or none")
	}
	if !filepath.IsAbs(b.AdminSocket) {
		return fmt.Errorf("--admin-address is %q and must be the absolute path of a unix socket", b.AdminSocket)
	}
	text, err := b.JSON()
	if err != nil {
		return err
	}
	if path == "-" {
		_, err := stdout.Write(text)
		return err
	}
	return os.WriteFile(path, text, 0o644) //nolint:gosec // Envoy runs as another user, and there is no secret in it
}

func newShutdownCommand() *cobra.Command {
	s := envoy.Shutdown{Poll: 5 * time.Second}
	cmd := &cobra.Command{
		Use:   "shutdown",
		Short: "Take an Envoy out of service, and wait until its clients have gone",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return s.Run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&s.AdminSocket, "admin-address", "/admin/admin.sock", "unix socket of Envoy's admin interface")
	f.StringVar(&s.ReadyFile, "ready-file", "/admin/ok", "file that is made when Envoy may stop")
	f.DurationVar(&s.DrainDelay, "drain-delay", 0, "pause before Envoy is told")
	f.DurationVar(&s.CheckDelay, "check-delay", 0, "pause before connections are first counted")
	f.DurationVar(&s.Poll, "check-interval", s.Poll, "pause between counts")
	f.IntVar(&s.MinOpen, "min-open-connections", 0, "how many connections may be left")
	return cmd
}

func newShutdownManagerCommand() *cobra.Command {
	var address, readyFile string
	cmd := &cobra.Command{
		Use:   "shutdown-manager",
		Short: "Answer /healthz, and /shutdown when an Envoy may stop",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return envoy.ServeShutdown(cmd.Context(), address, readyFile)
		},
	}
	cmd.Flags().StringVar(&address, "serve-address", ":8090", "address to answer on")
	cmd.Flags().StringVar(&readyFile, "ready-file", "/admin/ok", "file that is there when Envoy may stop")
	return cmd
}
