//go:build linux

package main

import (
	"fmt"
	"net/http"
	"os"
)

// helloworld answers as Istio's helloworld sample: its version and the name
// of the pod, which is the host name.
func helloworld([]string) int {
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, _ *http.Request) {
		host, err := os.Hostname()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "Hello version: %s, instance: %s\n", env("SERVICE_VERSION", "v1"), host)
	})
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "Helloworld is healthy")
	})
	return serve("helloworld", "5000", mux)
}
