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
func redirect(to *Redirect, r *request, front *frontend) answer {
	keywords := strings.NewReplacer(
		"#{protocol}", "http",
		"#{host}", orElse(hostName(r.host), front.dnsName),
		"#{port}", strconv.Itoa(int(front.port)),
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
	a := page(to.StatusCode)
	a.location = headerSafe(location)
	return a
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

// appendTo writes the answer as bytes. The body is left out for HEAD, and everything but the body for HTTP/0.9.
func (a *answer) appendTo(b []byte, r *request, front *frontend, now time.Time, keep bool) []byte {
	if r.version != 9 {
		b = append(b, "HTTP/1.1 "...)
		b = strconv.AppendInt(b, int64(a.status), 10)
		b = append(b, ' ')
		b = append(b, reason(a.status)...)
		b = append(b, "\r\n"...)
		if !front.headers.HideLoadBalancerInServer {
			b = append(b, "Server: awselb/2.0\r\n"...)
		}
		b = appendDate(b, now)
		if a.contentType != "" {
			b = appendField(b, "Content-Type", a.contentType)
		}
		if a.status != 204 {
			b = append(b, "Content-Length: "...)
			b = strconv.AppendInt(b, int64(len(a.body)), 10)
			b = append(b, "\r\n"...)
		}
		if a.location != "" {
			b = appendField(b, "Location", a.location)
		}
		b = appendConnection(b, keep)
		b = append(b, "\r\n"...)
	}
	if r.method != "HEAD" && a.status != 204 && a.status != 304 {
		b = append(b, a.body...)
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
