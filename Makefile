# make demo: a D that wins, and two runs that go on from there, as before and with plugins.  make test: set up and test.
# make check: what CI runs.  make faults: the fault matrix.
# make audit: known holes of the pinned dependencies (asks the network).  make site: the documentation as a site.  make docs-cli: write docs/cli.md from the commands.
PYTHON ?= python3
BIN := .venv/bin
DEMO := runs/demo

# Laid out for the site as they lie here, so that links between them lead on.
PAGES := *.md docs plugins/cards benchmarks/README.md benchmarks/evidence/README.md zi2zi_model/fonts/LICENSES.md

.PHONY: demo test faults lint check audit site docs-cli clean

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[all]"
	touch $@

.venv/developing: .venv/installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

demo: .venv/installed
	rm -rf $(DEMO)
	$(BIN)/balancer train --config docs/demo.toml --steps 400 --out $(DEMO)/start
	$(BIN)/balancer train --config docs/demo.toml --set model.start=$(DEMO)/start --set model.style_offset=0 --out $(DEMO)/as-before
	$(BIN)/balancer train --config docs/demo.toml --set model.start=$(DEMO)/start --set model.style_offset=0 --plugins autobalance --out $(DEMO)/balanced
	$(BIN)/balancer zi2zi compare $(DEMO)/as-before $(DEMO)/balanced --out $(DEMO)/compare.png
	$(BIN)/balancer report $(DEMO)/as-before $(DEMO)/balanced --out $(DEMO)/report.html

test: .venv/developing
	$(BIN)/python -m pytest -n 2

# Kills, power cuts and refusing disks at every operation on files of a run; kills, signals and other commands at random
# moments; one of two ranks that dies, stops, differs or is slow; flipped bits; hostile input. `make test` tries a few of each.
faults: .venv/developing
	$(BIN)/python tests/faults/matrix.py --jobs 2

lint: .venv/developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory site

check: lint test

# It has needs of its own, so an environment of its own; --strict, since what it could not ask about is not clean.
audit:
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet pip-audit==2.10.1
	build/audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict

site: .venv/developing
	rm -rf build/pages build/site
	mkdir -p build/pages
	tar -cf - $(PAGES) | tar -xf - -C build/pages
	$(BIN)/zensical build --clean --strict

docs-cli: .venv/developing
	$(BIN)/python docs/make_cli_page.py

clean:
	rm -rf .venv .cache build *.egg-info
