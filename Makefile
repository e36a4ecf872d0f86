# What a person does with this repository. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/
STAMP := $(VENV)/.installed
GO := plugin cri testbed/binaries tests/conformance bench
# What shares a cluster or an API server stays on one worker; what takes longest begins first.
PARALLEL := -n 2 --dist loadscope --no-loadscope-reorder
export CGO_ENABLED := 0

.PHONY: help
help: ## List these targets
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## /{printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##  ---- a machine that can build ----

.PHONY: bootstrap
bootstrap: packages $(STAMP) ## Install what everything here needs (announced before it does)

.PHONY: packages
packages:
	@testbed/bootstrap packages

$(STAMP): locks/dev.txt pyproject.toml
	@PYTHON=$(PYTHON) testbed/bootstrap venv $(VENV)
	@touch $@

.PHONY: bootstrap-check
bootstrap-check: packages $(STAMP) ## Prove the list: bootstrap, lint and unit tests in a fresh Debian root
	@$(RUN)python -m testbed.freshroot

.PHONY: locks
locks: ## Resolve the Python dependencies anew (needs uv)
	uv pip compile -q --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url pyproject.toml -o locks/runtime.txt
	uv pip compile -q --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url pyproject.toml --group dev -o locks/dev.txt

##  ---- the code ----

.PHONY: generate
generate: $(STAMP) ## Write what is generated: CRDs, the chart's templates, references, alerts, the dashboard, the page on compatibility, versions
	$(RUN)python -m testbed.versions
	$(RUN)python -m mooring.installing.crds
	$(RUN)python -m charts.generate
	$(RUN)python -m mooring.rules.reference
	$(RUN)python -m mooring.metrics.reference
	$(RUN)python -m mooring.metrics.alerts
	$(RUN)python -m mooring.metrics.dashboard
	$(RUN)python -m tests.conformance.compatibility

.PHONY: format
format: $(STAMP) ## Format Python and Go
	$(RUN)ruff format .
	$(RUN)ruff check --fix .
	gofmt -w $(GO)

.PHONY: lint
lint: packages $(STAMP) ## Format, types, rings, vet, staticcheck, shellcheck
	$(RUN)ruff format --check .
	$(RUN)ruff check .
	$(RUN)mypy operator/mooring testbed tests bench charts releasing
	$(RUN)lint-imports --no-logo
	@test -z "$$(gofmt -l $(GO))" || { echo "gofmt would change:"; gofmt -l $(GO); exit 1; }
	cd plugin && go vet ./... && go tool -modfile=tools/go.mod staticcheck ./...
	cd cri && go vet ./... && go tool -modfile=../plugin/tools/go.mod staticcheck ./...
	for module in tests/conformance/*/go.mod; do (cd $$(dirname $$module) && go vet ./...); done
	shellcheck testbed/bootstrap testbed/kernel2/init plugin/build cri/build .ci/run

##  ---- tests ----

.PHONY: test
test: programs image test-go ## Unit, conformance, integration, second kernel, end to end; faults are a target of their own
	$(RUN)python -m tests.rights clear
	$(RUN)pytest $(PARALLEL) tests/e2e tests/integration tests/release tests/kernel2 tests/conformance tests/unit
	@$(RUN)python -m tests.rights quiet

.PHONY: audit-rights
audit-rights: $(STAMP) ## Compare the rights that are granted with what the tests asked for since they were cleared
	$(RUN)python -m tests.rights

.PHONY: test-unit
test-unit: $(STAMP) test-go ## The tests that need nothing but Python and Go; seconds
	$(RUN)pytest $(PARALLEL) tests/unit

.PHONY: test-go
test-go:
	cd plugin && go test ./...
	cd cri && go test ./...

.PHONY: test-conformance
test-conformance: programs ## The plugin as a black box in real network namespaces
	$(RUN)pytest $(PARALLEL) tests/conformance

.PHONY: test-integration
test-integration: programs ## Against a real API server
	$(RUN)pytest tests/integration

.PHONY: test-kernel2
test-kernel2: programs ## Delegates that this kernel may lack, in a second kernel
	$(RUN)pytest tests/kernel2 -s

.PHONY: test-e2e
test-e2e: programs image ## On a real cluster of two nodes
	$(RUN)pytest tests/e2e

.PHONY: test-oldest
test-oldest: image ## The end-to-end tests on the oldest Kubernetes and containerd that are supported
	MOORING_TESTBED_VERSIONS=oldest $(RUN)python -m testbed binaries >/dev/null
	MOORING_TESTBED_VERSIONS=oldest MOORING_E2E_NAME=oldest $(RUN)pytest tests/e2e

.PHONY: test-adoption
test-adoption: programs image ## Nodes of a Multus, thin and thick, become ours and go back, with running pods
	$(RUN)pytest tests/adoption -s

.PHONY: test-faults
test-faults: programs image ## Parts of a cluster of their own end, reboot, or go away for minutes
	MOORING_FAULTS_SECONDS_AWAY=120 $(RUN)pytest tests/faults -s

.PHONY: test-release
test-release: programs ## What a release is made of: the same bytes twice, programs for arm64
	$(RUN)pytest tests/release

.PHONY: test-upgrade
test-upgrade: programs image ## From the release before to this one and back, with running pods; minutes
	$(RUN)python -m testbed image --previous >/dev/null
	$(RUN)pytest tests/upgrade -s

# What takes minutes on a machine that has none of it is built before the tests: they have a
# minute each, with what they set up.
.PHONY: programs
programs: packages $(STAMP)
	$(RUN)python -m testbed binaries >/dev/null
	$(RUN)python -m testbed promtool >/dev/null

.PHONY: image
image: programs
	$(RUN)python -m testbed image >/dev/null

##  ---- see it ----

.PHONY: demo
demo: packages $(STAMP) ## A real cluster, and pods on real extra networks
	@$(RUN)python -m testbed.demo up

.PHONY: demo-down
demo-down: $(STAMP) ## End the demo; nothing of it stays
	@$(RUN)python -m testbed.demo down

.PHONY: demo-check-clean
demo-check-clean: $(STAMP) ## Compare the machine with what was noted before the demo
	@$(RUN)python -m testbed.demo check-clean

##  ---- speed ----

.PHONY: bench
bench: packages $(STAMP) ## Measure the plugin beside its delegates, interleaved, and an agent
	$(RUN)python -m bench

.PHONY: bench-scale
bench-scale: packages $(STAMP) ## Measure the operator in clusters of 100, 500 and 1,000 nodes that kwok plays
	$(RUN)python -m bench.scale

.PHONY: bench-lint
bench-lint: $(STAMP) ## Measure `mooring lint` with 1,000 manifests
	$(RUN)python -m bench.linting

.PHONY: fuzz
fuzz: ## Run each fuzz target for a minute
	cd plugin && for package in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
	  for target in $$(grep -rhoE --include='*_test.go' '^func Fuzz[A-Za-z0-9]*' $$package | awk '{print $$2}' | sort -u); do \
	    echo "--- $$package $$target"; go test $$package -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME); done; done

FUZZTIME ?= 60s

.PHONY: test-race
test-race: packages ## The Go tests under the race detector
	cd plugin && CGO_ENABLED=1 go test -race ./...
	cd cri && CGO_ENABLED=1 go test -race ./...

##  ---- a release ----

.PHONY: release
release: programs ## All artefacts of the commit that is checked out, in dist/
	$(RUN)python -m releasing

.PHONY: clean
clean: ## Remove what was built in this checkout (not the cache of binaries)
	rm -rf $(VENV) build dist plugin/bin .mypy_cache .ruff_cache .pytest_cache .hypothesis
