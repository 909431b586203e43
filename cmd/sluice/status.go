package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/endpoints"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

type statusFlags struct {
	worldFlags
	output string
}

func newStatusCommand() *cobra.Command {
	var flags statusFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "List load balancers: address, state, healthy targets, and what is left to do",
		Long: `Lists every load balancer that the cluster asks for or has in AWS. "Left to do" is what a plan
would change: in a cluster where the controller runs, nothing for longer than a moment.`,
		Example: "  sluice status --cluster-name prod",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return flags.run(cmd) },
	}
	var groups flagGroups
	groups.in("Output").StringVarP(&flags.output, "output", "o", "text", "text, json or yaml")
	flags.addTo(cmd, groups)
	return cmd
}

// stackStatus is one line of the list.
type stackStatus struct {
	Stack    lb.StackID `json:"stack"`
	Name     string     `json:"loadBalancer,omitempty"`
	Address  string     `json:"address,omitempty"`
	State    string     `json:"state"`
	Healthy  int        `json:"healthyTargets"`
	Targets  int        `json:"targets"`
	Left     string     `json:"leftToDo"`
	Refused  int        `json:"refused,omitempty"`
	Warnings int        `json:"otherVerdicts,omitempty"`
}

func (f *statusFlags) run(cmd *cobra.Command) error {
	if f.output != "text" && f.output != "json" && f.output != "yaml" {
		return fmt.Errorf("--output is %q and must be text, json or yaml", f.output)
	}
	w, err := f.look(cmd)
	if err != nil {
		return err
	}
	list := []stackStatus{}
	for _, c := range w.compiled() {
		s, err := w.status(cmd.Context(), c)
		if err != nil {
			return err
		}
		list = append(list, s)
	}
	if f.output != "text" {
		return printDocument(cmd.OutOrStdout(), f.output, list)
	}
	var lines strings.Builder
	lines.WriteString("STACK\tLOAD BALANCER\tSTATE\tTARGETS\tLEFT TO DO\tADDRESS\n")
	for _, s := range list {
		fmt.Fprintf(&lines, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Stack, s.Name, s.stateText(), s.targetsText(), s.Left, s.Address)
	}
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 3, ' ', 0)
	if _, err := io.WriteString(table, lines.String()); err != nil {
		return err
	}
	return table.Flush()
}

func (s stackStatus) stateText() string {
	if s.Refused > 0 {
		return fmt.Sprintf("%s, %d refused", s.State, s.Refused)
	}
	return s.State
}

func (s stackStatus) targetsText() string {
	if s.Targets == 0 {
		return "none"
	}
	return fmt.Sprintf("%d/%d healthy", s.Healthy, s.Targets)
}

func (w world) status(ctx context.Context, c compile.Compiled) (stackStatus, error) {
	out := stackStatus{Stack: c.ID, State: "absent", Left: "nothing"}
	for _, v := range c.Verdicts {
		if v.Severity == lb.Refused {
			out.Refused++
		} else {
			out.Warnings++
		}
	}
	observed := w.engine.Observe(c.ID)
	for _, b := range c.Stack.LoadBalancers {
		out.Name = b.Name
		i := slices.IndexFunc(observed.LoadBalancers, func(o lb.ObservedLoadBalancer) bool { return o.ID == b.ID })
		switch {
		case i < 0:
		case observed.LoadBalancers[i].Active:
			out.State, out.Address = "active", observed.LoadBalancers[i].DNSName
		default:
			out.State, out.Address = "provisioning", observed.LoadBalancers[i].DNSName
		}
	}
	if c.Held {
		out.State, out.Left = "held", "nothing, until its objects are mended"
		return out, nil
	}
	p, verdicts, err := w.engine.Plan(ctx, c.Stack)
	if err != nil {
		return out, err
	}
	for _, v := range verdicts {
		if v.Severity == lb.Refused {
			out.Refused++
		}
	}
	if len(p.Steps) > 0 {
		out.Left = plan.Summary(p.Steps)
	}
	return out, w.countTargets(ctx, observed, &out)
}

// countTargets asks how the targets of a stack's bindings are.
func (w world) countTargets(ctx context.Context, observed lb.Observed, out *stackStatus) error {
	if w.targets == nil {
		return nil
	}
	for _, arn := range observed.TargetGroups {
		for _, b := range w.objects.TargetGroupBindings() {
			if b.Spec.TargetGroupARN != string(arn) {
				continue
			}
			wanted := endpoints.Of(w.objects, b).Targets
			out.Targets += len(wanted)
			if len(wanted) == 0 {
				continue
			}
			health, err := w.targets.Health(ctx, arn, wanted)
			if err != nil {
				return fmt.Errorf("ask how the targets of %s are: %w", strings.TrimPrefix(b.Namespace+"/"+b.Name, "/"), err)
			}
			for _, t := range wanted {
				if health[t].State == lb.HealthyTarget {
					out.Healthy++
				}
			}
		}
	}
	return nil
}
