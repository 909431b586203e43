package dns

import (
	"bytes"
	"compress/gzip"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Markers tell who owns a record: TXT records in the form of ExternalDNS, so that either can take over from the other.
// The text is heritage=external-dns,external-dns/owner=…,external-dns/resource=…; the name is the record's with its type
// in front of the first label. Two older forms of names are understood and not written.
//
// Where that name cannot be, because it would lie outside of the zone or have too long a label, a marker has a name of
// ours, which ExternalDNS does not look for.

const (
	heritage   = "external-dns"
	labelStart = "external-dns/"
	ownerLabel = "owner"
	fromLabel  = "resource"

	ownMark    = "_sluice-" // begins names of markers that ExternalDNS has no name for
	typeInName = "%{record_type}"
)

// Ownership says how markers are written and which are ours. Without an owner there are none, and everything of our
// types that is in our zones counts as ours.
type Ownership struct {
	Owner    string
	Prefix   string // around the first label; may have %{record_type}
	Suffix   string
	Wildcard string // stands for * in markers' names
	Key      []byte // AES-256 key that markers are encrypted with; nil for plain ones
	Former   string // owner whose records we take over
}

// ParseKey reads a key of 32 bytes, as they are or in base64, standard or URL-safe.
func ParseKey(text string) ([]byte, error) {
	if len(text) == 32 {
		return []byte(text), nil
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding} {
		if key, err := encoding.DecodeString(text); err == nil && len(key) == 32 {
			return key, nil
		}
	}
	return nil, errors.New("the key must be 32 bytes, as they are or in base64")
}

// markedTypes are the types that begin markers' names.
var markedTypes = []Type{A, AAAA, CNAME, NS, MX, "PTR", SRV, NAPTR, TXT, DNAME}

// labels are what a marker says.
type labels map[string]string

// ours says whether a marker makes its record ours.
func (o Ownership) ours(l labels) bool {
	owner := l[ownerLabel]
	return owner == o.Owner || o.Former != "" && owner == o.Former
}

// markerName is where the marker of a record stands.
func (o Ownership) markerName(name Name, t Type, zone Name) Name {
	kind := strings.ToLower(string(t))
	label, parent := name.split()
	if label == "*" && o.Wildcard != "" {
		label = strings.ToLower(o.Wildcard)
	}
	prefix, suffix := strings.ToLower(o.Prefix), strings.ToLower(o.Suffix)
	if strings.Contains(prefix+suffix, typeInName) {
		prefix, suffix = strings.ReplaceAll(prefix, typeInName, kind), strings.ReplaceAll(suffix, typeInName, kind)
		label = prefix + label + suffix
	} else {
		label = prefix + kind + "-" + label + suffix
	}
	if marker := Name(join(".", label, parent)); marker.In(zone) && marker != zone && marker.valid() {
		return marker
	}
	if name == zone {
		return Name(ownMark + kind + "." + string(zone))
	}
	sum := sha256.Sum256([]byte(name))
	return Name(ownMark + kind + "-" + hex.EncodeToString(sum[:8]) + "." + parent)
}

// formerNames are where markers of a record were before: with cname- for aliases (until v0.14), and without a type
// (until v0.12), which an AAAA record never had.
func (o Ownership) formerNames(r Record, zone Name) []Name {
	var out []Name
	if r.Type == A && r.IsAlias() {
		out = append(out, o.markerName(r.Name, CNAME, zone))
	}
	if r.Type == AAAA {
		return out
	}
	label, parent := r.Name.split()
	if label == "*" && o.Wildcard != "" {
		label = strings.ToLower(o.Wildcard)
	}
	drop := strings.NewReplacer(typeInName+"-", "", "-"+typeInName, "", typeInName, "")
	bare := drop.Replace(strings.ToLower(o.Prefix)) + label + drop.Replace(strings.ToLower(o.Suffix))
	if first, _, dashed := strings.Cut(bare, "-"); dashed && slices.Contains(markedTypes, Type(strings.ToUpper(first))) {
		return out // what stands there is the marker of another name
	}
	if name := Name(join(".", bare, parent)); name.valid() && name.In(zone) {
		out = append(out, name)
	}
	return out
}

// names are all places where markers of a record can be, the present one first.
func (o Ownership) names(r Record, zone Name) []Name {
	return append([]Name{o.markerName(r.Name, r.Type, zone)}, o.formerNames(r, zone)...)
}

// read takes a marker's labels out of a TXT value; false when it is none.
func (o Ownership) read(value string) (labels, bool) {
	text := unquote(value)
	if len(o.Key) > 0 {
		if plain, err := decrypt(o.Key, text); err == nil {
			text = plain
		}
	}
	l := labels{}
	marked := false
	for part := range strings.SplitSeq(strings.Trim(text, `"`), ",") {
		key, val, ok := strings.Cut(part, "=")
		switch name, labelled := strings.CutPrefix(key, labelStart); {
		case !ok:
			return nil, false
		case key == "heritage":
			marked = val == heritage
		case labelled:
			l[name] = val
		}
	}
	return l, marked
}

// write is a marker's TXT value. Equal labels of a name give an equal value, also when it is encrypted.
func (o Ownership) write(l labels, at Name) string {
	parts := []string{"heritage=" + heritage}
	for _, k := range slices.Sorted(maps.Keys(l)) {
		parts = append(parts, labelStart+k+"="+l[k])
	}
	text := strings.Join(parts, ",")
	if len(o.Key) > 0 {
		text = encrypt(o.Key, text, at)
	}
	return quote(text)
}

// quote writes a text as strings of at most 255 bytes (RFC 1035, section 3.3).
func quote(text string) string {
	var parts []string
	for {
		n := min(len(text), 255)
		parts = append(parts, `"`+text[:n]+`"`)
		if text = text[n:]; text == "" {
			return strings.Join(parts, " ")
		}
	}
}

// unquote joins the strings of a TXT value.
func unquote(value string) string {
	value = strings.TrimSpace(value)
	if !strings.HasPrefix(value, `"`) {
		return value
	}
	return strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(value, `"`), `"`), `" "`, "")
}

// encrypt is base64 of nonce and AES-GCM of the compressed text, as ExternalDNS has it. The nonce follows from the text
// and its place, so that the same marker is the same text, and two that differ never share a nonce.
func encrypt(key []byte, text string, at Name) string {
	gcm := mustGCM(key)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(string(at) + "\x00" + text))
	nonce := mac.Sum(nil)[:gcm.NonceSize()]
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, writeErr := w.Write([]byte(text))
	if err := errors.Join(writeErr, w.Close()); err != nil {
		panic("dns: a buffer did not take what was written: " + err.Error())
	}
	return base64.StdEncoding.EncodeToString(gcm.Seal(nonce, nonce, packed.Bytes(), nil))
}

// maxMarker bounds what a marker may unpack to.
const maxMarker = 64 << 10

func decrypt(key []byte, text string) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", err
	}
	gcm := mustGCM(key)
	if len(raw) < gcm.NonceSize() {
		return "", errors.New("too short")
	}
	packed, err := gcm.Open(nil, raw[:gcm.NonceSize()], raw[gcm.NonceSize():], nil)
	if err != nil {
		return "", err
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return "", err
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxMarker))
	return string(plain), err
}

// mustGCM makes the cipher of a key that ParseKey has checked.
func mustGCM(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(fmt.Sprintf("dns: a key of %d bytes", len(key)))
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic("dns: " + err.Error())
	}
	return gcm
}
