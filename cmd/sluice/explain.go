package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/explain"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/proxy"
)

type explainFlags struct {
	worldFlags
	output  string
	port    uint16
	method  string
	host    string
	path    string
	headers []string
	source  string
}

func newExplainCommand() *cobra.Command {
	var flags explainFlags
	cmd := &cobra.Command{
		Use:   "explain KIND/[NAMESPACE/]NAME [--host HOST --path PATH]",
		Short: "Tell where a request goes, and why",
		Long: `Follows an object to its load balancer, listeners, rules, target groups, pods and their
health. With --path it follows one request: which rule it meets, and why not those before.
Nothing is changed, and the request is not sent.

--path can also be a whole URL, which gives port and host as well.`,
		Example: `  sluice explain ingress/shop -n web --cluster-name prod
  sluice explain ingress/web/shop --host shop.example.com --path /api?id=1 --cluster-name prod
  sluice explain ingress/web/shop --path https://shop.example.com/api -H 'X-Beta: yes' --cluster-name prod`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return flags.run(cmd, args[0]) },
	}
	var groups flagGroups
	f := groups.in("The request")
	f.StringVar(&flags.path, "path", "", "path with its query, or a whole URL; without it every rule is listed")
	f.StringVar(&flags.host, "host", "", "value of the Host header")
	f.StringVarP(&flags.method, "method", "X", "GET", "method")
	f.StringArrayVarP(&flags.headers, "header", "H", nil, "header, as 'Name: value'; may be repeated")
	f.StringVar(&flags.source, "source", "", "address of the client")
	f.Uint16Var(&flags.port, "port", 0, "port of the listener; every one when 0")
	groups.in("Output").StringVarP(&flags.output, "output", "o", "text", "text, json or yaml")
	flags.addTo(cmd, groups)
	return cmd
}

func (f *explainFlags) run(cmd *cobra.Command, name string) error {
	about, err := parseObject(name, f.home)
	if err != nil {
		return err
	}
	request, err := f.request()
	if err != nil {
		return err
	}
	if !slices.Contains([]string{"text", "json", "yaml"}, f.output) {
		return fmt.Errorf("--output is %q and must be text, json or yaml", f.output)
	}
	w, err := f.look(cmd)
	if err != nil {
		return err
	}
	node := explain.Explain(w.around(cmd.Context(), about), about, request)
	if f.output != "text" {
		return printDocument(cmd.OutOrStdout(), f.output, node)
	}
	_, err = io.WriteString(paint(cmd.OutOrStdout()), node.String())
	return err
}

// around is the part of the world that an object is in.
func (w world) around(ctx context.Context, about lb.Object) explain.World {
	out := explain.World{Objects: w.objects}
	stacks := w.compiled()
	if i := slices.IndexFunc(stacks, func(c compile.Compiled) bool { return slices.Contains(c.Members, about) }); i >= 0 {
		out.Stack = stacks[i]
		out.Observed = w.engine.Observe(stacks[i].ID)
	}
	if w.targets != nil {
		out.Health = func(group lb.TargetGroupRef, targets []lb.Target) (map[lb.Target]lb.TargetHealth, error) {
			return w.targets.Health(ctx, group, targets)
		}
	}
	return out
}

// kinds are the objects that can be asked about, by what people write.
var kinds = map[string]string{
	"ingress": "Ingress", "ingresses": "Ingress", "ing": "Ingress",
	"service": "Service", "services": "Service", "svc": "Service",
}

func parseObject(text, namespace string) (lb.Object, error) {
	parts := strings.Split(text, "/")
	kind, known := kinds[strings.ToLower(parts[0])]
	switch {
	case !known:
		return lb.Object{}, fmt.Errorf("%q is no object to explain: write ingress/NAME, ingress/NAMESPACE/NAME, service/NAME or service/NAMESPACE/NAME", text)
	case len(parts) == 2 && parts[1] != "":
		return lb.Object{Kind: kind, Namespace: namespace, Name: parts[1]}, nil
	case len(parts) == 3 && parts[1] != "" && parts[2] != "":
		return lb.Object{Kind: kind, Namespace: parts[1], Name: parts[2]}, nil
	}
	return lb.Object{}, fmt.Errorf("%q must be %s/NAME or %s/NAMESPACE/NAME", text, parts[0], parts[0])
}

func (f *explainFlags) request() (explain.Request, error) {
	r := explain.Request{Port: f.port, Method: f.method, Host: f.host, Path: f.path}
	if strings.Contains(f.path, "://") {
		if err := takeURL(&r, f.path); err != nil {
			return r, err
		}
	} else if r.Path != "" && !strings.HasPrefix(r.Path, "/") {
		return r, fmt.Errorf("--path is %q and must begin with a slash, or be a URL", f.path)
	}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return r, fmt.Errorf("--header is %q and must be 'Name: value'", h)
		}
		r.Headers = append(r.Headers, proxy.SampleHeader{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value)})
	}
	if f.source != "" {
		source, err := netip.ParseAddr(f.source)
		if err != nil {
			return r, fmt.Errorf("--source is %q and must be an address: %w", f.source, err)
		}
		r.Source = source
	}
	return r, nil
}

func takeURL(r *explain.Request, text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return fmt.Errorf("--path: %w", err)
	}
	ports := map[string]uint16{"http": 80, "https": 443}
	port, known := ports[u.Scheme]
	if !known || u.Hostname() == "" {
		return errors.New("--path: a URL begins with http://HOST or https://HOST")
	}
	if text := u.Port(); text != "" {
		address, err := netip.ParseAddrPort("127.0.0.1:" + text)
		if err != nil {
			return fmt.Errorf("--path: port %s: %w", text, err)
		}
		port = address.Port()
	}
	if r.Port == 0 {
		r.Port = port
	}
	if r.Host == "" {
		r.Host = u.Host
	}
	r.Path = u.RequestURI()
	return nil
}
