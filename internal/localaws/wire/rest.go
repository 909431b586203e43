package wire

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
)

// route is the method and path of an operation: literal segments, and labels in braces.
type route struct {
	operation, method string
	segments          []string
}

func routes(ops map[string]*opModel) []route {
	var out []route
	for name, op := range ops {
		path, _, _ := strings.Cut(op.HTTP.RequestURI, "?")
		out = append(out, route{name, op.HTTP.Method, strings.Split(strings.Trim(path, "/"), "/")})
	}
	return out
}

// Route finds the operation that a method and an escaped path ask for, and the values of the path's labels. A slash at
// the end does not matter. No name means that there is none.
func (s *Service) Route(method, path string) (name string, labels map[string]string) {
	segments := strings.Split(strings.Trim(path, "/"), "/")
	most := -1
	for _, r := range s.routes {
		literals, values, ok := r.match(method, segments)
		if ok && literals > most { // a literal segment beats a label
			most, name, labels = literals, r.operation, values
		}
	}
	return name, labels
}

func (r route) match(method string, segments []string) (literals int, labels map[string]string, ok bool) {
	if r.method != method || len(r.segments) != len(segments) {
		return 0, nil, false
	}
	labels = map[string]string{}
	for i, want := range r.segments {
		if !strings.HasPrefix(want, "{") {
			if want != segments[i] {
				return 0, nil, false
			}
			literals++
			continue
		}
		value, err := url.PathUnescape(segments[i])
		if err != nil || value == "" {
			return 0, nil, false
		}
		labels[strings.Trim(want, "{}")] = value
	}
	return literals, labels, true
}

// Parts is a REST request taken apart.
type Parts struct {
	Labels map[string]string // of the path
	Query  url.Values
	Header http.Header
	Body   []byte
}

// DecodeREST reads a REST-XML request into a new input struct.
func (op *Operation) DecodeREST(from Parts) (any, error) {
	in := reflect.New(op.in.goType)
	for i := range op.in.fields {
		f := &op.in.fields[i]
		text, set := "", false
		switch f.location {
		case "uri":
			text, set = from.Labels[f.xml]
		case "querystring":
			text, set = from.Query.Get(f.xml), from.Query.Has(f.xml)
		case "header":
			text = from.Header.Get(f.xml)
			set = text != ""
		}
		if !set {
			continue
		}
		if err := f.codec.setText(in.Elem().Field(f.index), text); err != nil {
			return nil, op.service.malformed("Value (%s) for parameter %s is invalid. %s", clip(text), f.xml, err.Error())
		}
	}
	if op.root == "" {
		return in.Interface(), nil
	}
	root, err := parseXML(from.Body)
	if err != nil {
		return nil, op.service.malformed("Invalid XML ; %s", err.Error())
	}
	if root.name != op.root {
		return nil, op.service.malformed("Invalid XML ; cannot find the declaration of element '%s'.", clip(root.name))
	}
	if err := op.in.decodeXML(op.service, root, in.Elem()); err != nil {
		return nil, err
	}
	return in.Interface(), nil
}

// element is an XML element: text or children, never both.
type element struct {
	name string
	text []byte
	kids []*element
}

// parseXML reads a document. Attributes, comments and namespaces mean nothing to the protocol.
func parseXML(body []byte) (*element, error) {
	d := xml.NewDecoder(bytes.NewReader(body))
	var root *element
	var open []*element
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			if root == nil || len(open) > 0 {
				return nil, textError("premature end of file.")
			}
			return root, nil
		}
		if err != nil {
			return nil, textError(clip(err.Error()))
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := &element{name: token.Name.Local}
			switch {
			case len(open) >= maxDepth:
				return nil, textError("elements are nested too deeply.")
			case len(open) > 0:
				parent := open[len(open)-1]
				parent.kids = append(parent.kids, e)
			case root != nil:
				return nil, textError("content is not allowed after the root element.")
			default:
				root = e
			}
			open = append(open, e)
		case xml.EndElement:
			open = open[:len(open)-1] // the decoder has checked that they match
		case xml.CharData:
			if len(open) > 0 {
				e := open[len(open)-1]
				e.text = append(e.text, token...)
			} else if len(bytes.TrimSpace(token)) > 0 {
				return nil, textError("content is not allowed outside of the root element.")
			}
		case xml.Directive:
			return nil, textError("a DOCTYPE is not allowed.")
		}
	}
}

