package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/control"
	"github.com/sluicehq/sluice/internal/endpoints"
	"github.com/sluicehq/sluice/internal/engine"
	"github.com/sluicehq/sluice/internal/engine/aws"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
)

// worldFlags say what a command looks at that changes nothing: manifests by themselves, a cluster and its AWS account,
// or what both would be once the manifests are applied.
type worldFlags struct {
	controllerFlags // those that say what objects mean; the controller must be given the same
	files           []string
	live            bool
	home            string // namespace of objects that name none
}

// addTo gives a command the flags, after those that it has of its own.
func (w *worldFlags) addTo(cmd *cobra.Command, groups flagGroups) {
	f := groups.in("What to look at")
	f.StringArrayVarP(&w.files, "filename", "f", nil, "file or folder of manifests, - for standard input; may be repeated. Without it the live cluster is looked at")
	f.BoolVar(&w.live, "live", false, "with -f: look at the cluster and AWS as they would be once the manifests are applied")
	f.StringVarP(&w.home, "namespace", "n", "default", "namespace of objects that name none")
	f.StringVar(&w.config, "config", "", "YAML file with the controller's flags; the command line wins")
	w.clusterFlags(&groups)
	w.balancerFlags(&groups)
	w.targetFlags(&groups)
	groups.addTo(cmd)
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := readConfigFile(w.config, cmd.Flags()); err != nil {
			return err
		}
		if w.cluster == "" && w.offline() {
			w.cluster = "lab"
		}
		return nil
	}
}

func (w *worldFlags) offline() bool { return len(w.files) > 0 && !w.live }

// world is what there is to look at.
type world struct {
	objects  *kube.Objects
	options  compile.Options
	engine   engine.Engine
	targets  engine.Targets // nil where AWS is not looked at
	vpc      string
	verdicts []lb.Verdict // about manifests that cannot be read
}

func (w *worldFlags) look(cmd *cobra.Command) (world, error) {
	documents, verdicts, err := readManifests(cmd, w.files, w.home)
	if err != nil {
		return world{}, err
	}
	var out world
	var contents kube.Contents
	if w.offline() {
		out.engine = aws.NewOffline(aws.Options{Cluster: w.cluster})
	} else if contents, err = w.lookAtCluster(cmd.Context(), &out); err != nil {
		return world{}, err
	}
	contents = contents.Add(documents)
	if w.offline() {
		contents = withClasses(contents)
	}
	out.objects, out.options, out.verdicts = kube.New(contents), w.compileOptions(), verdicts
	out.options.Features = out.engine.Features()
	return out, nil
}

// lookAtCluster reads the cluster, and what its controller has in AWS.
func (w *worldFlags) lookAtCluster(ctx context.Context, out *world) (kube.Contents, error) {
	if w.cluster == "" {
		return kube.Contents{}, errors.New("--cluster-name is missing: it must be the one that the controller has")
	}
	reader, err := w.reader()
	if err != nil {
		return kube.Contents{}, err
	}
	contents, err := control.ReadObjects(ctx, reader)
	if err != nil {
		return kube.Contents{}, err
	}
	if contents, err = control.ReadEndpoints(ctx, reader, contents); err != nil {
		return kube.Contents{}, err
	}
	access := w.access()
	access.instance = anyInstance(contents)
	config, vpc, err := access.open(ctx)
	if err != nil {
		return kube.Contents{}, err
	}
	real, err := aws.New(aws.Options{Cluster: w.cluster, VPCID: vpc, Config: config, ExternalTags: w.external})
	if err != nil {
		return kube.Contents{}, err
	}
	out.engine, out.targets, out.vpc = real, real, vpc
	return contents, real.Load(ctx)
}

// anyInstance is the instance of some node, whose VPC is the cluster's.
func anyInstance(contents kube.Contents) string {
	for _, n := range contents.Nodes {
		if id, ok := endpoints.InstanceID(n); ok && id != "" {
			return id
		}
	}
	return ""
}

func (w *worldFlags) reader() (client.Reader, error) {
	config, _, err := w.connection()
	if err != nil {
		return nil, fmt.Errorf("%w; or look at manifests only, with -f", err)
	}
	scheme := apiruntime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), elbv2api.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	reader, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	return reader, nil
}

// compiled compiles everything, and what is in the cloud for objects that are no more.
func (w world) compiled() []compile.Compiled {
	stacks := compile.Compile(w.objects, w.options)
	for _, id := range w.engine.Stacks() {
		if !slices.ContainsFunc(stacks, func(c compile.Compiled) bool { return c.ID == id }) {
			stacks = append(stacks, compile.Stack(w.objects, w.options, id, nil))
		}
	}
	slices.SortFunc(stacks, func(a, b compile.Compiled) int { return cmp.Compare(a.ID, b.ID) })
	return stacks
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
