package localaws

import (
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"
)

// console is the page at /_local/: everything that is there and how it is, drawn on the server.
type console struct {
	overview
	Style   template.CSS
	Now     time.Time
	Refresh int // seconds, 0 for never
}

var consolePage = template.Must(template.New("console.html").Funcs(template.FuncMap{
	"service":   func(operation string) string { service, _, _ := strings.Cut(operation, ":"); return service },
	"operation": func(operation string) string { _, name, _ := strings.Cut(operation, ":"); return name },
	"took":      func(d time.Duration) string { return d.Round(10 * time.Microsecond).String() },
	"clock":     func(t time.Time) string { return t.Format("15:04:05.000") },
	"client":    clientName,
	"percent":   func(part, whole int) string { return fmt.Sprintf("%.4g", 100*float64(part)/float64(max(whole, 1))) },
	"top":       func(n int, all []countView) []countView { return all[:min(n, len(all))] },
	"latest":    func(n int, all []CallRecord) []CallRecord { return all[:min(n, len(all))] },
	"failed":    func(status int) bool { return status == 0 || status >= http.StatusBadRequest },
	"plural":    func(n int, noun string) string { return fmt.Sprintf("%d %s", n, pluralOf(n, noun)) },
	"weighted":  func(links []groupLink) bool { return len(links) > 1 },
	"share":     share,
	"parts":     partsOf,
}).ParseFS(pageFiles, "page/console.html"))

func pluralOf(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

// clientName is the first word of a user agent, which names the program.
func clientName(agent string) string {
	name, _, _ := strings.Cut(agent, " ")
	return name
}

// share is the part of the requests that a group gets.
func share(link groupLink, all []groupLink) string {
	sum := int32(0)
	for _, l := range all {
		sum += l.Weight
	}
	return fmt.Sprintf("%.3g%%", 100*float64(link.Weight)/float64(max(sum, 1)))
}

// partView is a part of a profile as the page shows it.
type partView struct {
	Name, Value string
	On          bool
}

func partsOf(p Profile) []partView {
	var out []partView
	for name, d := range p.times() {
		out = append(out, partView{name, d.String(), *d > 0})
	}
	word := map[bool]string{true: "on", false: "off"}
	out = append(out, partView{"throttling", word[p.Throttling], p.Throttling}, partView{"strictTargets", word[p.StrictTargets], p.StrictTargets})
	slices.SortFunc(out, func(a, b partView) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (s *Server) serveConsole(mux *http.ServeMux) {
	mux.HandleFunc("GET /_local/overview", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.overview()) })
	mux.HandleFunc("GET /_local/{$}", func(w http.ResponseWriter, r *http.Request) {
		c := console{overview: s.overview(), Style: pageStyle(), Now: s.options.Now()}
		if r.URL.Query().Has("live") {
			const seconds = 3
			c.Refresh = seconds
		}
		showPage(w, http.StatusOK, consolePage, c)
	})
	mux.HandleFunc("GET /_local", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/_local/", http.StatusMovedPermanently)
	})
}
