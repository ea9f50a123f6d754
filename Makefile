# Everything is set up by these targets; nothing has to be installed by hand but Rust and Python 3.11.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

EXP ?=
SOAK_SECONDS ?= 1800

# libtorch, as `scripts/setup-libtorch` unpacks it; one thread a process is what both cores are best used with.
ENV := source scripts/env;
TORCH := --features swift-sampler-searcher/torch

.PHONY: help demo test build release check soak deny advisories sbom fmt reliability bench bench-search experiments pictures clean setup-torch setup-python

help: ## Lists the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: setup-torch ## Sets everything up and runs the main job on real data: features, daemon, search, hot swap, training
	scripts/setup-python demo
	$(MAKE) release
	scripts/demo

test: setup-torch ## Sets everything up and runs every test
	scripts/setup-python test
	$(MAKE) build
	scripts/setup-data
	$(ENV) SWIFTSAMPLER_REDIS_SERVER=$$(scripts/setup-redis)/redis-server cargo test $(TORCH),swift-sampler-tests/torch
	$(ENV) SWIFTSAMPLER_BIN_DIR=$$PWD/target/debug .venv/bin/python -m pytest -q client/python/tests
	.venv/bin/python -m pytest -q bench/tests experiments/tests

build: setup-torch ## Builds every binary for tests, and the faulty disk
	$(ENV) cargo build $(TORCH) --bins
	cargo build -p swift-sampler-faulty-disk

release: setup-torch ## Builds the optimised binaries
	$(ENV) cargo build --release $(TORCH) --bins

check: setup-torch ## Formatting, lints and documentation, as CI checks them
	cargo fmt --all --check
	$(ENV) cargo clippy --workspace --all-targets $(TORCH),swift-sampler-tests/torch -- -D warnings
	$(ENV) RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps $(TORCH)

soak: build ## A daemon under everything at once for half an hour, or SOAK_SECONDS
	$(ENV) SOAK_SECONDS=$(SOAK_SECONDS) cargo test $(TORCH),swift-sampler-tests/torch --test soak -- --nocapture

deny: ## Licences, sources and bans of all dependencies, as CI checks them
	$$(scripts/setup-tool cargo-deny) check bans licenses sources

advisories: ## Vulnerable, unsound, unmaintained or yanked dependencies, by the RustSec database, which it downloads
	$$(scripts/setup-tool cargo-deny) check advisories

sbom: ## What each binary and the wheel is built of, as CycloneDX, in target/sbom
	scripts/sbom

fmt: ## Formats the code
	cargo fmt --all

reliability: build ## Tries for longer what RELIABILITY.md promises, and writes the figures to target/reliability.txt
	scripts/reliability

bench: ## Sets up the peers and measures ours and theirs on this machine: make bench [ONLY=draws,serving]
	cargo build --release -p swift-sampler-daemon -p swift-sampler-client -p swift-sampler-bench
	scripts/bench

bench-search: ## Sets up other optimisers and compares the search with them: make bench-search [ONLY=simulator,classical]
	cargo build --release -p swift-sampler-bench
	scripts/bench search

experiments: release ## The paper's tables at this machine's size, what is missing of them: make experiments [EXP=table1]
	scripts/setup-python demo
	.venv/bin/python -m experiments $(EXP)

pictures: release ## Draws the pictures of docs/search anew
	scripts/pictures

clean: ## Removes what was built and downloaded
	rm -rf target .cache .venv

setup-torch:
	scripts/setup-libtorch
