package aws

import (
	"maps"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/internal/lb"
)

// Keys of the tags that tell ownership. They are those of the AWS Load Balancer Controller.
const (
	clusterTag         = "elbv2.k8s.aws/cluster"
	stackTag           = ".k8s.aws/stack"    // behind the stack's front end
	resourceTag        = ".k8s.aws/resource" // behind the stack's front end
	sharedResourceTag  = "elbv2.k8s.aws/resource"
	backendGroupMarker = "backend-sg" // value of sharedResourceTag on the cluster's backend security group
)

// tags of one resource. A value of this type is never changed once it is in the mirror.
type tags map[string]string

// tracking are the tags that make a resource ours.
func tracking(cluster string, stack lb.StackID, resource lb.ResourceID) tags {
	front := string(stack.FrontEnd())
	return tags{clusterTag: cluster, front + stackTag: stack.Name(), front + resourceTag: string(resource)}
}

// owner says which stack a resource with these tags belongs to; ok is false when it is not ours.
func (t tags) owner(cluster string) (stack lb.StackID, resource lb.ResourceID, ok bool) {
	if t[clusterTag] != cluster {
		return "", "", false
	}
	for _, front := range frontEnds {
		name, id := t[string(front)+stackTag], t[string(front)+resourceTag]
		if name != "" && id != "" {
			return lb.NewStackID(front, name), lb.ResourceID(id), true
		}
	}
	return "", "", false
}

// frontEnds are those whose stacks this engine makes.
var frontEnds = []lb.FrontEnd{lb.IngressFront, lb.ServiceFront}

// tellsOwner says whether a tag of this key tells ownership.
func tellsOwner(key string) bool {
	return key == clusterTag || key == sharedResourceTag || slices.ContainsFunc(frontEnds, func(front lb.FrontEnd) bool {
		return key == string(front)+stackTag || key == string(front)+resourceTag
	})
}

// isBackend says whether these are the tags of the cluster's backend security group.
func (t tags) isBackend(cluster string) bool {
	return t[clusterTag] == cluster && t[sharedResourceTag] == backendGroupMarker
}

// with returns t and the user's tags under it: where both have a key, t wins.
func (t tags) with(user []lb.Tag) tags {
	all := tags{}
	for _, u := range user {
		all[u.Key] = u.Value
	}
	maps.Copy(all, t)
	return all
}

// changed returns t without the keys in gone and with those in set.
func (t tags) changed(set []lb.Tag, gone []string) tags {
	next := maps.Clone(t)
	if next == nil {
		next = tags{}
	}
	for _, key := range gone {
		delete(next, key)
	}
	for _, tag := range set {
		next[tag.Key] = tag.Value
	}
	return next
}

// sorted lists the tags by key.
func (t tags) sorted() []lb.Tag {
	list := make([]lb.Tag, 0, len(t))
	for _, key := range slices.Sorted(maps.Keys(t)) {
		list = append(list, lb.Tag{Key: key, Value: t[key]})
	}
	return list
}

// ours lists the tags that this engine compares, sets and removes: all but those that tell ownership, AWS's own, those
// that somebody else manages (external), and the ones that the in-tree provider and the first ALB controller left
// (legacy), which other programs still read.
func (t tags) ours(cluster string, external []string) []lb.Tag {
	return slices.DeleteFunc(t.sorted(), func(tag lb.Tag) bool {
		return tellsOwner(tag.Key) ||
			strings.HasPrefix(tag.Key, "aws:") || slices.Contains(external, tag.Key) || legacyTag(tag.Key, cluster)
	})
}

func legacyTag(key, cluster string) bool {
	switch key {
	case "kubernetes.io/cluster/" + cluster, "kubernetes.io/cluster-name", "kubernetes.io/namespace",
		"kubernetes.io/ingress-name", "kubernetes.io/service-name", "kubernetes.io/service-port",
		"ingress.k8s.aws/cluster":
		return true
	}
	return false
}

// tagChanges says what leads from have to want.
func tagChanges(have, want []lb.Tag) (set []lb.Tag, gone []string) {
	for _, w := range want {
		if !slices.Contains(have, w) {
			set = append(set, w)
		}
	}
	for _, h := range have {
		if !slices.ContainsFunc(want, func(w lb.Tag) bool { return w.Key == h.Key }) {
			gone = append(gone, h.Key)
		}
	}
	return set, gone
}
