# make demo [VIDEO=film.mp4]   set up, then print the scene boundaries of a film
# make test                    set up, then run every check and test
# make quick                   the tests without brokers, servers and long runs
# make coverage                the same, and how much of the code they run
# make docs                    the documentation site, in site/
# make fuzz [COUNT=2000] [SEED=1]   try hostile inputs
# make soak [HOURS=6] [SEED=1]      many streams in faults, and a report
# make lint | venv | clean

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.PHONY: demo test quick coverage docs fuzz soak lint venv clean

PYTHON ?= python3
VIDEO ?=
COUNT ?= 2000
SEED ?= 1
HOURS ?= 6
export VIDEO

BIN := .venv/bin
VENV := .venv/.installed
SAMPLE := .cache/sample
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

demo: $(VENV)
	$(BIN)/streamer weights pull
ifeq ($(strip $(VIDEO)),)
	$(MAKE) --no-print-directory $(SAMPLE)/sample.mp4
	$(BIN)/streamer tail $(SAMPLE)/sample.mp4 | tee $(SAMPLE)/events.jsonl
	$(BIN)/streamer compare $(SAMPLE)/events.jsonl $(SAMPLE)/sample.scenes.csv
else
	$(BIN)/streamer tail -- "$$VIDEO"
endif

test: $(VENV)
	scripts/system-packages scripts/packages-demo.txt scripts/packages-kafka.txt scripts/packages-live.txt
	scripts/test

quick: $(VENV)
	scripts/test quick

coverage: $(VENV)
	scripts/test coverage

docs: $(VENV)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

fuzz: $(VENV)
	$(BIN)/python -m tests.fuzz --count $(COUNT) --seed $(SEED)

soak: $(VENV)
	$(BIN)/python -m tests.soak --hours $(HOURS) --seed $(SEED)

lint: $(VENV)
	scripts/check

venv: $(VENV)

clean:
	rm -rf .venv .cache build dist site .coverage *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV): constraints.txt pyproject.toml scripts/packages-base.txt
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || scripts/system-packages scripts/packages-base.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --quiet -c constraints.txt setuptools
	$(PIP) install -c constraints.txt --no-build-isolation --editable '.[dev]'
	touch $@

$(SAMPLE)/sample.mp4: models/compose/*.py scripts/packages-demo.txt | $(VENV)
	scripts/system-packages scripts/packages-demo.txt
	$(BIN)/streamer sample --out $(SAMPLE)
	touch $@
