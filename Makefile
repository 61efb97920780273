# Each target sets itself up in .venv. Needed on the machine: Python 3.11 or later, make, git.

# The first Python that is new enough; `make PYTHON=python3.13 test` takes another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
# Processes that run tests; more than there may be cores, as many tests wait for sockets.
TESTERS := 4
BIN := $(VENV)/bin
COVERAGE := --cov --cov-report=term --cov-fail-under=100

.PHONY: demo test quick test-all lint types bench outcomes search fuzz soak mutants clean

demo: $(VENV)/ready
	$(BIN)/python demo.py

test: $(VENV)/ready
	@echo 'The whole test run takes about twelve minutes on 2 cores; `make quick` takes about two.'
	$(BIN)/python -m pytest --numprocesses $(TESTERS) $(COVERAGE)

# The tests of one's own work; tests/conftest.py says what it leaves out.
quick: $(VENV)/ready
	$(BIN)/python -m pytest --numprocesses $(TESTERS) --quick -q

test-all: $(VENV)/ready
	$(BIN)/python tests/all_pythons.py

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/ready
	$(BIN)/mypy
	$(BIN)/pyright

# Everything beside its peers, into benchmarks/README.md; an hour or so.
bench: $(VENV)/ready .peers/ready
	$(BIN)/python -m benchmarks

# Looks for counter-examples to the properties, elsewhere each time; an hour or so.
search: $(VENV)/ready
	$(BIN)/python -m pytest --numprocesses auto --timeout=0 --hypothesis-profile=search tests/test_properties.py

# Each target for so many seconds: make fuzz FUZZ=600
FUZZ := 60
fuzz: $(VENV)/ready
	$(BIN)/python -m tests.fuzzing --seconds $(FUZZ)

# Changes the core in thousands of small ways; the tests have to notice. Some ten minutes.
mutants: $(VENV)/ready
	nice -n 5 $(BIN)/python -m tests.mutants

# Many streams at once, for minutes, on each event loop (Linux).
soak: $(VENV)/ready
	nice -n 10 $(BIN)/python -m tests.soak

# Runs each case on each transport, and writes what came of it.
outcomes: $(VENV)/ready
	$(BIN)/python -m tests.outcomes

clean:
	rm -rf $(VENV) build dist demo-output .fuzz .mutants .peers benchmarks/node_modules \
		src/*.egg-info *.egg-info .coverage

$(VENV)/ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or later was found" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

.peers/ready: pyproject.toml benchmarks/package-lock.json
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or later was found" >&2; exit 1; }
	for peers in bench bench-litellm; do \
		$(PYTHON) -m venv .peers/$${peers#bench-} && \
		.peers/$${peers#bench-}/bin/python -m pip install --quiet --disable-pip-version-check \
			-e ".[$$peers]" || exit; done
	if command -v npm >/dev/null; then npm ci --prefix benchmarks --silent --no-audit --no-fund; fi
	@touch $@
