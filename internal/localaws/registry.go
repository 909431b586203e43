package localaws

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/internal/localaws/models"
	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// registry is what local AWS serves: services by the names that requests carry, each with its operations.
type registry struct {
	services map[string]*service // by signing name
}

type service struct {
	*wire.Service
	operations map[string]*operation
}

// operation is a bound operation and its handler.
type operation struct {
	*wire.Operation
	key      string // "elasticloadbalancing:CreateRule", as calls are counted
	mutating bool
	run      func(t *tx, in any) (any, error)
}

// serve lists the services. A new one is a line here and a file of handlers.
func serve() (*registry, error) {
	r := &registry{services: map[string]*service{}}
	for _, s := range []struct {
		model    string
		register func(*binder)
	}{
		{"elbv2", registerELBv2},
		{"ec2", registerEC2},
		{"resourcegroupstaggingapi", registerTagging},
		{"acm", registerACM},
		{"iam", registerIAM},
		{"route53", registerRoute53},
		{"wafv2", registerWAFV2},
		{"wafregional", registerWAFRegional},
		{"shield", registerShield},
		{"sts", registerSTS},
		{"globalaccelerator", registerGlobalAccelerator},
		{"cognitoidp", registerCognito},
	} {
		data, err := models.FS.ReadFile(s.model + ".json")
		if err != nil {
			return nil, fmt.Errorf("localaws: %w", err)
		}
		model, err := wire.Load(data)
		if err != nil {
			return nil, fmt.Errorf("localaws: %s: %w", s.model, err)
		}
		b := &binder{service: &service{Service: model, operations: map[string]*operation{}}}
		s.register(b)
		if b.err != nil {
			return nil, fmt.Errorf("localaws: %s: %w", s.model, b.err)
		}
		r.services[model.SigningName] = b.service
	}
	return r, nil
}

// binder collects a service's handlers and the first error.
type binder struct {
	service *service
	err     error
}

// on binds a handler. The operation's name is that of its input type without "Input".
func on[In, Out any](b *binder, handler func(*tx, *In) (*Out, error)) {
	in, out := reflect.TypeFor[In](), reflect.TypeFor[Out]()
	name := strings.TrimSuffix(in.Name(), "Input")
	bound, err := b.service.Bind(name, in, out)
	if err != nil {
		if b.err == nil {
			b.err = err
		}
		return
	}
	b.service.operations[name] = &operation{
		Operation: bound,
		key:       b.service.SigningName + ":" + name,
		mutating:  !reads(name),
		run: func(t *tx, in any) (any, error) {
			out, err := handler(t, in.(*In))
			if err != nil {
				return nil, err // not out: a nil *Out in an any is not nil
			}
			return out, nil
		},
	}
}

// reads tells from an operation's name that it changes nothing.
func reads(name string) bool {
	return slices.ContainsFunc([]string{"Describe", "Get", "List", "Test"}, func(verb string) bool { return strings.HasPrefix(name, verb) })
}

// byPath finds a REST service: its paths begin with its version.
func (r *registry) byPath(path string) *service {
	version, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	for _, s := range r.services {
		if s.Protocol == wire.RestXML && s.APIVersion == version {
			return s
		}
	}
	return nil
}

// byTarget finds a JSON operation from the X-Amz-Target header.
func (r *registry) byTarget(target string) (*service, string) {
	prefix, name, _ := strings.Cut(target, ".")
	for _, s := range r.services {
		if s.TargetPrefix != "" && s.TargetPrefix == prefix {
			return s, name
		}
	}
	return nil, name
}

// byVersion finds a query service from its API version; no two of them share one.
func (r *registry) byVersion(version string) *service {
	for _, s := range r.services {
		if (s.Protocol == wire.Query || s.Protocol == wire.EC2) && s.APIVersion == version {
			return s
		}
	}
	return nil
}
