package annot

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluicehq/sluice/internal/lb"
)

// Action is what an actions.<name> annotation says: exactly one of its fields.
type Action struct {
	FixedResponse *lb.FixedResponse
	Redirect      *lb.Redirect
	Forward       *Forward
	At            Origin
}

// Forward is an action that forwards.
type Forward struct {
	Groups []ForwardGroup
	Sticky time.Duration
}

// ForwardGroup is a Service port, or a target group that others made.
type ForwardGroup struct {
	ARN, Name string
	Service   string
	Port      lb.Port
	Weight    int
}

// The JSON form. Keys are matched whatever their case, as the reference does.
type actionForm struct {
	Type                string        `json:"type"`
	TargetGroupARN      string        `json:"targetGroupARN"`
	TargetGroupName     string        `json:"targetGroupName"`
	FixedResponseConfig *fixedForm    `json:"fixedResponseConfig"`
	RedirectConfig      *redirectForm `json:"redirectConfig"`
	ForwardConfig       *forwardForm  `json:"forwardConfig"`
}

type fixedForm struct {
	ContentType string `json:"contentType"`
	MessageBody string `json:"messageBody"`
	StatusCode  string `json:"statusCode"`
}

type redirectForm struct {
	Host       string `json:"host"`
	Path       string `json:"path"`
	Port       string `json:"port"`
	Protocol   string `json:"protocol"`
	Query      string `json:"query"`
	StatusCode string `json:"statusCode"`
}

type forwardForm struct {
	TargetGroups                []tupleForm `json:"targetGroups"`
	TargetGroupStickinessConfig *struct {
		Enabled         *bool  `json:"enabled"`
		DurationSeconds *int32 `json:"durationSeconds"`
	} `json:"targetGroupStickinessConfig"`
}

type tupleForm struct {
	TargetGroupARN  string    `json:"targetGroupARN"`
	TargetGroupName string    `json:"targetGroupName"`
	ServiceName     string    `json:"serviceName"`
	ServicePort     *portForm `json:"servicePort"`
	Weight          *int32    `json:"weight"`
}

// portForm is a number, or a name; a number in quotes is a number too.
type portForm lb.Port

// UnmarshalJSON takes both.
func (p *portForm) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) != nil {
		text = string(data)
	}
	if n, err := strconv.ParseInt(text, 10, 32); err == nil {
		*p = portForm{Number: int32(n)}
		return nil
	}
	if data[0] != '"' || text == "" {
		return errors.New("a servicePort is a number or a name")
	}
	*p = portForm{Name: text}
	return nil
}

// ActionOf reads the annotation actions.<name> of an Ingress; found is false when there is none. A Refused verdict means
// that the action must not be used.
func ActionOf(ingress *networkingv1.Ingress, name string) (action Action, found bool, verdicts []lb.Verdict) {
	r := newReader(ingressObject(ingress), ingress.Annotations)
	k := actions
	k.Suffix += name
	value, at, found := r.text(k)
	if !found {
		return Action{}, false, nil
	}
	action, err := parseAction(value)
	if err != nil {
		r.refuse(at, err.Error(), `Write it as {"type": "fixed-response", "fixedResponseConfig": {"statusCode": "404"}}, or see docs/annotations.md`)
	}
	action.At = at
	return action, true, r.problems
}

