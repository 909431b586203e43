package compile

import (
	"cmp"

	"github.com/sluicehq/sluice/internal/lb"
)

// precedence orders routes of one virtual host, whatever objects they are from: exact paths, then regular expressions,
// then prefixes; longer ones first; at the same path the one that looks at the method, then at more headers, then at
// more of the query. The rest only makes the order the same each time.
func precedence(a, b lb.RouteMatch) int {
	return cmp.Or(
		cmp.Compare(pathRank(a.Path.Kind), pathRank(b.Path.Kind)),
		cmp.Compare(len(b.Path.Value), len(a.Path.Value)),
		cmp.Compare(b.Path.Value, a.Path.Value),
		cmp.Compare(kindRank(a.Path.Kind), kindRank(b.Path.Kind)),
		cmp.Compare(methods(b), methods(a)),
		cmp.Compare(len(b.Headers), len(a.Headers)),
		cmp.Compare(len(b.Query), len(a.Query)),
		compareHeaders(a.Headers, b.Headers),
		cmp.Compare(a.String(), b.String()),
	)
}

func pathRank(k lb.PathKind) int {
	switch k {
	case lb.ExactPath:
		return 0
	case lb.RegexPath:
		return 1
	default:
		return 2
	}
}

// kindRank puts a prefix of whole segments before one of characters.
func kindRank(k lb.PathKind) int {
	if k == lb.PrefixPath {
		return 1
	}
	return 0
}

func methods(m lb.RouteMatch) int {
	n := 0
	for _, h := range m.Headers {
		if h.Name == ":method" {
			n = 1
		}
	}
	return n
}

func compareHeaders(a, b []lb.HeaderMatch) int {
	rank := map[lb.StringKind]int{lb.ExactString: 0, lb.RegexString: 1, lb.ContainsString: 2, lb.PresentString: 3}
	inverted := func(h lb.HeaderMatch) int {
		if h.Invert {
			return 1
		}
		return 0
	}
	for i := range min(len(a), len(b)) {
		if c := cmp.Or(
			cmp.Compare(a[i].Name, b[i].Name), cmp.Compare(rank[a[i].Kind], rank[b[i].Kind]),
			cmp.Compare(a[i].Value, b[i].Value), cmp.Compare(inverted(a[i]), inverted(b[i])),
		); c != 0 {
			return c
		}
	}
	return 0
}
