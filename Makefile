# Everything is built by the go command; these are the longer lines. `make test` is what CI runs.
#
#   make test         set-up, gofmt, vet, staticcheck, other platforms, all tests under the race detector
#   make test-all     the same, and the Azure CLI on the emulator, which it installs where it is not, and more platforms
#   make test-azbatch-suite   Microsoft's tests of its SDK against the emulator (part of make test)
#   make bench        the speed table of docs/benchmarks.md (PEERS=DIR: the other systems to compare with)
#   make fuzz         every fuzz test for FUZZTIME each
#   make quickstart   run the first example
#   make seismic      run the second; ARGS="-shots 8" passes flags

SHELL     := /bin/bash
GO        ?= go
PEERS     ?= ../shared/peers
BENCH     ?=
FUZZTIME  ?= 30s
ARGS      ?=
TIMEOUT   ?= 30m
PLATFORMS ?= darwin/arm64

# A tool is run at a fixed version by its path, which leaves go.mod alone.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: test test-azbatch-suite test-all azure-cli setup check fmt vet staticcheck platforms units bench fuzz quickstart seismic

test: setup check units test-azbatch-suite

test-azbatch-suite:
	@echo "== the tests of Microsoft's azbatch against the emulator"
	@$(GO) run ./emulator/internal/azbatchsuite

test-all: test azure-cli
	@$(MAKE) --no-print-directory platforms PLATFORMS="windows/amd64 linux/arm64"

azure-cli:
	@echo "== the Azure CLI on the emulator"
	@GO="$(GO)" scripts/azure-cli.sh

setup:
	@scripts/setup.sh

check: fmt vet staticcheck platforms

fmt:
	@echo "== gofmt"
	@bad=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go' | while read -r f; do [ -e "$$f" ] && echo "$$f"; done)); \
	if [ -n "$$bad" ]; then echo "gofmt would change:"; echo "$$bad"; exit 1; fi

vet:
	@echo "== go vet"
	@$(GO) vet ./...

staticcheck:
	@echo "== staticcheck"
	@$(GO) run $(STATICCHECK) ./...

platforms:
	@for p in $(PLATFORMS); do \
	  echo "== vet and link for $$p"; \
	  export GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0; \
	  $(GO) vet ./... && $(GO) build -o /dev/null ./cmd/clusterless && $(GO) build -o /dev/null ./examples/ring || exit 1; \
	done

units:
	@echo "== go test -race"
	@$(GO) run ./scripts/gotest -race -timeout $(TIMEOUT) ./...

bench:
	$(GO) run ./bench -peers "$(PEERS)" -o docs/benchmarks.md $(BENCH)

fuzz:
	@$(GO) list ./... | while read -r pkg; do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "== $$pkg $$f"; \
	    $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
	  done; \
	done

quickstart:
	$(GO) run ./examples/quickstart $(ARGS)

seismic:
	$(GO) run ./examples/seismic $(ARGS)
