package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
	"sigs.k8s.io/yaml"
)

// printDocument writes a value as JSON or YAML.
func printDocument(w io.Writer, format string, value any) error {
	out, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	if format == "yaml" {
		if out, err = yaml.JSONToYAML(out); err != nil {
			return err
		}
	}
	_, err = w.Write(append(bytes.TrimSpace(out), '\n'))
	return err
}

// ANSI escape sequences.
const (
	red, green, yellow, plain = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"
)

// colours of lines, by how they begin once blanks and branches are gone.
var colours = []struct{ mark, colour string }{
	{"+ ", green}, {"~ ", yellow}, {"- ", red}, {"✓ ", green}, {"✗ ", red}, {"! ", yellow},
}

// paint returns a writer that colours lines by their marks, where w is a terminal that shows colours (NO_COLOR turns
// them off, see no-color.org). Each Write must be of whole lines.
func paint(w io.Writer) io.Writer {
	f, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return w
	}
	return painter{w}
}

type painter struct{ io.Writer }

func (p painter) Write(text []byte) (int, error) {
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		out.WriteString(coloured(line))
	}
	if _, err := io.WriteString(p.Writer, out.String()); err != nil {
		return 0, err
	}
	return len(text), nil
}

func coloured(line string) string {
	body := strings.TrimLeft(line, " │├└─")
	for _, c := range colours {
		if strings.HasPrefix(body, c.mark) {
			text := strings.TrimSuffix(line, "\n")
			return c.colour + text + plain + line[len(text):]
		}
	}
	return line
}
