//go:build linux

package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
)

// app answers "[name:pod-ip] text" on port 3000 at /NAME, where app1 and app2
// of the samples listen, and 200 at / for health checks; other paths are 404.
// APP_NAME, APP_TEXT, POD_IP and PORT change what it says and where.
func app([]string) int {
	name, text := env("APP_NAME", "app"), env("APP_TEXT", "hello")
	address := env("POD_IP", podIP())
	answer := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "[%s:%s]%s", name, address, text)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", answer)
	mux.HandleFunc("GET /"+name, answer)
	mux.HandleFunc("GET /"+name+"/{$}", answer)
	return serve(name, env("PORT", "3000"), mux)
}

// podIP is the first address that is not loopback, which in a pod is the pod's.
func podIP() string {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		return ""
	}
	for _, address := range addresses {
		if ip, ok := address.(*net.IPNet); ok && !ip.IP.IsLoopback() && ip.IP.To4() != nil {
			return ip.IP.String()
		}
	}
	return ""
}
