# Everything here works on a machine that has only Python 3.11 or newer, make and, for some packages, a C compiler.
# Each step leaves a stamp behind, so that the second time there is nothing to do.

PYTHON ?= python3
ARGS ?=
# Tests wait more than they compute: more processes than cores.
WORKERS ?= 3
BENCH ?=
TARGET ?= decoder
SECONDS ?= 60

BIN := .venv/bin
UV := $(BIN)/uv
UV_VERSION := 0.13.9
ATHERIS_VERSION := 3.0.0
LOCK := requirements.lock
PEERS_LOCK := benchmarks/peers.lock
FRONTEND := hs_notebook/frontend
FRONTEND_SOURCES := $(wildcard hatch_build.py $(FRONTEND)/*.* $(FRONTEND)/src/* $(FRONTEND)/src/*/* hs_notebook/display/*.css)

COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --all-extras
BUILD_NEEDS := $(BIN)/python -c 'import tomllib; \
	print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], "editables", sep="\n")'

# Node comes with the lock, so the environment's programs go first.
export UV_PYTHON_DOWNLOADS := never
# Behind a company's proxy the system knows the certificates.
export UV_SYSTEM_CERTS := true
export NODE_USE_SYSTEM_CA := 1
export VIRTUAL_ENV := $(CURDIR)/.venv
export PATH := $(CURDIR)/$(BIN):$(PATH)

.NOTPARALLEL:
.PHONY: help lab test lint check reliability fuzz bench lock clean
.DEFAULT_GOAL := help

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-8s %s\n", $$1, $$2}'

lab: .venv/installed ## Open JupyterLab on the notebooks; without HOLYSHEEP_API_KEY on a simulated relay
	$(BIN)/hs-notebook lab $(ARGS)

test: .venv/installed .venv/browser .venv/redis .kernels/installed $(FRONTEND)/node_modules/.complete ## Run all tests; ARGS="-k stop" goes to pytest
	cd $(FRONTEND) && npm --silent test
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

lint: .venv/installed $(FRONTEND)/node_modules/.complete ## Format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	cd $(FRONTEND) && npm --silent run typecheck

check: lint test ## What CI runs

reliability: .venv/installed .venv/browser .venv/redis .kernels/installed $(FRONTEND)/node_modules/.complete ## Try every fault and threat, an hour and more; writes docs/reliability.md
	SOAK_SECONDS=3600 INTERRUPTS=1000 FUZZ_EXAMPLES=20000 HOSTILE_SIZE=1000000 $(BIN)/python -m pytest -n $(WORKERS) -m reliability --junitxml=.reliability.xml -o junit_family=xunit1 $(ARGS)
	$(BIN)/python tests/published.py .reliability.xml

fuzz: .venv/fuzzer ## Fuzz one target of tests/fuzzing, guided by coverage: TARGET=assembler SECONDS=600
	$(BIN)/python tests/fuzzing/run.py $(TARGET) $(SECONDS)

bench: .peers/installed .venv/browser ## Measure beside the transport and the peers; writes docs/performance.md; BENCH=relay ARGS=--check for one
	.peers/bin/python benchmarks $(BENCH) $(ARGS)

lock: $(UV) ## Pin what pyproject.toml allows; ARGS="--upgrade" takes the newest
	$(BUILD_NEEDS) | $(COMPILE) --group dev pyproject.toml - --output-file $(LOCK) $(ARGS)
	$(BUILD_NEEDS) | $(COMPILE) --group dev --group peers pyproject.toml - --output-file $(PEERS_LOCK) $(ARGS)

clean: ## Remove all that was installed or built
	rm -rf .venv .kernels .peers dist .mypy_cache .pytest_cache .ruff_cache .hypothesis $(FRONTEND)/node_modules hs_notebook/static

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'hs_notebook needs Python 3.11 or newer: name one as in "make PYTHON=python3.12 lab"' >&2; exit 1; }
	$(PYTHON) -m venv .venv

$(UV): | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"

# The package's own build makes the front end, with the Node that the lock pins.
.venv/installed: $(LOCK) pyproject.toml $(FRONTEND_SOURCES) | $(UV)
	$(UV) pip sync --quiet --require-hashes $(LOCK)
	$(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/browser: tests/browser/chromium.py | .venv/installed
	$(BIN)/python tests/browser/chromium.py
	@touch $@

# Where none can be installed, this says so and the tests with a Redis are skipped.
.venv/redis: tests/redis_server.py | .venv/installed
	$(BIN)/python tests/redis_server.py
	@touch $@

# Not in the lock: it has wheels for Linux and few versions of Python.
.venv/fuzzer: .venv/installed
	$(UV) pip install --quiet "atheris==$(ATHERIS_VERSION)"
	@touch $@

# Half a gigabyte that nothing but the benchmarks needs.
.peers/installed: $(PEERS_LOCK) .venv/installed
	$(UV) venv --quiet --allow-existing --python $(BIN)/python .peers
	$(UV) pip sync --quiet --require-hashes --python .peers/bin/python $(PEERS_LOCK)
	$(UV) pip install --quiet --no-deps --no-build-isolation --python .peers/bin/python --editable .
	@touch $@

.kernels/installed: tests/kernels.py .venv/installed
	$(BIN)/python tests/kernels.py
	@touch $@

$(FRONTEND)/node_modules/.complete: $(FRONTEND)/package-lock.json | .venv/installed
	cd $(FRONTEND) && npm --silent ci --ignore-scripts --no-audit --no-fund
	@touch $@
