# `make` lists the targets. Needed beforehand: git, make, Python 3.11 or newer, and either access to
# a Docker engine or root on Debian. Everything else comes with `make tools`.

PYTHON ?= python3
SHELL := /bin/bash
.DEFAULT_GOAL := help

BOOTSTRAP := $(PYTHON) -m tools.bootstrap
BIN := .venv/bin
TIERS := $(wildcard tests/unit tests/db tests/ops tests/load)  # fastest first
LOAD_TOOLS := $(if $(wildcard tests/load),k6)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: tools
tools: ## Install all tools: .venv, Pulumi, k6, weed, a Docker engine, the base image
	@$(BOOTSTRAP) venv pulumi k6 weed docker image

.PHONY: up
up: ## Bring up the cluster `local` and migrate it
	@$(BOOTSTRAP) venv pulumi weed docker image
	@$(BIN)/guestcomms up --yes

.PHONY: down
down: ## Remove the cluster `local`, its data and its backups (.venv/bin/guestcomms down --keep-backups keeps those)
	@if [ -d .state/pulumi ] || [ -n "$$PULUMI_BACKEND_URL" ]; then \
		$(BOOTSTRAP) venv pulumi docker && $(BIN)/guestcomms down --yes; \
	else \
		echo "Nothing is up: this clone has no state."; \
	fi

.PHONY: demo
demo: ## Send a made-up campaign into a file on the cluster `local`, and show what became of it
	@$(BOOTSTRAP) venv pulumi
	@$(BIN)/guestcomms demo

.PHONY: test
test: lint ## Run the linters and every tier of tests
	@$(BOOTSTRAP) venv pulumi $(LOAD_TOOLS) weed docker image
	@$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(TIERS)

.PHONY: bench
bench: ## Run the benchmarks (ONLY="l4 l5" some, QUICK=1 with little data): docs/benchmarks.md
	@$(BOOTSTRAP) venv pulumi k6 weed docker image
	@$(BIN)/python -m loadtest.bench $(ONLY) $(if $(QUICK),--quick)

.PHONY: chaos
chaos: ## Do faults to a cluster of its own under writers (ONLY="kill-leader" some, RUNS=5, KEEP=1, LIST=1): docs/faults.md
	@$(BOOTSTRAP) venv pulumi weed docker image
	@$(BIN)/python -m tests.ops.faults $(ONLY) $(if $(RUNS),--runs $(RUNS)) $(if $(KEEP),--keep) \
		$(if $(FRESH),--fresh) $(if $(LIST),--list)

.PHONY: alerts
alerts: ## Fire alerts by real causes on a cluster made for it, an hour (ONLY="PoolWaiting DiskFull" some): docs/alerts.md
	@$(BOOTSTRAP) venv pulumi weed docker image
	@$(BIN)/python -m tests.ops.alerts $(ONLY)

.PHONY: backup-faults
backup-faults: ## Damage a backup repository in every way we know, and have it attacked; two minutes: docs/backups.md
	@$(BOOTSTRAP) venv weed docker image
	@$(BIN)/pytest tests/backups

.PHONY: restore-cluster
restore-cluster: ## Restore a cluster of its own: to a moment, across a failover, a table, after its destruction; an hour and a half: docs/backups.md
	@$(BOOTSTRAP) venv pulumi weed docker image
	@$(BIN)/pytest -s tests/restores

.PHONY: aws
aws: ## Live through the stacks on AWS with the real engine on the simulated AWS, half an hour: docs/aws.md
	@$(BOOTSTRAP) venv pulumi weed docker image
	@$(BIN)/pytest -s --durations=0 tests/cloud

.PHONY: scaling
scaling: ## Change a cluster of its own under writers: rotation, restart, image, 3 to 5 nodes (ONLY="grow" some, KEEP=1)
	@$(BOOTSTRAP) venv pulumi weed docker image
	@$(BIN)/python -m tests.ops.scaling $(ONLY) $(if $(KEEP),--keep)

.PHONY: lint
lint: ## Check style, types, the rooms' import rules, and SQL
	@$(BOOTSTRAP) venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/python -m tools.lint_sql

.PHONY: reference
reference: ## Write schema.sql and docs/reference/ from a database migrated for it
	@$(BOOTSTRAP) venv docker image
	@$(BIN)/python -m tools.database_docs
	@$(BIN)/python -m guestcomms.cli.reference

.PHONY: dashboards
dashboards: ## Write dashboards/grafana/ from the panels
	@$(BOOTSTRAP) venv
	@$(BIN)/python -m tools.dashboards

.PHONY: browser
browser: ## Look at the console pages of a cluster made for it in a headless Chromium
	@$(BOOTSTRAP) venv pulumi weed docker image chromium
	@$(BIN)/pytest tests/browser

.PHONY: screenshots
screenshots: ## Load the cluster `local`, kill its leader, and picture its console pages into docs/images/
	@$(BOOTSTRAP) venv pulumi chromium
	@$(BIN)/python -m tools.screenshots

.PHONY: lock
lock: ## Renew requirements.lock from pyproject.toml
	@$(BOOTSTRAP) venv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra dev \
		--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
		pyproject.toml --output-file requirements.lock
