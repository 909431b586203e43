package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
)

// errRefused ends a command with status 1 after everything has been printed: something in the input is refused.
var errRefused = errors.New("some objects are refused; see above")

// errChanges ends a command with status 2: what was printed is something to do.
var errChanges = errors.New("there is something to do; see above")

// readManifests reads YAML files; "-" is standard input, and of a folder every *.yaml, *.yml and *.json in it.
func readManifests(cmd *cobra.Command, names []string, namespace string) ([]kube.Document, []lb.Verdict, error) {
	var documents []kube.Document
	var verdicts []lb.Verdict
	files, err := expand(names)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range files {
		d, v, err := readManifest(cmd.InOrStdin(), name, namespace)
		if err != nil {
			return nil, nil, err
		}
		documents = append(documents, d...)
		verdicts = append(verdicts, v...)
	}
	return documents, verdicts, nil
}

func readManifest(stdin io.Reader, name, namespace string) ([]kube.Document, []lb.Verdict, error) {
	if name == "-" {
		return kube.Read("standard input", stdin, namespace)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }() // only read from
	return kube.Read(name, f, namespace)
}

// expand turns folders into the manifests directly in them.
func expand(names []string) ([]string, error) {
	var files []string
	for _, name := range names {
		if name == "-" {
			files = append(files, name)
			continue
		}
		entries, err := os.ReadDir(name)
		var path *fs.PathError
		switch {
		case err == nil:
		case errors.As(err, &path) && !errors.Is(err, fs.ErrNotExist):
			files = append(files, name)
			continue
		default:
			return nil, err
		}
		before := len(files)
		for _, e := range entries {
			if slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) && !e.IsDir() {
				files = append(files, filepath.Join(name, e.Name()))
			}
		}
		if len(files) == before {
			return nil, fmt.Errorf("there is no .yaml, .yml or .json file in %s", name)
		}
	}
	return files, nil
}

func refused(verdicts []lb.Verdict) bool {
	return slices.ContainsFunc(verdicts, func(v lb.Verdict) bool { return v.Severity == lb.Refused })
}
