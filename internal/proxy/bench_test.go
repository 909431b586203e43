package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
)

// BenchmarkRequest is one small request through the proxy, with httputil.ReverseProxy on net/http beside it, and the
// target without a proxy, in the same run.
func BenchmarkRequest(b *testing.B) {
	target := httpTarget(b, "a", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	direct := "http://" + netAddrPort(target).String()
	b.Run("sluice", func(b *testing.B) {
		r := newRig(b, Options{})
		r.forwardTo(target)
		r.apply()
		ask(b, "http://"+r.at)
	})
	b.Run("reverseproxy", func(b *testing.B) {
		to, err := url.Parse(direct)
		if err != nil {
			b.Fatal(err)
		}
		proxy := httptest.NewServer(&httputil.ReverseProxy{
			Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(to); p.SetXForwarded() },
			Transport: &http.Transport{MaxIdleConnsPerHost: maxIdle},
		})
		defer proxy.Close()
		ask(b, proxy.URL)
	})
	b.Run("direct", func(b *testing.B) { ask(b, direct) })
}

func ask(b *testing.B, at string) {
	b.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	b.ReportAllocs()
	for b.Loop() {
		req, err := http.NewRequest(http.MethodGet, at+"/x", nil)
		if err != nil {
			b.Fatal(err)
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); n != 5 || err != nil {
			b.Fatal(n, err)
		}
		_ = resp.Body.Close()
	}
}
