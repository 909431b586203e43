package playground

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluicehq/sluice/lab/network"
)

// Env prints the shell commands that point kubectl, the aws CLI and curl's
// users at the lab.
func Env(w io.Writer, o Options) error {
	l, found, err := open(o.Dir, o.Root)
	if err != nil {
		return err
	}
	if !found {
		return errors.New("no lab is up: run \"make up\" (or \"lab up\") first")
	}
	_, err = fmt.Fprint(w, l.env())
	return err
}

func (l lab) env() string {
	endpoint := l.endpoint()
	line := "export KUBECONFIG=" + quote(l.cluster.Admin()) +
		" AWS_ENDPOINT_URL=" + quote(endpoint.URL) +
		// The second name is the one that version 1 of the aws command knows.
		" AWS_REGION=" + network.Region + " AWS_DEFAULT_REGION=" + network.Region +
		" AWS_ACCESS_KEY_ID=" + quote(endpoint.AccessKeyID) +
		" AWS_SECRET_ACCESS_KEY=" + quote(endpoint.SecretAccessKey)
	if server := l.dnsServer(); server != "" {
		line += " LOCAL_AWS_DNS=" + server
	}
	line += "\n"
	if bin := filepath.Join(l.root, "bin"); exists(filepath.Join(bin, "kubectl")) {
		line += "export PATH=" + quote(bin) + ":\"$PATH\"\n"
	}
	return line
}

// quote makes a word for a shell, with quotes only where they are needed.
func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-:=,@%+", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
