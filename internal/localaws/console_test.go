package localaws_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image/color"
	"image/png"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// scene makes something to look at: two load balancers, rules of many kinds, targets in many states, a fault.
func scene(t *testing.T) *clients {
	t.Helper()
	c := start(t)
	ctx := t.Context()
	shop, api, old := c.group(t, "shop-web"), c.group(t, "shop-api"), c.group(t, "legacy")
	for group, ids := range map[string][]string{shop: {"192.168.97.5", "192.168.129.6", "192.168.161.7"}, api: {"192.168.97.9", "192.168.129.9"}} {
		in := &elb.RegisterTargetsInput{TargetGroupArn: &group}
		for _, id := range ids {
			in.Targets = append(in.Targets, elbtypes.TargetDescription{Id: aws.String(id), Port: aws.Int32(8080)})
		}
		must[*elb.RegisterTargetsOutput](t)(c.elb.RegisterTargets(ctx, in))
	}
	c.Plane.SetHealth("192.168.161.7", "unhealthy", "Target.ResponseCodeMismatch", "Health checks failed with these codes: [503]")
	c.Plane.SetHealth("192.168.129.9", "initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
	listener := c.listener(t, *c.balancer(t, "shop").LoadBalancerArn, notFound())
	host := elbtypes.RuleCondition{Field: aws.String("host-header"), HostHeaderConfig: &elbtypes.HostHeaderConditionConfig{Values: []string{"shop.example.com", "*.shop.example.com"}}}
	beta := elbtypes.RuleCondition{Field: aws.String("http-header"), HttpHeaderConfig: &elbtypes.HttpHeaderConditionConfig{HttpHeaderName: aws.String("X-Beta"), Values: []string{"<b>yes</b>"}}}
	weighted := []elbtypes.Action{{Type: "forward", ForwardConfig: &elbtypes.ForwardActionConfig{TargetGroups: []elbtypes.TargetGroupTuple{{TargetGroupArn: &shop, Weight: aws.Int32(90)}, {TargetGroupArn: &api, Weight: aws.Int32(10)}}}}}
	c.rule(t, listener, 10, append(path("/api/*"), host), forward(api))
	c.rule(t, listener, 20, []elbtypes.RuleCondition{host, beta}, weighted)
	c.rule(t, listener, 30, []elbtypes.RuleCondition{host}, forward(shop))
	redirect := []elbtypes.Action{{Type: "redirect", RedirectConfig: &elbtypes.RedirectActionConfig{Host: aws.String("www.example.com"), StatusCode: "HTTP_301"}}}
	c.rule(t, listener, 40, path("/old", "/older/*"), redirect)
	c.balancer(t, "back-office")
	_ = old
	c.fault(t, "flaky-rules", `{"operation": "elasticloadbalancing:CreateRule", "effect": "error", "code": "ServiceUnavailable", "status": 503, "nth": 3, "times": 2}`)
	if err := c.tryGroup(ctx, "shop-web-"); code(t, err) != "ValidationError" {
		t.Fatal(err)
	}
	return c
}

// TestConsole reads the page as it is sent: it names everything, escapes what users wrote, and needs nothing from elsewhere.
func TestConsole(t *testing.T) {
	c := scene(t)
	status, text := c.local(t, http.MethodGet, "", "")
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	for _, want := range []string{
		"shop-web", "shop-api", "legacy", "back-office", "/api/*", "*.shop.example.com", "90%", "10%", "redirect 301, host www.example.com", "answer 404",
		"Health checks failed with these codes: [503]", "Target.ResponseCodeMismatch", "192.168.97.5:8080", "flaky-rules", "CreateTargetGroup",
		"ValidationError", "No targets are registered.", "It has no listener yet", "header X-Beta &lt;b&gt;yes&lt;/b&gt;",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, bad := range []string{"<script", "<b>yes", "src=", "@import", "ZgotmplZ"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	var o struct {
		LoadBalancers []struct {
			Name      string
			Listeners []struct {
				Rules []struct{ When, Then []string }
			}
		}
		TargetGroups []struct {
			Name   string
			Health struct{ Healthy, Unhealthy, Waiting int }
		}
		CallLog []struct{ Operation, Code string }
	}
	if _, body := c.local(t, http.MethodGet, "overview", ""); json.Unmarshal([]byte(body), &o) != nil || len(o.LoadBalancers) != 2 ||
		len(o.LoadBalancers[0].Listeners[0].Rules) != 5 || o.TargetGroups[0].Health.Healthy != 2 || o.TargetGroups[0].Health.Unhealthy != 1 ||
		o.CallLog[0].Code != "ValidationError" {
		t.Errorf("%s", body)
	}
}

// TestConsoleInBrowser looks at the page in Chromium, wide and narrow, in light and in darkness: it is laid out inside its
// window, in the colours that were asked for. With SLUICE_SCREENSHOTS the pictures stay, in that folder.
func TestConsoleInBrowser(t *testing.T) {
	browser := chromium()
	if browser == "" {
		t.Log("left out: there is no Chromium here to look at the page with (hack/need-e2e installs it)")
		return
	}
	c := scene(t)
	allocator, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.NoSandbox)...)
	defer cancel()
	ctx, cancel := chromedp.NewContext(allocator)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, view := range []struct {
		scheme string
		width  int64
		ground color.NRGBA
	}{
		{"light", 1280, color.NRGBA{0xf5, 0xf6, 0xf8, 0xff}}, {"dark", 1280, color.NRGBA{0x10, 0x14, 0x1b, 0xff}}, {"light", 390, color.NRGBA{0xf5, 0xf6, 0xf8, 0xff}},
	} {
		t.Run(fmt.Sprintf("%s-%d", view.scheme, view.width), func(t *testing.T) {
			_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: view.scheme}},
			})
			if err != nil {
				t.Fatal(err)
			}
			err = chromedp.Do(ctx, chromedp.EmulateViewport(view.width, 900), chromedp.Navigate(c.Endpoint+"/_local/"), chromedp.WaitVisible("#calls"))
			if err != nil {
				t.Fatal(err)
			}
			number := func(script string) int64 {
				t.Helper()
				return must[int64](t)(chromedp.Run(ctx, chromedp.Evaluate[int64](script)))
			}
			wide := number(`document.documentElement.scrollWidth`)
			cards := number(`document.querySelectorAll("section.card").length`)
			outside := number(`[...document.querySelectorAll("header *, h1, h2, .tile *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1).length`)
			shot := must[[]byte](t)(chromedp.Run(ctx, chromedp.FullScreenshot(100)))
			if wide > view.width || outside > 0 {
				t.Errorf("the page is %d wide in a window of %d, and %d things reach out of it", wide, view.width, outside)
			}
			if cards < 8 {
				t.Errorf("%d cards", cards)
			}
			picture, err := png.Decode(bytes.NewReader(shot))
			if err != nil {
				t.Fatal(err)
			}
			if got := color.NRGBAModel.Convert(picture.At(4, picture.Bounds().Dy()-4)); got != view.ground {
				t.Errorf("the ground is %v, want %v", got, view.ground)
			}
			if dir := os.Getenv("SLUICE_SCREENSHOTS"); dir != "" {
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("console-%s-%d.png", view.scheme, view.width)), shot, 0o600); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// chromium finds the browser, "" when there is none.
func chromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}
