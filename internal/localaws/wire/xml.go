package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"reflect"
	"slices"
	"strconv"
	"time"
)

const xmlHeader = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

// Encode writes an output struct (nil where the operation has none) in the service's protocol.
func (op *Operation) Encode(out any, requestID string) []byte {
	v := reflect.ValueOf(out)
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	has := op.out != nil && v.IsValid() && v.Kind() == reflect.Struct
	var b bytes.Buffer
	x := xmlWriter{&b}
	switch op.service.Protocol {
	case JSON:
		if !has {
			return []byte("{}")
		}
		op.out.encodeJSON(&b, v)
	case EC2:
		b.WriteString(xmlHeader + "<" + op.Name + `Response xmlns="` + op.service.XMLNamespace + `">`)
		x.text("requestId", requestID)
		if has {
			x.members(op.out, v)
		} else {
			x.text("return", "true")
		}
		b.WriteString("</" + op.Name + "Response>")
	case RestXML:
		b.WriteString(xmlHeader + "<" + op.Name + `Response xmlns="` + op.service.XMLNamespace + `">`)
		if has {
			x.members(op.out, v)
		}
		b.WriteString("</" + op.Name + "Response>")
	default:
		b.WriteString("<" + op.Name + `Response xmlns="` + op.service.XMLNamespace + `"><` + op.wrapper + ">")
		if has {
			x.members(op.out, v)
		}
		b.WriteString("</" + op.wrapper + "><ResponseMetadata>")
		x.text("RequestId", requestID)
		b.WriteString("</ResponseMetadata></" + op.Name + "Response>")
	}
	return b.Bytes()
}

type xmlWriter struct{ *bytes.Buffer }

func (x xmlWriter) text(name, value string) {
	x.WriteString("<" + name + ">")
	_ = xml.EscapeText(x.Buffer, []byte(value)) // a buffer takes every write
	x.WriteString("</" + name + ">")
}

func (x xmlWriter) members(c *codec, v reflect.Value) {
	for i := range c.fields {
		if f := &c.fields[i]; f.location == "" {
			x.value(f.xml, f.codec, v.Field(f.index))
		}
	}
}

// value writes one element; what is unset is left out, so that a client sees it as absent.
func (x xmlWriter) value(name string, c *codec, v reflect.Value) {
	if absent(v) {
		return
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch {
	case c.shape.Type == "list" && c.shape.Flattened:
		for i := range v.Len() {
			x.value(orElse(c.shape.Member.LocationName, name), c.elem, v.Index(i))
		}
		return
	case c.shape.Type == "structure", c.shape.Type == "list", c.shape.Type == "map":
	default:
		x.text(name, textOf(c, v))
		return
	}
	x.WriteString("<" + name + ">")
	switch c.shape.Type {
	case "structure":
		x.members(c, v)
	case "list":
		for i := range v.Len() {
			x.value(c.elemName, c.elem, v.Index(i))
		}
	case "map":
		for _, key := range sortedKeys(v) {
			x.WriteString("<entry>")
			x.text(c.keyName, key.String())
			x.value(c.valueName, c.elem, v.MapIndex(key))
			x.WriteString("</entry>")
		}
	}
	x.WriteString("</" + name + ">")
}

// absent tells a member that is not set. A list element is never absent, not even an empty enumeration value, but the
// handlers never put one there.
func absent(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return v.IsNil()
	case reflect.String:
		return v.Len() == 0
	}
	return false
}

func sortedKeys(v reflect.Value) []reflect.Value {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int {
		if a.String() < b.String() {
			return -1
		}
		return 1
	})
	return keys
}

// timeFormat has milliseconds, as AWS writes them.
const timeFormat = "2006-01-02T15:04:05.000Z"

func textOf(c *codec, v reflect.Value) string {
	switch c.shape.Type {
	case "integer", "long":
		return strconv.FormatInt(v.Int(), 10)
	case "double", "float":
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case "boolean":
		return strconv.FormatBool(v.Bool())
	case "timestamp":
		return v.Interface().(time.Time).UTC().Format(timeFormat)
	case "blob":
		return base64.StdEncoding.EncodeToString(v.Bytes())
	}
	return v.String()
}
