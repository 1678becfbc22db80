# make demo: train on the embedded glyphs, with plugins and without, and compare.  make test: set up and test.
PYTHON ?= python3
BIN := .venv/bin
DEMO := runs/demo
DEMO_STEPS := 1500

.PHONY: demo test lint check clean

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

.venv/developing: .venv/installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

demo: .venv/installed
	rm -rf $(DEMO)
	$(BIN)/balancer train --plugins dynamic_lambda,d_lr_ratio --steps $(DEMO_STEPS) --out $(DEMO)/plugins --device cpu
	$(BIN)/balancer train --plugins "" --steps $(DEMO_STEPS) --out $(DEMO)/baseline --device cpu
	$(BIN)/balancer zi2zi compare $(DEMO)/baseline $(DEMO)/plugins --out $(DEMO)/compare.png

test: .venv/developing
	$(BIN)/python -m pytest -n 2

lint: .venv/developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

clean:
	rm -rf .venv build *.egg-info
