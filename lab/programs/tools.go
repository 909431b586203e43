//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// tools are the few commands that probes, hooks and people at a prompt use.
// They have the options listed in their usage and no others.
var tools = map[string]func(args []string) int{
	"sleep":    sleep,
	"cat":      cat,
	"ls":       ls,
	"env":      printEnv,
	"hostname": hostname,
	"touch":    touch,
	"rm":       rm,
	"mkdir":    mkdir,
	"wget":     wget,
	"true":     func([]string) int { return 0 },
	"false":    func([]string) int { return 1 },
}

// pause waits for SIGTERM, as the original does.
func pause([]string) int {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	<-stop.Done()
	return 0
}

// shell runs "sh -c COMMAND", "sh FILE", or commands from standard input.
func shell(args []string) int {
	parser := syntax.NewParser(syntax.Variant(syntax.LangPOSIX))
	runner, err := interp.New(interp.StdIO(os.Stdin, os.Stdout, os.Stderr))
	if err != nil {
		return failed("sh", err)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()

	var program *syntax.File
	switch {
	case len(args) >= 2 && args[0] == "-c":
		program, err = parser.Parse(strings.NewReader(args[1]), "")
	case len(args) >= 1:
		var file *os.File
		if file, err = os.Open(args[0]); err == nil {
			program, err = parser.Parse(file, args[0])
		}
	default:
		return interactive(ctx, parser, runner)
	}
	if err != nil {
		return failed("sh", err)
	}
	return status(runner.Run(ctx, program))
}

// interactive reads statements one line at a time, so that a terminal gets
// each answer before the next question.
func interactive(ctx context.Context, parser *syntax.Parser, runner *interp.Runner) int {
	prompt := func() {
		if info, err := os.Stdin.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			fmt.Print("/ # ")
		}
	}
	prompt()
	var last error
	for statements, err := range parser.InteractiveSeq(os.Stdin) {
		if err != nil {
			return failed("sh", err)
		}
		if parser.Incomplete() {
			continue
		}
		for _, statement := range statements {
			last = runner.Run(ctx, statement)
			if runner.Exited() {
				return status(last)
			}
		}
		prompt()
	}
	return status(last)
}

func status(err error) int {
	var code interp.ExitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	default:
		return failed("sh", err)
	}
}

func failed(tool string, err error) int {
	fmt.Fprintf(os.Stderr, "%s: %v\n", tool, err)
	return 1
}

func sleep(args []string) int {
	if len(args) != 1 {
		return failed("sleep", errors.New("usage: sleep SECONDS"))
	}
	if args[0] == "infinity" {
		return pause(nil)
	}
	seconds, err := strconv.ParseFloat(strings.TrimSuffix(args[0], "s"), 64)
	if err != nil {
		return failed("sleep", err)
	}
	time.Sleep(time.Duration(seconds * float64(time.Second)))
	return 0
}

func cat(args []string) int {
	if len(args) == 0 {
		args = []string{"-"}
	}
	for _, name := range args {
		in := os.Stdin
		if name != "-" {
			file, err := os.Open(name)
			if err != nil {
				return failed("cat", err)
			}
			defer file.Close()
			in = file
		}
		if _, err := io.Copy(os.Stdout, in); err != nil {
			return failed("cat", err)
		}
	}
	return 0
}

func ls(args []string) int {
	if len(args) == 0 {
		args = []string{"."}
	}
	for _, dir := range args {
		info, err := os.Stat(dir)
		if err != nil {
			return failed("ls", err)
		}
		if !info.IsDir() {
			fmt.Println(dir)
			continue
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			return failed("ls", err)
		}
		for _, entry := range entries {
			fmt.Println(entry.Name())
		}
	}
	return 0
}

func printEnv([]string) int {
	for _, variable := range os.Environ() {
		fmt.Println(variable)
	}
	return 0
}

func hostname([]string) int {
	name, err := os.Hostname()
	if err != nil {
		return failed("hostname", err)
	}
	fmt.Println(name)
	return 0
}

func touch(args []string) int {
	for _, name := range args {
		file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return failed("touch", err)
		}
		file.Close()
		now := time.Now()
		if err := os.Chtimes(name, now, now); err != nil {
			return failed("touch", err)
		}
	}
	return 0
}

func rm(args []string) int {
	remove, force := os.Remove, false
	for _, name := range args {
		if strings.HasPrefix(name, "-") {
			if strings.ContainsAny(name, "rR") {
				remove = os.RemoveAll
			}
			force = force || strings.Contains(name, "f")
			continue
		}
		if err := remove(name); err != nil && (!force || !os.IsNotExist(err)) {
			return failed("rm", err)
		}
	}
	return 0
}

func mkdir(args []string) int {
	for _, name := range args {
		if name == "-p" {
			continue
		}
		if err := os.MkdirAll(filepath.Clean(name), 0o755); err != nil {
			return failed("mkdir", err)
		}
	}
	return 0
}

// wget prints the body of a URL: "wget -qO- URL" in its usual spellings.
func wget(args []string) int {
	var url string
	client := &http.Client{Timeout: 30 * time.Second}
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "-T" && i+1 < len(args):
			i++
			seconds, err := strconv.Atoi(args[i])
			if err != nil {
				return failed("wget", err)
			}
			client.Timeout = time.Duration(seconds) * time.Second
		case arg == "-" || arg == "-q" || arg == "-O" || arg == "-O-" || arg == "-qO-" || arg == "-qO" || arg == "--spider":
		case strings.HasPrefix(arg, "-"):
			return failed("wget", fmt.Errorf("unknown option %s (usage: wget [-T SECONDS] -qO- URL)", arg))
		default:
			url = arg
		}
	}
	if url == "" {
		return failed("wget", errors.New("usage: wget [-T SECONDS] -qO- URL"))
	}
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	response, err := client.Get(url)
	if err != nil {
		return failed("wget", err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(os.Stdout, response.Body); err != nil {
		return failed("wget", err)
	}
	if response.StatusCode >= 400 {
		return failed("wget", fmt.Errorf("server answered %s", response.Status))
	}
	return 0
}
