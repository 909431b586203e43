package localaws

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
)

//go:embed page
var pageFiles embed.FS

// loginForm is what the login page shows.
type loginForm struct {
	Pool, Token, Name, Password, Problem string
	Change                               bool // the password was given by somebody else: choose a new one
	Style                                template.CSS
}

var loginPage = template.Must(template.ParseFS(pageFiles, "page/login.html"))

// pageStyle is what all pages look like.
func pageStyle() template.CSS {
	text, err := pageFiles.ReadFile("page/style.css")
	if err != nil {
		panic(err) // it is compiled in
	}
	return template.CSS(text) //nolint:gosec // a file of this program
}

func (l *logins) showLogin(w http.ResponseWriter, p userPool, f loginForm) {
	f.Pool, f.Token, f.Style = val(p.Wire.Name), secret(), pageStyle()
	http.SetCookie(w, &http.Cookie{Name: formCookie, Value: f.Token, Path: "/_local/cognito/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	status := http.StatusOK
	if f.Problem != "" {
		status = http.StatusUnauthorized
	}
	showPage(w, status, loginPage, f)
}

// showError tells a person why there is no login.
func (l *logins) showError(w http.ResponseWriter, code, why string) {
	showPage(w, http.StatusBadRequest, loginPage, loginForm{Pool: code, Problem: why, Style: pageStyle()})
}

// showPage writes a page whole or not at all. It may load nothing from elsewhere and be framed by nobody.
func showPage(w http.ResponseWriter, status int, page *template.Template, data any) {
	var b bytes.Buffer
	if err := page.Execute(&b, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client is gone; there is nobody to tell
}
