package annot

import (
	"strings"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/lb"
)

// noACL as a value takes the web ACL away.
const noACL = "none"

// webACL reads which web ACL of WAF the load balancer has. What class parameters say replaces what the annotations say:
// the name as well as the ARN, since an administrator has said it. Of annotations the name wins. An empty value says
// nothing.
func (r *reader) webACL(params *elbv2api.IngressClassParams) Given[lb.WebACL] {
	self := r.layers[0].object
	class := params.Spec
	switch {
	case class.WAFv2ACLName != "":
		return byClass(params, "wafv2AclName", class.WAFv2ACLName,
			r.acl(lb.WebACL{Name: class.WAFv2ACLName, From: self, Field: classField(params, "wafv2AclName")}))
	case class.WAFv2ACLArn != "":
		return byClass(params, "wafv2AclArn", class.WAFv2ACLArn,
			r.acl(lb.WebACL{ID: class.WAFv2ACLArn, From: self, Field: classField(params, "wafv2AclArn")}))
	}
	if name, at, _ := r.text(wafv2Name); name != "" {
		return Given[lb.WebACL]{r.acl(lb.WebACL{Name: name, From: self, Field: at.Field}), at}
	}
	if arn, at, _ := r.text(wafv2ARN); arn != "" {
		return Given[lb.WebACL]{r.acl(lb.WebACL{ID: arn, From: self, Field: at.Field}), at}
	}
	return Given[lb.WebACL]{}
}

// acl reads the word for none, and refuses what is no ARN.
func (r *reader) acl(a lb.WebACL) lb.WebACL {
	if a.ID == noACL || a.Name == noACL {
		return lb.WebACL{None: true, From: a.From, Field: a.Field}
	}
	if a.ID != "" && (!strings.HasPrefix(a.ID, "arn:") || !strings.Contains(a.ID, ":wafv2:") || !strings.Contains(a.ID, "/webacl/")) {
		r.refuse(Origin{a.From, a.Field, a.ID}, "is no ARN of a web ACL",
			"Write it as arn:aws:wafv2:<region>:<account>:regional/webacl/<name>/<id>, or use the annotation "+wafv2Name.Annotation())
	}
	return a
}

// classicACL reads which web ACL of WAF Classic the load balancer has.
func (r *reader) classicACL() Given[lb.WebACL] {
	k := wafACLID
	if _, _, ok := r.text(k); !ok {
		k = webACLID
	}
	id, at, _ := r.text(k)
	if id == "" {
		return Given[lb.WebACL]{}
	}
	acl := lb.WebACL{ID: id, From: at.Object, Field: at.Field}
	if id == noACL {
		acl.ID, acl.None = "", true
	}
	return Given[lb.WebACL]{acl, at}
}
