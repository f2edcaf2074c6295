# Wiesel's commands. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/wiesel/target

.PHONY: test lint
test: ## Run every test.
	cargo test --workspace

lint: ## Formatting and clippy, warnings are errors.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
