package proxy

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Names of the load balancer's cookies (ELB "Sticky sessions for your Application Load Balancer").
const (
	targetCookie = "AWSALB"
	appCookie    = "AWSALBAPP-0" // ours always fit into the first of the four
	groupCookie  = "AWSALBTG"
)

// cookieExpiry is what the Expires attribute says, whatever the configured duration; that is inside.
const cookieExpiry = 7 * 24 * time.Hour

// keyTurn is how long a key encrypts; ours. What it has encrypted is understood for the longest duration a cookie can
// have.
const keyTurn = 24 * time.Hour

// keyring encrypts cookies. Keys follow from a secret and the day, so there is nothing to keep but the secret.
type keyring struct {
	secret [32]byte
	recent atomic.Pointer[dayKey]
}

type dayKey struct {
	day  uint32
	aead cipher.AEAD
}

// newKeyring makes a keyring; without a secret it takes a random one.
func newKeyring(secret []byte) *keyring {
	k := &keyring{}
	if len(secret) == 0 {
		_, _ = rand.Read(k.secret[:]) // never fails: crypto/rand.Read crashes the program instead
	} else {
		k.secret = sha256.Sum256(secret)
	}
	return k
}

func (k *keyring) key(day uint32) cipher.AEAD {
	if recent := k.recent.Load(); recent != nil && recent.day == day {
		return recent.aead
	}
	mac := hmac.New(sha256.New, k.secret[:])
	mac.Write(binary.BigEndian.AppendUint32(nil, day))
	block, err := aes.NewCipher(mac.Sum(nil))
	if err != nil {
		panic(err) // the key has the right length
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // as every AES has GCM
	}
	k.recent.Store(&dayKey{day, aead})
	return aead
}

func dayOf(t time.Time) uint32 { return uint32(t.Unix() / int64(keyTurn/time.Second)) }

// seal encrypts what a cookie of this name holds: it is good until then.
func (k *keyring) seal(name, content string, now, until time.Time) string {
	day := dayOf(now)
	aead := k.key(day)
	b := make([]byte, 4+aead.NonceSize(), 4+aead.NonceSize()+8+len(content)+aead.Overhead())
	binary.BigEndian.PutUint32(b, day)
	_, _ = rand.Read(b[4:]) // as above
	plain := append(binary.BigEndian.AppendUint64(nil, uint64(until.Unix())), content...)
	return base64.StdEncoding.EncodeToString(aead.Seal(b, b[4:], plain, []byte(name)))
}

// open returns what a cookie holds, unless it is not ours or too old.
func (k *keyring) open(name, value string, now time.Time) (string, bool) {
	b, err := base64.StdEncoding.DecodeString(value)
	if err != nil || len(b) < 4+12 {
		return "", false
	}
	day, today := binary.BigEndian.Uint32(b), dayOf(now)
	if day > today || today-day > uint32(cookieExpiry/keyTurn) {
		return "", false
	}
	plain, err := k.key(day).Open(nil, b[4:16], b[16:], []byte(name))
	if err != nil || len(plain) < 8 || now.Unix() >= int64(binary.BigEndian.Uint64(plain)) {
		return "", false
	}
	return string(plain[8:]), true
}

// cookie returns the value of a cookie that the client sent.
func (r *request) cookie(name string) (string, bool) {
	for i := range r.fields {
		if !strings.EqualFold(r.fields[i].name, "Cookie") {
			continue
		}
		for pair := range strings.SplitSeq(r.fields[i].value, ";") {
			if n, value, found := strings.Cut(strings.TrimLeft(pair, " \t"), "="); found && n == name {
				return strings.Trim(value, " \t"), true
			}
		}
	}
	return "", false
}

// stick is what keeps a client with a target, and with a group.
type stick struct {
	group  TargetGroupID
	target TargetKey
}

func (s stick) content() string {
	return string(s.group) + "\n" + s.target.ID + "\n" + strconv.Itoa(int(s.target.Port))
}

func parseStick(content string) (stick, bool) {
	group, rest, _ := strings.Cut(content, "\n")
	id, number, _ := strings.Cut(rest, "\n")
	port, err := strconv.ParseUint(number, 10, 16)
	return stick{TargetGroupID(group), TargetKey{id, uint16(port)}}, err == nil
}

