//go:build linux

// Command lab runs a real Kubernetes on one Linux machine: the playground
// ("make up") and what the end-to-end tests drive. See README.md beside it.
//
// It is one binary with many personalities: the commands a person types, every
// Kubernetes program it starts ("lab internal NAME"), and kubectl when it is
// called by that name. One link step instead of seven.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/lab/component"
	"github.com/sluicehq/sluice/lab/cri"
	"github.com/sluicehq/sluice/lab/node"
	"github.com/sluicehq/sluice/lab/playground"
)

func main() {
	syscall.Umask(0o022) // files of pods must be readable by pods' users
	if filepath.Base(os.Args[0]) == "kubectl" {
		component.Kubectl()
		return
	}
	if len(os.Args) > 2 && os.Args[1] == "internal" {
		os.Exit(internal(os.Args[2], os.Args[3:]))
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := command().ExecuteContext(ctx)
	cancel()
	if err != nil {
		if errors.Is(err, context.Canceled) {
			err = errors.New("interrupted; \"lab up\" goes on from here, \"lab down\" cleans up")
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// internal is one of the programs that "lab up" starts.
func internal(name string, args []string) int {
	var err error
	switch name {
	case "runtime":
		err = cri.Run(args[0])
	case "kubelet":
		err = node.Run(args[0])
	case "dns":
		err = component.DNS(args[0], args[1])
	default:
		return component.Run(name, args)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}

func command() *cobra.Command {
	o := playground.Options{Root: root()}
	lab := &cobra.Command{
		Use:           "lab",
		Short:         "A real Kubernetes and local AWS on this machine",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) (err error) {
			o.Dir, err = filepath.Abs(o.Dir)
			return err
		},
	}
	lab.CompletionOptions.HiddenDefaultCmd = true
	lab.PersistentFlags().StringVar(&o.Dir, "dir", filepath.Join(o.Root, ".lab"), "directory for all that the lab keeps")

	up := &cobra.Command{
		Use: "up", Short: "Start the lab, or what is missing of it", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return playground.Up(c.Context(), c.OutOrStdout(), o) },
	}
	up.Flags().StringVar(&o.Controller, "controller", "", "controller to run: sluice or none (default as before, at first sluice)")
	up.Flags().IntVar(&o.Nodes, "nodes", 0, "number of nodes, dealt to the zones in turn; fixed once made (default 3)")
	up.Flags().StringVar(&o.AWSEndpoint, "aws-endpoint", "", "URL of an AWS-compatible endpoint to use instead of local AWS")
	up.Flags().StringVar(&o.VPCCIDR, "vpc-cidr", "", "private /16 for the lab's network; fixed once made (default 192.168.0.0/16)")
	up.Flags().StringVar(&o.Sluice, "sluice", filepath.Join(filepath.Dir(executable()), "sluice"), "the sluice binary")
	up.Flags().BoolVar(&o.Examples, "examples", true, "apply examples/*.yaml and wait until they answer")

	lab.AddCommand(up,
		&cobra.Command{Use: "down", Short: "Stop the lab and remove all that it made", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error { return playground.Down(c.Context(), c.OutOrStdout(), o) }},
		&cobra.Command{Use: "status", Short: "Show which parts run", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error { return playground.Status(c.OutOrStdout(), o) }},
		&cobra.Command{Use: "env", Short: "Print shell commands that point your tools at the lab", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error { return playground.Env(c.OutOrStdout(), o) }},
		&cobra.Command{Use: "logs NAME", Short: "Print the log of a part (see status for names)", Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error { return playground.Logs(c.OutOrStdout(), o, args[0]) }},
		&cobra.Command{Use: "restart NAME", Short: "End a part and start it again (the controller is killed)", Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error {
				return playground.Restart(c.Context(), c.OutOrStdout(), o, args[0])
			}},
	)
	return lab
}

func executable() string {
	path, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return path
}

// root is the repository: the directory above bin/, where this binary is.
func root() string {
	if bin := filepath.Dir(executable()); filepath.Base(bin) == "bin" {
		return filepath.Dir(bin)
	}
	wd, err := os.Getwd()
	if err != nil {
		return "."
	}
	return wd
}
