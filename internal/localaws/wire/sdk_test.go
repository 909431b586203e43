package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/shield"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/wafregional"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluicehq/sluice/internal/localaws/models"
)

// The tests here hold the codecs against the SDK itself: what its clients send must decode to what was given to them,
// and what is encoded must come out of them unchanged.

// transport keeps the request of an SDK client and gives it an answer.
type transport struct {
	request *http.Request
	body    []byte
	answer  []byte
	status  int
	kind    string
	header  http.Header
}

func (t *transport) Do(r *http.Request) (*http.Response, error) {
	t.request = r
	if r.Body != nil {
		var err error
		if t.body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	header := http.Header{"Content-Type": {t.kind}}
	maps.Copy(header, t.header)
	return &http.Response{
		StatusCode: t.status, Header: header, Body: io.NopCloser(bytes.NewReader(t.answer)), Request: r,
	}, nil
}

// api is a model and the SDK's client for it.
type api struct {
	*Service
	client reflect.Value
}

func apis(t testing.TB, via *transport) map[string]api {
	t.Helper()
	c := aws.Config{
		Region: "ap-northeast-1", BaseEndpoint: aws.String("http://localhost"), HTTPClient: via,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
	}
	out := map[string]api{}
	for name, client := range map[string]any{
		"elbv2": elb.NewFromConfig(c), "ec2": ec2.NewFromConfig(c), "sts": sts.NewFromConfig(c),
		"resourcegroupstaggingapi": resourcegroupstaggingapi.NewFromConfig(c), "route53": route53.NewFromConfig(c),
		"acm": acm.NewFromConfig(c), "iam": iam.NewFromConfig(c),
		"wafv2": wafv2.NewFromConfig(c), "wafregional": wafregional.NewFromConfig(c), "shield": shield.NewFromConfig(c),
	} {
		data, err := models.FS.ReadFile(name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		s, err := Load(data)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = api{s, reflect.ValueOf(client)}
	}
	return out
}

// bind binds an operation to the types of the client's method.
func (a api) bind(t testing.TB, name string) (*Operation, reflect.Value) {
	t.Helper()
	method := a.client.MethodByName(name)
	op, err := a.Bind(name, method.Type().In(1).Elem(), method.Type().Out(0).Elem())
	if err != nil {
		t.Fatal(err)
	}
	return op, method
}

// TestModelsCoverSDK finds members that the SDK knows and the models do not: the models would then be too old.
func TestModelsCoverSDK(t *testing.T) {
	for service, a := range apis(t, &transport{}) {
		for _, name := range a.Operations() {
			op, _ := a.bind(t, name)
			if op.in.goType.NumField() == 0 {
				t.Errorf("%s: no input", name)
			}
		}
		for key, c := range a.codecs {
			if c.shape.Type != "structure" {
				continue
			}
			carried := map[string]bool{}
			for _, f := range c.fields {
				carried[c.goType.Field(f.index).Name] = true
			}
			for i := range c.goType.NumField() {
				f := c.goType.Field(i)
				if f.IsExported() && f.Name != "ResultMetadata" && !carried[f.Name] {
					t.Errorf("%s: the SDK's %s.%s is not in the model", service, key.shape, f.Name)
				}
			}
		}
	}
}

// filler makes values that survive the wire: no empty lists and no text that a protocol cannot carry.
type filler struct {
	*rand.Rand
	open map[reflect.Type]bool // structs being filled; inside itself one stays empty
}

func newFiller(seed uint64) filler {
	return filler{rand.New(rand.NewPCG(seed, 1)), map[reflect.Type]bool{}}
}

var letters = []rune("abcXYZ019 -_./*?&=%+;:\"'<>[]{}#~é漢🙂")

func (f filler) text() string {
	n := 1 + f.IntN(12)
	out := make([]rune, n)
	for i := range out {
		out[i] = letters[f.IntN(len(letters))]
	}
	return "x" + string(out) + "x" // blanks at the ends are not what is tested
}

func (f filler) fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem(), depth)
	case reflect.Struct:
		if v.Type() == timeType {
			v.Set(reflect.ValueOf(time.Unix(f.Int64N(1<<31), 0).UTC()))
			return
		}
		if f.open[v.Type()] {
			return
		}
		f.open[v.Type()] = true
		defer delete(f.open, v.Type())
		for i := range v.NumField() {
			if t := v.Type().Field(i); t.IsExported() && t.Name != "ResultMetadata" {
				f.fill(v.Field(i), depth+1)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(f.text()))
			return
		}
		n := 1
		if depth < 4 {
			n += f.IntN(3)
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			f.fill(v.Index(i), depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 1 + f.IntN(3) {
			elem := reflect.New(v.Type().Elem()).Elem()
			f.fill(elem, depth+1)
			v.SetMapIndex(reflect.ValueOf(f.text()).Convert(v.Type().Key()), elem)
		}
	case reflect.String:
		v.SetString(f.text())
	case reflect.Int32:
		v.SetInt(int64(int32(f.Uint32())))
	case reflect.Int64:
		v.SetInt(int64(f.Uint64()))
	case reflect.Bool:
		v.SetBool(f.IntN(2) == 0)
	case reflect.Float64, reflect.Float32:
		v.SetFloat(float64(f.IntN(1000)) / 8)
	}
}

var ignoreUnexported = cmp.FilterPath(func(p cmp.Path) bool {
	s, ok := p.Last().(cmp.StructField)
	return ok && (!isExported(s.Name()) || s.Name() == "ResultMetadata")
}, cmp.Ignore())

func isExported(name string) bool { return name != "" && name[0] >= 'A' && name[0] <= 'Z' }

// TestRoundTrip: every operation, several random inputs and outputs, through the SDK's client.
func TestRoundTrip(t *testing.T) {
	via := &transport{}
	for service, a := range apis(t, via) {
		names := a.Operations()
		slices.Sort(names)
		for _, name := range names {
			t.Run(service+"/"+name, func(t *testing.T) {
				op, method := a.bind(t, name)
				for seed := range uint64(3) {
					f := newFiller(seed)
					in, out := reflect.New(op.in.goType), reflect.New(method.Type().Out(0).Elem())
					f.fill(in.Elem(), 0)
					f.fill(out.Elem(), 0)
					via.status, via.kind, via.answer = op.Status(), a.ContentType(), op.Encode(out.Interface(), "id")
					via.header = op.Headers(out.Interface())
					results := method.Call([]reflect.Value{reflect.ValueOf(t.Context()), in})
					if err, _ := results[1].Interface().(error); err != nil {
						t.Fatalf("%v\n%s", err, via.answer)
					}
					got := decodeRequest(t, op, via)
					if diff := cmp.Diff(in.Interface(), got, ignoreUnexported); diff != "" {
						t.Errorf("request: %s", diff)
					}
					if diff := cmp.Diff(out.Interface(), results[0].Interface(), ignoreUnexported, cmpopts.EquateApproxTime(time.Millisecond)); diff != "" && op.out != nil {
						t.Errorf("response: %s", diff)
					}
				}
			})
		}
	}
}

func decodeRequest(t testing.TB, op *Operation, via *transport) any {
	t.Helper()
	if op.service.Protocol == JSON {
		return result(t)(op.DecodeJSON(via.body))
	}
	if op.service.Protocol == RestXML {
		name, labels := op.service.Route(via.request.Method, via.request.URL.EscapedPath())
		if name != op.Name {
			t.Fatalf("%s %s is routed to %q", via.request.Method, via.request.URL, name)
		}
		return result(t)(op.DecodeREST(Parts{labels, via.request.URL.Query(), via.request.Header, via.body}))
	}
	form, err := url.ParseQuery(string(via.body))
	if err != nil {
		t.Fatal(err)
	}
	if form.Get("Action") != op.Name || form.Get("Version") != op.service.APIVersion {
		t.Errorf("Action=%s Version=%s", form.Get("Action"), form.Get("Version"))
	}
	return result(t)(op.DecodeForm(form))
}

func result(t testing.TB) func(any, error) any {
	return func(v any, err error) any {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestErrors: the SDK reads code, message, fault and request id from what EncodeError writes.
func TestErrors(t *testing.T) {
	via := &transport{}
	for service, name := range map[string]string{
		"elbv2": "CreateLoadBalancer", "ec2": "DescribeVpcs", "sts": "GetCallerIdentity", "resourcegroupstaggingapi": "GetResources",
		"route53": "ListHostedZones", "acm": "DescribeCertificate", "iam": "GetServerCertificate",
		"wafv2": "ListWebACLs", "wafregional": "ListWebACLs", "shield": "DescribeProtection",
	} {
		a := apis(t, via)[service]
		op, method := a.bind(t, name)
		in := reflect.New(op.in.goType)
		newFiller(1).fill(in.Elem(), 0)
		via.status, via.kind = 400, a.ContentType()
		via.answer = a.EncodeError(Errorf("SomeCode", "the <message> & %d", 1), "some-id")
		err, _ := method.Call([]reflect.Value{reflect.ValueOf(t.Context()), in})[1].Interface().(error)
		if text := fmt.Sprint(err); !strings.Contains(text, "SomeCode") || !strings.Contains(text, "the <message> & 1") {
			t.Errorf("%s: %s", service, text)
		}
	}
}

// TestEmptyList: an empty list that is said is not the same as one that is not.
func TestEmptyList(t *testing.T) {
	op, _ := apis(t, &transport{})["elbv2"].bind(t, "SetSecurityGroups")
	in := result(t)(op.DecodeForm(url.Values{"SecurityGroups": {""}})).(*elb.SetSecurityGroupsInput)
	if in.SecurityGroups == nil || len(in.SecurityGroups) != 0 {
		t.Errorf("%#v", in.SecurityGroups)
	}
	in = result(t)(op.DecodeForm(url.Values{})).(*elb.SetSecurityGroupsInput)
	if in.SecurityGroups != nil {
		t.Errorf("%#v", in.SecurityGroups)
	}
}

func TestValidate(t *testing.T) {
	elbv2, ec2api, rgt := apis(t, &transport{})["elbv2"], apis(t, &transport{})["ec2"], apis(t, &transport{})["resourcegroupstaggingapi"]
	for _, c := range []struct {
		api         api
		op, in      string
		want, words string
	}{
		{elbv2, "CreateLoadBalancer", "", "ValidationError", "1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null"},
		{elbv2, "CreateLoadBalancer", "Name=a&Type=classic&Scheme=x", "ValidationError", "2 validation errors detected: "},
		{elbv2, "CreateLoadBalancer", "Name=a&Type=classic", "ValidationError", "Member must satisfy enum value set: [application, network, gateway]"},
		{elbv2, "CreateRule", "ListenerArn=a&Priority=0&Conditions=&Actions=", "ValidationError", "Value '0' at 'priority' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{elbv2, "CreateRule", "ListenerArn=a&Priority=50001&Conditions=&Actions=", "ValidationError", "less than or equal to 50000"},
		{elbv2, "CreateRule", "ListenerArn=a&Priority=x&Conditions=&Actions=", "ValidationError", "Priority"},
		{elbv2, "CreateRule", "ListenerArn=a&Priority=1&Conditions=&Actions.member.1.Order=1", "ValidationError", "'actions.1.member.type'"},
		{elbv2, "DescribeLoadBalancers", "PageSize=401", "ValidationError", "less than or equal to 400"},
		{elbv2, "AddTags", "ResourceArns.member.1=a&Tags.member.1.Key=a%21", "ValidationError", "regular expression"},
		{elbv2, "CreateTargetGroup", "Name=a&HealthCheckIntervalSeconds=301", "ValidationError", "less than or equal to 300"},
		{ec2api, "CreateSubnet", "", "MissingParameter", "VpcId"},
		{ec2api, "DescribeVpcs", "MaxResults=many", "InvalidParameterValue", "MaxResults"},
		{rgt, "GetResources", `{"ResourcesPerPage":"x"}`, "SerializationException", "ResourcesPerPage"},
		{rgt, "GetResources", `[]`, "SerializationException", "structure"},
		{rgt, "GetResources", `{} {}`, "SerializationException", ""},
		{rgt, "GetResources", `{"TagFilters":[{"Key":""}]}`, "InvalidParameterException", "'tagFilters.1.member.key'"},
	} {
		op, _ := c.api.bind(t, c.op)
		var in any
		var err error
		if c.api.Protocol == JSON {
			in, err = op.DecodeJSON([]byte(c.in))
		} else {
			form, perr := url.ParseQuery(c.in)
			if perr != nil {
				t.Fatal(perr)
			}
			in, err = op.DecodeForm(form)
		}
		if err == nil {
			err = op.Validate(in)
		}
		if text := fmt.Sprint(err); !strings.HasPrefix(text, c.want+": ") || !strings.Contains(text, c.words) {
			t.Errorf("%s %s: got %s, want %s: … %s", c.op, c.in, text, c.want, c.words)
		}
	}
}

// FuzzDecode: no bytes make a decoder panic, and what decodes can be validated and encoded again.
func FuzzDecode(f *testing.F) {
	all := apis(f, &transport{})
	var ops []*Operation
	for _, service := range []string{"elbv2", "ec2", "sts", "resourcegroupstaggingapi", "route53", "acm", "iam", "wafv2", "wafregional", "shield"} {
		names := all[service].Operations()
		slices.Sort(names)
		for _, name := range names {
			op, _ := all[service].bind(f, name)
			ops = append(ops, op)
		}
	}
	f.Add(uint8(0), "ResourceArns.member.1=a&Tags.member.1.Key=k&Tags.member.1.Value=v")
	f.Add(uint8(3), "ListenerArn=a&Priority=1&Conditions.member.1.Field=x&Actions.member.2.Type=forward&Actions.member.x=1")
	f.Add(uint8(40), "IpPermissions.1.Groups.1.GroupId=sg-1&IpPermissions.999999999999=&IpPermissions.-1=&IpPermissions.01.FromPort=1")
	f.Add(uint8(len(ops)-1), `{"TagFilters":[{"Key":"a","Values":["b",null]}],"ResourcesPerPage":1e400}`)
	f.Add(uint8(1), strings.Repeat("a.", 100)+"=b&%zz")
	for i, op := range ops {
		switch op.Name {
		case "ChangeResourceRecordSets":
			f.Add(uint8(i), `<ChangeResourceRecordSetsRequest xmlns="x"><ChangeBatch><Changes><Change><Action>CREATE</Action><ResourceRecordSet><Name>a.</Name><Type>A</Type><TTL> 1 </TTL></ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>`)
			f.Add(uint8(i), `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><ChangeResourceRecordSetsRequest>&b;</ChangeResourceRecordSetsRequest>`)
			f.Add(uint8(i), `<ChangeResourceRecordSetsRequest><ChangeBatch><Changes><Change></ChangeBatch>`+strings.Repeat("<a>", 40))
		case "ListResourceRecordSets":
			f.Add(uint8(i), `name=a&maxitems=x`)
		case "ChangeTagsForResource":
			f.Add(uint8(i), `<ChangeTagsForResourceRequest><AddTags><Tag><Key>a</Key><Key>b</Key></Tag></AddTags><RemoveTagKeys/></ChangeTagsForResourceRequest> x`)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		op := ops[int(which)%len(ops)]
		var in any
		var err error
		switch op.service.Protocol {
		case JSON:
			in, err = op.DecodeJSON([]byte(body))
		case RestXML:
			query, perr := url.ParseQuery(body)
			if perr != nil {
				query = url.Values{}
			}
			in, err = op.DecodeREST(Parts{Labels: map[string]string{"Id": body}, Query: query, Body: []byte(body)})
		default:
			form, perr := url.ParseQuery(body)
			if perr != nil {
				return
			}
			in, err = op.DecodeForm(form)
		}
		if err != nil {
			return
		}
		var broken *Error
		if err := op.Validate(in); err != nil && !errors.As(err, &broken) {
			t.Errorf("not an answer: %v", err)
		}
	})
}
