# One verb per task; CI runs the same ones. `check` and `test` only read, `fix` rewrites.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test check fix bench lock clean

$(READY): requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "csm needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: $(READY)   ## start the sandbox, type a self-test into it, and stay up
	@# Two of the fleet's Agents are broken on purpose, so the verdict is `fail`, and its exit status 1.
	$(BIN)/csm sandbox --once '/csm selftest cluster-a' --stay || test $$? -eq 1

test: $(READY)   ## everything this machine can run; says what it left out and why
	@# Most tests wait for processes, so there are more workers than cores.
	$(BIN)/python -m pytest -m 'not bench' -n 3 --dist worksteal $(ARGS)

check: $(READY)  ## read-only: lint, format, types, layers, manifest
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(READY)    ## rewrite what can be rewritten
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## ratios against reference runs beside it
	$(BIN)/python -m tests.bench

lock:            ## pin the newest dependencies, with hashes and no addresses
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml -o requirements/run.txt
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml --group dev -o requirements/dev.txt

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
