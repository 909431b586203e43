//go:build e2e

package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// lab is the playground that all scripts share. What it needs to be reached comes from `lab env`.
var lab struct {
	root string   // of the repository
	env  []string // KEY=value
}

func TestMain(m *testing.M) {
	stop, err := startLab()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bring up the lab:", err)
		os.Exit(1)
	}
	code := m.Run()
	stop()
	os.Exit(code)
}

// startLab brings the lab up, and takes it down afterwards if it was not up before.
func startLab() (stop func(), err error) {
	if lab.root, err = filepath.Abs(".."); err != nil {
		return nil, err
	}
	bin := filepath.Join(lab.root, "bin", "lab")
	wasUp := exec.Command(bin, "env").Run() == nil
	stop = func() {}
	if !wasUp {
		stop = func() {
			down := exec.Command(bin, "down")
			down.Stdout, down.Stderr = os.Stdout, os.Stderr
			_ = down.Run() // the tests' result stands, and the user sees what it printed
		}
	}
	up := exec.Command(bin, "up")
	up.Stdout, up.Stderr = os.Stdout, os.Stderr
	if err := up.Run(); err != nil {
		stop()
		return nil, err
	}
	out, err := exec.Command(bin, "env").Output()
	if err != nil {
		stop()
		return nil, err
	}
	for _, match := range regexp.MustCompile(`([A-Z][A-Z_]*)=(\S+)`).FindAllStringSubmatch(string(out), -1) {
		value := strings.ReplaceAll(strings.Trim(match[2], `"'`), "$PATH", os.Getenv("PATH"))
		lab.env = append(lab.env, match[1]+"="+value)
	}
	return stop, nil
}

// TestScripts runs the scripts that do not mind others beside them.
func TestScripts(t *testing.T) { run(t, ".") }

// TestAlone runs those that do: they restart what is shared, or count calls. Go starts it when the others are done.
func TestAlone(t *testing.T) {
	scripts, err := filepath.Glob("alone/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) { run(t, "", script) })
	}
}

func run(t *testing.T, dir string, files ...string) {
	testscript.Run(t, testscript.Params{
		Dir:   dir,
		Files: files,
		Setup: setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"address":  address,
			"until":    until,
			"distinct": distinct,
			"calls":    calls,
			"settle":   settle,
		},
		RequireUniqueNames: true,
	})
}

// setup gives a script the lab's environment and a namespace of its own, $NAMESPACE, which goes with the script.
func setup(env *testscript.Env) error {
	env.Vars = append(env.Vars, "HOME="+os.Getenv("HOME"), "ROOT="+lab.root, "PATH="+filepath.Join(lab.root, "bin")+":"+os.Getenv("PATH"))
	env.Vars = append(env.Vars, lab.env...)
	name := "e2e-" + strings.ToLower(regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(strings.TrimPrefix(filepath.Base(env.WorkDir), "script-"), "-"))
	name += fmt.Sprintf("-%d", os.Getpid()) // what an earlier run left must not be in the way
	env.Vars = append(env.Vars, "NAMESPACE="+name)
	if out, err := kubectl("create", "namespace", name); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	env.Defer(func() {
		if out, err := kubectl("delete", "namespace", name, "--timeout=120s"); err != nil {
			fmt.Fprintf(os.Stderr, "delete namespace %s: %v: %s\n", name, err, out)
		}
	})
	return nil
}

func kubectl(args ...string) (string, error) {
	cmd := exec.Command("kubectl", args...)
	cmd.Env = append(os.Environ(), lab.env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// address VAR [ingress|service] [namespace/]name: waits until the object, an Ingress unless told, has a host name, and sets
// VAR to its address and VAR_NAME to the name, as the lab's DNS server answers it.
func address(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 2 {
		args = []string{args[0], "ingress", args[1]}
	}
	if neg || len(args) != 3 {
		ts.Fatalf("usage: address VAR [ingress|service] [NAMESPACE/]NAME")
	}
	kind := args[1]
	namespace, object, found := strings.Cut(args[2], "/")
	if !found {
		namespace, object = ts.Getenv("NAMESPACE"), args[2]
	}
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, ts.Getenv("LOCAL_AWS_DNS"))
	}}
	deadline := time.Now().Add(60 * time.Second)
	for {
		name, err := kubectl("get", kind, "-n", namespace, object, "-o", "jsonpath={.status.loadBalancer.ingress[0].hostname}")
		if err == nil && name != "" {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			addresses, lookup := resolver.LookupHost(ctx, name+".")
			cancel()
			if err = lookup; err == nil {
				ts.Setenv(args[0], addresses[0])
				ts.Setenv(args[0]+"_NAME", name)
				return
			}
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s %s/%s has no address after a minute: %q %v", kind, namespace, object, name, err)
		}
		pause()
	}
}

