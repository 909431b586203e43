#!/bin/sh
# Prints the -ldflags for bin/lab. Kubernetes' programs must know their version
# or kubectl and the kubelet cannot make sense of each other. The version is the
# one that go.mod requires.
set -eu
cd "$(dirname "$0")/.."
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
major=$(echo "$version" | sed 's/^v\([0-9]*\).*/\1/')
minor=$(echo "$version" | sed 's/^v[0-9]*\.\([0-9]*\).*/\1/')
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
	printf ' -X %s.gitVersion=%s -X %s.gitMajor=%s -X %s.gitMinor=%s -X %s.gitTreeState=clean -X %s.gitCommit=' \
		$package "$version" $package "$major" $package "$minor" $package $package
done
printf ' -s -w\n'
