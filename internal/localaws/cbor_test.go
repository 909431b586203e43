package localaws_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// TestCBOR speaks Smithy's RPC v2 CBOR, which the newest SDKs prefer for Shield and for the tagging API.
func TestCBOR(t *testing.T) {
	c := start(t)
	ask := func(path string, in any) (int, map[string]any) {
		body, err := cbor.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.Endpoint+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Smithy-Protocol", "rpc-v2-cbor")
		r.Header.Set("Content-Type", "application/cbor")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		var out map[string]any
		if err := cbor.Unmarshal(answer, &out); err != nil || resp.Header.Get("Smithy-Protocol") != "rpc-v2-cbor" || resp.Header.Get("Content-Type") != "application/cbor" {
			t.Fatalf("%d %q %v %v", resp.StatusCode, answer, resp.Header, err)
		}
		return resp.StatusCode, out
	}
	const shield = "/service/AWSShield_20160616/operation/"
	if status, out := ask(shield+"GetSubscriptionState", map[string]any{}); status != http.StatusOK || out["SubscriptionState"] != "INACTIVE" {
		t.Errorf("%d %v", status, out)
	}
	if status, out := ask(shield+"CreateSubscription", map[string]any{}); status != http.StatusOK || len(out) != 0 {
		t.Errorf("%d %v", status, out)
	}
	_, out := ask(shield+"DescribeSubscription", map[string]any{})
	started, ok := out["Subscription"].(map[any]any)["StartTime"].(time.Time)
	if !ok || time.Since(started) > time.Minute {
		t.Errorf("%v", out)
	}
	balancer := *c.balancer(t, "web").LoadBalancerArn
	status, out := ask(shield+"CreateProtection", map[string]any{"Name": "p", "ResourceArn": balancer, "Tags": []any{map[string]any{"Key": "a", "Value": "b"}}})
	if status != http.StatusOK || out["ProtectionId"] == nil {
		t.Errorf("%d %v", status, out)
	}
	_, out = ask("/service/ResourceGroupsTaggingAPI_20170126/operation/GetResources", map[string]any{"ResourcesPerPage": 1, "ResourceTypeFilters": []string{"shield"}})
	if _, ok := out["ResourceTagMappingList"].([]any); !ok {
		t.Errorf("%v", out)
	}
	for name, row := range map[string]struct {
		path string
		in   any
		code string
	}{
		"not there":    {shield + "DescribeProtection", map[string]any{"ResourceArn": "arn:aws:elasticloadbalancing:x"}, "ResourceNotFoundException"},
		"unknown":      {shield + "Fly", map[string]any{}, "UnknownOperationException"},
		"wrong type":   {shield + "DescribeProtection", map[string]any{"ResourceArn": 7}, "SerializationException"},
		"not a map":    {shield + "DescribeProtection", []int{1}, "SerializationException"},
		"number keys":  {shield + "DescribeProtection", map[int]string{1: "x"}, "SerializationException"},
		"missing name": {shield + "CreateProtection", map[string]any{}, "InvalidParameterException"},
	} {
		if status, out := ask(row.path, row.in); status != http.StatusBadRequest || out["__type"] != row.code {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
}
