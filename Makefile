.DEFAULT_GOAL := help
SHELL := /bin/bash

# uv is used from PATH, else installed into .tools, pinned by version and hash.
UV ?= $(shell command -v uv || echo .tools/bin/uv)
# Certificates are the system's, as they are for pip: a company's own are there and nowhere else.
export UV_SYSTEM_CERTS ?= true
RUN := $(UV) run --frozen --quiet
PACKAGES := contracts/segue_contracts shared/kit/segue_shared shared/language/segue_language \
  shared/testing/segue_testing shared/worker/segue_worker $(wildcard services/*/segue_*) client/segue

REPO ?= .
SEED ?= 0
ARGS ?=
BRANCH ?= $(shell git -C "$(REPO)" rev-parse --abbrev-ref HEAD 2>/dev/null || echo main)
REPORT ?= .segue/code-review.md

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.tools/bin/uv: uv-bootstrap.txt
	python3 -m venv .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r uv-bootstrap.txt
	@touch .tools/bin/uv

.PHONY: install
install: $(filter .tools/bin/uv,$(UV)) ## install the workspace from uv.lock, and uv itself when it is missing
	@$(UV) sync --frozen --quiet

.PHONY: demo
demo: install ## review a repository (REPO=PATH, this one by default) with five agents and no key
	@$(RUN) segue workflow execute examples/code-review.yaml --watch --report "$(REPORT)" \
	  --context '{"repository": "$(abspath $(REPO))", "branch": "$(BRANCH)"}'

.PHONY: test
test: install ## run the tests
	@$(RUN) pytest

.PHONY: check
check: install format-check lint types imports contracts-check deploy-check simulation coverage ## everything that CI runs

.PHONY: format
format: install ## format the code
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix .

.PHONY: format-check
format-check: install
	@$(RUN) ruff format --check .

.PHONY: lint
lint: install ## lint the code
	@$(RUN) ruff check .

.PHONY: types
types: install ## check the types
	@$(RUN) mypy $(PACKAGES) bench examples

.PHONY: imports
imports: install ## check who may import whom
	@$(RUN) lint-imports

.PHONY: contracts-check
contracts-check: install ## check that generated schemas and references are current
	@$(RUN) python -m segue_contracts check
	@$(RUN) python -m segue_language check

.PHONY: deploy-check
deploy-check: install ## check the Dockerfile and the compose file, as far as that goes without an engine
	@$(RUN) hadolint deploy/Dockerfile
	@$(RUN) check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

.PHONY: coverage
coverage: install ## run the tests but the simulation; cores and contracts must be covered whole
	@$(RUN) pytest --cov --cov-report=term --ignore tests/simulation

.PHONY: simulation
simulation: install ## play the simulation's seeds, and its planted mistakes
	@$(RUN) pytest tests/simulation --numprocesses auto --quiet

.PHONY: bench
bench: install ## measure, beside the floor
	@$(RUN) python -m bench

.PHONY: simulate
simulate: install ## play one seed of the simulation again (SEED=7, ARGS=--shrink), and tell its story
	@$(RUN) python tests/simulation $(SEED) $(ARGS)

.PHONY: soak
soak: install ## the long proofs
	@$(RUN) pytest tests/e2e tests/simulation -m soak -s
