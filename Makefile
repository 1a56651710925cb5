# Everything that is done to gatehouse, by name. `make` lists it.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
TEMPL   := go tool -modfile=scripts/tools/templ.mod templ
CHECK   := go tool -modfile=scripts/tools/staticcheck.mod staticcheck

.DEFAULT_GOAL := help

.PHONY: help
help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## the static, stripped binary, as bin/gatehouse
	CGO_ENABLED=0 go build -trimpath -buildvcs=auto -ldflags '-s -w -X main.version=$(VERSION)' -o bin/gatehouse ./cmd/gatehouse

.PHONY: demo
demo: ## a provider, a sample app and a sample API, on a throw-away database
	go run ./cmd/gatehouse demo

.PHONY: dev
dev: ## the demo, started anew whenever a template or a Go file changes
	scripts/dev

.PHONY: generate
generate: ## Go from the templates, and docs/configuration.md from the settings
	$(TEMPL) generate -log-level error -path templates
	go run ./cmd/gatehouse config reference > docs/configuration.md

.PHONY: deps
deps: ## install what building and testing need
	scripts/deps

.PHONY: lint
lint: ## formatting, stale generated code, vet and staticcheck
	scripts/generated
	@unformatted="$$(gofmt -l .)"; test -z "$$unformatted" || { echo "run gofmt -w on:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	$(CHECK) ./...

.PHONY: test
test: deps lint ## everything that must hold before a change lands
	go test -race -timeout 30m ./...
	GATEHOUSE_TEST_NODES=2 go test -race -timeout 30m ./provider ./web/signin ./e2e
	go -C scripts/tools/compose test ./...

.PHONY: bench
bench: ## start-up time, memory, size, and CPU and allocations of each operation
	go test -run '^$$' -bench . -benchmem -timeout 30m ./...

.PHONY: fuzz
fuzz: ## each parser that faces strangers, for FUZZTIME (30s)
	scripts/fuzz $(or $(FUZZTIME),30s)
