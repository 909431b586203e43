package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/control"
	"github.com/sluicehq/sluice/internal/engine"
	"github.com/sluicehq/sluice/internal/engine/aws"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

type planFlags struct {
	files     []string
	output    string
	cluster   string
	namespace string
	class     string
	scheme    string
	target    string
}

func newPlanCommand() *cobra.Command {
	var flags planFlags
	cmd := &cobra.Command{
		Use:   "plan -f FILE...",
		Short: "Show what manifests would make, without a cluster and without AWS",
		Long: `Compiles manifests as the controller does and prints every step it would take in an
empty account, and what is wrong with each object. Nothing is contacted.

The IngressClass alb is taken to be installed. Names that depend on what Kubernetes has yet
to assign are marked "known after apply".

The exit status is 1 when some object is refused.`,
		Example: "  sluice plan -f examples/apps.yaml\n  kubectl get ingress,service -A -o yaml | sluice plan -f - -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.run(cmd)
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&flags.files, "filename", "f", nil, "file or folder of manifests, - for standard input; may be repeated")
	f.StringVarP(&flags.output, "output", "o", "text", "text or json")
	f.StringVar(&flags.cluster, "cluster-name", "lab", "name of the cluster, part of the names of load balancers")
	f.StringVarP(&flags.namespace, "namespace", "n", "default", "namespace of objects that name none")
	f.StringVar(&flags.class, "ingress-class", "alb", "class annotation of Ingresses that are served")
	f.StringVar(&flags.scheme, "default-load-balancer-scheme", string(lb.Internal), "internal or internet-facing, where no Ingress says it")
	f.StringVar(&flags.target, "default-target-type", string(lb.InstanceTargets), "instance or ip, where neither Ingress nor Service says it")
	_ = cmd.MarkFlagRequired("filename") // fails only for a flag that does not exist
	return cmd
}

func (f planFlags) run(cmd *cobra.Command) error {
	if f.output != "text" && f.output != "json" {
		return fmt.Errorf("--output is %q and must be text or json", f.output)
	}
	documents, verdicts, err := readManifests(cmd, f.files, f.namespace)
	if err != nil {
		return err
	}
	contents := withClasses(kube.Contents{}.Add(documents))
	offline := aws.NewOffline(aws.Options{Cluster: f.cluster})
	options := compile.Options{
		Cluster: f.cluster, IngressClass: f.class, DefaultScheme: lb.Scheme(f.scheme), DefaultTargetType: lb.TargetType(f.target),
		TolerateMissingService: true, TolerateMissingAction: true, Features: offline.Features(),
	}
	report, err := planAll(cmd.Context(), compile.Compile(kube.New(contents), options), offline)
	if err != nil {
		return err
	}
	report.Verdicts = lb.SortVerdicts(append(report.Verdicts, verdicts...))
	if err := report.print(cmd.OutOrStdout(), f.output); err != nil {
		return err
	}
	if refused(report.Verdicts) {
		return errRefused
	}
	return nil
}

// installedClass is the IngressClass that the chart installs.
const installedClass = "alb"

// withClasses adds the class that Sluice installs where Ingresses name it and no file has it.
func withClasses(c kube.Contents) kube.Contents {
	for _, ingress := range c.Ingresses {
		name := ingress.Spec.IngressClassName
		known := func(class *networkingv1.IngressClass) bool { return class.Name == installedClass }
		if name == nil || *name != installedClass || slices.ContainsFunc(c.IngressClasses, known) {
			continue
		}
		c.IngressClasses = append(c.IngressClasses, &networkingv1.IngressClass{
			ObjectMeta: metav1.ObjectMeta{Name: installedClass},
			Spec:       networkingv1.IngressClassSpec{Controller: compile.Controller},
		})
	}
	return c
}

// report is everything that `sluice plan` has to say.
type report struct {
	Plans    []plan.Plan
	Held     []lb.StackID
	Verdicts []lb.Verdict
}

func planAll(ctx context.Context, stacks []compile.Compiled, e engine.Engine) (report, error) {
	var out report
	for _, s := range stacks {
		out.Verdicts = append(out.Verdicts, s.Verdicts...)
		if s.Held {
			out.Held = append(out.Held, s.ID)
			continue
		}
		p, verdicts, err := e.Plan(ctx, s.Stack)
		if err != nil {
			return report{}, err
		}
		p.Steps = append(p.Steps, control.PlannedBindings(s.Stack, len(p.Steps))...)
		out.Plans = append(out.Plans, p)
		out.Verdicts = append(out.Verdicts, verdicts...)
	}
	return out, nil
}

func (r report) print(w io.Writer, format string) error {
	if format == "json" {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r.document())
	}
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
		if _, err := fmt.Fprintln(w, "no Ingress in these manifests is for Sluice"); err != nil {
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
