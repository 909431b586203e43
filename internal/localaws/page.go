package localaws

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// item is a row in a listing. Its key never changes and orders the listing, so that paging neither repeats nor skips
// what exists all the while, whatever is created or deleted between two pages.
type item[T any] struct {
	key   uint64
	id    string
	value T
}

// items lists the rows that satisfy a condition (nil: all).
func (t *table[T]) items(match func(id string, row T) bool) []item[T] {
	var found []item[T]
	for _, id := range t.order {
		e := t.rows[id]
		if match == nil || match(id, e.Value) {
			found = append(found, item[T]{e.Seq, id, e.Value})
		}
	}
	return found
}

// page cuts a listing: what follows the marker, at most size, and the marker of the next page ("" at the end).
func page[T any](items []item[T], marker string, size int) (cut []item[T], next string, ok bool) {
	if marker != "" {
		after, ok := markerKey(marker)
		if !ok {
			return nil, "", false
		}
		for len(items) > 0 && items[0].key <= after {
			items = items[1:]
		}
	}
	if size > 0 && len(items) > size {
		items = items[:size]
		text := markerPrefix + strconv.FormatUint(items[size-1].key, 10)
		return items, base64.RawURLEncoding.EncodeToString([]byte(text)), true
	}
	return items, "", true
}

const markerPrefix = "after:"

func markerKey(marker string) (uint64, bool) {
	text, err := base64.RawURLEncoding.DecodeString(marker)
	if err != nil || !strings.HasPrefix(string(text), markerPrefix) {
		return 0, false
	}
	key, err := strconv.ParseUint(string(text[len(markerPrefix):]), 10, 64)
	return key, err == nil
}
