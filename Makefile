# Everything a fresh machine needs is Python 3.11+, git and make.
# The first of these that is new enough; another one by `make PYTHON=…`, beside this one with `VENV=…` too.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$name"; break; }; done)
VERSION := $(shell "$(PYTHON)" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(VERSION)

.PHONY: demo test test-all tutorial story-github lint format install lock docs site clean

demo: $(STAMP)
	$(BIN)/modelops demo

# TESTS leaves some of them out or names some, as pytest takes it.
TESTS ?=
# CI adds the stories, beside the other tests, so that no processor waits for the end of the longest one.
MARKS ?= not slow and not benchmark
# Tests wait for servers and git half of their time, so there are more processes than cores. What lies beside each
# other shares what is expensive to make: each process begins with a part of its own.
PYTEST = $(BIN)/python -m pytest --dist worksteal -n $(shell "$(PYTHON)" -c 'import os; print(os.cpu_count() * 3 // 2)')

test: $(STAMP)
	$(PYTEST) -m "$(MARKS)" $(TESTS)

test-all: $(STAMP)
	$(PYTEST) -m "not benchmark"

tutorial: $(STAMP)
	$(PYTEST) -m story tests/docs

ENGINE := tests/workflows/engine
$(ENGINE)/node_modules/.package-lock.json: $(ENGINE)/package-lock.json
	npm ci --prefix $(ENGINE) --no-audit --no-fund --silent

# The scaffolded workflows, step by step, on GitHub's own parser and expression engine; needs Node and a registry.
story-github: $(STAMP) $(ENGINE)/node_modules/.package-lock.json
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow -rP $(or $(TESTS),tests/workflows)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/modelops validate
	$(BIN)/python docs/generate.py --check

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)
	$(BIN)/python docs/generate.py

install: $(STAMP)

$(STAMP): requirements-dev.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "modelops needs Python 3.11 or newer: make PYTHON=/path/to/python3" >&2; exit 1; }
	@# An environment of another version cannot be kept.
	test "$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$(VERSION)" || \
		"$(PYTHON)" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.9,<1"
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes -r requirements-dev.lock
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	touch $(STAMP)

# The runtime lock is the models' environment lock; it repeats the versions of the development lock.
lock:
	$(BIN)/uv pip compile --quiet --no-header --universal --generate-hashes --python-version 3.11 --group dev pyproject.toml -o requirements-dev.lock
	$(BIN)/uv pip compile --quiet --no-header --universal --generate-hashes --python-version 3.11 --group docs -o requirements-docs.lock
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --universal --generate-hashes --python-version 3.11 -c requirements-dev.lock pyproject.toml -o requirements.lock

# The same pages as a site, with search that works offline; what is wrong with a link is an error. Its tools have an
# environment of their own, so that the tests' one needs none of them.
SITE_VENV ?= .venv-docs
SITE ?= build/site
$(SITE_VENV)/.installed: requirements-docs.lock
	"$(PYTHON)" -m venv --clear $(SITE_VENV)
	$(SITE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.lock
	touch $@

site: $(SITE_VENV)/.installed
	$(SITE_VENV)/bin/python -m sphinx --fail-on-warning --keep-going --quiet --conf-dir docs/site . $(SITE)
	@echo "open $(SITE)/index.html"

clean:
	rm -rf $(VENV) $(SITE_VENV) build .venv-newer .mypy_cache .ruff_cache .pytest_cache .hypothesis