// stuckGroup is the group of a forward action that a client's cookie names.
func (s *Server) stuckGroup(to *action, r *request, a *arrival) *group {
	value, found := r.cookie(groupCookie)
	if !found {
		value, found = r.cookie(groupCookie + "CORS")
	}
	if !found {
		return nil
	}
	id, ok := s.cookies.open(groupCookie, value, a.at)
	if !ok {
		return nil
	}
	for i := range to.forward {
		if g := to.forward[i].group; string(g.id) == id {
			return g
		}
	}
	return nil
}

// group picks the group for a request: the one that the client's cookie names, or one by the weights, which the answer's
// cookie names then.
func (s *Server) group(to *action, r *request, a *arrival) *group {
	if to.stickiness <= 0 {
		return to.group()
	}
	g := s.stuckGroup(to, r, a)
	if g == nil {
		g = to.group()
	}
	if g != nil {
		a.setCookie(groupCookie, s.cookies.seal(groupCookie, string(g.id), a.at, a.at.Add(to.stickiness)), true)
	}
	return g
}

// target picks the target for a request and counts the request that goes there.
func (s *Server) target(g *group, r *request, a *arrival) *target {
	c := g.choice.Load()
	if c == nil || c.sticky.Type == "" {
		return g.acquire()
	}
	name := targetCookie
	if c.sticky.Type == StickyApp {
		name = appCookie
		a.sameSite = isChromium(r)
	}
	value, found := r.cookie(name)
	if !found && name == targetCookie {
		value, found = r.cookie(targetCookie + "CORS")
	}
	had := false
	if found {
		if content, ok := s.cookies.open(name, value, a.at); ok {
			if to, ok := parseStick(content); ok && to.group == g.id {
				if t := c.find(to.target); t != nil && t.enter() {
					a.stickTo(s, c.sticky, t, false)
					return t
				}
				had = true
			}
		}
	}
	t := g.acquire()
	if t != nil {
		a.stickTo(s, c.sticky, t, had)
	}
	return t
}

// find returns one of the targets that may get requests.
func (c *choice) find(key TargetKey) *target {
	for _, t := range c.targets {
		if t.key == key {
			return t
		}
	}
	return nil
}

// stickTo prepares the cookies for an answer. An application's cookie decides when there is one of ours; moved says that
// the client had one that leads to a target no more, and so gets another whatever the application says.
func (a *arrival) stickTo(s *Server, how Stickiness, t *target, moved bool) {
	seal := func(name string) string {
		return s.cookies.seal(name, stick{t.group.id, t.key}.content(), a.at, a.at.Add(how.Duration))
	}
	switch {
	case how.Type == StickyDuration:
		a.setCookie(targetCookie, seal(targetCookie), true)
	case moved:
		a.setCookie(appCookie, seal(appCookie), false)
	default:
		a.onCookie, a.thenCookie = how.Cookie, seal(appCookie)
	}
}

// setCookie adds a cookie to the answer, and with cors the one that goes with it for requests from other sites.
func (a *arrival) setCookie(name, value string, cors bool) {
	plain := name + "=" + value + "; Expires=" + a.at.Add(cookieExpiry).UTC().Format(http.TimeFormat) + "; Path=/"
	if !cors && a.sameSite {
		plain += "; SameSite=None; Secure"
	}
	a.cookies = append(a.cookies, field{"Set-Cookie", plain})
	if cors {
		a.cookies = append(a.cookies, field{"Set-Cookie", name + "CORS" + strings.TrimPrefix(plain, name) + "; SameSite=None; Secure"})
	}
}

// cookiesFor are the cookies to add to a target's answer.
func (a *arrival) cookiesFor(resp *response) fields {
	if a.onCookie != "" {
		for i := range resp.fields {
			if f := &resp.fields[i]; strings.EqualFold(f.name, "Set-Cookie") {
				if rest, ok := strings.CutPrefix(f.value, a.onCookie); ok && strings.HasPrefix(rest, "=") {
					a.setCookie(appCookie, a.thenCookie, false)
					a.onCookie = ""
					break
				}
			}
		}
	}
	return append(a.cookies, a.session...)
}

// isChromium says whether a client takes cookies from other sites only with SameSite=None (Chromium 80 and newer).
func isChromium(r *request) bool {
	agent, _ := r.fields.get("User-Agent")
	_, version, found := strings.Cut(agent, "Chrome/")
	if !found {
		_, version, found = strings.Cut(agent, "Chromium/")
	}
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	return found && err == nil && n >= 80
}
