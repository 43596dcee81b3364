# `make demo` and `make test` are all the set-up there is: both make .venv from the lock file first.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed

.PHONY: demo test lint bench bench-docs gate gate-update lock clients autobahn clean

demo: $(STAMP)
	$(VENV)/bin/kubetape demo $(ARGS)

test: $(STAMP) clients
	$(VENV)/bin/python -m pytest $(ARGS)

# Real programs for the tests: kubectls from Debian's packages, the Node client, PostgreSQL. Says what it could not get.
clients: $(STAMP)
	tests/clients/install
	tests/gateway/state/install

lint: $(STAMP)
	$(VENV)/bin/ruff format --check . && $(VENV)/bin/ruff check . && $(VENV)/bin/mypy

# What recording costs, beside kubectl proxy and HAProxy: a quarter of an hour; ARGS=--quick for a look.
bench: $(STAMP)
	benchmarks/install
	$(VENV)/bin/kubetape bench --targets $(ARGS)

# The same for the record: figures, tables and pictures of docs/performance.md and the raw file behind them.
FIGURES := benchmarks/results/latest.json
bench-docs: $(STAMP)
	benchmarks/install
	$(VENV)/bin/kubetape bench --json $(FIGURES) $(ARGS)
	$(VENV)/bin/python -m benchmarks.micro --json $(FIGURES) >/dev/null
	$(VENV)/bin/kubetape bench --read $(FIGURES) --plot docs/performance --document docs/performance.md --targets

# Counted work against benchmarks/baselines; 3 is a version of Python that none is kept for.
gate: $(STAMP)
	@$(VENV)/bin/python -m benchmarks.work $(ARGS) || [ $$? -eq 3 ]

# For the other version: make gate-update PYTHON=python3.13 VENV=.venv-3.13
gate-update: $(STAMP)
	$(VENV)/bin/python -m benchmarks.work --update $(ARGS)

coverage: $(STAMP)
	$(VENV)/bin/coverage run -m pytest tests/protocol tests/storage tests/gateway/policy -q && $(VENV)/bin/coverage report --include='protocol/*,storage/*,gateway/policy/*'

lock:
	$(VENV)/bin/pip install -q uv
	$(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url pyproject.toml -o requirements.lock
	$(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock

clean:
	rm -rf $(VENV)

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { echo "python3-venv is missing: installing it"; apt-get install -y -q python3-venv python3-pip >/dev/null && $(PYTHON) -m venv $(VENV); }
	$(VENV)/bin/pip install -q --disable-pip-version-check -r requirements-dev.lock
	$(VENV)/bin/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)
