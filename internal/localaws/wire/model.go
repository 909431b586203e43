package wire

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"unicode"
	"unicode/utf8"
)

// Protocol is the wire protocol of a service, as its model names it.
type Protocol string

// The protocols spoken here.
const (
	Query   Protocol = "query"
	EC2     Protocol = "ec2"
	JSON    Protocol = "json"
	RestXML Protocol = "rest-xml"
)

// Metadata is the head of a service model.
type Metadata struct {
	APIVersion     string   `json:"apiVersion"`
	EndpointPrefix string   `json:"endpointPrefix"`
	JSONVersion    string   `json:"jsonVersion"`
	Protocol       Protocol `json:"protocol"`
	ServiceID      string   `json:"serviceId"`
	SigningName    string   `json:"signingName"`
	TargetPrefix   string   `json:"targetPrefix"`
	XMLNamespace   string   `json:"xmlNamespace"`
}

// Service is a loaded model. It is read-only once its operations are bound.
type Service struct {
	Metadata
	ops      map[string]*opModel
	shapes   map[string]*shape
	codecs   map[codecKey]*codec
	statuses map[string]int // of the errors that are not answered with 400
	routes   []route        // REST only
}

type opModel struct {
	Input  *ref `json:"input"`
	Output *ref `json:"output"`
	HTTP   struct {
		Method       string `json:"method"`
		RequestURI   string `json:"requestUri"`
		ResponseCode int    `json:"responseCode"`
	} `json:"http"`
}

type ref struct {
	Shape         string `json:"shape"`
	ResultWrapper string `json:"resultWrapper"`
	LocationName  string `json:"locationName"`
	QueryName     string `json:"queryName"`
	Flattened     bool   `json:"flattened"`
	Location      string `json:"location"` // REST: "uri", "querystring" or "header"; in the body when empty
	XMLAttribute  bool   `json:"xmlAttribute"`
}

type shape struct {
	Type      string         `json:"type"`
	Enum      []string       `json:"enum"`
	Min       *float64       `json:"min"`
	Max       *float64       `json:"max"`
	Pattern   string         `json:"pattern"`
	Required  []string       `json:"required"`
	Flattened bool           `json:"flattened"`
	Members   map[string]ref `json:"members"`
	Member    *ref           `json:"member"`
	Key       *ref           `json:"key"`
	Value     *ref           `json:"value"`

	pattern *regexp.Regexp
}

// Load reads a service model.
func Load(data []byte) (*Service, error) {
	var m struct {
		Metadata   Metadata            `json:"metadata"`
		Operations map[string]*opModel `json:"operations"`
		Shapes     map[string]*shape   `json:"shapes"`
		Statuses   map[string]int      `json:"statuses"`
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("wire: read model: %w", err)
	}
	s := &Service{Metadata: m.Metadata, ops: m.Operations, shapes: m.Shapes, codecs: map[codecKey]*codec{}, statuses: m.Statuses}
	if s.SigningName == "" {
		s.SigningName = s.EndpointPrefix
	}
	switch s.Protocol {
	case Query, JSON:
	case EC2:
		s.XMLNamespace += "/" // as the service answers; the model leaves the slash out
	case RestXML:
		s.routes = routes(m.Operations)
	default:
		return nil, fmt.Errorf("wire: %s: protocol %q is not spoken here", s.ServiceID, s.Protocol)
	}
	for name, sh := range s.shapes {
		if sh.Pattern == "" {
			continue
		}
		p, err := regexp.Compile(`\A(?:` + javaEscape.ReplaceAllString(sh.Pattern, `\x{$1}`) + `)\z`)
		if err != nil {
			return nil, fmt.Errorf("wire: %s: pattern of %s: %w", s.ServiceID, name, err)
		}
		sh.pattern = p
	}
	return s, nil
}

