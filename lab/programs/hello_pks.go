//go:build linux

package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strings"
)

// helloPKS answers with what the downward API told the pod, in the spacing of
// the original (Jackson's pretty printer), because people compare by eye.
func helloPKS([]string) int {
	var page bytes.Buffer
	object := func(name string, last bool, keys ...string) {
		var fields []string
		for _, key := range keys {
			if value := os.Getenv(key); value != "" {
				fields = append(fields, fmt.Sprintf("    %q : %q", key, value))
			}
		}
		fmt.Fprintf(&page, "  %q : {", name)
		if len(fields) > 0 {
			fmt.Fprintf(&page, "\n%s\n  }", strings.Join(fields, ",\n"))
		} else {
			page.WriteString(" }")
		}
		if !last {
			page.WriteString(",")
		}
		page.WriteString("\n")
	}
	page.WriteString("{\n")
	object("node", false, "NODE_IP", "NODE_NAME")
	object("pod", false, "POD_IP", "POD_NAME", "POD_NAMESPACE")
	object("container", true, "CONTAINER_CPU_REQUEST", "CONTAINER_CPU_LIMIT", "CONTAINER_MEMORY_REQUEST", "CONTAINER_MEMORY_LIMIT")
	page.WriteString("}")

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json;charset=UTF-8")
		_, _ = w.Write(page.Bytes()) // the client may have gone
	})
	return serve("hello-pks", env("PORT", "8080"), mux)
}
