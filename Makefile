# `make test` and `make demo` do all of their own set-up in ./.venv; a second call starts at once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo real-demo pretrain-demo tasks-demo compare-pretraining docs test lint clean

setup: $(STAMP)

$(STAMP): setup.py requirements/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "mmbeit3 needs Python 3.10 or newer: make PYTHON=python3.11"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c requirements/constraints.txt -e '.[test]'
	touch $@

demo: $(STAMP)
	$(BIN)/python tools/demo.py

# `make real-demo DATA=folder` takes BCCD from a folder or an archive instead of downloading it.
real-demo: $(STAMP)
	$(BIN)/python tools/real_demo.py $(if $(DATA),--data '$(DATA)') $(if $(WEIGHTS),--weights '$(WEIGHTS)')

pretrain-demo: $(STAMP)
	$(BIN)/python tools/demo_pretraining.py

tasks-demo: $(STAMP)
	$(BIN)/python tools/demo_tasks.py

compare-pretraining: $(STAMP)
	$(BIN)/python tools/compare_pretraining.py

docs: $(STAMP)
	$(BIN)/python -m sphinx -q -W -b html docs build/docs
	@echo "site in build/docs/index.html"

test: $(STAMP)
	$(BIN)/python -m pytest -n auto --maxprocesses=4

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info
