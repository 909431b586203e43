package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// browse asks with cookies as a browser that got those of an earlier answer.
func (r *rig) browse(path string, cookies map[string]string) heard {
	r.t.Helper()
	var pairs []string
	for name, value := range cookies {
		pairs = append(pairs, name+"="+value)
	}
	line := ""
	if len(pairs) > 0 {
		line = "Cookie: " + strings.Join(pairs, "; ") + "\r\n"
	}
	return r.ask("GET " + path + " HTTP/1.1\r\nHost: h\r\n" + line + "\r\n")
}

// jar is the cookies of an answer.
func jar(h heard) map[string]string {
	out := map[string]string{}
	for _, line := range h.Header.Values("Set-Cookie") {
		name, rest, _ := strings.Cut(line, "=")
		out[name], _, _ = strings.Cut(rest, ";")
	}
	return out
}

func without(cookies map[string]string, name string) map[string]string {
	out := map[string]string{}
	for n, v := range cookies {
		if n != name {
			out[n] = v
		}
	}
	return out
}

// ELB "Sticky sessions for your Application Load Balancer", Duration-based stickiness.
func TestDurationStickiness(t *testing.T) {
	clock := newFakeClock()
	r := newRig(t, Options{Clock: clock, CookieSecret: []byte("secret")})
	targets := []Target{named(t, "a"), named(t, "b"), named(t, "c")}
	g := r.forwardTo(targets...)
	g.Stickiness = Stickiness{Type: StickyDuration, Duration: time.Hour}
	r.apply()
	first := r.browse("/", nil)
	lines := first.Header.Values("Set-Cookie")
	cookies := jar(first)
	value, expires := cookies["AWSALB"], "; Expires=Fri, 09 Jan 2026 03:04:05 GMT; Path=/"
	if len(lines) != 2 || lines[0] != "AWSALB="+value+expires || lines[1] != "AWSALBCORS="+value+expires+"; SameSite=None; Secure" {
		t.Fatalf("%q", lines)
	}
	if strings.Contains(value, "group") {
		t.Error("the cookie can be read")
	}
	for range 6 {
		got := r.browse("/", cookies)
		if got.body != first.body {
			t.Fatalf("left %s for %s", first.body, got.body)
		}
		if again := jar(got); again["AWSALB"] == "" || again["AWSALB"] == cookies["AWSALB"] {
			t.Error("not issued again")
		}
	}
	for range 4 { // a cross-site request has the other cookie only
		if got := r.browse("/", without(cookies, "AWSALB")); got.body != first.body {
			t.Errorf("AWSALBCORS: left %s for %s", first.body, got.body)
		}
	}
	moves := func(cookies map[string]string) bool {
		for range 4 {
			if r.browse("/", cookies).body != first.body {
				return true
			}
		}
		return false
	}
	for name, bad := range map[string]string{
		"nonsense": "nonsense", "empty": "", "changed": value[:len(value)-6] + "AAAA==", "URL-encoded": strings.ReplaceAll(value, "=", "%3D") + "%3D",
		"of another kind": r.cookies.seal(groupCookie, stick{"group", TargetKey{first.body, 1}}.content(), clock.Now(), clock.Now().Add(time.Hour)),
	} {
		if !moves(map[string]string{"AWSALB": bad}) {
			t.Errorf("%s: sticks", name)
		}
	}
	// The duration is kept inside, and starts again with every answer.
	clock.advance(50 * time.Minute)
	later := r.browse("/", cookies)
	if later.body != first.body {
		t.Error("moved before its time")
	}
	clock.advance(50 * time.Minute)
	if !moves(cookies) || moves(jar(later)) {
		t.Error("the duration is not from the last answer")
	}
	// Another server with the same secret understands it; keys turn, and the old ones count.
	g.Stickiness.Duration = 7 * 24 * time.Hour
	r.apply()
	cookies = jar(r.browse("/", jar(later)))
	clock.advance(6*24*time.Hour + 23*time.Hour)
	if moves(cookies) {
		t.Error("a key turned too early")
	}
	if _, ok := newKeyring([]byte("secret")).open(targetCookie, cookies["AWSALB"], clock.Now()); !ok {
		t.Error("a restart forgets")
	}
	if _, ok := newKeyring(nil).open(targetCookie, cookies["AWSALB"], clock.Now()); ok {
		t.Error("a stranger can read it")
	}
	clock.advance(2 * time.Hour)
	if !moves(cookies) {
		t.Error("sticks for too long")
	}
	// A target that leaves loses its clients, who get a new cookie.
	cookies = jar(r.browse("/", nil))
	home := r.browse("/", cookies).body
	var rest []Target
	for _, target := range targets {
		if target.ID != home {
			rest = append(rest, target)
		}
	}
	g.Targets = rest
	r.apply()
	moved := r.browse("/", cookies)
	if moved.body == home {
		t.Error("stays with a target that left")
	}
	for range 4 {
		if got := r.browse("/", jar(moved)); got.body != moved.body {
			t.Error("no new home")
		}
	}
}

