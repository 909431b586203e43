package localaws

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// overview is all that the page at /_local/ shows, and what /_local/overview answers.
type overview struct {
	Region   string `json:"region"`
	Account  string `json:"accountID"`
	Endpoint string `json:"endpoint"`
	DNS      string `json:"dns,omitempty"`

	Profile Profile      `json:"profile"`
	Faults  []NamedFault `json:"faults"`

	LoadBalancers []balancerView `json:"loadBalancers"`
	TargetGroups  []groupView    `json:"targetGroups"`
	Health        healthCount    `json:"health"` // of all targets
	Other         []countView    `json:"otherResources"`

	Calls    []countView  `json:"calls"` // by operation, the most called first
	AllCalls int          `json:"allCalls"`
	Log      []CallRecord `json:"callLog"`
}

type balancerView struct {
	Name      string         `json:"name"`
	ARN       string         `json:"arn"`
	Type      string         `json:"type"`
	Scheme    string         `json:"scheme"`
	State     string         `json:"state"`
	DNSName   string         `json:"dnsName"`
	Addresses []string       `json:"addresses"`
	Zones     []string       `json:"zones"`
	Listeners []listenerView `json:"listeners"`
}

type listenerView struct {
	ARN      string     `json:"arn"`
	Port     int32      `json:"port"`
	Protocol string     `json:"protocol"`
	Policy   string     `json:"sslPolicy,omitempty"`
	Rules    []ruleView `json:"rules"` // in the order they are tried; the default one is last
}

type ruleView struct {
	ARN      string      `json:"arn,omitempty"`
	Priority string      `json:"priority"`
	When     []string    `json:"when"`
	Then     []string    `json:"then"`
	Groups   []groupLink `json:"targetGroups,omitempty"`
}

// groupLink is a target group that a rule forwards to.
type groupLink struct {
	Name   string      `json:"name"`
	Weight int32       `json:"weight"`
	Health healthCount `json:"health"`
}

type groupView struct {
	Name     string       `json:"name"`
	ARN      string       `json:"arn"`
	Protocol string       `json:"protocol"`
	Port     int32        `json:"port,omitempty"`
	Type     string       `json:"targetType"`
	Check    string       `json:"healthCheck"`
	UsedBy   []string     `json:"usedBy"`
	Health   healthCount  `json:"health"`
	Targets  []targetView `json:"targets"`
}

type targetView struct {
	ID          string `json:"id"`
	Port        int32  `json:"port"`
	Zone        string `json:"zone,omitempty"`
	State       string `json:"state"`
	Reason      string `json:"reason,omitempty"`
	Description string `json:"description,omitempty"`
}

// healthCount counts targets by their states; all that is neither healthy nor unhealthy is on its way or not in use.
type healthCount struct {
	Healthy   int `json:"healthy"`
	Unhealthy int `json:"unhealthy"`
	Waiting   int `json:"waiting"`
}

func (h healthCount) Sum() int { return h.Healthy + h.Unhealthy + h.Waiting }

func (h *healthCount) add(state string) {
	switch state {
	case "healthy":
		h.Healthy++
	case "unhealthy", "unhealthy.draining":
		h.Unhealthy++
	default:
		h.Waiting++
	}
}

type countView struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// overview looks at everything once.
func (s *Server) overview() overview {
	o := overview{
		Region: s.options.Region, Account: s.options.AccountID, Endpoint: s.Endpoint(), DNS: s.DNSAddress(),
		Profile: s.Profile(), Faults: s.Faults(), Log: s.CallLog(),
		LoadBalancers: []balancerView{}, TargetGroups: []groupView{}, Calls: []countView{},
	}
	calls := s.Calls()
	for name, n := range calls {
		o.Calls = append(o.Calls, countView{name, n})
		o.AllCalls += n
	}
	slices.SortFunc(o.Calls, func(a, b countView) int { return cmp.Or(b.Count-a.Count, strings.Compare(a.Name, b.Name)) })
	s.mu.RLock()
	defer s.mu.RUnlock()
	x := s.begin()
	groups := map[string]groupView{}
	for arn, g := range x.state.targetGroups.all() {
		view := x.groupView(g)
		groups[arn] = view
		o.TargetGroups = append(o.TargetGroups, view)
		o.Health.Healthy += view.Health.Healthy
		o.Health.Unhealthy += view.Health.Unhealthy
		o.Health.Waiting += view.Health.Waiting
	}
	for _, b := range x.state.loadBalancers.all() {
		o.LoadBalancers = append(o.LoadBalancers, x.balancerView(b, groups))
	}
	o.Other = x.otherResources()
	return o
}

