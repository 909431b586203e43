package compile

import (
	"slices"
	"strings"

	"github.com/sluicehq/sluice/internal/lb"
)

// Limits of one rule (ELB "Quotas for your Application Load Balancers").
const (
	maxValues    = 5 // of all conditions together
	maxWildcards = 6
)

// split makes as few rules as can be of conditions that have more values than one rule can have. A rule matches when
// each of its conditions has one value that does, so values are shared out and every combination of shares is a rule.
// It is false where no way of sharing fits.
func split(conditions []lb.Condition) (rules [][]lb.Condition, fit bool) {
	sizes := make([]int, len(conditions)) // how many values of each condition one rule has
	var best []int
	fewest := 0
	var try func(i, left int)
	try = func(i, left int) {
		if i == len(conditions) {
			if n := combinations(conditions, sizes); (best == nil || n < fewest) && tame(conditions, sizes) {
				best, fewest = slices.Clone(sizes), n
			}
			return
		}
		rest := len(conditions) - i - 1 // each of which has at least one value
		for sizes[i] = min(count(conditions[i]), left-rest); sizes[i] > 0; sizes[i]-- {
			try(i+1, left-sizes[i])
		}
	}
	try(0, maxValues)
	if best == nil {
		return nil, false
	}
	rules = [][]lb.Condition{nil}
	for i, c := range conditions {
		var next [][]lb.Condition
		for _, rule := range rules {
			for _, part := range shares(c, best[i]) {
				next = append(next, append(slices.Clip(rule), part))
			}
		}
		rules = next
	}
	return rules, true
}

func count(c lb.Condition) int { return len(c.Values) + len(c.Pairs) + len(c.Regexes) }

func combinations(conditions []lb.Condition, sizes []int) int {
	n := 1
	for i, c := range conditions {
		n *= (count(c) + sizes[i] - 1) / sizes[i]
	}
	return n
}

// tame says whether no combination has too many wildcards.
func tame(conditions []lb.Condition, sizes []int) bool {
	total := 0
	for i, c := range conditions {
		most := 0
		for _, part := range shares(c, sizes[i]) {
			most = max(most, wildcards(part))
		}
		total += most
	}
	return total <= maxWildcards
}

func wildcards(c lb.Condition) int {
	if c.Field == lb.SourceIP || c.Field == lb.RequestMethod {
		return 0
	}
	text := strings.Join(c.Values, "")
	for _, p := range c.Pairs {
		text += p.Key + p.Value
	}
	return strings.Count(text, "*") + strings.Count(text, "?")
}

// shares cuts a condition into ones of at most size values.
func shares(c lb.Condition, size int) []lb.Condition {
	var out []lb.Condition
	for values := range slices.Chunk(c.Values, size) {
		part := c
		part.Values = values
		out = append(out, part)
	}
	for regexes := range slices.Chunk(c.Regexes, size) {
		part := c
		part.Regexes = regexes
		out = append(out, part)
	}
	for pairs := range slices.Chunk(c.Pairs, size) {
		part := c
		part.Pairs = pairs
		out = append(out, part)
	}
	return out
}