func (c *codec) decodeXML(s *Service, from *element, dst reflect.Value) error {
	switch c.shape.Type {
	case "structure":
		return c.xmlStructure(s, from, settable(dst))
	case "list":
		out := reflect.MakeSlice(dst.Type(), len(from.kids), len(from.kids))
		for i, kid := range from.kids {
			if kid.name != c.elemName {
				return s.unexpected(kid, c.elemName)
			}
			if err := c.elem.decodeXML(s, kid, out.Index(i)); err != nil {
				return err
			}
		}
		dst.Set(out)
		return nil
	case "map":
		return c.xmlMap(s, from, dst)
	}
	if len(from.kids) > 0 {
		return s.unexpected(from.kids[0], "")
	}
	text := string(from.text)
	if c.shape.Type != "string" {
		text = strings.TrimSpace(text)
	}
	if err := c.setText(dst, text); err != nil {
		return s.malformed("Invalid XML ; cvc-datatype-valid: '%s' is not a valid value of element '%s'. %s", clip(text), from.name, err.Error())
	}
	return nil
}

// xmlStructure refuses elements that the model does not have, as AWS does, which holds requests against a schema.
func (c *codec) xmlStructure(s *Service, from *element, dst reflect.Value) error {
	for _, kid := range from.kids {
		f := c.xmlField(kid.name)
		if f == nil {
			if _, known := c.shape.Members[kid.name]; known {
				continue // the SDK is older than the model
			}
			return s.unexpected(kid, "")
		}
		var err error
		if sh := f.codec.shape; sh.Type == "list" && sh.Flattened {
			list := dst.Field(f.index)
			elem := reflect.New(list.Type().Elem()).Elem()
			err = f.codec.elem.decodeXML(s, kid, elem)
			list.Set(reflect.Append(list, elem))
		} else {
			err = f.codec.decodeXML(s, kid, dst.Field(f.index))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *codec) xmlField(name string) *field {
	for i := range c.fields {
		f := &c.fields[i]
		onWire := f.xml
		if sh := f.codec.shape; sh.Type == "list" && sh.Flattened {
			onWire = orElse(sh.Member.LocationName, onWire)
		}
		if f.location == "" && onWire == name {
			return f
		}
	}
	return nil
}

func (c *codec) xmlMap(s *Service, from *element, dst reflect.Value) error {
	out := reflect.MakeMap(dst.Type())
	for _, entry := range from.kids {
		var key, value *element
		for _, kid := range entry.kids {
			switch kid.name {
			case c.keyName:
				key = kid
			case c.valueName:
				value = kid
			}
		}
		if entry.name != "entry" || key == nil || value == nil {
			return s.unexpected(entry, "entry")
		}
		elem := reflect.New(dst.Type().Elem()).Elem()
		if err := c.elem.decodeXML(s, value, elem); err != nil {
			return err
		}
		out.SetMapIndex(reflect.ValueOf(string(key.text)).Convert(dst.Type().Key()), elem)
	}
	dst.Set(out)
	return nil
}

func (s *Service) unexpected(e *element, wanted string) error {
	text := "Invalid XML ; cvc-complex-type.2.4.a: Invalid content was found starting with element " + strconv.Quote(clip(e.name)) + "."
	if wanted != "" {
		text += " One of '{" + wanted + "}' is expected."
	}
	return s.malformed("%s", text)
}

// Status is the HTTP status of a success.
func (op *Operation) Status() int { return op.status }

// Headers are the members of an output that travel as headers.
func (op *Operation) Headers(out any) http.Header {
	if op.service.Protocol != RestXML || op.out == nil {
		return nil
	}
	header := http.Header{}
	v := reflect.Indirect(reflect.ValueOf(out))
	for i := range op.out.fields {
		if f := &op.out.fields[i]; f.location == "header" && !absent(v.Field(f.index)) {
			header.Set(f.xml, textOf(f.codec, reflect.Indirect(v.Field(f.index))))
		}
	}
	return header
}
