package dns

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for text, want := range map[string]Name{
		"Eks.Frieza.Dev.": "eks.frieza.dev", "*.frieza.dev": "*.frieza.dev", "_http._tcp.a.b": "_http._tcp.a.b",
		"bücher.example": "xn--bcher-kva.example", "例え.テスト": "xn--r8jz45g.xn--zckzah",
		"": "", "a..b": "", strings.Repeat("l", 64) + ".dev": "", "a.*.b": "", "192.0.2.1": "", "a b.c": "", "a;b.c": "",
	} {
		got, err := ParseName(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for name, escaped := range map[Name]string{"*.a.b": `\052.a.b.`, "a-*.b": `a-\052.b.`, "a_b.c": "a_b.c."} {
		if got := EscapeName(name); got != escaped || UnescapeName(escaped, 8) != name {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestDomains(t *testing.T) {
	for _, c := range []struct {
		filter Domains
		has    string
		not    string
	}{
		{Domains{}, "a.example.com com", ""},
		{Domains{Include: []string{""}}, "a.example.com", ""},
		{Domains{Include: []string{"Example.com."}}, "example.com a.example.com a.b.example.com", "com badexample.com example.org"},
		{Domains{Include: []string{".example.com"}}, "a.example.com", "example.com"},
		{Domains{Include: []string{"example.com"}, Exclude: []string{"a.example.com"}}, "example.com b.example.com", "a.example.com b.a.example.com"},
		{Domains{Exclude: []string{".example.com"}}, "example.com other.org", "a.example.com"},
		{Domains{Include: []string{"bücher.example"}}, "xn--bcher-kva.example", "example"},
		{Domains{Include: []string{"x.org"}, IncludeRegexp: regexp.MustCompile(`\.dev$`)}, "a.dev", "x.org"},
		{Domains{ExcludeRegexp: regexp.MustCompile(`^private`)}, "a.dev", "private.dev"},
		{Domains{IncludeRegexp: regexp.MustCompile(`dev$`), ExcludeRegexp: regexp.MustCompile(`^private`)}, "a.dev", "private.dev a.org"},
	} {
		for _, name := range strings.Fields(c.has) {
			if !c.filter.Has(Name(name)) {
				t.Errorf("%+v has not %s", c.filter, name)
			}
		}
		for _, name := range strings.Fields(c.not) {
			if c.filter.Has(Name(name)) {
				t.Errorf("%+v has %s", c.filter, name)
			}
		}
	}
}

func TestZonesAreChosen(t *testing.T) {
	zones := []Zone{
		{ID: "Z1", Name: "example.com"}, {ID: "Z2", Name: "example.com", Private: true, Tags: map[string]string{"team": "blue"}},
		{ID: "Z3", Name: "sub.example.com"}, {ID: "Z4", Name: "example.org"},
	}
	for _, c := range []struct {
		filter ZoneFilter
		want   string
	}{
		{ZoneFilter{}, "Z1 Z2 Z4 Z3"},
		{ZoneFilter{IDs: []string{"Z4", "/hostedzone/Z1"}}, "Z1 Z4"},
		{ZoneFilter{Type: "public"}, "Z1 Z4 Z3"},
		{ZoneFilter{Type: "private"}, "Z2"},
		{ZoneFilter{Tags: []string{"team=blue"}}, "Z2"},
		{ZoneFilter{Tags: []string{"team"}}, "Z2"},
		{ZoneFilter{Tags: []string{"team=red"}}, ""},
		{ZoneFilter{Domains: Domains{Include: []string{"sub.example.com"}}}, "Z3"},
		{ZoneFilter{Domains: Domains{Include: []string{"app.example.com"}}}, ""},
		{ZoneFilter{Domains: Domains{Include: []string{"app.example.com"}}, MatchParent: true}, "Z1 Z2"},
		{ZoneFilter{Domains: Domains{Include: []string{"app.example.com"}, Exclude: []string{"example.com"}}, MatchParent: true}, ""},
	} {
		var ids []string
		for _, z := range c.filter.Choose(zones) {
			ids = append(ids, string(z.ID))
		}
		if got := strings.Join(ids, " "); got != c.want {
			t.Errorf("%+v: %s, want %s", c.filter, got, c.want)
		}
	}
	if (ZoneFilter{Type: "both"}).Check() == nil {
		t.Error("a zone type that is none passes")
	}
}

func TestANameIsInTheNearestPublicZoneAndInAllPrivateOnes(t *testing.T) {
	zones := []Zone{
		{ID: "com", Name: "example.com"}, {ID: "sub", Name: "sub.example.com"},
		{ID: "p1", Name: "example.com", Private: true}, {ID: "p2", Name: "sub.example.com", Private: true}, {ID: "org", Name: "example.org"},
	}
	for _, c := range []struct {
		name Name
		pin  ZoneID
		want string
	}{
		{"a.sub.example.com", "", "p1 p2 sub"}, {"a.example.com", "", "com p1"}, {"sub.example.com", "", "p1 p2 sub"},
		{"a.sub.example.com", "com", "com"}, {"a.example.com", "org", ""}, {"a.example.net", "", ""}, {"badexample.com", "", ""},
	} {
		var ids []string
		for _, z := range ZonesOf(c.name, c.pin, zones) {
			ids = append(ids, string(z.ID))
		}
		slices.Sort(ids)
		if got := strings.Join(ids, " "); got != c.want {
			t.Errorf("%s pinned to %q: %s, want %s", c.name, c.pin, got, c.want)
		}
	}
}

func TestCanonicalZones(t *testing.T) {
	for host, want := range map[Name]ZoneID{
		"a-1.ap-northeast-1.elb.amazonaws.com": "Z14GRHDCWA56QT", "a-1.elb.ap-northeast-1.amazonaws.com": "Z31USIVHYNEOWT",
		"dualstack.a-1.us-east-1.elb.amazonaws.com": "Z35SXDOTRQ7X7K", "a.cn-north-1.elb.amazonaws.com.cn": "Z1GDH35T77C1KE",
		"d1.cloudfront.net": "Z2FDTNDATAQYW2", "a.awsglobalaccelerator.com": "Z2BJ6XQ5FK7U4H",
		"a.example.com": "", "a.xx-nowhere-1.elb.amazonaws.com": "", "com": "",
	} {
		if got, ok := CanonicalZone(host); got != want || ok != (want != "") {
			t.Errorf("%s: %s", host, got)
		}
	}
}

func TestSettings(t *testing.T) {
	for text, want := range map[string]string{
		"aws/weight=10":    "aws/weight needs a set-identifier",
		"id aws/weight=10": "", "id aws/weight=300": "aws/weight must be", "id aws/weight=": "aws/weight must be",
		"id":                                   "set-identifier needs a routing policy",
		"id aws/failover=primary":              "aws/failover must be PRIMARY or SECONDARY",
		"id aws/weight=1 aws/region=x":         "one routing policy only",
		"aws/wieght=1":                         "aws/wieght there is no such setting",
		"alias=yes":                            "alias must be",
		"id aws/geoproximity-coordinates=91,0": "must be latitude,longitude",
		"id aws/geoproximity-coordinates=1":    "must be latitude,longitude",
		"id aws/geoproximity-region=x aws/geoproximity-bias=100":              "from -99 to 99",
		"id aws/geolocation-subdivision-code=CA":                              "needs a country",
		"id aws/geolocation-continent-code=EU aws/geolocation-country-code=*": "",
	} {
		setID := ""
		var properties []Property
		for _, word := range strings.Fields(text) {
			if key, value, ok := strings.Cut(word, "="); ok {
				properties = append(properties, Property{key, value})
			} else {
				setID = word
			}
		}
		_, problems := ReadSettings(setID, properties)
		got := ""
		for _, p := range problems {
			got += p.Name + " " + p.Value + "; "
		}
		if !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// TestMarkersOfExternalDNS: the text that it writes is read, and what is written is its text.
func TestMarkersOfExternalDNS(t *testing.T) {
	key, err := ParseKey("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	if err != nil {
		t.Fatal(err)
	}
	const text = `"heritage=external-dns,external-dns/owner=default,external-dns/resource=ingress/default/ingress"`
	plain, sealed := Ownership{Owner: "default"}, Ownership{Owner: "default", Key: key}
	for _, o := range []Ownership{plain, sealed} {
		l, ok := o.read(text)
		if !ok || l["owner"] != "default" || l["resource"] != "ingress/default/ingress" || !o.ours(l) {
			t.Errorf("%v %v", l, ok)
		}
		again, ok := o.read(o.write(l, "a.b"))
		if !ok || again["resource"] != l["resource"] {
			t.Errorf("%v %v", again, ok)
		}
	}
	l, _ := plain.read(text)
	if got := plain.write(l, "a.b"); got != text {
		t.Error(got)
	}
	first, second := sealed.write(l, "a.b"), sealed.write(l, "a.b")
	if first != second || sealed.write(l, "a.b") == sealed.write(l, "c.b") || strings.Contains(sealed.write(l, "a.b"), "ingress") {
		t.Error("a sealed marker must be the same for the same place, and hide what it says")
	}
	if _, ok := plain.read(sealed.write(l, "a.b")); ok {
		t.Error("a sealed marker is read without the key")
	}
	long := labels{"owner": "default", "resource": "ingress/" + strings.Repeat("n", 250) + "/" + strings.Repeat("m", 60)}
	if again, ok := plain.read(plain.write(long, "a.b")); !ok || again["resource"] != long["resource"] {
		t.Error("a long marker is not read back")
	}
	for _, other := range []string{`"v=spf1 -all"`, `"heritage=other,external-dns/owner=default"`, "", `"x"`} {
		if _, ok := plain.read(other); ok {
			t.Errorf("%s is taken for a marker", other)
		}
	}
	if _, err := ParseKey("short"); err == nil {
		t.Error("a short key is taken")
	}
}

// FuzzMarkers: no text makes reading a marker fail otherwise than by being none.
func FuzzMarkers(f *testing.F) {
	f.Add(`"heritage=external-dns,external-dns/owner=default"`)
	f.Add("H4sIAAAAAAAA")
	o := Ownership{Owner: "default", Key: []byte("x1234567890123456789012345678901")}
	f.Fuzz(func(t *testing.T, text string) {
		if l, ok := o.read(text); ok {
			if again, ok := o.read(o.write(l, "a.b")); !ok && !strings.ContainsAny(text, `,="`) {
				t.Errorf("%q: %v is not read back: %v", text, l, again)
			}
		}
	})
}