func (x *tx) otherResources() []countView {
	var out []countView
	for _, c := range []countView{
		{"VPCs", x.state.vpcs.len()}, {"subnets", x.state.subnets.len()}, {"security groups", x.state.securityGroups.len()},
		{"instances", x.state.instances.len()}, {"hosted zones", x.state.hostedZones.len()}, {"certificates", x.state.certificates.len()},
		{"server certificates", x.state.serverCertificates.len()}, {"web ACLs", x.state.webACLs.len()},
		{"accelerators", x.state.accelerators.len()}, {"user pools", x.state.userPools.len()},
	} {
		if c.Count > 0 {
			out = append(out, c)
		}
	}
	return out
}

func (x *tx) groupView(g targetGroup) groupView {
	w := g.Wire
	v := groupView{
		Name: *w.TargetGroupName, ARN: g.arn(), Protocol: string(w.Protocol), Port: val(w.Port), Type: string(w.TargetType),
		Check: checkText(w), UsedBy: []string{}, Targets: []targetView{},
	}
	if version := val(w.ProtocolVersion); version != "" && version != "HTTP1" {
		v.Protocol += " " + version
	}
	for _, arn := range x.balancersOf(g.arn()) {
		if b, ok := x.state.loadBalancers.get(arn); ok {
			v.UsedBy = append(v.UsedBy, *b.Wire.LoadBalancerName)
		}
	}
	for _, d := range x.health(g) {
		t := targetView{
			ID: *d.Target.Id, Port: val(d.Target.Port), Zone: val(d.Target.AvailabilityZone), State: string(d.TargetHealth.State),
			Reason: string(d.TargetHealth.Reason), Description: val(d.TargetHealth.Description),
		}
		v.Health.add(t.State)
		v.Targets = append(v.Targets, t)
	}
	return v
}

func checkText(w types.TargetGroup) string {
	if !val(w.HealthCheckEnabled) {
		return "no health check"
	}
	text := string(w.HealthCheckProtocol) + " " + val(w.HealthCheckPath)
	return strings.TrimSpace(text) + " every " + (time.Duration(val(w.HealthCheckIntervalSeconds)) * time.Second).String()
}

func (x *tx) balancerView(b loadBalancer, groups map[string]groupView) balancerView {
	w := x.loadBalancerWire(b)
	v := balancerView{
		Name: *w.LoadBalancerName, ARN: b.arn(), Type: string(w.Type), Scheme: string(w.Scheme), State: string(w.State.Code),
		DNSName: *w.DNSName, Addresses: []string{}, Listeners: []listenerView{},
		Zones: each(w.AvailabilityZones, func(z types.AvailabilityZone) *string { return z.ZoneName }),
	}
	addresses, _ := x.balancerAddresses(*w.DNSName)
	for _, a := range slices.SortedFunc(slices.Values(addresses), netip.Addr.Compare) {
		v.Addresses = append(v.Addresses, a.String())
	}
	for _, l := range x.state.listeners.find(func(l listener) bool { return l.balancer() == b.arn() }) {
		v.Listeners = append(v.Listeners, x.listenerView(l, groups))
	}
	slices.SortFunc(v.Listeners, func(a, b listenerView) int { return int(a.Port - b.Port) })
	return v
}

func (x *tx) listenerView(l listener, groups map[string]groupView) listenerView {
	v := listenerView{ARN: *l.Wire.ListenerArn, Port: *l.Wire.Port, Protocol: string(l.Wire.Protocol), Policy: val(l.Wire.SslPolicy)}
	var rules []rule
	for _, r := range x.state.rules.find(func(r rule) bool { return r.Listener == v.ARN && !r.isDefault() }) {
		rules = append(rules, r)
	}
	slices.SortFunc(rules, func(a, b rule) int { return int(a.Priority - b.Priority) })
	for _, r := range rules {
		view := ruleView{ARN: *r.Wire.RuleArn, Priority: *r.Wire.Priority, When: []string{}}
		for _, c := range r.Wire.Conditions {
			view.When = append(view.When, conditionText(c))
		}
		view.Then, view.Groups = actionTexts(r.Wire.Actions, groups)
		v.Rules = append(v.Rules, view)
	}
	last := ruleView{Priority: "default", When: []string{}}
	last.Then, last.Groups = actionTexts(l.Wire.DefaultActions, groups)
	v.Rules = append(v.Rules, last)
	return v
}

// conditionText says a condition in words.
func conditionText(c types.RuleCondition) string {
	name := map[string]string{
		"host-header": "host", "path-pattern": "path", "http-request-method": "method", "query-string": "query", "source-ip": "source",
	}[val(c.Field)]
	values := valuesOf(c)
	switch {
	case c.HttpHeaderConfig != nil:
		name = "header " + val(c.HttpHeaderConfig.HttpHeaderName)
		values = slices.Concat(c.HttpHeaderConfig.Values, regexes(c.HttpHeaderConfig.RegexValues))
	case c.QueryStringConfig != nil:
		values = nil
		for _, q := range c.QueryStringConfig.Values {
			values = append(values, strings.TrimPrefix(val(q.Key)+"="+val(q.Value), "="))
		}
	case c.HostHeaderConfig != nil && len(c.HostHeaderConfig.RegexValues) > 0:
		values = regexes(c.HostHeaderConfig.RegexValues)
	case c.PathPatternConfig != nil && len(c.PathPatternConfig.RegexValues) > 0:
		values = regexes(c.PathPatternConfig.RegexValues)
	}
	return name + " " + strings.Join(values, " or ")
}

func regexes(values []string) []string {
	var out []string
	for _, v := range values {
		out = append(out, "~ "+v)
	}
	return out
}

// actionTexts says actions in words; where they forward to is apart.
func actionTexts(actions []types.Action, groups map[string]groupView) (texts []string, links []groupLink) {
	texts = []string{}
	for _, a := range actions {
		switch {
		case a.RedirectConfig != nil:
			texts = append(texts, redirectText(a.RedirectConfig))
		case a.FixedResponseConfig != nil:
			texts = append(texts, "answer "+val(a.FixedResponseConfig.StatusCode))
		case a.ForwardConfig != nil:
			for _, t := range a.ForwardConfig.TargetGroups {
				g := groups[val(t.TargetGroupArn)]
				links = append(links, groupLink{g.Name, val(t.Weight), g.Health})
			}
			if s := a.ForwardConfig.TargetGroupStickinessConfig; s != nil && val(s.Enabled) {
				texts = append(texts, "sticky for "+(time.Duration(val(s.DurationSeconds))*time.Second).String())
			}
		default:
			texts = append(texts, string(a.Type))
		}
	}
	return texts, links
}

// redirectText says what a redirect changes; what it keeps goes without saying.
func redirectText(r *types.RedirectActionConfig) string {
	text := "redirect " + strings.TrimPrefix(string(r.StatusCode), "HTTP_")
	for _, part := range [][3]string{
		{"protocol", val(r.Protocol), "#{protocol}"}, {"host", val(r.Host), "#{host}"}, {"port", val(r.Port), "#{port}"},
		{"path", val(r.Path), "/#{path}"}, {"query", val(r.Query), "#{query}"},
	} {
		if part[1] != part[2] {
			text += ", " + part[0] + " " + part[1]
		}
	}
	return text
}
