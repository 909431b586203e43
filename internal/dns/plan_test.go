package dns

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	"github.com/sluicehq/sluice/internal/lb"
)

var update = flag.Bool("update", false, "rewrite the results in testdata")

// situation is the section "given" of a case.
type situation struct {
	Zone      Zone
	Name      Name
	Policy    ChangePolicy
	Owner     *string
	Ownership Ownership
	Key       string
	Types     []Type
	NoAliases bool
	Prefer    bool // CNAME
	NoHealth  bool // of alias targets
	Endpoints []given
	Balancers map[Name]Balancer
	Have      []Record
}

// given is an endpoint in short.
type given struct {
	Targets    []string
	Type       Type
	SetID      string
	TTL        int64
	From       string // Ingress default/web
	Properties map[string]string
	Managed    bool
	Held       bool
}

func (g given) endpoint(name Name) Endpoint {
	kind, rest, _ := strings.Cut(g.From, " ")
	namespace, object, _ := strings.Cut(rest, "/")
	e := Endpoint{
		Name: name, Type: g.Type, Targets: g.Targets, SetID: g.SetID, TTL: g.TTL, Managed: g.Managed, Held: g.Held,
		From: lb.Object{Kind: kind, Namespace: namespace, Name: object},
	}
	if e.Type == "" && len(g.Targets) > 0 {
		e.Type = TypeOf(g.Targets[0])
	}
	var properties []Property
	for k, v := range g.Properties {
		properties = append(properties, Property{k, v})
	}
	settings, problems := ReadSettings(g.SetID, properties)
	if len(problems) > 0 && !g.Held {
		panic(fmt.Sprint(problems))
	}
	e.Settings = settings
	return e
}

func (s situation) options(t *testing.T) Options {
	o := Options{
		Policy: s.Policy, Ownership: s.Ownership, Types: s.Types, EvaluateHealth: !s.NoHealth, PreferCNAME: s.Prefer, Aliases: !s.NoAliases,
	}
	if o.Policy == "" {
		o.Policy = Sync
	}
	if o.Types == nil {
		o.Types = []Type{A, AAAA, CNAME}
	}
	o.Ownership.Owner = "default"
	if s.Owner != nil {
		o.Ownership.Owner = *s.Owner
	}
	if s.Key != "" {
		key, err := ParseKey(s.Key)
		if err != nil {
			t.Fatal(err)
		}
		o.Ownership.Key = key
	}
	return o
}

func (s situation) plan(t *testing.T, have []Record) NamePlan {
	in := Situation{Zone: s.Zone, Name: s.Name, Balancers: s.Balancers, Have: func(n Name) []Record {
		return slices.DeleteFunc(slices.Clone(have), func(r Record) bool { return r.Name != n })
	}}
	for _, e := range s.Endpoints {
		in.Endpoints = append(in.Endpoints, e.endpoint(s.Name))
	}
	return Plan(in, s.options(t))
}

// TestCases: what is asked of a name and what the zone has, to changes and answers. Each case is also planned again from
// what it leads to, and with everything in reverse order.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(file, "testdata/"), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var s situation
			if err := yaml.UnmarshalStrict(archive.Files[0].Data, &s); err != nil {
				t.Fatal(err)
			}
			p := s.plan(t, s.Have)
			again := s.plan(t, apply(s.Have, p.Changes))
			if len(again.Changes) > 0 {
				t.Errorf("a second plan is not empty: %v", again.Changes)
			}
			slices.Reverse(s.Endpoints)
			slices.Reverse(s.Have)
			if diff := cmp.Diff(planText(p), planText(s.plan(t, s.Have))); diff != "" {
				t.Errorf("the order of the input matters:\n%s", diff)
			}
			compare(t, file, archive, planText(p))
		})
	}
}

// apply makes changes of a zone's records, refusing what Route 53 refuses.
func apply(have []Record, changes []Change) []Record {
	out := slices.Clone(have)
	for _, c := range changes {
		i := slices.IndexFunc(out, func(r Record) bool { return r.Key() == c.Record.Key() })
		switch {
		case c.Action == Create && i >= 0, c.Action == Delete && i < 0, c.Action == Delete && !out[i].Equal(c.Record):
			panic("the zone does not take " + c.String())
		case c.Action == Delete:
			out = slices.Delete(out, i, i+1)
		case i >= 0:
			out[i] = c.Record
		default:
			out = append(out, c.Record)
		}
	}
	return out
}

func planText(p NamePlan) string {
	var b strings.Builder
	for _, c := range p.Changes {
		fmt.Fprintf(&b, "%s %s\n", c.Action, c.Record)
	}
	if len(p.Changes) == 0 {
		b.WriteString("no change\n")
	}
	b.WriteString("-- answers --\n")
	for _, a := range p.Answers {
		fmt.Fprintf(&b, "%s:", a.Object)
		for _, r := range a.Records {
			fmt.Fprintf(&b, " %s %s;", r.Type, r.Answer())
		}
		if a.Waiting != "" {
			fmt.Fprintf(&b, " waiting: %s;", a.Waiting)
		}
		if a.Verdict != nil {
			fmt.Fprintf(&b, " %s %s: %s", a.Verdict.Severity, a.Verdict.Reason, a.Verdict.Message())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func compare(t *testing.T, file string, archive *txtar.Archive, got string) {
	t.Helper()
	parts := txtar.Parse([]byte("-- changes --\n" + got)).Files
	if *update {
		archive.Files = append(archive.Files[:1], parts...)
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if len(archive.Files) != 3 {
		t.Fatal("run with -update and review what it writes")
	}
	for i, part := range parts {
		if diff := cmp.Diff(string(archive.Files[i+1].Data), string(part.Data)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", part.Name, diff)
		}
	}
}
