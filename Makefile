# make test    sets up what is missing and runs all tests
# make sim     random clusters in virtual time; exit code 1 if a promise was broken
# make fuzz    what reads bytes is given inputs that try to break it
# make soak    real clusters under random faults, for two hours; MINUTES=5 for less
# make mutants every small change of had/core and had/wire, one at a time: does a test notice
# make planted known bugs, put in one at a time: what finds them
# make explore every schedule of small worlds, as far as five minutes go
# make demo    a three-node cluster on this machine, with a table of the outages
# make bench   had beside other failover daemons, measured; needs root: bench/README.md
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

.PHONY: test sim explore planted mutants fuzz soak demo check format states install uninstall clean

$(VENV)/.done: setup.cfg tools/setup-venv
	tools/setup-venv $(VENV) $(PYTHON) $(EXTRAS)

test: $(VENV)/.done
	tools/setup-lab
	tools/run-tests $(RUN) $(WORKERS) $(PYTEST_ARGS)

# Random clusters in virtual time: make sim SEEDS=100000.
sim: $(VENV)/.done
	$(RUN) -m had.sim $(or $(SEEDS),2000) --jobs 2 --report

# In an environment of its own, since atheris is large: make fuzz SECONDS=600, TARGETS="wire record" for some only.
fuzz: .venv-fuzz/.done
	.venv-fuzz/bin/python tests/fuzz/fuzzing.py --seconds $(or $(SECONDS),60) $(TARGETS)

.venv-fuzz/.done: setup.cfg tools/setup-venv
	tools/setup-venv .venv-fuzz $(PYTHON) fuzz

# As root.  make soak HOURS=8, or MINUTES=5; SEED=7 does the same things again, though not at the same instants.
soak: $(VENV)/.done
	tools/setup-lab
	PYTHONPATH=tests $(RUN) -m lab.soak $(if $(MINUTES),--minutes $(MINUTES),--hours $(or $(HOURS),2)) \
		$(if $(SEED),--seed $(SEED))

# make mutants MODULE=had.core.node for some only; MUTANTS_ARGS=--again for those that survived the last time.
mutants: .venv-mutants/.done
	PYTHONPATH=tests .venv-mutants/bin/python -m mutation $(MODULE) $(MUTANTS_ARGS)

.venv-mutants/.done: setup.cfg tools/setup-venv
	tools/setup-venv .venv-mutants $(PYTHON) test,mutants

# Every order of a bounded set of events: make explore EXPLORE_ARGS="--world cut --minutes 20".
explore: $(VENV)/.done
	$(RUN) -m had.sim.explore $(EXPLORE_ARGS)

# Known bugs in a copy of the program, one at a time: make planted SEEDS=500.
planted: $(VENV)/.done
	$(RUN) tests/sim/planted.py --seeds $(or $(SEEDS),2000)

demo: $(VENV)/.done
	$(RUN) -m demo $(DEMO_ARGS)

# All of it takes hours: make bench BENCH_ARGS=--quick to try, BENCH_ARGS=--help for the rest.
bench: $(VENV)/.done
	$(RUN) -m bench $(BENCH_ARGS)

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
	rm -rf $(VENV) .venv-fuzz .venv-mutants .fuzz build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
