//go:build linux

// Command lab-image is everything that runs inside a pod of the lab, in one
// small static binary: the programs that answer as the original images do,
// a handful of shell tools for probes and hooks, and "init", which turns a
// fresh process into a container and then becomes the pod's program.
//
// The name it is called by picks the program, as with busybox; the runtime
// (package cri) puts a link for each name into /bin of a container's root.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// programs are the names under which lab-image can be called. It is filled in
// main and not in a variable's initialiser because sh refers back to it.
func programs() map[string]func(args []string) int {
	all := map[string]func([]string) int{
		"helloworld": helloworld,
		"hello-pks":  helloPKS,
		"game-2048":  game2048,
		"echo-basic": echoBasic,
		"app":        app,
		"pause":      pause,
		"sh":         shell,
	}
	for name, tool := range tools {
		all[name] = tool
	}
	return all
}

func main() {
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	if name == "lab-image" && len(args) > 0 {
		name, args = args[0], args[1:]
	}
	all := programs()
	switch name {
	case "init":
		os.Exit(runInit())
	case "list":
		names := make([]string, 0, len(all))
		for name := range all {
			names = append(names, name)
		}
		sort.Strings(names)
		fmt.Println(strings.Join(names, "\n"))
		return
	}
	program, ok := all[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "lab-image: no program %q; it is called by the runtime of Sluice's lab, not by hand\n", name)
		os.Exit(127)
	}
	os.Exit(program(args))
}
