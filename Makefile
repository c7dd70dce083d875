# Two commands do everything on a fresh machine with Python 3.11+ and make: `make demo` and `make test`.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
MLFLOW_ENV := MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=1
export PYTHONUTF8 = 1

.PHONY: help demo demo-live test test-browser lint format lock clean bench-runtime bench-quality bench-guarantee bench-resume \
	bench-sweep bench-recorded

help:  ## Show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 …"; exit 1; }
	@test -x $(BIN)/python || { echo "making .venv"; $(PYTHON) -m venv .venv; }
	@echo "installing requirements.lock into .venv (about two minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP)  ## The whole walk on recorded generations of real models; no key, no server
	@$(BIN)/router-lab demo

demo-live: $(STAMP)  ## A small sweep against a real local model server (downloads SmolLM2-135M once)
	@$(BIN)/router-lab demo --live

test: $(STAMP)  ## All tests
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile

lint: $(STAMP)  ## ruff, mypy --strict, import order
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(STAMP)  ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock:  ## Rewrite requirements.lock from pyproject.toml (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--extra lab --extra sign --extra postgres --extra dev pyproject.toml -o requirements.lock

bench-%: $(STAMP)  ## (bench-runtime, bench-quality, bench-guarantee, bench-resume, bench-sweep, bench-recorded)
	@OMP_NUM_THREADS=1 $(BIN)/python tests/bench/$(subst -,_,$*).py

clean:  ## Remove what the demo wrote
	rm -rf demo-out
