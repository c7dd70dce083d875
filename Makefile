# Two commands do everything on a fresh machine with Python 3.11+ and make: `make demo` and `make test`.
.DEFAULT_GOAL := help
PYTHON ?= python3
OUT ?= demo-out
SEED ?= 0
BIN := .venv/bin
STAMP := .venv/.installed
export PYTHONUTF8 = 1
# Where an image forbids bytecode, every start would compile Inspect and MLflow anew: five seconds each time.
export PYTHONDONTWRITEBYTECODE =
# Only errors: what pip says of the user's own configuration is not about us.
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps

# Each drop-in has an environment of its own, by hash: its host's needs are none of the project's. So have Ray and S3.
INTEGRATIONS := clients langchain litellm openai_agents pydantic_ai ray s3
BENCHES := builds caches chains copies fuzz gaming guarantee hostile house kernels links offpolicy public quality race recorded resume runtime scaling siege sweep threads twophase walks

.PHONY: help demo demo-live test test-integrations bench-integrations bench-ray site package mutants lint format lock readme clean $(BENCHES:%=bench-%)

help:  ## Show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20
	@echo "bench-NAME          Figures, printed as tables; NAME is one of: $(BENCHES) integrations ray"

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 …"; exit 1; }
	@test -x $(BIN)/python || { echo "making .venv"; $(PYTHON) -m venv .venv; }
	@echo "installing requirements.lock into .venv (about two minutes the first time)"
	@$(PIP) --no-compile --require-hashes -r requirements.lock
	@$(PIP) --no-build-isolation -e .
	@touch $@

demo: $(STAMP)  ## The whole walk on recorded generations of real models, in some three minutes; no key, no server
	@$(BIN)/router-lab demo --out $(OUT)

demo-live: $(STAMP)  ## A small sweep against a real local model server (downloads SmolLM2-135M once)
	@$(BIN)/router-lab demo --live --out $(OUT)

test: $(STAMP)  ## All tests
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

# What runs mutants is no dependency of the project: a folder of its own, by hash.
.mutants/.installed: tests/bench/mutants.lock $(STAMP)
	@$(PIP) --require-hashes --only-binary :all: --upgrade --target .mutants/lib -r tests/bench/mutants.lock
	@touch $@

# So is what builds the site.
.site/.installed: .github/site.lock $(STAMP)
	@rm -rf .site/lib
	@$(PIP) --require-hashes --only-binary :all: --target .site/lib -r .github/site.lock
	@touch $@

site: .site/.installed  ## Build docs/ into .site/html, links checked; offline once its tools are there
	@NO_MKDOCS_2_WARNING=1 PYTHONPATH=.site/lib $(BIN)/python -m mkdocs build --strict -f .github/mkdocs.yml
	@echo ".site/html/index.html (to search it: python3 -m http.server -d .site/html)"

mutants: .mutants/.installed  ## Change 200 places of fit, metrics, gates and replay: do the tests notice? (an hour; SEED=…)
	@OMP_NUM_THREADS=1 PYTHONPATH=.mutants/lib $(BIN)/python tests/bench/mutants.py --seed $(SEED)

package: $(STAMP)  ## Wheel and sdist into dist/, the same bytes each time
	@$(BIN)/python tests/bench/package.py

.integrations/%/.installed: tests/integrations/%.lock
	@test -x .integrations/$*/bin/python || { echo "making .integrations/$*"; $(PYTHON) -m venv .integrations/$*; }
	@.integrations/$*/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-compile --require-hashes -r $<
	@touch $@

# Hosts leave sockets to the garbage collector.
LEFT_OPEN := -W ignore::ResourceWarning -W ignore::pytest.PytestUnraisableExceptionWarning
.PRECIOUS: .integrations/%/.installed

test-integrations: $(INTEGRATIONS:%=test-integrations-%)  ## The drop-ins, each beside its real host, and addresses beside an S3 server; all on loopback

$(INTEGRATIONS:%=test-integrations-%): test-integrations-%: .integrations/%/.installed
	@PYTHONPATH=. LITELLM_LOCAL_MODEL_COST_MAP=True .integrations/$*/bin/python -m pytest -q $(LEFT_OPEN) tests/integrations/test_$*.py $(wildcard tests/integrations/test_$*_*.py)

AGENTS := langchain openai_agents pydantic_ai
bench-integrations: .integrations/litellm/.installed $(AGENTS:%=.integrations/%/.installed)
	@PYTHONPATH=. .integrations/litellm/bin/python -W ignore tests/integrations/bench.py
	@for name in $(AGENTS); do PYTHONPATH=. .integrations/$$name/bin/python -W ignore tests/integrations/added.py $$name; done

bench-ray: .integrations/ray/.installed
	@PYTHONPATH=. .integrations/ray/bin/python -W ignore tests/integrations/bench_ray.py

lint: $(STAMP)  ## ruff, mypy --strict, import order
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@MYPYPATH=evals $(BIN)/mypy --explicit-package-bases evals/*.py  # suites import one another as Inspect loads them
	@$(BIN)/mypy .github/site/pages.py
	@$(BIN)/lint-imports

format: $(STAMP)  ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

readme: $(STAMP)  ## Put what demo and walks print into README.md and docs/
	@$(BIN)/python tests/bench/readme.py

LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header
lock:  ## Rewrite requirements.lock, .github/site.lock and tests/integrations/*.lock (needs uv)
	$(LOCK) \
		--extra lab --extra sign --extra postgres --extra dev pyproject.toml -o requirements.lock
	$(LOCK) --constraint requirements.lock .github/site/tools.in -o .github/site.lock
	$(LOCK) --constraint requirements.lock --extra lab --extra ray pyproject.toml tests/integrations/ray.in -o tests/integrations/ray.lock
	for name in $(filter-out ray,$(INTEGRATIONS)); do $(LOCK) tests/integrations/$$name.in -o tests/integrations/$$name.lock; done

$(BENCHES:%=bench-%): bench-%: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python tests/bench/$*.py

clean:  ## Remove what the demo wrote
	rm -rf demo-out
