# One verb per task; CI runs the same ones. `check` and `test` only read, `fix` rewrites.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

HELM   := build/tools/helm
HELM_VERSION := v3.19.0
COMPOSE := build/tools/docker-compose
COMPOSE_VERSION := v2.33.1
MACHINE := $(shell uname -m)
IMAGE  ?= csm:dev

.DEFAULT_GOAL := help
.PHONY: help demo quick test prove e2e check fix bench lock dist image image-context manifests sbom clean pictures docs audit

help:            ## this list
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "csm needs Python 3.11 or newer")'
	@echo "Making $(VENV): Python packages by their hashes. Once, a minute or two."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: $(READY)   ## start the sandbox, type a self-test into it, and stay up
	@# Two of the fleet's Agents are broken on purpose, so the verdict is `fail`, and its exit status 1.
	$(BIN)/csm sandbox --once '/csm selftest cluster-a' --stay || test $$? -eq 1

quick: $(READY)  ## unit tests only: nothing that starts a server, a browser or an engine
	$(BIN)/python -m pytest -n 2 --dist worksteal -q tests/handlers/agent tests/handlers/selftest tests/handlers/tc tests/handlers/remediation \
	    tests/bot/access tests/bot/commands tests/bot/config tests/bot/render tests/bot/runtime -m 'not bench' $(ARGS)

test: $(READY)   ## everything this machine can run; says what it left out and why
	@# Most tests wait for processes, so there are more workers than cores.
	$(BIN)/python -m pytest -m 'not bench' -n 3 --dist worksteal $(ARGS)

prove: $(READY)  ## thousands of schedules against the rule that no archive leaves without its approval: SCHEDULES=2000
	CSM_TESTS_SCHEDULES=$(or $(SCHEDULES),2000) $(BIN)/python -m pytest -n 2 --dist worksteal tests/approvals/test_invariant.py $(ARGS)

e2e: $(READY)    ## the contract suite and a self-test in a real cluster: CSM_E2E_KUBECONFIG, CSM_E2E_IMAGE (tests/e2e/conftest.py)
	$(BIN)/python -m pytest tests/e2e $(ARGS)

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

pictures: $(READY)  ## take the README's pictures anew; prettiest with the Debian packages fonts-lato and fonts-noto-color-emoji
	$(BIN)/python -m tests.pictures

docs: $(READY)   ## write the pages that follow from the code
	$(BIN)/python -m docs.generate

audit: $(READY)  ## licences (also in `make test`), and known vulnerabilities of what is delivered; asks PyPI's advisories
	$(BIN)/python -m pytest -q tests/test_licences.py
	test -x build/tools/audit/bin/pip-audit || { $(PYTHON) -m venv build/tools/audit && build/tools/audit/bin/pip install --quiet --disable-pip-version-check pip-audit; }
	build/tools/audit/bin/pip-audit --strict --disable-pip --require-hashes --requirement requirements/run.txt || { \
	    echo "Not passed: either a vulnerability is listed above, or PyPI's advisories could not be asked, and then nothing is known."; exit 1; }

lock:            ## pin the newest dependencies, with hashes and no addresses
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml --extra otel -o requirements/run.txt
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml --group dev -o requirements/dev.txt

dist: $(READY)   ## a wheel that runs without the sources
	rm -rf dist build/lib build/bdist.*
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .

image-context: dist  ## what the image's build reads, so that it needs no network
	rm -rf build/image
	mkdir -p build/image
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --only-binary :all: --require-hashes \
	    --implementation cp --python-version 3.11 --target build/image/csm \
	    --platform manylinux_2_28_$(MACHINE) --platform manylinux_2_17_$(MACHINE) --platform manylinux2014_$(MACHINE) \
	    -r requirements/run.txt
	rm -rf build/image/csm/bin
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --target build/image/csm dist/csm-*.whl
	find build/image/csm -name '*.so*' -exec strip --strip-debug {} +
	cp deploy/Dockerfile deploy/image/gather.py build/image

image: image-context  ## IMAGE=csm:dev BASE=python:3.11-slim-bookworm@sha256:…
	test -n "$(BASE)" || { echo "Name an image with Python 3.11, by its digest: make image BASE=python:3.11-slim-bookworm@sha256:…"; exit 2; }
	docker build --build-arg BASE=$(BASE) --tag $(IMAGE) build/image

manifests: $(HELM)  ## deploy/manifests, for those without Helm
	$(HELM) template csm deploy/chart --namespace csm --kube-version 1.31.0 \
	    --values deploy/manifests/values.yaml > deploy/manifests/csm.yaml

$(HELM):
	GOBIN=$(abspath build/tools) go install helm.sh/helm/v3/cmd/helm@$(HELM_VERSION)

# Its command is called `cmd`. Later versions' go.mod has directives with which `go install` does not build them.
$(COMPOSE):
	GOBIN=$(abspath build/tools/compose) go install github.com/docker/compose/v2/cmd@$(COMPOSE_VERSION)
	mv build/tools/compose/cmd $@

sbom: $(READY)   ## dist/csm.cdx.json: everything that the image's Python loads, as CycloneDX
	mkdir -p dist
	$(BIN)/cyclonedx-py requirements requirements/run.txt --pyproject pyproject.toml --output-reproducible --output-file dist/csm.cdx.json

clean:           ## remove what was made: .venv, build, dist, caches
	rm -rf $(VENV) dist build *.egg-info .mypy_cache .ruff_cache .pytest_cache
