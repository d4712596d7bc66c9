# Every command for people and CI. It needs python3 (3.11 or later), make and the package registry.
# Another interpreter: make demo PYTHON=python3.13

SHELL := /bin/bash
PYTHON ?= python3
DIR ?= .local
ENV ?= dev

export PYTHONUTF8 := 1
# Without a terminal, tools cut names to 80 columns. (make sets MAKE_TERMOUT if it sees one.)
ifndef MAKE_TERMOUT
export COLUMNS := 200
endif

RUN := .venv/bin/python
INSTALLERS := .local/venvs/installers/bin
SHIPPED := functions layers/braze_bridge/python
CHECKED := $(SHIPPED) ops sandbox bench tests
COVERED := --cov=functions --cov=layers/braze_bridge/python --cov-report=term:skip-covered --cov-fail-under=95
TESTS := tests/unit tests/contract tests/functional tests/infra tests/cloud

# Two workers: one runs all tests that need a local stack, the other the rest (tests/conftest.py).
PYTEST := $(RUN) -m pytest --numprocesses 2 --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help demo test test-all up down status braze bench build deploy lint types audit imports unit e2e check-config \
	openapi hooks lock format environments deploying checkov python clean

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'

demo: environments ## post the sample events to a local stack, show the profiles (VERBOSE=1: more)
	@$(RUN) -m sandbox.demo --dir "$(DIR)/demo" $(if $(VERBOSE),-v)

# The types are checked beside the tests, which leave the cores idle while they wait for the local stack.
TYPES_LOG := .local/types.log
define checked_beside
@$(MAKE) --no-print-directory lint imports
@$(MAKE) --no-print-directory types >$(TYPES_LOG) 2>&1 & types=$$!; \
	$(1); tests=$$?; \
	wait $$types || { cat $(TYPES_LOG); echo "The types are wrong: see above."; exit 1; }; \
	exit $$tests
endef

test: environments ## what a change must pass: lint, types, import rules, the tests (about 7 minutes on two cores)
	$(call checked_beside,$(PYTEST) -m 'not campaign' tests/e2e $(TESTS))

test-all: environments checkov ## that, what takes long or needs Chromium, and branch coverage of what ships
	$(call checked_beside,$(PYTEST) $(COVERED) tests/e2e tests/browser tests/campaign $(TESTS))

hooks: environments ## let git run lint and types before each commit
	$(RUN) -m pre_commit install

up: environments ## start the local stack, and leave it running
	@$(RUN) -m sandbox.stack up --dir "$(DIR)"

down: environments ## stop it
	@$(RUN) -m sandbox.stack down --dir "$(DIR)"

status: environments ## is it running, and where
	@$(RUN) -m sandbox.stack status --dir "$(DIR)"

BRAZE_PORT ?= 8100
braze: .venv/$(MADE) ## the stand-in Braze alone, to test any integration (BRAZE_PORT=8100)
	@echo "The stand-in Braze. Its key: sandbox-braze-key. Its page: http://127.0.0.1:$(BRAZE_PORT)/_sandbox/"
	@$(RUN) -m sandbox --port $(BRAZE_PORT)

bench: environments ## the benchmarks
	@$(RUN) -m bench

BUILDER := LAYER_PIP='"$(CURDIR)/$(INSTALLERS)/python" -m pip' LAYER_PYTHON='"$(CURDIR)/$(INSTALLERS)/python"'

build: environments ## what would be deployed, in .aws-sam; checks and compiles the partners' files
	@SAM_CLI_TELEMETRY=0 $(BUILDER) .local/venvs/sam/bin/python -m samcli build --config-env "$(ENV)"

deploy: deploying ## to AWS: make deploy ENV=dev (asks the first time)
	@$(RUN) -m ops.bridge check-config
	@$(BUILDER) $(RUN) -m ops.deployment.deploy --env "$(ENV)" --sam-python "$(CURDIR)/.local/venvs/sam/bin/python"

