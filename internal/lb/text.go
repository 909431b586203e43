package lb

import (
	"fmt"
	"strconv"
	"strings"
)

// String is the canonical text form: equal for equal stacks, one fact a line, for people and for digests.
func (s Stack) String() string {
	var t text
	t.line(0, "stack %s", s.ID)
	t.from(1, "members", s.Members)
	t.from(1, "keep", s.Kept)
	if s.Source != (SecurityGroupRef{}) && !s.Source.Backend {
		t.line(1, "targets open from %s", s.Source)
	}
	for _, b := range s.LoadBalancers {
		t.loadBalancer(b)
	}
	for _, g := range s.SecurityGroups {
		t.securityGroup(g)
	}
	for _, g := range s.TargetGroups {
		t.targetGroup(g)
	}
	for _, b := range s.Bindings {
		t.binding(b)
	}
	t.virtualHosts(s)
	return t.String()
}

// text writes indented lines.
type text struct{ strings.Builder }

func (t *text) line(depth int, format string, args ...any) {
	t.WriteString(strings.Repeat("  ", depth))
	fmt.Fprintf(&t.Builder, format, args...)
	t.WriteByte('\n')
}

func (t *text) from(depth int, word string, objects []Object) {
	for _, o := range objects {
		t.line(depth, "%s %s", word, o)
	}
}

func (t *text) tags(depth int, tags []Tag) {
	for _, tag := range tags {
		t.line(depth, "tag %s=%s", tag.Key, tag.Value)
	}
}

func (t *text) attributes(depth int, attributes []Attribute) {
	for _, a := range attributes {
		t.line(depth, "attribute %s=%s", a.Key, a.Value)
	}
}

func (t *text) loadBalancer(b LoadBalancer) {
	t.line(1, "load-balancer %s %s", b.ID, b.Name)
	t.line(2, "%s %s %s", b.Type, b.Scheme, b.IPAddressType)
	t.line(2, "subnets %s", b.Subnets)
	for _, g := range b.SecurityGroups {
		t.line(2, "security-group %s", g)
	}
	for _, line := range b.Network.lines() {
		t.line(2, "%s", line)
	}
	for _, line := range b.AddOns.lines() {
		t.line(2, "%s", line)
	}
	t.attributes(2, b.Attributes)
	t.tags(2, b.Tags)
	t.from(2, "from", b.From)
	for _, l := range b.Listeners {
		t.line(2, "listener %d %s", l.Port, l.Protocol)
		t.handshake(3, l.Handshake)
		t.attributes(3, l.Attributes)
		t.tags(3, l.Tags)
		t.from(3, "from", l.From)
		for _, r := range l.Rules {
			if r.Kept {
				t.line(3, "rules that there are of %s", r.From)
				continue
			}
			t.line(3, "rule %d %s", r.Priority, conditions(r.Conditions))
			for _, transform := range r.Transforms {
				t.line(4, "%s", transform)
			}
			t.line(4, "-> %s", r.Action)
			t.tags(4, r.Tags)
			t.line(4, "from %s %s", r.From, r.Field)
		}
		t.line(3, "default -> %s", l.Default)
	}
}

func (t *text) handshake(depth int, h Handshake) {
	for _, c := range h.Certificates {
		t.line(depth, "certificate %s", c)
	}
	if h.Policy != "" {
		t.line(depth, "tls-policy %s", h.Policy)
	}
	if h.ALPN != "" {
		t.line(depth, "alpn-policy %s", h.ALPN)
	}
}

func (t *text) securityGroup(g SecurityGroup) {
	t.line(1, "security-group %s %s", g.ID, g.Name)
	t.line(2, "description %s", g.Description)
	for _, p := range g.Ingress {
		ports := strconv.Itoa(int(p.From))
		if p.From != p.To {
			ports += "-" + strconv.Itoa(int(p.To))
		}
		t.line(2, "allow %s %s %s", p.Protocol, ports, p.Peer())
	}
	t.tags(2, g.Tags)
	t.from(2, "from", g.From)
}

func (t *text) targetGroup(g TargetGroup) {
	t.line(1, "target-group %s %s", g.ID, g.Name)
	t.line(2, "%s", g.Kind())
	t.line(2, "health-check %s", g.HealthCheck)
	t.attributes(2, g.Attributes)
	t.tags(2, g.Tags)
	t.from(2, "from", g.From)
}

func (t *text) binding(b Binding) {
	t.line(1, "binding %s/%s to %s", b.Namespace, b.Name, b.TargetGroup)
	t.line(2, "service %s:%s %s", b.Service, b.ServicePort, b.TargetType)
	for _, l := range b.NodeLabels {
		t.line(2, "node-label %s=%s", l.Key, l.Value)
	}
	if b.MultiCluster {
		t.line(2, "shared with other clusters")
	}
	for _, r := range b.Networking {
		t.line(2, "open %s", r)
	}
	for _, r := range b.Unsecured {
		t.line(2, "without security groups, open %s", r)
	}
	t.from(2, "from", b.From)
}

// String is "discovered", a list of ids or names, or the tag filters.
func (s SubnetSelection) String() string {
	switch {
	case len(s.IDsOrNames) > 0:
		return strings.Join(s.IDsOrNames, ",")
	case len(s.Tags) > 0:
		var filters []string
		for _, f := range s.Tags {
			filters = append(filters, f.Key+"="+strings.Join(f.Values, "|"))
		}
		return "tagged " + strings.Join(filters, ",")
	default:
		return "discovered"
	}
}

// String is the managed group's id, "backend", or the id or name of one that others made.
func (r SecurityGroupRef) String() string {
	if r.Backend {
		return "backend"
	}
	return string(r.Managed) + r.Named
}