// ActionServices are the Services that the actions of an Ingress forward to, sorted. Actions that cannot be read have
// none.
func ActionServices(ingress *networkingv1.Ingress) []string {
	var names []string
	for _, annotation := range slices.Sorted(maps.Keys(ingress.Annotations)) {
		if !strings.HasPrefix(annotation, actions.Annotation()) {
			continue
		}
		action, err := parseAction(ingress.Annotations[annotation])
		if err != nil || action.Forward == nil {
			continue
		}
		for _, g := range action.Forward.Groups {
			if g.Service != "" {
				names = append(names, g.Service)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func parseAction(value string) (Action, error) {
	var form actionForm
	if err := json.Unmarshal([]byte(value), &form); err != nil {
		return Action{}, fmt.Errorf("is no action in JSON: %w", err)
	}
	switch form.Type {
	case "fixed-response":
		fixed, err := form.FixedResponseConfig.fixed()
		return Action{FixedResponse: fixed}, err
	case "redirect":
		redirect, err := form.RedirectConfig.redirect()
		return Action{Redirect: redirect}, err
	case "forward":
		forward, err := form.forward()
		return Action{Forward: forward}, err
	default:
		return Action{}, fmt.Errorf("has type %q, which must be fixed-response, redirect or forward", form.Type)
	}
}

var (
	fixedStatus  = regexp.MustCompile(`^[245]\d\d$`)
	contentTypes = []string{"text/plain", "text/css", "text/html", "application/javascript", "application/json"}
)

func (f *fixedForm) fixed() (*lb.FixedResponse, error) {
	switch {
	case f == nil:
		return nil, errors.New("has no fixedResponseConfig")
	case !fixedStatus.MatchString(f.StatusCode):
		return nil, fmt.Errorf("has statusCode %q, which must be 2xx, 4xx or 5xx", f.StatusCode)
	case f.ContentType != "" && !slices.Contains(contentTypes, f.ContentType):
		return nil, fmt.Errorf("has contentType %q, which must be one of %s", f.ContentType, strings.Join(contentTypes, ", "))
	case len(f.MessageBody) > 1024:
		return nil, errors.New("has a messageBody of more than 1024 characters")
	}
	status, _ := strconv.Atoi(f.StatusCode) // it has three digits
	kind := f.ContentType
	if kind == "" {
		kind = "text/plain"
	}
	return &lb.FixedResponse{StatusCode: status, ContentType: kind, Body: f.MessageBody}, nil
}

func (f *redirectForm) redirect() (*lb.Redirect, error) {
	if f == nil {
		return nil, errors.New("has no redirectConfig")
	}
	r := &lb.Redirect{Protocol: f.Protocol, Host: f.Host, Port: f.Port, Path: f.Path, Query: f.Query}
	switch f.StatusCode {
	case "HTTP_301":
		r.StatusCode = 301
	case "HTTP_302":
		r.StatusCode = 302
	default:
		return nil, fmt.Errorf("has statusCode %q, which must be HTTP_301 or HTTP_302", f.StatusCode)
	}
	port, err := strconv.Atoi(f.Port)
	switch {
	case !slices.Contains([]string{"", "HTTP", "HTTPS", "#{protocol}"}, f.Protocol):
		return nil, fmt.Errorf("has protocol %q, which must be HTTP, HTTPS or #{protocol}", f.Protocol)
	case f.Port != "" && f.Port != "#{port}" && (err != nil || port < 1 || port > 65535):
		return nil, fmt.Errorf("has port %q, which must be 1 to 65535 or #{port}", f.Port)
	case f.Path != "" && !strings.HasPrefix(f.Path, "/"):
		return nil, fmt.Errorf("has path %q, which must begin with a slash", f.Path)
	}
	return r, nil
}

// mostGroups is how many target groups one action forwards to at most (ELB quota).
const mostGroups = 5

func (f actionForm) forward() (*Forward, error) {
	simple := f.TargetGroupARN != "" || f.TargetGroupName != ""
	switch {
	case simple && f.ForwardConfig != nil:
		return nil, errors.New("has both a forwardConfig and a target group beside it")
	case simple:
		f.ForwardConfig = &forwardForm{TargetGroups: []tupleForm{{TargetGroupARN: f.TargetGroupARN, TargetGroupName: f.TargetGroupName}}}
	case f.ForwardConfig == nil:
		return nil, errors.New("has no forwardConfig")
	}
	tuples := f.ForwardConfig.TargetGroups
	if len(tuples) == 0 || len(tuples) > mostGroups {
		return nil, fmt.Errorf("forwards to %d target groups, and must to 1 to %d", len(tuples), mostGroups)
	}
	out := &Forward{}
	for _, t := range tuples {
		g, err := t.group(len(tuples) > 1)
		if err != nil {
			return nil, err
		}
		twice := slices.ContainsFunc(out.Groups, func(o ForwardGroup) bool {
			return o.ARN == g.ARN && o.Name == g.Name && o.Service == g.Service && o.Port == g.Port
		})
		if twice {
			return nil, errors.New("names a target group twice")
		}
		out.Groups = append(out.Groups, g)
	}
	if s := f.ForwardConfig.TargetGroupStickinessConfig; s != nil && s.Enabled != nil && *s.Enabled {
		if s.DurationSeconds == nil || *s.DurationSeconds < 1 || *s.DurationSeconds > 604800 {
			return nil, errors.New("is sticky without durationSeconds from 1 to 604800")
		}
		out.Sticky = time.Duration(*s.DurationSeconds) * time.Second
	}
	return out, nil
}

func (t tupleForm) group(several bool) (ForwardGroup, error) {
	g := ForwardGroup{ARN: t.TargetGroupARN, Name: t.TargetGroupName, Service: t.ServiceName, Weight: 1}
	external := g.ARN != "" || g.Name != ""
	switch {
	case external && g.Service != "":
		return g, errors.New("has a target group that is both a Service and an ARN or name")
	case !external && g.Service == "":
		return g, errors.New("has a target group without serviceName, targetGroupARN or targetGroupName")
	case g.Service != "" && t.ServicePort == nil:
		return g, fmt.Errorf("names Service %s without servicePort", g.Service)
	case several && t.Weight == nil:
		return g, errors.New("has several target groups, so each needs a weight")
	case t.Weight != nil && (*t.Weight < 0 || *t.Weight > 999):
		return g, fmt.Errorf("has weight %d, which must be 0 to 999", *t.Weight)
	}
	if g.ARN != "" {
		g.Name = ""
	}
	if t.ServicePort != nil && g.Service != "" {
		g.Port = lb.Port(*t.ServicePort)
	}
	if t.Weight != nil && several {
		g.Weight = int(*t.Weight)
	}
	return g, nil
}
