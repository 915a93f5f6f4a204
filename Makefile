# Every verb of the project. CI calls only these.
.DEFAULT_GOAL := help
.PHONY: help demo test test-wheel check bench compare torture docs test-all build collector stack clean

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS := web,query,plot,auth,nats,sql
# Tested beside ours; the newest one names an older opentelemetry-instrumentation than the SDK needs.
BESIDE := --no-deps 'opentelemetry-distro>=0.66b1'
PYTEST := --numprocesses 2 --dist worksteal
# What takes minutes to build is kept outside the tree, under the hash of what it is built from.
GO ?= $(or $(shell command -v go),/usr/local/go/bin/go)
built = $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/otel-metrics/$(1)/$(firstword $(shell cat $(2) | sha256sum))/$(1)
MANIFEST := collector-config/builder.yaml
COLLECTOR := $(call built,otelcol,$(MANIFEST))
PROMETHEUS := $(call built,prometheus,tests/programs/prometheus/go.mod)
BROKER := $(call built,broker,tests/programs/broker/go.mod tests/programs/broker/main.go)
COMPOSE := $(call built,compose,tests/programs/compose/go.mod)
# What is committed is of the built-in catalog, whatever catalog the shell names.
RENDER := env -u OTEL_PYTHON_METRICS_CATALOG $(BIN)/otel-metrics catalog render
GO_BUILD := GOTOOLCHAIN=local GOFLAGS=-mod=readonly CGO_ENABLED=0 nice $(GO) build -trimpath -ldflags '-s -w'

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml Makefile
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]' --group dev
	$(BIN)/python -m pip install --quiet $(BESIDE)
	@touch $@

demo: $(STAMP) ## Run the demo agent for 15 s (DEMO_SECONDS) and archive it in ./telemetry
	$(BIN)/otel-metrics demo

ifeq ($(CI),1)
test: test-wheel ## Run every test but the long forms (under CI=1 against the built wheel)
else
test: $(STAMP)
	$(BIN)/python -m pytest $(PYTEST)
endif

test-wheel: build ## Run every test against the built wheel, with the source tree out of the way
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	$(PYTHON) -m venv $$folder/venv && \
	$$folder/venv/bin/python -m pip install --quiet --upgrade pip && \
	$$folder/venv/bin/python -m pip install --quiet "$$(ls -t dist/*.whl | head -1)[$(EXTRAS)]" --group dev && \
	$$folder/venv/bin/python -m pip install --quiet $(BESIDE) && \
	git ls-files -z | grep -zv -e '^otel_metrics/' -e '^exporters/' | xargs -0 cp --parents -t $$folder && \
	cd $$folder && venv/bin/python -m pytest $(PYTEST)

check: $(STAMP) ## Format, lint, types, import rules, quick tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy otel_metrics exporters/otel_exporter_ndjson exporters/otel_exporter_prometheus tests benchmarks examples
	$(BIN)/lint-imports
	$(BIN)/python -m pytest $(PYTEST) -m 'not slow' -q

bench: $(STAMP) ## Run every benchmark; each prints its ratio against a peer in the same run, or figures where there is none
	@status=0; for file in benchmarks/*.py; do \
	  echo "== $$file"; $(BIN)/python $$file || status=1; \
	done; exit $$status

compare: $(STAMP) ## Measure ten common pains with the plain SDK and with otel-metrics, as a table (ARGS="--only fork")
	@$(BIN)/python -m tests.compare $(ARGS)

torture: $(STAMP) ## Kill 10,000 writers, cut the power 2,000 times, fail disks, damage files (ARGS="--only kills --cycles 500")
	$(BIN)/python -m tests.torture $(ARGS)

docs: $(STAMP) ## Render docs/reference/, Prometheus' rules and Grafana's dashboards from the catalog
	$(RENDER) docs --out docs/reference
	$(RENDER) prometheus --out collector-config/prometheus
	$(RENDER) grafana --out collector-config/grafana

test-all: ## Run the tests on every Python 3.11 to 3.14 that is found
	@for minor in 11 12 13 14; do \
	  if python3.$$minor -c '' 2>/dev/null; then \
	    echo "== python3.$$minor"; \
	    $(MAKE) --no-print-directory test PYTHON=python3.$$minor VENV=.venv-3.$$minor || exit 1; \
	  else echo "== python3.$$minor: not found"; fi; \
	done

build: $(STAMP) ## Build the wheel and the source distribution into dist/
	$(BIN)/python -m build --outdir dist .

collector: $(COLLECTOR) $(PROMETHEUS) $(BROKER) $(COMPOSE) ## Build the collector and other programs in Go that tests use, into ~/.cache
	@printf '%s\n' $^

$(COLLECTOR): | go
	@mkdir -p $(@D) && folder=$$(mktemp -d $(@D)/build.XXXXXX) && trap 'rm -rf "$$folder"' EXIT && \
	cp $(MANIFEST) $$folder && version=$$(sed -n 's/^  version: //p' $(MANIFEST)) && cd $$folder && \
	GOTOOLCHAIN=local nice $(GO) run go.opentelemetry.io/collector/cmd/builder@v$$version \
	  --config=builder.yaml --skip-strict-versioning=false && \
	mv build/otelcol $@

$(PROMETHEUS): | go
	@mkdir -p $(@D) && cd tests/programs/prometheus && for program in promtool prometheus; do \
	  $(GO_BUILD) -tags remove_all_sd -o $(@D)/$$program.new \
	    github.com/prometheus/prometheus/cmd/$$program && mv $(@D)/$$program.new $(@D)/$$program || exit; \
	done

$(BROKER): | go
	@mkdir -p $(@D) && cd tests/programs/broker && $(GO_BUILD) -o $@ .

$(COMPOSE): | go
	@mkdir -p $(@D) && cd tests/programs/compose && \
	$(GO_BUILD) -o $@ github.com/compose-spec/compose-go/v2/cmd

.PHONY: go
go:
	@command -v $(GO) >/dev/null || { echo 'go is not installed: apt-get install golang-go (1.26 or later)'; exit 2; }

stack: $(STAMP) ## Run what docker-compose.yml starts, without containers, until Ctrl-C (ARGS="--check")
	@$(BIN)/python -m tests.stack $(ARGS)

clean: ## Remove what the other verbs made
	rm -rf .venv .venv-3.* dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
