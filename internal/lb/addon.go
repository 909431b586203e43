package lb

// AddOns are what other services of the cloud do for a load balancer. Zero values leave it as it is.
type AddOns struct {
	WebACL        WebACL // of WAF
	ClassicWebACL WebACL // of WAF Classic
	Shield        Switch // Shield Advanced
}

// WebACL is the web access control list in front of a load balancer. At most one of ID, Name and None is set; none of
// them leaves it as it is.
type WebACL struct {
	ID   string // the ARN; of WAF Classic the id
	Name string
	None bool // there shall be none
	// From and Field name who asked for it, for a verdict when the cloud has none.
	From  Object
	Field string
}

// Set says whether somebody asks for one, or for none.
func (a WebACL) Set() bool { return a.ID != "" || a.Name != "" || a.None }

// Same says whether two ask for the same.
func (a WebACL) Same(b WebACL) bool { return a.ID == b.ID && a.Name == b.Name && a.None == b.None }

// String is the ARN or id, the name, or none.
func (a WebACL) String() string {
	switch {
	case a.None:
		return "none"
	case a.Name != "":
		return "named " + a.Name
	default:
		return a.ID
	}
}

// lines are what is not left as it is.
func (a AddOns) lines() []string {
	var out []string
	if a.WebACL.Set() {
		out = append(out, "web-acl "+a.WebACL.String())
	}
	if a.ClassicWebACL.Set() {
		out = append(out, "classic-web-acl "+a.ClassicWebACL.String())
	}
	if a.Shield != AsIs {
		out = append(out, "shield "+string(a.Shield))
	}
	return out
}
