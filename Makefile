# `make` alone lists the commands. Everything they need goes into .venv, from the hashed locks in locks/.
SHELL := /bin/sh
PYTHON ?= python3
UV ?= uv

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.10 \
	--generate-hashes --no-emit-index-url --no-header --no-annotate

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help run test check format build clean lock soak

help: ## list the commands
	@echo "make COMMAND, where COMMAND is one of"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.runtime ## serve on http://localhost:3000 (SERVER_PORT and the other settings are in the README)
	@exec $(BIN)/agent-service serve

test: check ## lint, types, import contracts and every test
	@echo "== tests"
	@$(BIN)/pytest -n auto --dist loadscope

check: $(VENV)/.dev ## lint, types and import contracts, without the tests
	@echo "== lint"
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@echo "== types"
	@$(BIN)/mypy
	@echo "== import contracts"
	@$(BIN)/lint-imports --no-logo

soak: $(VENV)/.dev ## 100 000 queries with faults mixed in, against a simulated model (ten minutes)
	@$(BIN)/python -m bench.soak

format: $(VENV)/.dev ## format the code and mend what the linter can
	@$(BIN)/ruff check --fix-only
	@$(BIN)/ruff format

build: $(VENV)/.runtime ## make the wheel in dist/
	@$(BIN)/python -m build --wheel --no-isolation

clean: ## remove .venv, dist and caches; conversations in data/ stay
	rm -rf $(VENV) .tools dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

lock: ## renew the locks (maintainers; needs uv, see CONTRIBUTING.md)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: https://docs.astral.sh/uv/" >&2; exit 1; }
	$(COMPILE) --upgrade pyproject.toml -o locks/runtime.lock
	$(COMPILE) --upgrade --group build -c locks/runtime.lock -o locks/build.lock
	$(COMPILE) --upgrade pyproject.toml --group dev -c locks/runtime.lock -c locks/build.lock -o locks/dev.lock

$(VENV)/.made:
	@scripts/check-python $(PYTHON)
	@echo "== making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.made locks/runtime.lock locks/build.lock pyproject.toml
	@echo "== installing the locked dependencies (the first time takes a minute or two)"
	@$(PIP) install --require-hashes -r locks/build.lock
	@$(PIP) install --require-hashes -r locks/runtime.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# The development lock holds everything of the other two, so it counts as the runtime too.
$(VENV)/.dev: $(VENV)/.made locks/dev.lock locks/runtime.lock locks/build.lock pyproject.toml
	@echo "== installing the locked dependencies and the test tools (the first time takes a minute or two)"
	@$(PIP) install --require-hashes -r locks/dev.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.runtime
