# Sluice: `make help` lists what there is to do.

.DEFAULT_GOAL := help
SHELL := /bin/bash -o pipefail
TOOL := go tool -modfile=tools/go.mod
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
GOOS := $(shell go env GOOS)
ROOT := $(shell [ "$$(id -u)" = 0 ] && echo yes)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The Go compiler keeps its own cache, so these always ask it.
.PHONY: build
build: bin/sluice bin/lab ## Build bin/sluice and bin/lab

.PHONY: bin/sluice
bin/sluice:
	@CGO_ENABLED=0 hack/progress "building bin/sluice" go build -trimpath -ldflags '$(LDFLAGS)' -o bin/sluice ./cmd/sluice

.PHONY: bin/lab
bin/lab:
	@hack/progress "building bin/lab (Kubernetes from source: minutes at first, then cached)" lab/hack/build.sh bin

.PHONY: up
up: ## Bring up Kubernetes, local AWS, the controller and the samples on this machine (Linux, root)
	@hack/need-lab
	@$(MAKE) --no-print-directory build
	@bin/lab up $(LAB)

.PHONY: down
down: ## Remove everything that `make up` made
	@hack/need-lab
	@if [ -x bin/lab ]; then bin/lab down; else echo "nothing is up: bin/lab has not been built"; fi

.PHONY: env
env: ## Print the environment of the playground, for eval
	@bin/lab env

.PHONY: test
test: unit e2e ## All tests that this machine can run; says what it left out

.PHONY: unit
unit: ## Tests that need no root
	go test ./...
	go test -C tools/release ./image
	go test -C test/signin ./...
	go test -C test/h2spec ./...

.PHONY: fuzz
fuzz: ## Fuzz the decoders and the request path of local AWS, FUZZTIME=60s each (5s in CI)
	hack/fuzz

.PHONY: race
race: ## The same under the race detector
	go test -race ./internal/... ./cmd/...

.PHONY: clients
clients: ## Local AWS driven by the aws CLI, boto3, curl, dig, gRPC and WebSockets, and compared with moto
	@hack/need-clients
	go test -tags clients -count=1 ./test/clients

.PHONY: e2e
e2e: ## End-to-end tests in the lab (Linux, root)
ifeq ($(GOOS)-$(ROOT),linux-yes)
	@$(MAKE) --no-print-directory build
	@hack/need-e2e
	@$(MAKE) --no-print-directory clients
	cd lab && go test -tags root ./...
	go test -tags e2e -count=1 ./internal/dns/rfc2136
	hack/e2e
else
	@echo "left out: the end-to-end tests, which need Linux and root (make e2e)"
endif

.PHONY: bench
bench: ## Benchmarks; those of the whole system only where the lab can run
	go test -run '^$$' -bench . -benchmem ./bench
ifeq ($(GOOS)-$(ROOT),linux-yes)
	@$(MAKE) --no-print-directory build
	@hack/need-e2e
	go test -tags e2e -run '^$$' -bench . -benchtime 1x -timeout 30m ./test
else
	@echo "left out: the benchmarks of the whole system, which need Linux and root"
endif

.PHONY: lint
lint: ## Formatting, vet, golangci-lint, generated files
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "run make fmt:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(TOOL) golangci-lint run --allow-parallel-runners ./...
	cd lab && go tool -modfile=../tools/go.mod golangci-lint run --allow-parallel-runners ./...
	cd test/signin && go tool -modfile=../../tools/go.mod golangci-lint run --allow-parallel-runners ./...
	cd test/h2spec && go tool -modfile=../../tools/go.mod golangci-lint run --allow-parallel-runners ./...
	cd tools/release && go tool -modfile=../go.mod golangci-lint run --allow-parallel-runners ./image
	@hack/check-generated

.PHONY: fmt
fmt: ## Format all Go files
	gofmt -w $$(git ls-files '*.go')

.PHONY: generate
generate: ## Write the generated files: deep copies, CRDs, config/, annotation pages in docs/
	$(TOOL) controller-gen object paths=./api/...
	$(TOOL) controller-gen crd:maxDescLen=200 paths=./api/... output:crd:dir=charts/sluice/crds
	go test ./internal/annot -run Reference -update
	go test ./charts -update

.PHONY: image
image: ## Write the container image (OCI layout) and its bill of materials to dist/
	@hack/image $(PLATFORMS)
	@du -sh dist/image | cut -f1 | xargs printf 'dist/image: %s for all platforms, compressed\n'

.PHONY: clean
clean: ## Remove what make build and make image made
	rm -rf bin dist