// ELB "Sticky sessions for your Application Load Balancer", Application-based stickiness: ours follows theirs.
func TestApplicationStickiness(t *testing.T) {
	r := newRig(t, Options{})
	app := func(id string) Target {
		return httpTarget(t, id, func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/login" {
				http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
			}
			http.SetCookie(w, &http.Cookie{Name: "session2", Value: "1"})
			_, _ = io.WriteString(w, id)
		})
	}
	targets := []Target{app("a"), app("b")}
	g := r.forwardTo(targets...)
	g.Stickiness = Stickiness{Type: StickyApp, Duration: time.Hour, Cookie: "session"}
	r.apply()
	if got := jar(r.browse("/", nil)); len(got) != 1 {
		t.Fatal(got)
	}
	login := r.browse("/login", nil)
	cookies := jar(login)
	if cookies["AWSALBAPP-0"] == "" || len(cookies) != 3 {
		t.Fatal(cookies)
	}
	if got := login.Header.Values("Set-Cookie"); got[0] != "session=1" || strings.Contains(got[2], "SameSite") {
		t.Errorf("%q", got)
	}
	for range 4 {
		if got := r.browse("/", cookies); got.body != login.body || len(jar(got)) != 1 {
			t.Error(got.body, jar(got))
		}
	}
	chrome := r.ask("GET /login HTTP/1.1\r\nHost: h\r\nUser-Agent: Mozilla/5.0 Chrome/138.0.0.0 Safari/537.36\r\n\r\n")
	if got := chrome.Header.Values("Set-Cookie"); len(got) != 3 || !strings.HasSuffix(got[2], "; Path=/; SameSite=None; Secure") {
		t.Errorf("%q", got)
	}
	// When its target is gone, a session moves, and stays when the target comes back.
	left := targets[0]
	if left.ID != login.body {
		left = targets[1]
	}
	for _, target := range targets {
		if target != left {
			g.Targets = []Target{target}
		}
	}
	r.apply()
	moved := r.browse("/", cookies)
	if moved.body == login.body || jar(moved)["AWSALBAPP-0"] == "" {
		t.Fatal(moved.body, jar(moved))
	}
	g.Targets = targets
	r.apply()
	for range 4 {
		if got := r.browse("/", jar(moved)); got.body != moved.body {
			t.Error("went back to", got.body)
		}
	}
}

// ELB "Forward actions", Sticky sessions and weighted target groups.
func TestGroupStickiness(t *testing.T) {
	r := newRig(t, Options{})
	group := func(id TargetGroupID) TargetGroup {
		return TargetGroup{ID: id, HealthCheck: HealthCheck{Disabled: true}, Targets: []Target{named(t, string(id)+"1"), named(t, string(id)+"2")}, Stickiness: Stickiness{Type: StickyDuration, Duration: time.Hour}}
	}
	r.config.TargetGroups = []TargetGroup{group("blue"), group("green")}
	f := &Forward{TargetGroups: []WeightedTargetGroup{{"blue", 1}, {"green", 0}}, Stickiness: time.Hour}
	r.listener().Default = Action{Forward: f}
	r.apply()
	first := r.browse("/", nil)
	cookies, lines := jar(first), first.Header.Values("Set-Cookie")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "AWSALBTG=") || !strings.HasPrefix(lines[1], "AWSALBTGCORS=") || !strings.HasSuffix(lines[1], "; Path=/; SameSite=None; Secure") || !strings.HasPrefix(lines[2], "AWSALB=") {
		t.Fatalf("%q", lines)
	}
	f.TargetGroups = []WeightedTargetGroup{{"blue", 0}, {"green", 1}}
	r.apply()
	for range 4 { // also when no new client gets there
		if got := r.browse("/", cookies); got.body != first.body {
			t.Errorf("left %s for %s", first.body, got.body)
		}
	}
	if got := r.browse("/", without(without(cookies, "AWSALBTG"), "AWSALBTGCORS")); !strings.HasPrefix(got.body, "green") {
		t.Error(got.body)
	}
	f.TargetGroups = []WeightedTargetGroup{{"green", 1}}
	r.apply()
	if got := r.browse("/", cookies); !strings.HasPrefix(got.body, "green") {
		t.Error("stays with a group that is not in the action:", got.body)
	}
}
