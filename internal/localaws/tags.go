package localaws

import (
	"maps"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// taggedResource is a resource and its tags, whatever service it is of. The key of its row is how the resource's own
// service names it: an ARN for ELB, an identifier for EC2.
type taggedResource struct {
	ARN  string
	Tags map[string]string
}

// setTags gives a new resource its tags.
func (x *tx) setTags(id, arn string, tags map[string]string) {
	x.state.tags.put(x, id, taggedResource{arn, tags})
}

// changeTags adds or overwrites tags, then removes keys.
func (x *tx) changeTags(id string, add map[string]string, remove []string) {
	row, _ := x.state.tags.get(id)
	row.Tags = maps.Clone(row.Tags)
	if row.Tags == nil {
		row.Tags = map[string]string{}
	}
	maps.Copy(row.Tags, add)
	for _, key := range remove {
		delete(row.Tags, key)
	}
	x.state.tags.put(x, id, row)
}

func (x *tx) tagsOf(id string) map[string]string {
	row, _ := x.state.tags.get(id)
	return row.Tags
}

// sortedTags makes a service's own tag structs, by key.
func sortedTags[T any](tags map[string]string, make func(key, value *string) T) []T {
	var out []T
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, make(&key, ptr(tags[key])))
	}
	return out
}

// badTag returns what is wrong with a tag, "" when nothing is.
func badTag(key, value string) string {
	switch {
	case strings.HasPrefix(strings.ToLower(key), "aws:"):
		return "aws: prefixed tag key names are not allowed for external use."
	case key == "" || len([]rune(key)) > 128:
		return "Tag keys must be between 1 and 128 characters in length."
	case len([]rune(value)) > 256:
		return "Tag values may not be longer than 256 characters."
	}
	return ""
}

// collectTags checks the tags of one request.
func collectTags[T any](tags []T, split func(T) (key, value *string), duplicate, invalid string) (map[string]string, error) {
	out := map[string]string{}
	for _, tag := range tags {
		k, v := split(tag)
		key, value := val(k), val(v)
		if bad := badTag(key, value); bad != "" {
			return nil, wire.Errorf(invalid, "%s", bad)
		}
		if _, twice := out[key]; twice {
			return nil, wire.Errorf(duplicate, "Tag key '%s' was specified more than once.", key)
		}
		out[key] = value
	}
	return out, nil
}

func ptr[T any](v T) *T { return &v }

// val is what a pointer points to, or the zero value.
func val[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
