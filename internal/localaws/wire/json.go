package wire

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"reflect"
	"strconv"
	"time"
)

// DecodeJSON reads the body of a JSON request into a new input struct. An empty body is an empty object.
func (op *Operation) DecodeJSON(body []byte) (any, error) {
	in := reflect.New(op.in.goType)
	if len(bytes.TrimSpace(body)) == 0 {
		return in.Interface(), nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return nil, op.service.malformed("The request body is not JSON: %s", err.Error())
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, op.service.malformed("The request body has something after its JSON object")
	}
	if err := op.in.decodeJSON(op.service, tree, in.Elem(), ""); err != nil {
		return nil, err
	}
	return in.Interface(), nil
}

func (c *codec) decodeJSON(s *Service, from any, dst reflect.Value, path string) error {
	if from == nil {
		return nil
	}
	bad := func() error { return s.malformed("%s must be a %s", orElse(path, "The request body"), c.shape.Type) }
	switch c.shape.Type {
	case "structure":
		object, ok := from.(map[string]any)
		if !ok {
			return bad()
		}
		dst = settable(dst)
		for i := range c.fields {
			f := &c.fields[i]
			if err := f.codec.decodeJSON(s, object[f.json], dst.Field(f.index), join(path, f.json)); err != nil {
				return err
			}
		}
		return nil
	case "list":
		list, ok := from.([]any)
		if !ok {
			return bad()
		}
		out := reflect.MakeSlice(dst.Type(), len(list), len(list))
		for i := range list {
			if err := c.elem.decodeJSON(s, list[i], out.Index(i), join(path, strconv.Itoa(i+1))); err != nil {
				return err
			}
		}
		dst.Set(out)
		return nil
	case "map":
		object, ok := from.(map[string]any)
		if !ok {
			return bad()
		}
		out := reflect.MakeMapWithSize(dst.Type(), len(object))
		for key, value := range object {
			elem := reflect.New(dst.Type().Elem()).Elem()
			if err := c.elem.decodeJSON(s, value, elem, join(path, key)); err != nil {
				return err
			}
			out.SetMapIndex(reflect.ValueOf(key).Convert(dst.Type().Key()), elem)
		}
		dst.Set(out)
		return nil
	case "timestamp":
		number, ok := from.(json.Number)
		if !ok {
			return bad()
		}
		seconds, err := number.Float64()
		if err != nil || math.Abs(seconds) > 1e11 {
			return bad()
		}
		settable(dst).Set(reflect.ValueOf(time.UnixMilli(int64(math.Round(seconds * 1000))).UTC()))
		return nil
	}
	text, ok := jsonText(c.shape.Type, from)
	if !ok || c.setText(dst, text) != nil {
		return bad()
	}
	return nil
}

// jsonText turns a JSON scalar of the right kind into the text form that the other protocols have too.
func jsonText(kind string, from any) (string, bool) {
	switch v := from.(type) {
	case string:
		return v, kind == "string" || kind == "blob"
	case json.Number:
		return v.String(), kind == "integer" || kind == "long" || kind == "double" || kind == "float"
	case bool:
		return strconv.FormatBool(v), kind == "boolean"
	}
	return "", false
}

func (c *codec) encodeJSON(b *bytes.Buffer, v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch c.shape.Type {
	case "structure":
		comma := byte('{')
		for i := range c.fields {
			f := &c.fields[i]
			if absent(v.Field(f.index)) {
				continue
			}
			b.WriteByte(comma)
			comma = ','
			jsonString(b, f.json)
			b.WriteByte(':')
			f.codec.encodeJSON(b, v.Field(f.index))
		}
		if comma == '{' {
			b.WriteByte('{')
		}
		b.WriteByte('}')
	case "list":
		b.WriteByte('[')
		for i := range v.Len() {
			if i > 0 {
				b.WriteByte(',')
			}
			c.elem.encodeJSON(b, v.Index(i))
		}
		b.WriteByte(']')
	case "map":
		b.WriteByte('{')
		for i, key := range sortedKeys(v) {
			if i > 0 {
				b.WriteByte(',')
			}
			jsonString(b, key.String())
			b.WriteByte(':')
			c.elem.encodeJSON(b, v.MapIndex(key))
		}
		b.WriteByte('}')
	case "integer", "long", "double", "float", "boolean":
		b.WriteString(textOf(c, v))
	case "timestamp":
		b.WriteString(strconv.FormatFloat(float64(v.Interface().(time.Time).UnixMilli())/1000, 'f', 3, 64))
	default:
		jsonString(b, textOf(c, v))
	}
}

func jsonString(b *bytes.Buffer, s string) {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always encodes
	}
	b.Write(text)
}
