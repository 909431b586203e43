package wire

import (
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/shield"
	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/internal/localaws/models"
)

func shieldOperation(t testing.TB, name string, in, out reflect.Type) *Operation {
	t.Helper()
	data, err := models.FS.ReadFile("shield.json")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Load(data)
	if err != nil {
		t.Fatal(err)
	}
	op, err := s.Bind(name, in, out)
	if err != nil {
		t.Fatal(err)
	}
	return op
}

// TestCBORForms: the same value in any form that CBOR has for it decodes alike, and what no member can be is refused.
func TestCBORForms(t *testing.T) {
	type tree = map[string]any
	op := shieldOperation(t, "ListProtections", reflect.TypeFor[shield.ListProtectionsInput](), reflect.TypeFor[shield.ListProtectionsOutput]())
	want := &shield.ListProtectionsInput{MaxResults: new(int32)}
	*want.MaxResults = 7
	for name, v := range map[string]any{"int": tree{"MaxResults": 7}, "int64": tree{"MaxResults": int64(7)}, "float": tree{"MaxResults": 7.0}, "more": tree{"MaxResults": 7, "Unknown": []byte{1}}} {
		body, err := cbor.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := op.DecodeCBOR(body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(shield.ListProtectionsInput{}), cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".noSmithyDocumentSerde" }, cmp.Ignore())); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for name, v := range map[string]any{
		"text": tree{"MaxResults": "7"}, "NaN": tree{"MaxResults": math.NaN()}, "tag": tree{"MaxResults": cbor.Tag{Number: 99, Content: 1}},
		"list": []int{1}, "keys": map[int]int{1: 1}, "half": tree{"MaxResults": 0.5},
	} {
		body, err := cbor.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := op.DecodeCBOR(body); err == nil {
			t.Errorf("%s decodes to %+v", name, got)
		}
	}
}

// TestRPCPath tells CBOR's paths from others.
func TestRPCPath(t *testing.T) {
	for path, want := range map[string][2]string{
		"/service/AWSShield_20160616/operation/CreateProtection": {"AWSShield_20160616", "CreateProtection"},
		"/service/x/operation/a/b":                               {}, "/service/x": {}, "/": {}, "/operation/x": {},
	} {
		target, operation, ok := RPCPath(path)
		if ok != (want[0] != "") || ok && (target != want[0] || operation != want[1]) {
			t.Errorf("%s: %q %q %t", path, target, operation, ok)
		}
	}
}

// FuzzCBOR: whatever the bytes are, decoding ends in a value or in an error of the service, and a value can be encoded.
func FuzzCBOR(f *testing.F) {
	for _, v := range []any{map[string]any{"Name": "a", "ResourceArn": "b", "Tags": []any{map[string]any{"Key": "k"}}}, []any{}, time.Now(), map[int]int{1: 2}} {
		body, err := cbor.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Add([]byte{0xbf, 0x61, 'a', 0x9f, 0xff, 0xff}) // of indefinite length
	f.Add([]byte{0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	op := shieldOperation(f, "CreateProtection", reflect.TypeFor[shield.CreateProtectionInput](), reflect.TypeFor[shield.CreateProtectionOutput]())
	f.Fuzz(func(t *testing.T, body []byte) {
		in, err := op.DecodeCBOR(body)
		if err == nil {
			err = op.Validate(in)
		}
		if err == nil {
			if encoded := encodeCBOR(op.in.tree(reflect.ValueOf(in))); len(encoded) == 0 {
				t.Error("nothing was encoded")
			}
		}
	})
}
