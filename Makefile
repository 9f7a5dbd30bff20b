# make demo · make test · make up · make lint · make bench · make help
# Every target makes .venv and installs just what it needs, from the hashed locks.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# uv itself comes from the lock, through pip, so that its hash is checked too; it never downloads a Python.
export UV_PYTHON_DOWNLOADS := never
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export DAGSTER_DISABLE_TELEMETRY := yes

.PHONY: help demo test test-fast test-full up lint format bench calibrate lock clean

help:  ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/app  ## Four simulated experiments, from landing files to reports, in demo/
	@$(BIN)/tenbin demo demo

test: $(VENV)/dev  ## All tests that every change must pass
	@$(BIN)/pytest -n 2 --dist worksteal

test-fast: $(VENV)/dev  ## What can be checked in two minutes
	@$(BIN)/pytest -n 2 --dist worksteal -m "not slow and not browser"

test-full: $(VENV)/dev  ## Everything, with the long property and fault tests
	@TENBIN_TEST_FULL=1 $(BIN)/pytest -n 2 --dist worksteal --timeout 1800

up: $(VENV)/app  ## The Dagster UI on the demo workspace (WORKSPACE=… for another)
	@[ -n "$(WORKSPACE)" ] || [ -f demo/tenbin.toml ] || $(BIN)/tenbin demo demo
	@$(BIN)/tenbin up $(or $(WORKSPACE),demo)

lint: $(VENV)/dev  ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(VENV)/dev  ## Let ruff write what it can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/dev  ## Each claim of speed beside the peer it names
	@$(BIN)/python -m benchmarks

calibrate: $(VENV)/dev  ## How often every method errs, simulated: docs/calibration.md (minutes)
	@$(BIN)/python -m benchmarks.calibration

lock: $(BIN)/uv  ## Resolve the dependencies anew
	@common="--quiet --upgrade --generate-hashes --universal --no-strip-extras --no-header --no-annotate --python-version 3.11 pyproject.toml sdk/pyproject.toml --group build"; \
	$(BIN)/uv pip compile $$common -o requirements.lock; \
	$(BIN)/uv pip compile $$common --group dev -c requirements.lock -o requirements-dev.lock; \
	peer="--quiet --upgrade --generate-hashes --universal --no-header --no-annotate --python-version 3.11"; \
	$(BIN)/uv pip compile $$peer --group tea_tasting -c requirements.lock -o benchmarks/peers/tea_tasting.lock; \
	$(BIN)/uv pip compile $$peer --group gbstats -o benchmarks/peers/gbstats.lock

clean:  ## Remove what was made here
	rm -rf $(VENV) demo

$(BIN)/uv:
	@echo "Making $(VENV) …"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Tenbin needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	@$(PYTHON) -m venv $(VENV)
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt

# Stamps, so that an unchanged lock installs nothing; dev includes app. Bytecode is written once, here: machines
# that forbid writing it later would compile two thousand modules for every command.
$(VENV)/app: $(BIN)/uv requirements.lock pyproject.toml sdk/pyproject.toml
	@echo "Installing the application …"
	@[ -f $(VENV)/dev ] || $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements.lock
	@$(MAKE) --no-print-directory editable
	@touch $@

$(VENV)/dev: $(BIN)/uv requirements-dev.lock pyproject.toml sdk/pyproject.toml
	@echo "Installing the application and its test tools …"
	@$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements-dev.lock
	@$(MAKE) --no-print-directory editable
	@touch $@ $(VENV)/app

.PHONY: editable
editable:
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e sdk -e .
