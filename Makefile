# Two commands for a new machine (Python 3.11 or newer, and make): `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check simulate soak bench performance instructions lock dependencies sbom format clean

# Built from the lock file with hashes, and again after the lock file changes.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "hookline needs Python 3.11 or newer; name one with: make PYTHON=python3.12"; exit 1; }
	@echo "Setting up $(VENV) from requirements.lock ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

demo: $(READY)  ## apply the repository's webhooks, relay example events, show the results
	@$(BIN)/hookline demo .demo

# Bytecode is written even if the environment forbids it, as in many containers: each worker, and each process that a
# test starts, would compile all modules.
test: $(READY)  ## all tests except the long ones; four at a time on two cores, because many wait
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 4 --dist worksteal -m "not soak"

simulate: $(READY)  ## the simulated relay: SEEDS=N new seeds, or SEED=n again with its trace; SHARED=1: on PostgreSQL
	@PYTHONPATH=tests $(BIN)/python -m simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),200)) \
	  $(if $(SHARED),--shared)

check: $(READY)  ## lint, format, types, dependencies: CI runs it before the tests; it needs no network
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pip --disable-pip-version-check check
	$(BIN)/python .ci/sbom.py > /dev/null  # installed packages, lock and requirements must agree

soak: $(READY)  ## the long fault runs, and fuzzing where atheris is installed
	@$(BIN)/python -m pytest -m soak -s -v
	@$(BIN)/python tests/fuzz/fuzzing.py

bench: $(READY)  ## measurements, side by side with their limits: BENCHMARKS="peers idle", QUICK=1
	@$(BIN)/python benchmarks/bench.py $(BENCHMARKS) $(if $(QUICK),--quick)

performance: $(READY)  ## docs/performance.md from the raw data of the last `make bench`
	@$(BIN)/python benchmarks/performance_page.py --take build/bench

instructions: $(READY)  ## instructions for an event, compared with the recorded ones: RECORD=1 records them
	@$(BIN)/python benchmarks/instructions.py $(if $(RECORD),--record)

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(READY)  ## write requirements.lock from pyproject.toml (uv must be installed)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  --no-emit-find-links --extra dev pyproject.toml --output-file requirements.lock
	@echo "Now run: make dependencies"

dependencies: $(READY)  ## write the pinned dependencies that `hookline init` gives to CI, from requirements.lock
	$(BIN)/python .ci/dependencies.py

sbom: $(READY)  ## the bill of materials of the installed dependencies, as CycloneDX
	$(BIN)/python .ci/sbom.py dist/hookline.cdx.json

clean:
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache build dist
