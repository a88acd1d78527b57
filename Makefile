# make test    sets up what is missing and runs all tests
# make sim     random clusters in virtual time; exit code 1 if a promise was broken
# make demo    a three-node cluster on this machine, with a table of the outages
# make check   format, lint and types
# make install what a node needs, into /usr and /etc: docs/installation.md; make uninstall takes it away

PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= test,check
# So many tests run at a time.  Most of them wait; with more, two cores would become too few.
WORKERS ?= 4
RUN = $(VENV)/bin/python

# Where `make install` puts things; `tools/install -h` tells what each means.  Through the environment, for the sake of
# blanks in DESTDIR.  PYTHON goes there only if somebody gave it: the default above is for tests.
DESTDIR ?=
PREFIX ?= /usr
COMMAND ?=
INITDIR ?=
SETTINGSDIR ?=
UNITDIR ?=
export DESTDIR PREFIX COMMAND INITDIR SETTINGSDIR UNITDIR

.PHONY: test sim demo check format states install uninstall clean

$(VENV)/.done: setup.cfg tools/setup-venv
	tools/setup-venv $(VENV) $(PYTHON) $(EXTRAS)

test: $(VENV)/.done
	tools/setup-lab
	tools/run-tests $(RUN) $(WORKERS) $(PYTEST_ARGS)

# Random clusters in virtual time: make sim SEEDS=100000.
sim: $(VENV)/.done
	$(RUN) -m had.sim $(or $(SEEDS),2000) --jobs 2 --report

demo: $(VENV)/.done
	$(RUN) -m demo $(DEMO_ARGS)

check: $(VENV)/.done
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy

format: $(VENV)/.done
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

# The state diagram of the documentation, from the table in had/core/states.py.
states: $(VENV)/.done
	$(RUN) tools/state_diagram.py > docs/states.md

install:
	@tools/install install

uninstall:
	@tools/install uninstall

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
