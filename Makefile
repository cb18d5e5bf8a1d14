# Everything a developer or CI runs. Each target sets itself up; `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WHEEL_VENV := build/wheel-venv
UV_VERSION := 0.13.9
UV := $(BIN)/uv
# Tests start Pythons by the hundred: each would compile afresh what others have compiled.
unexport PYTHONDONTWRITEBYTECODE
# Most of a test's time it waits for processes and periods, so that more than one a core fit.
WORKERS ?= 3
# Workloads of `make harmless` that run at a time: their tasks sleep.
JOBS ?= 2
SOURCES := src parsl_monitor globus_compute_hooks tests examples benchmarks docs

.PHONY: help setup demo quick check lint test fuzz bench resilience harmless harmless-compute sessions parsl-suite guarantees soak corpus parsl-versions docs lock clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(VENV)/.ready  ## make the virtual environment (other targets do it by themselves)

$(VENV)/.ready: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found; install Python 3.10 or later, or say make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "make: $(PYTHON) is older than 3.10; say make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Setting up $(VENV) …"
	@$(PYTHON) -m venv $(VENV) || { echo "make: no venv module; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r constraints.txt
	@$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

demo: setup  ## a real workflow that fails in several ways, recovers, and explains itself (OPTIONS=--keep leaves the broker up)
	@$(BIN)/octopus demo $(OPTIONS)

quick: setup  ## the fast tests: units, contracts, one path through each host; 90 s on 2 cores
	$(BIN)/pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not slow" tests/integration tests/contract tests/unit

check: lint  ## lint, format, types, generated docs, contracts
	$(BIN)/pytest -q tests/contract

lint: setup
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/python docs/generate.py --check

test: lint  ## what check does, and every test, against the built wheel
	rm -rf build/dist $(WHEEL_VENV)
	$(UV) build --quiet --wheel --no-build-isolation --python $(BIN)/python --out-dir build/dist .
	$(UV) venv --quiet --python $(PYTHON) $(WHEEL_VENV)
	$(UV) pip install --quiet --compile-bytecode --python $(WHEEL_VENV)/bin/python --require-hashes -r constraints.txt
	$(UV) pip install --quiet --compile-bytecode --python $(WHEEL_VENV)/bin/python --no-deps build/dist/*.whl
	cd tests && OCTOPUS_TEST_WHEEL=1 PATH="$(abspath $(WHEEL_VENV))/bin:$$PATH" $(abspath $(WHEEL_VENV))/bin/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_OPTIONS) -c ../pyproject.toml --rootdir .. .

fuzz: setup  ## hostile records, others each time, also on Apache Kafka (EXAMPLES=5000 of each property and in each topic)
	OCTOPUS_FUZZ_EXAMPLES=$(or $(EXAMPLES),5000) $(BIN)/pytest -q -n 0 --timeout 7200 tests/unit/test_hostile.py \
	  tests/unit/octopus_plugins/events/test_codec.py tests/integration/kafka/test_hostile.py

bench: setup  ## what it costs, as ratios within one run; takes most of an hour (OPTIONS="--only scale", --quick, --list, --plot)
	$(BIN)/python benchmarks/run.py $(OPTIONS)

resilience: setup  ## recovery from injected faults against stock Parsl, about 80 minutes (OPTIONS="--seeds 1 --scenarios memory")
	$(BIN)/python -m benchmarks.resilience.run $(OPTIONS)

parsl-suite: setup  ## Parsl's own test suite in stock and under enable, about an hour (OPTIONS="--config local --only htex")
	$(BIN)/python -m benchmarks.parsl_suite.run $(OPTIONS)

harmless: setup  ## stock Parsl against enable(config): is any workload harmed? About 80 minutes (OPTIONS="--only coin noop", --short, --list)
	$(BIN)/python -m benchmarks.harmless.run --jobs $(JOBS) $(OPTIONS)

harmless-compute: setup  ## stock Globus Compute against OctopusEngine and OctopusExecutor, takes hours (OPTIONS="--pairs 1", --only, --short, --list)
	$(BIN)/python -m benchmarks.harmless.compute.run $(OPTIONS)

sessions: setup  ## a day of endpoint sessions in stock and ours: is anything left over? About 20 minutes (OPTIONS="--sessions 6 --systems ours")
	$(BIN)/python -m benchmarks.harmless.compute.sessions $(OPTIONS)

guarantees: setup  ## the guarantees of delivery on Apache Kafka with 100,000 events each, into docs/delivery.md, about 6 minutes
	$(BIN)/python -m benchmarks.delivery.guarantees $(OPTIONS)

soak: setup  ## ten minutes at 2,000 events/s while a broker is restarted every minute (OPTIONS=--write-docs)
	$(BIN)/python -m benchmarks.delivery.soak $(OPTIONS)

corpus: setup  ## make the labelled failures anew by running them, and evaluate the rules on them
	$(BIN)/python -m benchmarks.corpus.make
	$(BIN)/python -m benchmarks.corpus.evaluate --write-docs

parsl-versions: setup  ## a small workflow with the oldest Parsl, two in between and the newest, about 2 minutes (VERSIONS="2026.7.27")
	$(BIN)/python -m benchmarks.versions.run $(VERSIONS)

docs: setup  ## regenerate docs/schema and docs/categories.md
	$(BIN)/python docs/generate.py

lock: setup  ## resolve the pinned versions anew
	$(UV) pip compile pyproject.toml --quiet --upgrade --all-extras --universal --python-version 3.10 \
	  --generate-hashes --no-emit-index-url --no-header -o constraints.txt

clean:  ## remove what the targets made
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache
