# `make demo` runs the main job, `make test` passes the tests; both set themselves up.
# Needs Python >= 3.11 with venv, and make. No compiler, no server, no account.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
FUZZ_SECONDS ?= 300
ITEMS ?= 1000000
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps

# One stamp for what a peer needs, one for what a developer needs: the second time is instant.
USER_READY := $(VENV)/.ready-user
DEV_READY := $(VENV)/.ready-dev

.PHONY: demo test check format bench bench-large fuzz mutants coverage clean help

help:
	@echo "make demo      watch a small federation do its whole job (about a minute, set-up included)"
	@echo "make test      run the tests"
	@echo "make check     format, lint, types, layer rules"
	@echo "make coverage  the tests with branch coverage"
	@echo "make bench     the measured figures, as ratios beside a peer tool"
	@echo "make bench-large  searches in a million items, beside DuckDB and pgstac (hours; ITEMS=1000000)"
	@echo "make fuzz      minutes of broken input for every decoder (FUZZ_SECONDS=300)"
	@echo "make mutants   break the core at random: how much of it do the tests see?"
	@echo "make format    format the code"
	@echo "make clean     remove the environment and caches"

demo: $(USER_READY)
	$(BIN)/meshnode demo

test: $(DEV_READY)
	$(BIN)/python -m pytest -q --numprocesses auto --dist loadfile

check: $(DEV_READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV_READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

coverage: $(DEV_READY)
	$(BIN)/coverage run -m pytest -q
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

bench: $(DEV_READY)
	$(BIN)/python -m benchmarks

# Needs Debian's PostgreSQL with PostGIS: docs/benchmarks.md.
bench-large: $(DEV_READY)
	$(BIN)/python -m benchmarks.large --items $(ITEMS)
	$(BIN)/python -m benchmarks.meanwhile --items $(ITEMS)

fuzz: $(DEV_READY)
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

mutants: $(DEV_READY)
	$(BIN)/python -m tests.mutants

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "meshnode needs Python 3.11 or newer; name one with: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(USER_READY): requirements.lock pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "installing the locked dependencies into $(VENV) (about a minute, once)"
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --editable .
	@touch $@

$(DEV_READY): requirements-dev.lock $(USER_READY)
	$(PIP) --require-hashes -r requirements-dev.lock
	@# trio-typing ships outdated stubs that hide trio's own types from mypy.
	rm -rf $(VENV)/lib/python*/site-packages/trio-stubs
	@touch $@

clean:
	rm -rf $(VENV) .mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
