# Two commands do all set-up on a machine with nothing but Python 3.11+ and make: `make dev` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PIP    := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: setup dev test lint types conformance sim mutants fuzz prove-power prove-network prove-backup compose-test chaos chaos-night bench clean

setup: $(STAMP)

# PySyncObj is published as source only: it is built without isolation, from build tools that are hashed too.
$(STAMP): requirements/build.txt requirements/dev.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --only-binary :all: --require-hashes -r requirements/build.txt
	@$(PIP) install --no-build-isolation --only-binary :all: --no-binary pysyncobj --require-hashes -r requirements/dev.txt
	@$(PIP) install --no-build-isolation --no-deps -e .
	@touch $(STAMP)

dev: setup
	@$(BIN)/strongroom dev $(ARGS)

lint: setup
	@$(BIN)/ruff check .

types: setup
	@$(BIN)/mypy

test: setup lint types
	@$(BIN)/pytest -q -n 2 --dist worksteal

conformance: setup
	@$(BIN)/python -m tests.conformance
	@STRONGROOM_HEAVY=1 $(BIN)/pytest -q -rP tests/process/test_process_overload.py

sim: setup
	@$(BIN)/python -m chaos.sim --seeds $(or $(SEEDS),200)

mutants: setup
	@$(BIN)/python -m tests.chaos.mutants_table --seeds $(or $(SEEDS),60)

fuzz: setup
	@$(BIN)/python -m tests.hostile.fuzz --seconds $(or $(SECONDS_IN_ALL),600)

# The file systems of three nodes lose power, for real where root allows it.
prove-power: setup
	@$(BIN)/python -m tests.power $(ARGS)

prove-network: setup
	@$(BIN)/python -m tests.network $(ARGS)

# A real PostgreSQL, S3 server and SQLite file fail under load; all nodes die and come back from a sink.
prove-backup: setup
	@$(BIN)/python -m tests.backup $(ARGS)

compose-test: setup
	@$(BIN)/python -m tests.compose $(ARGS)

# What CI runs after the tests: checkers, fresh seeds, power cuts, real processes under faults, mutants. About 8 minutes.
chaos: setup
	@$(BIN)/python -m chaos.gate $(ARGS)

# Seeds, power cuts, every scenario on every target of processes, mutants, again and again, with distributions of gaps.
chaos-night: setup
	@$(BIN)/python -m chaos.gate --night --minutes $(or $(MINUTES),60) $(ARGS)

bench: setup
	@$(BIN)/python -m bench

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
