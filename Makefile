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
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.runtime ## serve on http://localhost:3000 (SERVER_PORT and the other settings are in the README)
	@exec $(BIN)/agent-service serve

test: check ## lint, types, import contracts and every test
	@echo "== tests"
	@$(BIN)/pytest -n auto --dist loadscope --no-loadscope-reorder

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
	$(COMPILE) --upgrade --group deploy -o locks/deploy.lock
	$(COMPILE) --upgrade --group sbom -o locks/sbom.lock

# -- To deploy. Each command says what it needs beside make and Python.
DOCKER ?= docker
COMPOSE ?= $(DOCKER) compose
IMAGE ?= agent-service
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' src/agent_service/__init__.py)
REGISTRY ?=
URL ?= http://localhost:3000
REQUESTS ?= 2000
CLIENTS ?= 50
RELEASE := build/release
CHECKS := .tools/venv-deploy
SBOM := .tools/venv-sbom
needs = @command -v $(1) >/dev/null || { echo "make $@ needs $(1): $(2)" >&2; exit 1; }

.PHONY: build-release run-release docker-build docker-run docker-push infra-up infra-down logs metrics load-test check-deploy sbom

build-release: build sbom ## make the wheel and the bill of materials in dist/

run-release: build ## serve the wheel as a release is served: locked runtime only, JSON logs
	@rm -rf $(RELEASE) && $(PYTHON) -m venv $(RELEASE)
	@$(RELEASE)/bin/pip -qq --disable-pip-version-check install --require-hashes -r locks/runtime.lock
	@$(RELEASE)/bin/pip -qq --disable-pip-version-check install --no-deps --no-index dist/*-$(VERSION)-py3-none-any.whl
	@LOG_FORMAT=json exec $(RELEASE)/bin/agent-service serve

docker-build: ## build the image IMAGE:version (needs Docker; DOCKER=podman works too)
	$(call needs,$(DOCKER),https://docs.docker.com/engine/install/)
	$(DOCKER) build --build-arg VERSION=$(VERSION) \
		--build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) -t $(IMAGE):$(VERSION) .

docker-run: ## serve from the image on http://localhost:3000, settings from .env (needs Docker)
	$(call needs,$(DOCKER),https://docs.docker.com/engine/install/)
	$(DOCKER) run --rm --name agent-service --read-only --tmpfs /tmp --cap-drop ALL \
		--security-opt no-new-privileges --stop-timeout 50 --publish 3000:3000 \
		--volume agent-service-data:/data $(if $(wildcard .env),--env-file .env) $(IMAGE):$(VERSION)

docker-push: ## push the image (needs Docker, and REGISTRY=registry.example.com/team)
	@test -n "$(REGISTRY)" || { echo "make docker-push needs REGISTRY=registry.example.com/team" >&2; exit 1; }
	$(call needs,$(DOCKER),https://docs.docker.com/engine/install/)
	$(DOCKER) tag $(IMAGE):$(VERSION) $(REGISTRY)/$(IMAGE):$(VERSION)
	$(DOCKER) push $(REGISTRY)/$(IMAGE):$(VERSION)

infra-up: ## start Redis 6379, Prometheus 9090 and Grafana 3001 (needs Docker with compose)
	$(call needs,$(DOCKER),https://docs.docker.com/engine/install/)
	$(COMPOSE) up --detach --wait

infra-down: ## stop them, and the service of the compose file; their data stay
	$(call needs,$(DOCKER),https://docs.docker.com/engine/install/)
	$(COMPOSE) --profile service down

logs: ## follow the logs of the compose file's containers
	$(call needs,$(DOCKER),https://docs.docker.com/engine/install/)
	$(COMPOSE) --profile service logs --follow --tail 100

metrics: ## show the metrics of the service at URL
	$(call needs,curl,https://curl.se/)
	@curl -fsS $(URL)/api/v1/metrics || { echo "make metrics needs a service at $(URL): make run, or URL=..." >&2; exit 1; }

load-test: ## REQUESTS queries by CLIENTS at once to URL, by ab and by hey
	$(call needs,ab,apt-get install apache2-utils)
	$(call needs,hey,apt-get install hey)
	$(call needs,curl,https://curl.se/)
	@curl -fsS -o /dev/null $(URL)/api/v1/ready || { echo "make load-test needs a service at $(URL): make run, or URL=..." >&2; exit 1; }
	ab -q -k -l -n $(REQUESTS) -c $(CLIENTS) -T application/json -p bench/query.json $(URL)/api/v1/query
	hey -n $(REQUESTS) -c $(CLIENTS) -m POST -T application/json -D bench/query.json $(URL)/api/v1/query

sbom: $(SBOM)/.made ## write the bill of materials of the locked runtime, CycloneDX, into dist/
	@mkdir -p dist
	@$(SBOM)/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
		-o dist/agent-service-$(VERSION).cdx.json locks/runtime.lock

check-deploy: $(CHECKS)/.made $(VENV)/.dev ## look for weak spots in code, image and manifests: bandit, hadolint, checkov; kustomize, helm and compose where they are
	@$(CHECKS)/bin/bandit --quiet --configfile pyproject.toml --recursive src
	@$(CHECKS)/bin/hadolint Dockerfile
	@$(CHECKS)/bin/checkov --config-file .checkov.yaml --framework dockerfile --file Dockerfile
	@$(CHECKS)/bin/checkov --config-file .checkov.yaml --framework kubernetes --directory deploy/rendered
	@$(BIN)/python scripts/render-deploy --check
	@if command -v helm >/dev/null; then helm lint --strict deploy/helm/agent-service; \
		else echo "not checked: helm lint, for there is no helm"; fi
	@if $(COMPOSE) version >/dev/null 2>&1; then $(COMPOSE) --profile service config --quiet; \
		else echo "not checked: docker compose config, for there is no docker compose"; fi

.tools/venv-%/.made: locks/%.lock
	@scripts/check-python $(PYTHON)
	@echo "== installing what locks/$*.lock names (the first time takes a minute or two)"
	@rm -rf $(@D) && $(PYTHON) -m venv $(@D)
	@$(@D)/bin/pip -qq --disable-pip-version-check install --require-hashes -r $<
	@touch $@

# -- What the commands above stand on.
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
