package dns

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// Name is a domain name in the one form that it has here: ASCII, lower case, no dot at the end. The first label may be
// "*".
type Name string

// MaxLabel is how long a label may be (RFC 1035, section 2.3.4).
const MaxLabel = 63

// maxName is how long a name may be without the dot at its end.
const maxName = 253

// unicode turns names that people write in their own script into ASCII, and leaves "*" and "_" alone.
var unicode = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))

// ParseName reads a name as people write it. The error says what is wrong with it, as a clause.
func ParseName(text string) (Name, error) {
	s := strings.ToLower(strings.TrimSuffix(strings.TrimSpace(text), "."))
	for i := range len(s) {
		if s[i] >= 0x80 {
			ascii, err := unicode.ToASCII(s)
			if err != nil {
				return "", fmt.Errorf("is no domain name (%w)", err)
			}
			s = ascii
			break
		}
	}
	switch {
	case s == "":
		return "", fmt.Errorf("is empty")
	case len(s) > maxName:
		return "", fmt.Errorf("is longer than %d characters", maxName)
	}
	for i, label := range strings.Split(s, ".") {
		switch {
		case label == "":
			return "", fmt.Errorf("has an empty label")
		case len(label) > MaxLabel:
			return "", fmt.Errorf("has a label of %d characters, and %d is the most", len(label), MaxLabel)
		case strings.ContainsFunc(label, foreignToNames) && (label != "*" || i > 0):
			return "", fmt.Errorf("has characters that are not allowed in the label %q", label)
		}
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return "", fmt.Errorf("is an address, not a name")
	}
	return Name(s), nil
}

func foreignToNames(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// In says whether the name is a zone's own or below it.
func (n Name) In(zone Name) bool {
	return n == zone || strings.HasSuffix(string(n), "."+string(zone))
}

// split cuts the first label off.
func (n Name) split() (label, parent string) {
	label, parent, _ = strings.Cut(string(n), ".")
	return label, parent
}

// valid says whether no label is too long.
func (n Name) valid() bool {
	for label := range strings.SplitSeq(string(n), ".") {
		if label == "" || len(label) > MaxLabel {
			return false
		}
	}
	return len(n) <= maxName
}

// EscapeName writes a name as Route 53 lists it: with a dot at the end, and all but letters, digits, hyphens and
// underscores as octal escapes.
func EscapeName(name Name) string {
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; c == '.' || !foreignToNames(rune(c)) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, `\%03o`, c)
		}
	}
	return b.String() + "."
}

// UnescapeName reads a name as Route 53 or a name server lists it.
func UnescapeName(text string, base int) Name {
	text = strings.ToLower(strings.TrimSuffix(text, "."))
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+4], base, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return Name(b.String())
}
