#!/bin/sh
# build.sh DIR: builds the lab's two programs into DIR: lab, which is all of
# Kubernetes too, and lab-image, which runs inside of pods and is therefore
# small and static.
set -eu
# Without -trimpath, so that "go test" and "go vet" find in the cache what this
# compiled; all of Kubernetes twice is minutes.
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
CGO_ENABLED=0 go build -ldflags '-s -w' -o "$out/lab-image" ./programs
go build -ldflags "$(hack/ldflags.sh)" -o "$out/lab" .
