package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// The newest SDKs prefer CBOR where a JSON service's model offers it (Smithy RPC v2 CBOR). It carries the same trees as
// JSON does, so decoding goes through the JSON codec.

// CBORType is the content type of requests and answers in CBOR.
const CBORType = "application/cbor"

// cborMode bounds what a few bytes can make a decoder do.
var cborMode = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DefaultMapType: reflect.TypeFor[map[string]any](), DupMapKey: cbor.DupMapKeyEnforcedAPF, IntDec: cbor.IntDecConvertSigned,
		MaxNestedLevels: 32, MaxArrayElements: 1 << 16, MaxMapPairs: 1 << 12, BigIntDec: cbor.BigIntDecodePointer,
	}.DecMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return mode
}()

// RPCPath reads the path of a CBOR request: /service/TARGET-PREFIX/operation/NAME.
func RPCPath(path string) (target, operation string, ok bool) {
	rest, found := strings.CutPrefix(path, "/service/")
	target, operation, cut := strings.Cut(rest, "/operation/")
	return target, operation, found && cut && !strings.Contains(operation, "/")
}

// DecodeCBOR reads the body of a CBOR request into a new input struct. An empty body is an empty map.
func (op *Operation) DecodeCBOR(body []byte) (any, error) {
	in := reflect.New(op.in.goType)
	if len(body) == 0 {
		return in.Interface(), nil
	}
	var tree any
	if err := cborMode.Unmarshal(body, &tree); err != nil {
		return nil, op.service.malformed("The request body is not CBOR: %s", err.Error())
	}
	tree, ok := jsonTree(tree)
	if !ok {
		return nil, op.service.malformed("The request body has something that no member of a request is")
	}
	if err := op.in.decodeJSON(op.service, tree, in.Elem(), ""); err != nil {
		return nil, err
	}
	return in.Interface(), nil
}

// jsonTree makes of a CBOR tree what a JSON decoder would have made of the same value.
func jsonTree(v any) (any, bool) {
	switch v := v.(type) {
	case nil, string, bool:
		return v, true
	case int64:
		return json.Number(strconv.FormatInt(v, 10)), true
	case float64:
		return jsonFloat(v)
	case float32:
		return jsonFloat(float64(v))
	case []byte:
		return base64.StdEncoding.EncodeToString(v), true
	case time.Time:
		return jsonFloat(float64(v.UnixMilli()) / 1000)
	case []any:
		for i := range v {
			item, ok := jsonTree(v[i])
			if !ok {
				return nil, false
			}
			v[i] = item
		}
		return v, true
	case map[string]any:
		for key := range v {
			item, ok := jsonTree(v[key])
			if !ok {
				return nil, false
			}
			v[key] = item
		}
		return v, true
	}
	return nil, false
}

func jsonFloat(f float64) (any, bool) {
	return json.Number(strconv.FormatFloat(f, 'g', -1, 64)), !math.IsNaN(f) && !math.IsInf(f, 0)
}

// EncodeCBOR writes the answer of an operation.
func (op *Operation) EncodeCBOR(out any) []byte {
	tree := any(map[string]any{})
	if v := reflect.ValueOf(out); op.out != nil && v.IsValid() && !v.IsNil() {
		tree = op.out.tree(v)
	}
	return encodeCBOR(tree)
}

// EncodeErrorCBOR writes an error.
func EncodeErrorCBOR(e *Error) []byte {
	return encodeCBOR(map[string]any{"__type": e.Code, "message": e.Message})
}

func encodeCBOR(tree any) []byte {
	var b bytes.Buffer
	if err := cbor.NewEncoder(&b).Encode(tree); err != nil {
		panic(err) // trees of plain values encode
	}
	return b.Bytes()
}

// tree is a value as CBOR has it.
func (c *codec) tree(v reflect.Value) any {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch c.shape.Type {
	case "structure":
		out := map[string]any{}
		for i := range c.fields {
			if f := &c.fields[i]; !absent(v.Field(f.index)) {
				out[f.member] = f.codec.tree(v.Field(f.index))
			}
		}
		return out
	case "list":
		out := make([]any, v.Len())
		for i := range out {
			out[i] = c.elem.tree(v.Index(i))
		}
		return out
	case "map":
		out := map[string]any{}
		for _, key := range v.MapKeys() {
			out[key.String()] = c.elem.tree(v.MapIndex(key))
		}
		return out
	case "timestamp":
		const epochSeconds = 1
		return cbor.Tag{Number: epochSeconds, Content: float64(v.Interface().(time.Time).UnixMilli()) / 1000}
	case "string":
		return v.String()
	}
	return v.Interface()
}
