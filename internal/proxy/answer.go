package proxy

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRedirectURL is the length in bytes above which a Location is answered with 507
// (ELB "CloudWatch metrics", HTTP_Redirect_Url_Limit_Exceeded_Count).
const maxRedirectURL = 8 << 10

// answer is what the load balancer says itself.
type answer struct {
	status      int
	contentType string
	location    string
	cookies     fields
	body        string
}

// reason is the reason phrase of a status as the load balancer words it; these are nginx's where they differ from
// Go's. Statuses of the load balancer's own (460, 463, 561) have none.
func reason(status int) string {
	switch status {
	case 302:
		return "Found"
	case 405:
		return "Not Allowed"
	case 408:
		return "Request Time-out"
	case 413:
		return "Request Entity Too Large"
	case 414:
		return "Request-URI Too Large"
	case 503:
		return "Service Temporarily Unavailable"
	case 504:
		return "Gateway Time-out"
	}
	return http.StatusText(status)
}

// page is the answer for an error or a redirect: a small HTML page.
func page(status int) answer {
	title := strings.TrimSpace(strconv.Itoa(status) + " " + reason(status))
	return answer{
		status: status, contentType: "text/html",
		body: "<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" + title +
			"</h1></center>\r\n</body>\r\n</html>\r\n",
	}
}

// fixed is the answer of a fixed-response action.
func fixed(f *FixedResponse) answer {
	contentType := orElse(f.ContentType, "text/plain")
	if contentType == "text/plain" {
		contentType += "; charset=utf-8"
	}
	return answer{status: f.StatusCode, contentType: contentType, body: f.Body}
}

// redirect is the answer of a redirect action.
func redirect(to *Redirect, r *request, a *arrival) answer {
	keywords := strings.NewReplacer(
		"#{protocol}", a.scheme(),
		"#{host}", orElse(hostName(r.host), a.front.dnsName),
		"#{port}", strconv.Itoa(int(a.front.port)),
		"#{path}", strings.TrimPrefix(r.path, "/"),
		"#{query}", r.query,
	)
	location := strings.ToLower(keywords.Replace(to.Protocol)) + "://" + keywords.Replace(to.Host) + ":" +
		keywords.Replace(to.Port) + keywords.Replace(to.Path)
	if query := keywords.Replace(to.Query); query != "" {
		location += "?" + query
	}
	if len(location) > maxRedirectURL {
		return page(507)
	}
	own := page(to.StatusCode)
	own.location = headerSafe(location)
	return own
}

// headerSafe percent-encodes what must not stand in a header value: a client may have put it into its URL.
func headerSafe(s string) string {
	const digits = "0123456789ABCDEF"
	clean := true
	for i := 0; i < len(s); i++ {
		clean = clean && s[i] > ' ' && s[i] != 0x7f
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c == 0x7f {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// said notes an answer of the load balancer's own.
func (a *arrival) said(own answer) { a.status, a.location = own.status, own.location }

// fields are the header lines of an answer, but for those about the connection.
func (own *answer) fields(into fields, a *arrival, now time.Time) fields {
	if !a.front.headers.HideLoadBalancerInServer {
		into = append(into, field{"Server", "awselb/2.0"})
	}
	into = append(into, field{"Date", now.UTC().Format(http.TimeFormat)})
	if own.contentType != "" {
		into = append(into, field{"Content-Type", own.contentType})
	}
	if own.status != 204 {
		into = append(into, field{"Content-Length", strconv.Itoa(len(own.body))})
	}
	if own.location != "" {
		into = append(into, field{"Location", own.location})
	}
	into = append(append(into, own.cookies...), a.session...)
	return append(into, a.front.responses...)
}

// appendTo writes the answer as bytes. The body is left out for HEAD, and everything but the body for HTTP/0.9.
func (own *answer) appendTo(b []byte, r *request, a *arrival, now time.Time, keep bool) []byte {
	if r.version != 9 {
		b = append(b, "HTTP/1.1 "...)
		b = strconv.AppendInt(b, int64(own.status), 10)
		b = append(b, ' ')
		b = append(b, reason(own.status)...)
		b = append(b, "\r\n"...)
		for _, f := range own.fields(make(fields, 0, 8), a, now) {
			b = appendField(b, f.name, f.value)
		}
		b = appendConnection(b, keep)
		b = append(b, "\r\n"...)
	}
	if r.method != "HEAD" && own.status != 204 && own.status != 304 {
		b = append(b, own.body...)
	}
	return b
}

func appendDate(b []byte, now time.Time) []byte {
	b = append(b, "Date: "...)
	b = now.UTC().AppendFormat(b, http.TimeFormat)
	return append(b, "\r\n"...)
}

func appendConnection(b []byte, keep bool) []byte {
	if keep {
		return append(b, "Connection: keep-alive\r\n"...)
	}
	return append(b, "Connection: close\r\n"...)
}
