# Every target sets up what it needs. `make help` lists them.
PYTHON ?= python3
UNITS ?= 5
SEEDS ?= 20000
VENV := .venv
BIN := $(VENV)/bin
JOBS := $(shell nproc 2>/dev/null || echo 2)
HOOK_TOOL := target/debug/examples/simulated-hook-tool
SOURCES := $(shell find src -name '*.rs') Cargo.toml Cargo.lock $(shell find python -name '*.py' -o -name '*.pyi') pyproject.toml
export SIMULATED_HOOK_TOOL := $(CURDIR)/$(HOOK_TOOL)
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

.PHONY: demo
demo: setup $(HOOK_TOOL) ## watch UNITS=5 units of a charm restart one after the other
	@$(BIN)/python examples/demo.py --units $(UNITS)

.PHONY: test
test: setup $(HOOK_TOOL) ## everything that is proven about the project, under 20 minutes on 2 cores
	cargo test --quiet --locked --features juju
	$(BIN)/python -m pytest --quiet -n $(JOBS) --dist worksteal

.PHONY: lint
lint: setup ## formats, lints, types and stubs; changes nothing
	cargo fmt --check
	cargo clippy --quiet --locked --all-targets -- -D warnings
	cargo clippy --quiet --locked --all-targets --features juju -- -D warnings
	cargo clippy --quiet --locked --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --quiet --locked --no-deps --all-features
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy python tests/juju/simulated_juju tests/juju/rolling.py
	$(BIN)/stubtest coordinator._core --mypy-config-file pyproject.toml

.PHONY: verify
verify: lint test ## what has to pass before a change lands

.PHONY: fix
fix: setup ## formats the sources and mends what a linter can mend
	cargo fmt
	$(BIN)/ruff check --fix --quiet
	$(BIN)/ruff format --quiet

.PHONY: bench
bench: setup $(HOOK_TOOL) ## hook tools, decisions, imports and rolls, beside charmhelpers' coordinator
	$(BIN)/python benches/run.py

.PHONY: soak
soak: setup ## SEEDS=20000 simulated rolls with faults, on all cores
	$(BIN)/python tests/juju/soak.py --seeds $(SEEDS) --jobs $(JOBS)

.PHONY: layer
layer: setup ## build/layer/coordinator: layer:coordinator with its wheel, for charm-build
	$(BIN)/python tests/juju/build_charm.py --layer build/layer/coordinator

.PHONY: setup
setup: $(VENV)/installed

$(VENV)/tools: pyproject.toml
	@command -v cargo >/dev/null || { echo 'cargo is missing: install a Rust toolchain, 1.85 or later'; exit 1; }
	@$(PYTHON) -c 'import sys, venv; sys.exit(sys.version_info < (3, 10))' || \
	  { echo '$(PYTHON) is older than 3.10 or has no venv module: name another with PYTHON=...'; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --group test --group lint 'maturin>=1.16,<2'
	@touch $@

$(VENV)/installed: $(VENV)/tools $(SOURCES)
	maturin develop --release --locked --quiet
	@touch $@

$(HOOK_TOOL): tests/juju/hook_tool.rs Cargo.toml
	cargo build --quiet --locked --example simulated-hook-tool
	@touch $@

.PHONY: clean
clean: ## removes what was built
	rm -rf target build .build $(VENV)
