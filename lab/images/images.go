// Package images says which container images the lab can run. An image here
// is not a file system: it is the name of one of our programs (lab/programs,
// built as bin/lab-image) that answers as the original image does, with the
// original's default environment. This file is the whole list.
//
// In: an image reference as it is written in a pod. Out: an Image, or an
// error that says what is known. Nothing is ever downloaded.
package images

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sort"
	"strings"
)

// Image is what the runtime needs to know to start a container.
type Image struct {
	// Name is the repository without registry default, tag or digest.
	Name string
	// Entrypoint and Cmd are what a pod's command and args replace.
	Entrypoint []string
	Cmd        []string
	// Env holds the variables that the original image sets, as KEY=VALUE.
	Env []string
}

// known maps a repository to its program. Any tag or digest of it will do: the
// program is ours, so there is only one version of each, save where the
// repository itself names one (helloworld v1 and v2).
var known = map[string]Image{
	"istio/examples-helloworld-v1": {Entrypoint: []string{"/bin/helloworld"}, Env: []string{"SERVICE_VERSION=v1"}},
	"istio/examples-helloworld-v2": {Entrypoint: []string{"/bin/helloworld"}, Env: []string{"SERVICE_VERSION=v2"}},

	"making/hello-pks": {Entrypoint: []string{"/bin/hello-pks"}},

	"public.ecr.aws/l6m2t8p7/docker-2048": {Entrypoint: []string{"/bin/game-2048"}},

	"gcr.io/k8s-staging-gateway-api/echo-basic": {Entrypoint: []string{"/bin/echo-basic"}},

	"kudohn/app1": {Entrypoint: []string{"/bin/app"}, Env: []string{
		"APP_NAME=app1",
		"APP_TEXT=私の戦闘力は530000です…ですが、もちろんフルパワーであなたと戦う気はありませんからご心配なく…",
	}},
	"kudohn/app2": {Entrypoint: []string{"/bin/app"}, Env: []string{
		"APP_NAME=app2",
		"APP_TEXT=ずいぶんムダな努力をするんですね・・・そんなことがわたしに通用するわけがないでしょう！",
	}},

	"registry.k8s.io/pause": {Entrypoint: []string{"/bin/pause"}},
	"busybox":               {Cmd: []string{"sh"}},
}

// Lookup finds the image that a reference names.
func Lookup(ref string) (Image, error) {
	name := Repository(ref)
	image, ok := known[name]
	if !ok {
		return Image{}, fmt.Errorf("the lab has no program for image %q: it downloads nothing and runs only %s (any tag)",
			ref, strings.Join(Names(), ", "))
	}
	image.Name = name
	return image, nil
}

// Names lists the repositories that Lookup knows, sorted.
func Names() []string {
	names := make([]string, 0, len(known))
	for name := range known {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Repository strips tag, digest and the default registry from a reference, so
// that the spellings of one image compare equal.
func Repository(ref string) string {
	name, _, _ := strings.Cut(ref, "@")
	// A colon after the last slash starts a tag; before it, a port.
	if colon := strings.LastIndex(name, ":"); colon > strings.LastIndex(name, "/") {
		name = name[:colon]
	}
	name = strings.TrimPrefix(name, "index.")
	name = strings.TrimPrefix(name, "docker.io/")
	return strings.TrimPrefix(name, "library/")
}

// ID is the content address that the kubelet shows for an image. It depends
// on the name only, for there is no content.
func (i Image) ID() string {
	sum := sha256.Sum256([]byte(i.Name))
	return "sha256:" + hex.EncodeToString(sum[:])
}
