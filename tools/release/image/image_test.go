package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// written builds the program for this machine and writes its image twice, which must come out equal.
func written(t *testing.T) v1.ImageIndex {
	t.Helper()
	dir := t.TempDir()
	binary, bill := filepath.Join(dir, "sluice"), filepath.Join(dir, "sluice.cdx.json")
	build := exec.Command("go", "build", "-C", "../../..", "-trimpath", "-ldflags=-s -w", "-o", binary, "./cmd/sluice")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.WriteFile(bill, []byte(`{"bomFormat": "CycloneDX"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	d := description{name: "sluice", version: "v0", created: time.Unix(1_800_000_000, 0).UTC()}
	var digests []string
	var index v1.ImageIndex
	for _, name := range []string{"first", "second"} {
		output := filepath.Join(dir, name)
		if err := run(output, d, []string{"linux/" + runtime.GOARCH + "=" + binary + "=" + bill}); err != nil {
			t.Fatal(err)
		}
		path, err := layout.FromPath(output)
		if err != nil {
			t.Fatal(err)
		}
		if index, err = path.ImageIndex(); err != nil {
			t.Fatal(err)
		}
		digest, err := index.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, digest.String())
	}
	if digests[0] != digests[1] {
		t.Errorf("written twice, the image differs: %v", digests)
	}
	return index
}

func TestTheImageIsValidAndRunsItsProgramAsNobody(t *testing.T) {
	index := written(t)
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 2 {
		t.Fatal(manifest, err)
	}
	image, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Architecture != runtime.GOARCH || config.Config.User != "65532:65532" || strings.Join(config.Config.Entrypoint, " ") != "/sluice" {
		t.Errorf("%+v", config)
	}
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatal(layers, err)
	}
	if size, err := layers[0].Size(); err != nil || size > 80<<20 {
		t.Errorf("the image has %d bytes, and 80 MB are its limit (%v)", size, err)
	}
	root := unpack(t, layers[0])
	cmd := exec.Command("/sluice", "version")
	if os.Geteuid() == 0 { // as a container runtime would
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		cmd.Dir = "/"
	} else {
		cmd.Path = filepath.Join(root, "sluice")
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.HasPrefix(out, []byte("sluice ")) {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestTheBillOfMaterialsRefersToItsImage(t *testing.T) {
	index := written(t)
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	bill, err := index.Image(manifest.Manifests[1].Digest)
	if err != nil {
		t.Fatal(err)
	}
	got, err := bill.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if got.Subject == nil || got.Subject.Digest != manifest.Manifests[0].Digest || got.Config.MediaType != sbomType {
		t.Errorf("%+v", got)
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	for _, args := range [][]string{nil, {"linux/amd64"}, {"linux/amd64=/nonexistent=/nonexistent"}} {
		if err := run(t.TempDir(), description{name: "sluice"}, args); err == nil {
			t.Error(args, "were taken")
		}
	}
}

func unpack(t *testing.T, layer v1.Layer) string {
	t.Helper()
	root := t.TempDir()
	if err := os.Chmod(filepath.Dir(root), 0o755); err != nil { // nobody must get through
		t.Fatal(err)
	}
	content, err := layer.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	for r := tar.NewReader(content); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return root
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(root, header.Name)
		if header.Typeflag == tar.TypeDir {
			err = os.Mkdir(path, 0o755)
		} else {
			var data []byte
			if data, err = io.ReadAll(r); err == nil {
				err = os.WriteFile(path, data, os.FileMode(header.Mode)) //nolint:gosec // ours
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
