package playground

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// install makes sure of the machine's programs that the lab calls.
func install(p *progress) error {
	if _, err := exec.LookPath("nft"); err != nil {
		if err := p.step("install nftables", func() error { return aptInstall("nftables") }); err != nil {
			return fmt.Errorf("kube-proxy needs the program nft, and installing it failed (%w): install the package nftables by hand", err)
		}
	}
	if err := exec.Command("aws", "--version").Run(); err != nil {
		// A convenience for the user; nothing of the lab needs it.
		if err := p.step("install the aws command", func() error { return aptInstall("awscli") }); err != nil {
			p.line("    the lab works without it; to use it, install the AWS CLI by hand (%v)", err)
		}
	}
	return nil
}

func aptInstall(name string) error {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("this machine has no apt-get")
	}
	install := func() error {
		return quietly("apt-get", "-y", "-qq", "-o", "DPkg::Lock::Timeout=120", "install", "--no-install-recommends", name)
	}
	if install() == nil {
		return nil
	}
	// The package lists may be missing or old.
	if err := quietly("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", "update"); err != nil {
		return err
	}
	return install()
}

// quietly runs a command and, if it fails, says what it said last.
func quietly(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	return fmt.Errorf("%s %s: %s", name, strings.Join(args, " "), lines[len(lines)-1])
}
