package wire

import (
	"encoding/base64"
	"net/url"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"
)

var timeType = reflect.TypeFor[time.Time]()

// node is one place in a form: `Tags.member.1.Key=a` is the path of four nodes.
type node struct {
	value string
	set   bool
	kids  map[string]*node
}

// maxDepth bounds how deep a form key nests; no AWS shape comes near it.
const maxDepth = 24

func tree(form url.Values) *node {
	root := &node{}
	for key, values := range form {
		if len(values) == 0 || strings.Count(key, ".") >= maxDepth {
			continue
		}
		at := root
		for part := range strings.SplitSeq(key, ".") {
			if at.kids == nil {
				at.kids = map[string]*node{}
			}
			next := at.kids[part]
			if next == nil {
				next = &node{}
				at.kids[part] = next
			}
			at = next
		}
		at.value, at.set = values[0], true
	}
	return root
}

// DecodeForm reads the parameters of a query or EC2 request into a new input struct.
func (op *Operation) DecodeForm(form url.Values) (any, error) {
	in := reflect.New(op.in.goType)
	if err := op.in.decodeForm(op.service, tree(form), in.Elem(), ""); err != nil {
		return nil, err
	}
	return in.Interface(), nil
}

func (c *codec) decodeForm(s *Service, n *node, dst reflect.Value, path string) error {
	switch c.shape.Type {
	case "structure":
		dst = settable(dst)
		for i := range c.fields {
			f := &c.fields[i]
			kid := n.kids[f.request]
			if kid == nil {
				continue
			}
			if err := f.codec.decodeForm(s, kid, dst.Field(f.index), join(path, f.request)); err != nil {
				return err
			}
		}
		return nil
	case "list":
		if c.flat {
			return c.formList(s, n, dst, path)
		}
		if kid := n.kids[c.elemName]; kid != nil {
			return c.formList(s, kid, dst, join(path, c.elemName))
		}
		if n.set && n.value == "" { // an empty list is sent as `X=`
			dst.Set(reflect.MakeSlice(dst.Type(), 0, 0))
		}
		return nil
	case "map":
		if !c.flat {
			if n = n.kids["entry"]; n == nil {
				return nil
			}
		}
		out := reflect.MakeMap(dst.Type())
		for _, i := range indexes(n) {
			kid := n.kids[i]
			key, value := kid.kids[c.keyName], kid.kids[c.valueName]
			if key == nil || value == nil {
				continue
			}
			elem := reflect.New(dst.Type().Elem()).Elem()
			if err := c.elem.decodeForm(s, value, elem, join(path, i)); err != nil {
				return err
			}
			out.SetMapIndex(reflect.ValueOf(key.value).Convert(dst.Type().Key()), elem)
		}
		dst.Set(out)
		return nil
	}
	if !n.set {
		return nil
	}
	if err := c.setText(dst, n.value); err != nil {
		return s.malformed("Value (%s) for parameter %s is invalid. %s", clip(n.value), path, err.Error())
	}
	return nil
}

func (c *codec) formList(s *Service, n *node, dst reflect.Value, path string) error {
	order := indexes(n)
	if len(order) == 0 {
		if n.set && n.value == "" {
			dst.Set(reflect.MakeSlice(dst.Type(), 0, 0))
		}
		return nil
	}
	out := reflect.MakeSlice(dst.Type(), len(order), len(order))
	for at, i := range order {
		if err := c.elem.decodeForm(s, n.kids[i], out.Index(at), join(path, i)); err != nil {
			return err
		}
	}
	dst.Set(out)
	return nil
}

// indexes returns the numbered children in their order.
func indexes(n *node) []string {
	type index struct {
		number int
		name   string
	}
	var found []index
	for name := range n.kids {
		if number, err := strconv.Atoi(name); err == nil && number >= 0 {
			found = append(found, index{number, name})
		}
	}
	sort.Slice(found, func(i, j int) bool {
		a, b := found[i], found[j]
		return a.number < b.number || a.number == b.number && a.name < b.name
	})
	names := make([]string, len(found))
	for i := range found {
		names[i] = found[i].name
	}
	return names
}

// settable follows a pointer, allocating what it points to.
func settable(v reflect.Value) reflect.Value {
	if v.Kind() != reflect.Pointer {
		return v
	}
	if v.IsNil() {
		v.Set(reflect.New(v.Type().Elem()))
	}
	return v.Elem()
}

type textError string

func (e textError) Error() string { return string(e) }

// setText sets a scalar from its text form.
func (c *codec) setText(dst reflect.Value, text string) error {
	switch c.shape.Type {
	case "string":
		settable(dst).SetString(text)
	case "integer", "long":
		n, err := strconv.ParseInt(text, 10, c.goType.Bits())
		if err != nil {
			return textError("It must be an integer.")
		}
		settable(dst).SetInt(n)
	case "double", "float":
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return textError("It must be a number.")
		}
		settable(dst).SetFloat(n)
	case "boolean":
		switch strings.ToLower(text) {
		case "true", "1":
			settable(dst).SetBool(true)
		case "false", "0":
			settable(dst).SetBool(false)
		default:
			return textError("It must be true or false.")
		}
	case "timestamp":
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return textError("It must be an ISO 8601 time.")
		}
		settable(dst).Set(reflect.ValueOf(t.UTC()))
	case "blob":
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return textError("It must be base64.")
		}
		settable(dst).SetBytes(data)
	}
	return nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// clip keeps an error message short whatever was sent.
func clip(s string) string {
	if r := []rune(s); len(r) > 256 {
		return string(r[:256]) + "…"
	}
	return s
}
