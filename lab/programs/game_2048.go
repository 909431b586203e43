//go:build linux

package main

import (
	_ "embed"
	"net/http"
)

//go:embed game_2048.html
var gamePage []byte

// game2048 serves one page, a playable game, at every path's root.
func game2048([]string) int {
	mux := http.NewServeMux()
	page := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(gamePage) // the client may have gone
	}
	mux.HandleFunc("GET /{$}", page)
	mux.HandleFunc("GET /index.html", page)
	return serve("game-2048", "80", mux)
}
