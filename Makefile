# Everything a fresh machine needs: Python 3.11 or later, make, and a package index.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test test-model test-faults test-install test-ecosystem coverage check format static docs record record-scripted baseline bench bench-peers bench-docs clean

help:           ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "looplet needs Python 3.11 or later: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all]' --group dev
	@touch $@

demo: $(READY)  ## replay the recorded runs, store them as Parquet and score them
	$(BIN)/python scripts/demo.py

PYTEST_ARGS ?= -n auto

test: $(READY)  ## the default test run
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-model: $(READY)  ## the backends against a real model on this machine (installs 93 MB)
	$(BIN)/python -m pytest -m model tests/model

test-faults: $(READY)  ## the backends against a server that breaks on purpose
	@test -x .bench/llmock/bin/llmock || { $(PYTHON) -m venv .bench/llmock && \
	  .bench/llmock/bin/python -m pip install --quiet --disable-pip-version-check llmock==0.2.2; }
	PATH="$(CURDIR)/.bench/llmock/bin:$$PATH" $(BIN)/python -m pytest tests/backends/test_faults.py

test-install: $(READY)  ## the quickstart, in an environment into which looplet is installed as users do
	$(BIN)/python -m pytest -m install tests/test_quickstart.py

ECOSYSTEM := $(patsubst tests/ecosystem/%.txt,.bench/ecosystem-%/.ready,$(wildcard tests/ecosystem/*.txt))
ECOSYSTEM_PYTHON ?= $(PYTHON)

# harbor's validator needs pydantic alone, and not the hundreds of packages that run its agents
.bench/ecosystem-harbor/.ready: PIP_FLAGS := --no-deps
# looplet beside other plugins, on the Python that looplet is installed for
.bench/ecosystem-pytest/.ready: ECOSYSTEM_PYTHON := $(PYTHON)
.bench/ecosystem-pytest/.ready: NEEDED := (3, 11)
NEEDED := (3, 12)

.bench/ecosystem-%/.ready: tests/ecosystem/%.txt
	@$(ECOSYSTEM_PYTHON) -c 'import sys; sys.exit(sys.version_info < $(NEEDED))' || \
	  { echo "$(@D) needs Python $(NEEDED) or later: make ECOSYSTEM_PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(ECOSYSTEM_PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) --requirement $<
	@touch $@

test-ecosystem: $(READY) $(ECOSYSTEM)  ## what is exported given to the tools that it is for, and the plugin among others (installs 1.3 GB)
	$(BIN)/python -m pytest -m ecosystem tests/ecosystem

coverage: $(READY)  ## branch coverage by room, from the data of the last test run with --cov
	$(BIN)/python scripts/branch_coverage.py

check: static test  ## format, lint, types, layers, tests

static: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)  ## format the code and mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# In an environment of its own: what builds the site is of no use to the package.
.bench/docs/.ready: pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --group docs
	@touch $@

docs: .bench/docs/.ready  ## build the site into build/site, strict, and check every link of it
	.bench/docs/bin/zensical build --strict --clean
	$(PYTHON) scripts/check_site.py build/site

record: $(READY)  ## record the runs of a real model on this machine again
	$(BIN)/python recordings/make_recordings.py
	$(BIN)/python -m recordings.record_clerk
	$(BIN)/python recordings/make_baseline.py

baseline: $(READY)  ## score the recorded runs of the parcel desk, to compare later ones with
	$(BIN)/python recordings/make_baseline.py

record-scripted: $(READY)  ## record the runs again whose model is a script
	$(BIN)/python recordings/record_scripted.py

bench: $(READY)  ## measure
	$(BIN)/python benchmarks/loop.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/imports.py
	$(BIN)/python benchmarks/crowd.py
	$(BIN)/python benchmarks/replay.py
	$(BIN)/python benchmarks/store.py
	$(BIN)/python benchmarks/evals_statistics.py
	$(BIN)/python benchmarks/evals_plugin.py

PEERS := $(patsubst benchmarks/peers/%.txt,%,$(wildcard benchmarks/peers/*.txt))

.bench/%/.ready: benchmarks/peers/%.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

bench-peers: $(READY) $(PEERS:%=.bench/%/.ready)  ## measure other agent libraries beside looplet
	$(BIN)/python benchmarks/peers/compare.py

bench-docs: $(READY) $(PEERS:%=.bench/%/.ready)  ## measure everything and write docs/benchmarks.md
	$(BIN)/python benchmarks/report.py

clean:          ## remove what was made here
	rm -rf $(VENV) .bench .model-venv .looplet .cache build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
