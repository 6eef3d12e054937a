# `make demo` and `make test` work in a fresh clone with nothing installed by hand but Python 3.11 and make.
PYTHON ?= python3
VENV ?= .venv
# Test processes: most of what tests do is wait, for kernels, workers and browsers.
JOBS ?= 3
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo test lab lint lint-extension types extension clean

demo: $(VENV)/.installed
	$(BIN)/workbench demo --out demo

test: $(VENV)/.installed-dev
	$(BIN)/python extensions/lab/build.py --if-node
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

# The quickstart notebook in JupyterLab.
lab: $(VENV)/.installed-lab
	$(BIN)/python extensions/lab/build.py --if-node --link $(VENV)
	$(BIN)/jupyter lab notebooks/quickstart.ipynb

# The JupyterLab extension, built with node and linked into the environment; wheels have it, an editable install does not.
extension: $(VENV)/.installed-lab
	$(BIN)/python extensions/lab/build.py --link $(VENV)

# Its TypeScript; needs node, as building it does.
lint-extension: extension
	cd extensions/lab && node_modules/.bin/biome ci src style schema

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) --editable .
	touch $@

$(VENV)/.installed-lab: $(VENV)/.installed
	$(PIP) --editable '.[lab]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) demo
