package localaws

import (
	"fmt"
	"strconv"
	"strings"
)

// recordName brings a DNS name into the form that Route 53 stores and answers: lower case, a dot at the end, and all
// but letters, digits, '-' and '_' as octal escapes. It returns what is wrong with it otherwise.
func recordName(name string) (canonical, problem string) { return canonicalName(name, 8) }

// questionName does the same with a name as the DNS library writes it, whose escapes are decimal.
func questionName(name string) (canonical string, ok bool) {
	canonical, problem := canonicalName(name, 10)
	return canonical, problem == ""
}

func canonicalName(name string, base int) (canonical, problem string) {
	if name == "." {
		return name, ""
	}
	var b strings.Builder
	label, total := 0, 1
	for i := 0; i < len(name); {
		c, width := nameByte(name[i:], base)
		if width == 0 {
			return "", "BadEscape (Invalid escape sequence)"
		}
		i += width
		switch {
		case c == '.' && width == 1:
			if label == 0 {
				return "", "DomainLabelEmpty (Domain label is empty)"
			}
			b.WriteByte('.')
			total += label + 1
			label = 0
			continue
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
			fallthrough
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\%03o`, c)
		}
		if label++; label > 63 {
			return "", "DomainLabelTooLong (Domain label is too long)"
		}
	}
	if label > 0 {
		b.WriteByte('.')
		total += label + 1
	}
	switch {
	case b.Len() == 0:
		return "", "DomainLabelEmpty (Domain label is empty)"
	case total > 255:
		return "", "DomainNameTooLong (Domain name is too long)"
	}
	return b.String(), ""
}

// nameByte reads one byte of a name, escaped or not. No width means that the escape is broken.
func nameByte(s string, base int) (c byte, width int) {
	if s[0] != '\\' {
		return s[0], 1
	}
	if len(s) >= 4 && s[1] >= '0' && s[1] <= '9' {
		n, err := strconv.ParseUint(s[1:4], base, 8)
		if err != nil {
			return 0, 0
		}
		return byte(n), 4
	}
	if len(s) < 2 {
		return 0, 0
	}
	return s[1], 2
}

// wireEscapes turns the octal escapes of Route 53 into the decimal ones of the DNS library.
func wireEscapes(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		if text[i] == '\\' {
			if c, width := nameByte(text[i:], 8); width == 4 {
				fmt.Fprintf(&b, `\%03d`, c)
				i += width
				continue
			} else if width == 2 {
				b.WriteString(text[i : i+2])
				i += width
				continue
			}
		}
		b.WriteByte(text[i])
		i++
	}
	return b.String()
}

// compareNames orders names as Route 53 lists them: by their labels from the right.
func compareNames(a, b string) int {
	for {
		la, ra := lastLabel(a)
		lb, rb := lastLabel(b)
		if c := strings.Compare(la, lb); c != 0 || la == "" {
			return c
		}
		a, b = ra, rb
	}
}

// lastLabel cuts the last label off: "com" and "example." from "example.com.".
func lastLabel(name string) (label, rest string) {
	name = strings.TrimSuffix(name, ".")
	at := strings.LastIndexByte(name, '.')
	return name[at+1:], name[:at+1]
}

// parentName cuts the first label off.
func parentName(name string) string {
	_, rest, _ := strings.Cut(name, ".")
	return rest
}

// inZone tells whether a name is a zone's or below it.
func inZone(name, zone string) bool { return name == zone || strings.HasSuffix(name, "."+zone) }