check-config: environments ## the partners' TOML files
	@$(RUN) -m ops.bridge check-config

openapi: environments ## docs/openapi.json, from the code and the partners' files
	@$(RUN) -m ops.openapi.document

lint: environments ## style and likely mistakes
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check

types: environments ## strict mypy
	$(RUN) -m mypy $(CHECKED)

audit: environments ## known vulnerabilities of the packages that ship (asks the package index)
	@$(RUN) -m ops.deployment.audit --pip-python $(INSTALLERS)/python

imports: environments ## which room may import which
	.venv/bin/lint-imports

unit: environments ## the tests that need no local stack
	$(PYTEST) -m 'not campaign' $(TESTS)

e2e: environments ## the tests on a local stack of their own
	$(RUN) -m pytest tests/e2e

format: environments ## rewrite the code as lint wants it
	$(RUN) -m ruff check --fix
	$(RUN) -m ruff format

# UPGRADE=--upgrade takes newer releases; without it only what the .in files changed moves.
LOCK = $(INSTALLERS)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 $(UPGRADE)
lock: environments ## make the hashed requirement files from the .in files
	$(LOCK) requirements/installers.in -o requirements/installers.txt
	$(LOCK) requirements/layer.in -o layers/braze_bridge/requirements.txt
	$(LOCK) requirements/sam.in -o requirements/sam.txt
	$(LOCK) requirements/ministack.in -o requirements/ministack.txt
	$(LOCK) --no-deps requirements/clients.in -o requirements/clients.txt
	$(LOCK) requirements/dev.in -o requirements/dev.txt
	$(LOCK) requirements/deploying.in -o requirements/deploying.txt
	$(LOCK) requirements/checkov.in -o requirements/checkov.txt
	cd requirements/node && npm install --package-lock-only --ignore-scripts --no-audit --no-fund \
		--omit-lockfile-registry-resolved

# The time of a stamp is its environment's, and its name holds the Python that made it: a newer lock
# or another Python makes the environment anew.
MADE := .made-by-$(shell $(PYTHON) -c 'import platform as p; print(p.python_version(), p.system(), p.machine(), sep="-")' 2>/dev/null)
MAKE_ENVIRONMENT := sandbox/stack/environments.py
OTHERS := $(patsubst %,.local/venvs/%/$(MADE),sam ministack clients)
CHECKOV := .local/venvs/checkov/$(MADE)
checkov: $(CHECKOV)

environments: .venv/$(MADE) $(OTHERS) ## (most call it) the Python environments; made again if a lock changed

# To deploy, .venv needs a part only. A development environment that is there has it.
DEPLOYS := .venv/$(if $(wildcard .venv/$(MADE)),$(MADE),$(MADE:.made%=.deploys%))
deploying: $(DEPLOYS) .local/venvs/sam/$(MADE)

.venv/.deploys-%: requirements/deploying.txt $(MAKE_ENVIRONMENT) | .local/venvs/installers/$(MADE)
	@$(PYTHON) $(MAKE_ENVIRONMENT) deploying $@

.venv/$(MADE): requirements/dev.txt $(MAKE_ENVIRONMENT) | .local/venvs/installers/$(MADE)
	@$(PYTHON) $(MAKE_ENVIRONMENT) dev $@

$(OTHERS) $(CHECKOV): .local/venvs/%/$(MADE): requirements/%.txt $(MAKE_ENVIRONMENT) | .local/venvs/installers/$(MADE)
	@$(PYTHON) $(MAKE_ENVIRONMENT) $* $@

.local/venvs/installers/$(MADE): requirements/installers.txt $(MAKE_ENVIRONMENT) | python
	@$(PYTHON) $(MAKE_ENVIRONMENT) installers $@

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is Python %d.%d; this needs 3.11 or later: make PYTHON=python3.13 ..." % sys.version_info[:2])'

clean: down ## stop the local stack and remove everything that was made
	rm -rf .venv .local .aws-sam .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage
