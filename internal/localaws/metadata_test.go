package localaws_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// TestMetadata asks as an SDK does on an instance: for a token first, then for where it is.
func TestMetadata(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	client := imds.New(imds.Options{Endpoint: c.Endpoint})
	if out := must[*imds.GetRegionOutput](t)(client.GetRegion(ctx, nil)); out.Region != localawstest.Region {
		t.Error(out.Region)
	}
	document := must[*imds.GetInstanceIdentityDocumentOutput](t)(client.GetInstanceIdentityDocument(ctx, nil))
	if document.InstanceID != localawstest.Instances[0] || document.AccountID != localawstest.AccountID || document.AvailabilityZone != localawstest.Zones[0] {
		t.Errorf("%+v", document)
	}
	read := func(path string) string {
		out := must[*imds.GetMetadataOutput](t)(client.GetMetadata(ctx, &imds.GetMetadataInput{Path: path}))
		defer out.Content.Close()
		text, err := io.ReadAll(out.Content)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	mac := read("mac")
	if got := read("network/interfaces/macs/"); got != mac+"/" {
		t.Errorf("%q, want %q", got, mac+"/")
	}
	if got := read("network/interfaces/macs/" + mac + "/vpc-id"); got != localawstest.VPC {
		t.Error(got)
	}
	if got := must[*imds.GetIAMInfoOutput](t)(client.GetIAMInfo(ctx, nil)); got.InstanceProfileArn == "" {
		t.Errorf("%+v", got)
	}
	if got := read("iam/security-credentials/" + read("iam/security-credentials/")); !strings.Contains(got, `"Code": "Success"`) {
		t.Error(got)
	}
}

// TestMetadataTokens: version 1 needs no token, but a wrong or old one is refused; proxies get none.
func TestMetadataTokens(t *testing.T) {
	clock := localawstest.NewClock()
	c := start(t, localawstest.WithClock(clock))
	handler := c.Handler()
	ask := func(method, path, remote string, header ...string) (int, string) {
		r := httptest.NewRequest(method, path, nil)
		r.RemoteAddr = remote + ":1234"
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	const path, ttl, token = "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "X-aws-ec2-metadata-token"
	status, good := ask(http.MethodPut, path, "127.0.0.1", ttl, "60")
	if status != http.StatusOK {
		t.Fatal(status)
	}
	for why, row := range map[string]struct {
		method, path, remote string
		header               []string
		want                 string
	}{
		"version 1":         {"GET", "/latest/meta-data/instance-id", "127.0.0.1", nil, "200 " + localawstest.Instances[0]},
		"version 2":         {"GET", "/latest/meta-data/instance-id", "127.0.0.1", []string{token, good}, "200 " + localawstest.Instances[0]},
		"a node":            {"GET", "/latest/meta-data/instance-id", localawstest.Addresses[1], nil, "200 " + localawstest.Instances[1]},
		"a pod":             {"GET", "/latest/meta-data/placement/availability-zone", "192.168.161.9", nil, "200 " + localawstest.Zones[2]},
		"wrong token":       {"GET", "/latest/meta-data/instance-id", "127.0.0.1", []string{token, "x"}, "401 "},
		"not there":         {"GET", "/latest/meta-data/spot/termination-time", "127.0.0.1", nil, "404 "},
		"listing":           {"GET", "/latest/", "127.0.0.1", nil, "200 dynamic/\nmeta-data/"},
		"no lifetime":       {"PUT", path, "127.0.0.1", nil, "400 "},
		"too long":          {"PUT", path, "127.0.0.1", []string{ttl, "21601"}, "400 "},
		"through a proxy":   {"PUT", path, "127.0.0.1", []string{ttl, "60", "X-Forwarded-For", "1.2.3.4"}, "403 "},
		"nothing to change": {"POST", "/latest/meta-data/", "127.0.0.1", nil, "405 "},
	} {
		if status, body := ask(row.method, row.path, row.remote, row.header...); fmt.Sprintf("%d %s", status, body) != row.want {
			t.Errorf("%s: %d %s, want %s", why, status, body, row.want)
		}
	}
	clock.Advance(time.Minute)
	if status, _ := ask(http.MethodGet, "/latest/meta-data/instance-id", "127.0.0.1", token, good); status != http.StatusUnauthorized {
		t.Errorf("an old token: %d", status)
	}
	empty := start(t, localawstest.WithOptions(func(o *localaws.Options) { o.Seed = nil }))
	w := httptest.NewRecorder()
	empty.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/latest/meta-data/instance-id", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("without an instance: %d", w.Code)
	}
}