// String is the ARN, or what is to be found: discovered for app.example.com.
func (c Certificate) String() string {
	if c.Host != "" {
		return "discovered for " + c.Host
	}
	return c.ARN
}

// String is one line: HTTP traffic-port /health 200 every 15s timeout 5s healthy 2 unhealthy 2.
func (h HealthCheck) String() string {
	what := strings.Join(strings.Fields(fmt.Sprint(h.Protocol, " ", h.Port, " ", h.Path, " ", h.Matcher)), " ")
	return fmt.Sprintf("%s every %s timeout %s healthy %d unhealthy %d",
		what, h.Interval, h.Timeout, h.HealthyThreshold, h.UnhealthyThreshold)
}

// Kind is what a target group is made with and keeps, on one line: ip HTTP HTTP1 port 8080 ipv4.
func (g TargetGroup) Kind() string {
	parts := []string{string(g.TargetType), string(g.Protocol)}
	if g.ProtocolVersion != "" {
		parts = append(parts, string(g.ProtocolVersion))
	}
	return strings.Join(append(parts, "port", Port{Number: int32(g.Port)}.String(), string(g.IPAddressType)), " ")
}

// String is "tcp 8080, udp 8080 from 0.0.0.0/0"; without the source where that is the stack's.
func (r NetworkingRule) String() string {
	var ports []string
	for _, p := range r.Ports {
		port := "all ports"
		if !p.All {
			port = p.Port.String()
		}
		ports = append(ports, strings.ToLower(string(p.Protocol))+" "+port)
	}
	return strings.Join(ports, ", ") + r.From.text()
}

func (p Peers) text() string {
	switch {
	case p.Reachable:
		return " from all who can reach the load balancer"
	case p.Subnets:
		return " from the load balancer's subnets"
	case len(p.CIDRs) > 0:
		return " from " + strings.Join(p.CIDRs, ",")
	default:
		return ""
	}
}

// lines are the settings that are not left to the cloud.
func (n NetworkSettings) lines() []string {
	var out []string
	if n.SchemeFree {
		out = append(out, "scheme as it is, if there is one")
	}
	for _, list := range []struct {
		name      string
		addresses []StaticAddress
	}{
		{"elastic-ip", n.Addresses.EIPs},
		{"private-ipv4", n.Addresses.PrivateIPv4},
		{"ipv6", n.Addresses.IPv6},
		{"source-nat-prefix", n.Addresses.SourceNATPrefixes},
	} {
		for _, a := range list.addresses {
			out = append(out, list.name+" "+a.Value)
		}
	}
	if n.SourceNAT != AsIs {
		out = append(out, "source-nat "+string(n.SourceNAT))
	}
	if n.PrivateLinkIngress != AsIs {
		out = append(out, "security groups for private link "+string(n.PrivateLinkIngress))
	}
	return out
}

// String is one line, such as: forward default/web-app:80, or fixed-response 404 text/plain.
func (a Action) String() string {
	if tokens := a.Tokens; tokens != nil {
		a.Tokens = nil
		return tokens.String() + "; then " + a.String()
	}
	switch {
	case a.Forward != nil:
		return "forward " + a.Forward.String()
	case a.FixedResponse != nil:
		out := fmt.Sprintf("fixed-response %d %s", a.FixedResponse.StatusCode, a.FixedResponse.ContentType)
		if a.FixedResponse.Body != "" {
			out += fmt.Sprintf(" %q", a.FixedResponse.Body)
		}
		return out
	case a.Redirect != nil:
		r := a.Redirect
		return fmt.Sprintf("redirect %d protocol=%q host=%q port=%q path=%q query=%q",
			r.StatusCode, r.Protocol, r.Host, r.Port, r.Path, r.Query)
	default:
		return "none"
	}
}

// String lists the target groups, with their weights where there are several.
func (f Forward) String() string {
	var groups []string
	for _, g := range f.TargetGroups {
		text := string(g.ID) + g.ARN
		if g.Name != "" {
			text = "target group named " + g.Name
		}
		if len(f.TargetGroups) > 1 {
			text += fmt.Sprintf(" weight %d", g.Weight)
		}
		groups = append(groups, text)
	}
	out := strings.Join(groups, ", ")
	if f.Sticky > 0 {
		out += fmt.Sprintf(" sticky for %s", f.Sticky)
	}
	if f.BySource {
		out += " sticky by source"
	}
	return out
}

// String is one line: url-rewrite "^/api/(.*)$" to "/$1".
func (t Transform) String() string {
	return fmt.Sprintf("%s %q to %q", t.Type, t.Regex, t.Replace)
}

// String is the field and its values: host-header app.example.com, or path-pattern like "^/v[0-9]+".
func (c Condition) String() string {
	var values []string
	switch {
	case len(c.Regexes) > 0:
		for _, r := range c.Regexes {
			values = append(values, strconv.Quote(r))
		}
		return strings.TrimSpace(string(c.Field)+" "+c.Name) + " like " + strings.Join(values, ",")
	case c.Field == HTTPHeader:
		for _, v := range c.Values {
			values = append(values, strconv.Quote(v))
		}
		return string(c.Field) + " " + c.Name + " " + strings.Join(values, ",")
	case c.Field == QueryString:
		for _, p := range c.Pairs {
			if p.Key == "" {
				values = append(values, strconv.Quote(p.Value))
				continue
			}
			values = append(values, strconv.Quote(p.Key)+"="+strconv.Quote(p.Value))
		}
		return string(c.Field) + " " + strings.Join(values, ",")
	default:
		return string(c.Field) + " " + strings.Join(c.Values, ",")
	}
}

func conditions(list []Condition) string {
	var parts []string
	for _, c := range list {
		parts = append(parts, c.String())
	}
	return strings.Join(parts, " and ")
}