// until DURATION [-match REGEXP] COMMAND...: runs the command until it succeeds and its output matches. With a leading
// !, until it fails or its output does not match.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: until DURATION [-match REGEXP] COMMAND...")
	}
	limit, err := time.ParseDuration(args[0])
	ts.Check(err)
	args = args[1:]
	pattern := regexp.MustCompile("")
	if args[0] == "-match" {
		pattern, err = regexp.Compile("(?s)" + args[1])
		ts.Check(err)
		args = args[2:]
	}
	deadline := time.Now().Add(limit)
	for {
		err := ts.Exec(args[0], args[1:]...)
		out := ts.ReadFile("stdout")
		if (err == nil && pattern.MatchString(out)) != neg {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("not after %s: %s\nlast output: %s%s(%v)", limit, strings.Join(args, " "), out, ts.ReadFile("stderr"), err)
		}
		pause()
	}
}

// distinct N TRIES COMMAND...: runs the command until it has printed N different lines, at most TRIES times.
func distinct(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: distinct N TRIES COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	tries, err := strconv.Atoi(args[1])
	ts.Check(err)
	seen := map[string]bool{}
	for range tries {
		ts.Check(ts.Exec(args[2], args[3:]...))
		for line := range strings.Lines(ts.ReadFile("stdout")) {
			seen[line] = true
		}
		if len(seen) >= want {
			return
		}
	}
	ts.Fatalf("%d different lines in %d tries, want %d: %v", len(seen), tries, want, seen)
}

// calls reset: forgets the calls that local AWS has counted. calls PATTERN N: those whose name matches number N.
// calls list: prints them.
func calls(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: calls reset | calls list | calls PATTERN N")
	}
	if args[0] == "reset" {
		_, err := countedCalls(ts.Getenv("AWS_ENDPOINT_URL"), http.MethodDelete)
		ts.Check(err)
		return
	}
	counted, err := countedCalls(ts.Getenv("AWS_ENDPOINT_URL"), http.MethodGet)
	ts.Check(err)
	if args[0] == "list" {
		ts.Logf("%v", counted)
		return
	}
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	got := 0
	for name, n := range counted {
		if pattern.MatchString(name) {
			got += n
		}
	}
	if got != want {
		ts.Fatalf("%d calls match %s, want %d: %v", got, args[0], want, counted)
	}
}

func countedCalls(endpoint, method string) (map[string]int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, endpoint+"/_local/calls", nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || method == http.MethodDelete {
		return nil, err
	}
	counted := map[string]int{}
	return counted, errors.Join(err, json.Unmarshal(body, &counted))
}

// settle [QUIET]: waits until local AWS has seen no call for that long (2s unless told), for at most a minute.
func settle(ts *testscript.TestScript, _ bool, args []string) {
	quiet := 2 * time.Second
	if len(args) > 0 {
		var err error
		quiet, err = time.ParseDuration(args[0])
		ts.Check(err)
	}
	deadline := time.Now().Add(time.Minute)
	last, since := "", time.Now()
	for {
		counted, err := countedCalls(ts.Getenv("AWS_ENDPOINT_URL"), http.MethodGet)
		ts.Check(err)
		if now := fmt.Sprint(counted); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) >= quiet {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("local AWS is still called after a minute: %s", last)
		}
		pause()
	}
}

// pause is between two looks at a world that nobody tells us about.
func pause() { time.Sleep(200 * time.Millisecond) }
