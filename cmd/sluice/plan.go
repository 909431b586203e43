package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/internal/control"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

type planFlags struct {
	worldFlags
	output   string
	exitCode bool
}

func newPlanCommand() *cobra.Command {
	var flags planFlags
	cmd := &cobra.Command{
		Use:   "plan [-f FILE...]",
		Short: "Show what the controller would do",
		Long: `Prints every step that the controller would take, with what is there before and after, and
what is wrong with each object. Nothing is changed.

Without -f it looks at the live cluster and at AWS. With -f it looks at manifests alone: what
they would make in an empty account, with the IngressClass alb taken to be installed; nothing
is contacted. With both -f and --live it shows what applying the manifests would change.

What only applying tells is marked "known after apply". The exit status is 1 when some object
is refused, and with --detailed-exitcode 2 when there is something to do.`,
		Example: `  sluice plan -f examples/apps.yaml
  kustomize build . | sluice plan -f - --live --cluster-name prod --detailed-exitcode
  sluice plan --cluster-name prod -o yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.run(cmd)
		},
	}
	var groups flagGroups
	f := groups.in("Output")
	f.StringVarP(&flags.output, "output", "o", "text", "text, json or yaml")
	f.BoolVar(&flags.exitCode, "detailed-exitcode", false, "exit with 2 when there is something to do")
	flags.addTo(cmd, groups)
	return cmd
}

func (f *planFlags) run(cmd *cobra.Command) error {
	if !slices.Contains([]string{"text", "json", "yaml"}, f.output) {
		return fmt.Errorf("--output is %q and must be text, json or yaml", f.output)
	}
	w, err := f.look(cmd)
	if err != nil {
		return err
	}
	report, err := w.plan(cmd.Context())
	if err != nil {
		return err
	}
	if err := report.print(cmd.OutOrStdout(), f.output); err != nil {
		return err
	}
	switch {
	case refused(report.Verdicts):
		return errRefused
	case f.exitCode && report.steps() > 0:
		return errChanges
	}
	return nil
}

// report is everything that `sluice plan` has to say.
type report struct {
	Plans    []plan.Plan
	Held     []lb.StackID
	Verdicts []lb.Verdict
	live     bool // what there is was looked at
}

// plan plans every stack.
func (w world) plan(ctx context.Context) (report, error) {
	out := report{live: w.targets != nil}
	for _, s := range w.compiled() {
		out.Verdicts = append(out.Verdicts, s.Verdicts...)
		if s.Held {
			out.Held = append(out.Held, s.ID)
			continue
		}
		p, verdicts, err := w.engine.Plan(ctx, s.Stack)
		if err != nil {
			return report{}, err
		}
		p.Steps = append(p.Steps, control.PlanBindings(w.objects, s.Stack, w.engine.Observe(s.ID), w.vpc, len(p.Steps))...)
		out.Plans = append(out.Plans, p)
		out.Verdicts = append(out.Verdicts, verdicts...)
	}
	out.Verdicts = lb.SortVerdicts(append(out.Verdicts, w.verdicts...))
	return out, nil
}

func (r report) steps() int {
	n := 0
	for _, p := range r.Plans {
		n += len(p.Steps)
	}
	return n
}

func (r report) print(w io.Writer, format string) error {
	if format != "text" {
		return printDocument(w, format, r.document())
	}
	w = paint(w)
	for _, p := range r.Plans {
		if err := plan.Print(w, p); err != nil {
			return err
		}
	}
	for _, id := range r.Held {
		if _, err := fmt.Fprintf(w, "stack %s: held as it is until its objects are mended\n", id); err != nil {
			return err
		}
	}
	if len(r.Plans)+len(r.Held) == 0 {
		nothing := "no Ingress in these manifests is for Sluice"
		if r.live {
			nothing = "no Ingress in this cluster is for Sluice, and nothing of it is in AWS"
		}
		if _, err := fmt.Fprintln(w, nothing); err != nil {
			return err
		}
	}
	for i, v := range r.Verdicts {
		if i == 0 {
			if _, err := fmt.Fprintln(w, "\nverdicts:"); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintf(w, "  %s\n", v); err != nil {
			return err
		}
	}
	return nil
}

type reportDocument struct {
	Plans    []plan.Plan       `json:"plans"`
	Held     []lb.StackID      `json:"held,omitempty"`
	Verdicts []verdictDocument `json:"verdicts,omitempty"`
}

type verdictDocument struct {
	Object   string      `json:"object"`
	Severity lb.Severity `json:"severity"`
	Reason   lb.Reason   `json:"reason"`
	Field    string      `json:"field,omitempty"`
	Value    string      `json:"value,omitempty"`
	Problem  string      `json:"problem"`
	Fix      string      `json:"fix,omitempty"`
}

func (r report) document() reportDocument {
	d := reportDocument{Plans: r.Plans, Held: r.Held}
	if d.Plans == nil {
		d.Plans = []plan.Plan{}
	}
	for _, v := range r.Verdicts {
		d.Verdicts = append(d.Verdicts, verdictDocument{
			Object: v.Object.String(), Severity: v.Severity, Reason: v.Reason, Field: v.Field, Value: v.Value, Problem: v.Problem, Fix: v.Fix,
		})
	}
	return d
}
