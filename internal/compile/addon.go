package compile

import (
	"github.com/sluicehq/sluice/internal/annot"
	"github.com/sluicehq/sluice/internal/lb"
)

// impose takes the web ACL that a class demands before anybody speaks: no annotation of another member may detach it.
func (s *shared) impose(members []*member) {
	for _, m := range members {
		if acl := m.form.settings.WebACL; m.fresh && acl.Set() && acl.At.Object.Kind == "IngressClassParams" {
			s.webACL = claim[lb.WebACL]{acl, m.object}
			return
		}
	}
}

func (s *shared) addOns() lb.AddOns {
	out := lb.AddOns{WebACL: s.webACL.Value, ClassicWebACL: s.classic.Value}
	if s.shield.Set() {
		out.Shield = lb.Off
		if s.shield.Value {
			out.Shield = lb.On
		}
	}
	return out
}

// checkAddOns takes out what the controller is told to leave alone.
func (c *compiler) checkAddOns(settings *annot.Ingress) {
	for _, o := range []struct {
		off  bool
		at   annot.Origin
		flag string
		drop func()
	}{
		{c.options.NoWAF, settings.WebACL.At, "--enable-wafv2", func() { settings.WebACL = annot.Given[lb.WebACL]{} }},
		{c.options.NoWAFClassic, settings.ClassicWebACL.At, "--enable-waf", func() { settings.ClassicWebACL = annot.Given[lb.WebACL]{} }},
		{c.options.NoShield, settings.Shield.At, "--enable-shield", func() { settings.Shield = annot.Given[bool]{} }},
	} {
		if !o.off || o.at.Object == (lb.Object{}) {
			continue
		}
		if o.at.Object != c.self {
			o.at.Field, o.at.Object = "spec.ingressClassName ("+o.at.Field+" of "+o.at.Object.String()+")", c.self
		}
		c.verdicts = append(c.verdicts, o.at.Verdict(lb.Warning, lb.UnsupportedAnnotation,
			"has no effect: the controller runs with "+o.flag+"=false", "Remove it, or run the controller with "+o.flag))
		o.drop()
	}
}