// javaEscape is how the models' patterns write a character by its number.
var javaEscape = regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`)

// Operations returns the names of the operations that the model has.
func (s *Service) Operations() []string {
	names := make([]string, 0, len(s.ops))
	for name := range s.ops {
		names = append(names, name)
	}
	return names
}

// Operation is one operation bound to Go types.
type Operation struct {
	Name    string
	service *Service
	in, out *codec // out is nil where the operation answers nothing
	wrapper string
	root    string // REST: the element that the request's body is
	status  int
}

// Bind ties an operation of the model to the SDK's input and output structs.
func (s *Service) Bind(name string, in, out reflect.Type) (*Operation, error) {
	m := s.ops[name]
	if m == nil {
		return nil, fmt.Errorf("wire: the model of %s has no operation %s", s.ServiceID, name)
	}
	op := &Operation{Name: name, service: s, wrapper: name + "Result", status: orElse(m.HTTP.ResponseCode, http.StatusOK)}
	var err error
	if m.Input == nil {
		op.in = &codec{shape: &shape{Type: "structure"}, goType: in}
	} else if op.in, err = s.codec(m.Input.Shape, in); err != nil {
		return nil, fmt.Errorf("wire: %s input: %w", name, err)
	}
	if m.Input != nil {
		op.root = m.Input.LocationName
	}
	if m.Output == nil {
		return op, nil
	}
	if m.Output.ResultWrapper != "" {
		op.wrapper = m.Output.ResultWrapper
	}
	if op.out, err = s.codec(m.Output.Shape, out); err != nil {
		return nil, fmt.Errorf("wire: %s output: %w", name, err)
	}
	return op, nil
}

type codecKey struct {
	shape string
	goTyp reflect.Type
}

// codec is a shape matched with the Go type that carries it (never a pointer type).
type codec struct {
	shape  *shape
	goType reflect.Type
	fields []field // structure
	elem   *codec  // list, map
	// element names of a list or a map on the wire
	elemName, keyName, valueName string
	flat                         bool
}

// field is a member of a structure.
type field struct {
	member             string // as the model writes it
	index              int    // in the Go struct
	request, xml, json string // names on the wire
	location           string // REST: where on the wire, the body when empty
	required           bool
	codec              *codec
}

func (s *Service) codec(name string, t reflect.Type) (*codec, error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	key := codecKey{name, t}
	if c := s.codecs[key]; c != nil {
		return c, nil
	}
	sh := s.shapes[name]
	if sh == nil {
		return nil, fmt.Errorf("shape %s is not in the model", name)
	}
	if sh.Type == "string" && t.Kind() == reflect.Int32 {
		sh = &shape{Type: "integer"} // the SDK makes numbers of some texts: Route 53's MaxItems
	}
	c := &codec{shape: sh, goType: t, flat: sh.Flattened || s.Protocol == EC2}
	s.codecs[key] = c // before the members, for shapes that contain themselves
	var err error
	switch want := sh.Type; {
	case want == "structure" && t.Kind() == reflect.Struct:
		err = s.structure(c)
	case want == "list" && t.Kind() == reflect.Slice:
		c.elemName = orElse(sh.Member.LocationName, "member")
		c.elem, err = s.codec(sh.Member.Shape, t.Elem())
	case want == "map" && t.Kind() == reflect.Map && t.Key().Kind() == reflect.String:
		c.keyName, c.valueName = orElse(sh.Key.LocationName, "key"), orElse(sh.Value.LocationName, "value")
		c.elem, err = s.codec(sh.Value.Shape, t.Elem())
	case want == "string" && t.Kind() == reflect.String,
		(want == "integer" || want == "long") && (t.Kind() == reflect.Int32 || t.Kind() == reflect.Int64),
		(want == "double" || want == "float") && (t.Kind() == reflect.Float64 || t.Kind() == reflect.Float32),
		want == "boolean" && t.Kind() == reflect.Bool,
		want == "timestamp" && t == timeType,
		want == "blob" && t.Kind() == reflect.Slice:
	default:
		err = fmt.Errorf("a %s is carried by %s", want, t)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

func (s *Service) structure(c *codec) error {
	required := map[string]bool{}
	for _, name := range c.shape.Required {
		required[name] = true
	}
	for i := range c.goType.NumField() {
		goField := c.goType.Field(i)
		if !goField.IsExported() || goField.Name == "ResultMetadata" {
			continue
		}
		name, m, ok := c.shape.member(goField.Name)
		if !ok {
			continue
		}
		elem, err := s.codec(m.Shape, goField.Type)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if m.XMLAttribute {
			return fmt.Errorf("%s: XML attributes are not spoken here", name)
		}
		f := field{member: name, index: i, required: required[name], location: m.Location, codec: elem}
		f.json = orElse(m.LocationName, name)
		f.request, f.xml = f.json, f.json
		if s.Protocol == EC2 {
			f.request = orElse(m.QueryName, upperFirst(f.json))
		}
		c.fields = append(c.fields, f)
	}
	return nil
}

// member finds the member that a Go field carries: the SDK only raises its first letter.
func (s *shape) member(goName string) (string, ref, bool) {
	if m, ok := s.Members[goName]; ok {
		return goName, m, true
	}
	name := lowerFirst(goName)
	m, ok := s.Members[name]
	return name, m, ok
}

func upperFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}

func lowerFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToLower(r)) + s[n:]
}

func orElse[T comparable](v, other T) T {
	var zero T
	if v != zero {
		return v
	}
	return other
}
