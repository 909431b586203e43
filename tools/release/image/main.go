// Command image writes a container image as an OCI layout, without a container engine: for each platform a static
// binary on nothing, run by nobody (uid 65532), and beside each a software bill of materials (CycloneDX) as an artifact
// that refers to it. Equal binaries give equal images: every time stamp is that of the commit.
//
// Usage: image -output DIR -name NAME -version VERSION -time UNIX-SECONDS PLATFORM=BINARY=SBOM...
package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// nobody is the user of images that need none.
const nobody = 65532

const sbomType = types.MediaType("application/vnd.cyclonedx+json")

// description is what all platforms of an image share.
type description struct {
	name    string // of the program, which is /NAME in the image
	version string
	created time.Time
}

func main() {
	var d description
	output := flag.String("output", "", "folder of the OCI layout; it is written anew")
	flag.StringVar(&d.name, "name", "", "name of the program")
	flag.StringVar(&d.version, "version", "", "version, in the image's annotations")
	seconds := flag.Int64("time", 0, "time of the commit, in Unix seconds")
	flag.Parse()
	d.created = time.Unix(*seconds, 0).UTC()
	if err := run(*output, d, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(output string, d description, platforms []string) error {
	if output == "" || d.name == "" || len(platforms) == 0 {
		return errors.New("need -output, -name and at least one PLATFORM=BINARY=SBOM")
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, text := range platforms {
		parts := strings.Split(text, "=")
		if len(parts) != 3 {
			return fmt.Errorf("%q is not PLATFORM=BINARY=SBOM", text)
		}
		platform, err := v1.ParsePlatform(parts[0])
		if err != nil {
			return err
		}
		image, err := d.image(*platform, parts[1])
		if err != nil {
			return fmt.Errorf("%s: %w", parts[0], err)
		}
		bill, err := d.bill(image, parts[2])
		if err != nil {
			return fmt.Errorf("%s: %w", parts[0], err)
		}
		index = mutate.AppendManifests(index,
			mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}},
			mutate.IndexAddendum{Add: bill, Descriptor: v1.Descriptor{ArtifactType: string(sbomType)}})
	}
	if err := os.RemoveAll(output); err != nil {
		return err
	}
	_, err := layout.Write(output, index)
	return err
}

// image is one platform's: /NAME, and files that say who nobody is.
func (d description) image(platform v1.Platform, binary string) (v1.Image, error) {
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	layer, err := d.layer([]file{
		{"etc/passwd", 0o644, fmt.Appendf(nil, "nobody:x:%d:%d::/:/sbin/nologin\n", nobody, nobody)},
		{"etc/group", 0o644, fmt.Appendf(nil, "nobody:x:%d:\n", nobody)},
		{d.name, 0o755, program},
	})
	if err != nil {
		return nil, err
	}
	image, err := mutate.Append(mutate.MediaType(empty.Image, types.OCIManifestSchema1), mutate.Addendum{
		Layer: layer, MediaType: types.OCILayer,
		History: v1.History{Created: v1.Time{Time: d.created}, CreatedBy: "tools/release/image"},
	})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = platform.OS, platform.Architecture, platform.Variant
	config.Created = v1.Time{Time: d.created}
	config.Config = v1.Config{
		User: fmt.Sprintf("%d:%d", nobody, nobody), Entrypoint: []string{"/" + d.name}, WorkingDir: "/",
		Env:    []string{"PATH=/"},
		Labels: map[string]string{"org.opencontainers.image.title": d.name, "org.opencontainers.image.version": d.version},
	}
	return mutate.ConfigFile(image, config)
}

// bill is an artifact with the bill of materials of an image.
func (d description) bill(of v1.Image, path string) (v1.Image, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	artifact, err := mutate.AppendLayers(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), sbomType),
		static.NewLayer(content, sbomType))
	if err != nil {
		return nil, err
	}
	digest, err := of.Digest()
	if err != nil {
		return nil, err
	}
	size, err := of.Size()
	if err != nil {
		return nil, err
	}
	subject := mutate.Subject(artifact, v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: digest, Size: size})
	return subject.(v1.Image), nil
}

type file struct {
	path    string
	mode    int64
	content []byte
}

// layer packs files, with the folders that they are in.
func (d description) layer(files []file) (v1.Layer, error) {
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	folders := map[string]bool{}
	for _, f := range files {
		if folder, _, nested := strings.Cut(f.path, "/"); nested && !folders[folder] {
			folders[folder] = true
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder + "/", Mode: 0o755, ModTime: d.created}); err != nil {
				return nil, err
			}
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.path, Mode: f.mode, Size: int64(len(f.content)), ModTime: d.created}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil })
}
