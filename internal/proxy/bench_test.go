package proxy

import (
	"crypto/tls"
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
		ask(b, "http://"+r.at, &http.Transport{})
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
		ask(b, proxy.URL, &http.Transport{})
	})
	b.Run("direct", func(b *testing.B) { ask(b, direct, &http.Transport{}) })
}

// BenchmarkStream is the same over TLS and HTTP/2.
func BenchmarkStream(b *testing.B) {
	target := httpTarget(b, "a", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	browser := func() *http.Transport {
		return &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	}
	b.Run("sluice", func(b *testing.B) {
		r := newRig(b, Options{})
		r.forwardTo(target)
		r.https()
		r.apply()
		ask(b, "https://"+r.at, browser())
	})
	b.Run("reverseproxy", func(b *testing.B) {
		to, err := url.Parse("http://" + netAddrPort(target).String())
		if err != nil {
			b.Fatal(err)
		}
		proxy := httptest.NewUnstartedServer(&httputil.ReverseProxy{
			Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(to); p.SetXForwarded() },
			Transport: &http.Transport{MaxIdleConnsPerHost: maxIdle},
		})
		proxy.EnableHTTP2 = true
		proxy.StartTLS()
		defer proxy.Close()
		ask(b, proxy.URL, browser())
	})
}

func ask(b *testing.B, at string, transport *http.Transport) {
	b.Helper()
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
