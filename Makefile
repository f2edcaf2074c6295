# Wiesel's commands. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/wiesel/target
export PATH := $(PATH):$(HOME)/.cargo/bin
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
HOME_DIR := $(CARGO_TARGET_DIR)/wiesel-home
DIST_DIR := $(CARGO_TARGET_DIR)/wiesel-$(VERSION)
# Links a RocksDB that is compiled once on a machine. Always through this: cargo takes another RocksDB for another dependency, and
# builds what needs it again.
CARGO := dist/rocksdb.sh cargo
# Apache Flink for comparison: a script that knows where one is, or FLINK_HOME.
export FLINK_ORACLE ?= $(wildcard ../shared/oracle/flink.sh)

.PHONY: help quickstart home dist test test-more chaos simulate fuzz attacks bench lint packages space
help: ## List the commands.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

quickstart: ## Build, start a JobManager and two TaskManagers, and run a streaming query over a year of flights.
	@home=$$($(MAKE) -s home) && "$$home/examples/quickstart.sh" "$$home"

home: packages ## Build if need be, lay out an installation and print its folder.
	@echo "1/3 RocksDB" >&2 && dist/rocksdb.sh
	@echo "2/3 Wiesel and the crates that it needs" >&2 && $(CARGO) build --workspace --bins --locked >&2
	@echo "3/3 Layout of the installation" >&2
	@dist/layout.sh "$(CARGO_TARGET_DIR)/debug" "$(HOME_DIR)" >&2
	@echo "$(HOME_DIR)"

dist: packages ## The same, optimised for release; beside it an archive and a Debian package of it.
	@dist/packages.sh strip
	@echo "1/4 RocksDB" >&2 && dist/rocksdb.sh
	@echo "2/4 Wiesel and the crates that it needs, optimised for release" >&2
	@$(CARGO) build --workspace --exclude wiesel-tests --exclude wiesel-simulation --bins --locked --release >&2
	@echo "3/4 Layout of the installation" >&2
	@dist/layout.sh "$(CARGO_TARGET_DIR)/release" "$(DIST_DIR)" >&2
	@echo "4/4 Archive and Debian package" >&2
	@dist/package.sh "$(CARGO_TARGET_DIR)/release" "$(CARGO_TARGET_DIR)" "$(VERSION)" >&2
	@echo "$(DIST_DIR)"

test: packages space ## Run every test, the end-to-end tests on an installation that is built first, with an S3 server.
	@dist/packages.sh faketime
	@home=$$($(MAKE) -s home) && export WIESEL_HOME="$$home" && tests/with-services.sh $(CARGO) test --workspace --locked

test-more: packages ## Test the packages, the image and the manifests, with what runs them: systemd's tools, buildah, a Kubernetes API server.
	@home=$$($(MAKE) -s home) && tests/more/run.sh "$$home"

chaos: packages ## Ten minutes of kills, stalls, cuts, clocks and failing storage, in files and again on S3; results must be exact.
	@dist/packages.sh faketime
	@home=$$($(MAKE) -s home) && export WIESEL_HOME="$$home" WIESEL_CHAOS_SECONDS=$${WIESEL_CHAOS_SECONDS:-600} \
	  && tests/with-services.sh $(CARGO) test --workspace --locked --test chaos -- --nocapture --test-threads=1

simulate: packages ## Ten thousand runs of a simulated cluster (WIESEL_SIMULATION_SEEDS, _FIRST); prints the seeds that fail.
	@export WIESEL_SIMULATION_SEEDS=$${WIESEL_SIMULATION_SEEDS:-10000} \
	  && $(CARGO) test --workspace --locked --test simulation -- --nocapture

fuzz: packages ## Ten CPU minutes of changed inputs for each reader of what comes from outside (WIESEL_FUZZ_SECONDS, _SEED, _INPUT).
	@export WIESEL_FUZZ_SECONDS=$${WIESEL_FUZZ_SECONDS:-600} \
	  && $(CARGO) test --workspace --locked --test fuzz -- --nocapture

attacks: packages ## Attack a cluster with an innocent job on it, ten minutes; show the memory of its processes at each peak.
	@dist/packages.sh python3
	@home=$$($(MAKE) -s home) && python3 benches/attacks.py "$$home"

bench: packages ## Compare with Apache Flink (FLINK_HOME, or FLINK_ORACLE), measure checkpoints and the kernels.
	@dist/packages.sh python3 iperf3
	@home=$$($(MAKE) -s dist) && python3 benches/nexmark/run.py "$$home" && python3 benches/recovery.py "$$home" \
	  && python3 benches/checkpoint_cost.py "$$home" && python3 benches/payload_checksums.py "$$home" && python3 benches/large_state.py "$$home" \
	  && python3 benches/resting_tasks.py "$$home"
	@$(CARGO) bench --workspace --exclude wiesel-tests --exclude wiesel-simulation --locked --bench hash --bench kernels --bench tables --bench aggregate --bench rows --bench data_plane

lint: packages space ## Formatting and clippy, warnings are errors; what clippy.toml refuses is one.
	cargo fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

packages:
	@dist/packages.sh

space:
	@dist/space.sh "$(CARGO_TARGET_DIR)"
