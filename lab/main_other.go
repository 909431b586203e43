//go:build !linux

// Command lab runs a real Kubernetes on one Linux machine. This is not one.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, `Sluice's lab needs Linux and root: run "sudo make up", or on other machines bring a cluster of your own (kind, k3d, minikube, EKS): see docs/other-clusters.md`)
	os.Exit(1)
}
