//go:build linux

package main

import (
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// echo is the answer of the Gateway API conformance suite's echo server; the
// suite's checks read these fields by name.
type echo struct {
	Path      string      `json:"path"`
	Host      string      `json:"host"`
	Method    string      `json:"method"`
	Proto     string      `json:"proto"`
	Headers   http.Header `json:"headers"`
	Namespace string      `json:"namespace"`
	Ingress   string      `json:"ingress"`
	Service   string      `json:"service"`
	Pod       string      `json:"pod"`
	TLS       *echoTLS    `json:"tls,omitempty"`
	SNI       string      `json:"sni"`
}

type echoTLS struct {
	Version            string   `json:"version"`
	PeerCertificates   []string `json:"peerCertificates,omitempty"`
	ServerName         string   `json:"serverName"`
	NegotiatedProtocol string   `json:"negotiatedProtocol,omitempty"`
	CipherSuite        string   `json:"cipherSuite"`
}

// echoBasic serves plain HTTP on HTTP_PORT (3000), HTTP/2 without TLS on
// H2C_PORT (3001), and HTTPS on HTTPS_PORT (8443) when a certificate is given.
// The original's gRPC and WebSocket modes are left out.
func echoBasic([]string) int {
	if os.Getenv("GRPC_ECHO_SERVER") != "" {
		fmt.Fprintln(os.Stderr, "echo-basic: the lab's program has no gRPC mode (GRPC_ECHO_SERVER)")
		return 1
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "OK") })
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(r.PathValue("code"))
		if err != nil || code < 100 || code > 999 {
			code = http.StatusBadRequest
		}
		w.WriteHeader(code)
	})
	mux.HandleFunc("/", echoRequest)
	handler := mergeSlashes(mux)

	var h2c http.Protocols
	h2c.SetUnencryptedHTTP2(true)
	servers := []*http.Server{
		{Addr: ":" + env("HTTP_PORT", "3000"), Handler: handler, ReadHeaderTimeout: 30 * time.Second},
		{Addr: ":" + env("H2C_PORT", "3001"), Handler: handler, Protocols: &h2c, ReadHeaderTimeout: 30 * time.Second},
	}
	if cert, key := os.Getenv("TLS_SERVER_CERT"), os.Getenv("TLS_SERVER_PRIVKEY"); cert != "" && key != "" {
		server := &http.Server{Addr: ":" + env("HTTPS_PORT", "8443"), Handler: handler,
			ReadHeaderTimeout: 30 * time.Second, TLSConfig: &tls.Config{ClientAuth: tls.RequestClientCert}}
		go func() {
			fmt.Printf("echo-basic: listening on %s (https)\n", server.Addr)
			if err := server.ListenAndServeTLS(cert, key); err != nil {
				fmt.Fprintln(os.Stderr, "echo-basic:", err)
				os.Exit(1)
			}
		}()
	}
	return serveAll("echo-basic", servers...)
}

// mergeSlashes keeps the mux from redirecting paths with doubled slashes: the
// echo must show what arrived.
func mergeSlashes(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for strings.Contains(r.URL.Path, "//") {
			r.URL.Path = strings.ReplaceAll(r.URL.Path, "//", "/")
		}
		next.ServeHTTP(w, r)
	})
}

func echoRequest(w http.ResponseWriter, r *http.Request) {
	fmt.Printf("echo-basic: %s %s from %s\n", r.Method, r.RequestURI, r.RemoteAddr)
	if delay := r.FormValue("delay"); delay != "" {
		d, err := time.ParseDuration(delay)
		if err != nil {
			writeJSON(w, http.StatusInternalServerError, map[string]string{"message": err.Error()})
			return
		}
		time.Sleep(d)
	}
	for _, list := range r.Header["X-Echo-Set-Header"] {
		for pair := range strings.SplitSeq(list, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(pair), ":")
			// Set in the map directly: the suite checks the spelling it asked for.
			w.Header()[name] = append(w.Header()[name], strings.TrimSpace(value))
		}
	}
	answer := echo{
		Path: r.RequestURI, Host: r.Host, Method: r.Method, Proto: r.Proto, Headers: r.Header,
		Namespace: os.Getenv("NAMESPACE"), Ingress: os.Getenv("INGRESS_NAME"),
		Service: os.Getenv("SERVICE_NAME"), Pod: os.Getenv("POD_NAME"),
	}
	if r.TLS != nil {
		answer.TLS = &echoTLS{
			// The suite writes TLSv1.3 where Go says "TLS 1.3".
			Version:    strings.Replace(tls.VersionName(r.TLS.Version), "TLS ", "TLSv", 1),
			ServerName: r.TLS.ServerName, NegotiatedProtocol: r.TLS.NegotiatedProtocol,
			CipherSuite: tls.CipherSuiteName(r.TLS.CipherSuite),
		}
		answer.SNI = r.TLS.ServerName
		for _, cert := range r.TLS.PeerCertificates {
			answer.TLS.PeerCertificates = append(answer.TLS.PeerCertificates,
				string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})))
		}
	}
	writeJSON(w, http.StatusOK, answer)
}

func writeJSON(w http.ResponseWriter, code int, value any) {
	body, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write(body) // the client may have gone
}
