package wire

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Validate checks an input against the constraints of the model: what is required, enumerations, lengths, ranges and
// patterns. Required members are only asked for inside a structure that is there.
func (op *Operation) Validate(in any) error {
	v := reflect.Indirect(reflect.ValueOf(in))
	if op.service.Protocol == EC2 {
		return missingParameter(op.in, v, "")
	}
	var broken []string
	op.in.validate(v, "", &broken)
	if len(broken) == 0 {
		return nil
	}
	const most = 10 // what AWS lists; the count is of all
	noun := "errors"
	if len(broken) == 1 {
		noun = "error"
	}
	code := "ValidationError"
	switch op.service.Protocol {
	case JSON:
		code = orElse(jsonInvalid[op.service.TargetPrefix], "InvalidParameterException")
	case RestXML:
		code = "InvalidInput"
	}
	return Errorf(code, "%d validation %s detected: %s", len(broken), noun,
		strings.Join(broken[:min(len(broken), most)], "; "))
}

// jsonInvalid is the code for a broken constraint where a JSON service has one of its own.
var jsonInvalid = map[string]string{
	"CertificateManager":       "ValidationException",
	"AWSWAF_20190729":          "WAFInvalidParameterException",
	"AWSWAF_Regional_20161128": "WAFInvalidParameterException",
}

// missingParameter is EC2's only generic check; it words the rest by hand, parameter by parameter.
func missingParameter(c *codec, v reflect.Value, path string) error {
	for i := range c.fields {
		f := &c.fields[i]
		if f.required && absent(v.Field(f.index)) {
			return Errorf("MissingParameter", "The request must contain the parameter %s", join(path, f.request))
		}
	}
	return nil
}

func (c *codec) validate(v reflect.Value, path string, broken *[]string) {
	say := func(value, format string, args ...any) {
		*broken = append(*broken, fmt.Sprintf("Value %s at '%s' failed to satisfy constraint: ", value, path)+
			fmt.Sprintf(format, args...))
	}
	if absent(v) {
		return
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch sh := c.shape; sh.Type {
	case "structure":
		for i := range c.fields {
			f := &c.fields[i]
			at := join(path, lowerFirst(f.member))
			if f.required && absent(v.Field(f.index)) {
				*broken = append(*broken, fmt.Sprintf(
					"Value null at '%s' failed to satisfy constraint: Member must not be null", at))
				continue
			}
			f.codec.validate(v.Field(f.index), at, broken)
		}
	case "list":
		c.length(v.Len(), fmt.Sprintf("'[%d elements]'", v.Len()), say)
		for i := range v.Len() {
			c.elem.validate(v.Index(i), join(path, strconv.Itoa(i+1)+".member"), broken)
		}
	case "map":
		for _, key := range sortedKeys(v) {
			c.elem.validate(v.MapIndex(key), join(path, key.String()), broken)
		}
	case "string":
		text := v.String()
		quoted := "'" + clip(text) + "'"
		if len(sh.Enum) > 0 && !slices.Contains(sh.Enum, text) {
			say(quoted, "Member must satisfy enum value set: [%s]", strings.Join(sh.Enum, ", "))
		}
		c.length(utf8.RuneCountInString(text), quoted, say)
		if sh.pattern != nil && !sh.pattern.MatchString(text) {
			say(quoted, "Member must satisfy regular expression pattern: %s", sh.Pattern)
		}
	case "integer", "long":
		n := v.Int()
		quoted := "'" + strconv.FormatInt(n, 10) + "'"
		if sh.Min != nil && float64(n) < *sh.Min {
			say(quoted, "Member must have value greater than or equal to %g", *sh.Min)
		}
		if sh.Max != nil && float64(n) > *sh.Max {
			say(quoted, "Member must have value less than or equal to %.0f", *sh.Max)
		}
	}
}

func (c *codec) length(n int, quoted string, say func(value, format string, args ...any)) {
	if c.shape.Min != nil && float64(n) < *c.shape.Min {
		say(quoted, "Member must have length greater than or equal to %.0f", *c.shape.Min)
	}
	if c.shape.Max != nil && float64(n) > *c.shape.Max {
		say(quoted, "Member must have length less than or equal to %.0f", *c.shape.Max)
	}
}
