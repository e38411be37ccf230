# Every target sets up what it needs. `make help` lists them.
PYTHON ?= python3
UNITS ?= 5
SEEDS ?= 20000
# All but Python, which cannot be linked into tests, and Kerberos, which needs headers.
ENGINE := juju,embedded,zookeeper,cli,sim
VENV := .venv
BIN := $(VENV)/bin
JOBS := $(shell nproc 2>/dev/null || echo 2)
HOOK_TOOL := target/debug/examples/simulated-hook-tool
SOURCES := $(shell find src -name '*.rs') Cargo.toml Cargo.lock $(shell find python -name '*.py' -o -name '*.pyi') pyproject.toml
export SIMULATED_HOOK_TOOL := $(CURDIR)/$(HOOK_TOOL)
export BENCH_DRIVER := $(CURDIR)/target/release/examples/bench-driver
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
test: setup zookeeper salt $(HOOK_TOOL) ## everything that is proven about the project, in about 35 minutes on 2 cores
	cargo test --quiet --locked --profile quick --features $(ENGINE)
	$(BIN)/python -m pytest --quiet -n $(JOBS) --dist worksteal

.PHONY: lint
lint: setup ## formats, lints, types and stubs; changes nothing
	cargo fmt --check
	cargo clippy --quiet --locked --all-targets -- -D warnings
	cargo clippy --quiet --locked --all-targets --features juju -- -D warnings
	cargo clippy --quiet --locked --all-targets --features embedded -- -D warnings
	cargo clippy --quiet --locked --all-targets --features zookeeper -- -D warnings
	cargo clippy --quiet --locked --all-targets --features cli -- -D warnings
	cargo clippy --quiet --locked --all-targets --features python,sim -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --quiet --locked --no-deps --features python,sim
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy python tests/juju/simulated_juju tests/juju/rolling.py tests/zookeeper tests/salt/salt_minion.py tests/salt/salt_master.py
	$(BIN)/stubtest coordinator._core --mypy-config-file pyproject.toml

.PHONY: verify
verify: lint test ## what has to pass before a change lands

.PHONY: fix
fix: setup ## formats the sources and mends what a linter can mend
	cargo fmt
	$(BIN)/ruff check --fix --quiet
	$(BIN)/ruff format --quiet

.PHONY: bench
bench: setup $(HOOK_TOOL) $(BENCH_DRIVER) ## BENCHES="roll stores": speed beside charmhelpers, kazoo and Curator; all by default
	@tests/zookeeper/install.sh curator
	$(BIN)/python benches/run.py $(BENCHES)

.PHONY: soak
soak: setup ## SEEDS=20000 simulated rolls with faults, and as many histories of each recipe, on all cores
	$(BIN)/python tests/juju/soak.py --seeds $(SEEDS) --jobs $(JOBS)
	$(BIN)/python tests/juju/soak.py --of scope --seeds $(SEEDS) --jobs $(JOBS)
	SEEDS=$(SEEDS) cargo test --locked --profile quick --features sim --test simulation every_recipe -- --nocapture
	PROPTEST_RNG_SEED=$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ') cargo test --locked --profile quick --features sim --test ledger -- --nocapture

.PHONY: layer
layer: setup ## build/layer/coordinator: layer:coordinator with its wheel, for charm-build
	$(BIN)/python tests/juju/build_charm.py --layer build/layer/coordinator

.PHONY: zookeeper
zookeeper: ## installs Debian's Java and ZooKeeper for the tests, or says what to install
	@tests/zookeeper/install.sh

SALT := .build/salt

.PHONY: salt
salt: $(SALT)/coordinator/installed ## Salt 3006 and 3008 for the tests, each in its own environment, and our wheel
	@tests/salt/install.sh $(SALT) $(PYTHON)

# As pip installs it, in a directory that both releases, and the older modules beside it, can share.
$(SALT)/coordinator/installed: $(VENV)/installed $(SOURCES)
	@rm -rf $(SALT)/wheel $(SALT)/coordinator
	maturin build --profile quick --locked --quiet --out $(SALT)/wheel
	$(BIN)/python -m pip install --quiet --no-deps --target $(SALT)/coordinator $(SALT)/wheel/*.whl
	@touch $@

.PHONY: setup
setup: $(VENV)/installed

$(VENV)/tools: pyproject.toml
	@command -v cargo >/dev/null || { echo 'cargo is missing: install a Rust toolchain, 1.85 or later'; exit 1; }
	@$(PYTHON) -c 'import sys, venv; sys.exit(sys.version_info < (3, 10))' || \
	  { echo '$(PYTHON) is older than 3.10 or has no venv module: name another with PYTHON=...'; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --group test --group bench --group lint 'maturin>=1.16,<2'
	@touch $@

$(VENV)/installed: $(VENV)/tools $(SOURCES)
	maturin develop --profile quick --locked --quiet
	@touch $@

$(HOOK_TOOL): tests/juju/hook_tool.rs Cargo.toml
	cargo build --quiet --locked --example simulated-hook-tool
	@touch $@

$(BENCH_DRIVER): benches/drivers/driver.rs $(SOURCES)
	cargo build --quiet --locked --release --example bench-driver --features juju,embedded,zookeeper
	@touch $@

.PHONY: clean
clean: ## removes what was built
	rm -rf target build .build $(VENV)
