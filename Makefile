# Each target sets itself up in .venv. Needed on the machine: Python 3.11 or later, make, git.

# The first Python that is new enough; `make PYTHON=python3.13 test` takes another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
# Processes that run tests; more than there may be cores, as many tests wait for sockets.
TESTERS := 3
BIN := $(VENV)/bin
# Tests start hundreds of Pythons, each of which would compile everything.
export PYTHONDONTWRITEBYTECODE :=
COVERAGE := --cov --cov-report=term --cov-fail-under=100

.PHONY: demo test quick test-all test-ray lint types docs bench outcomes providers formats frameworks \
	search fuzz soak gateway-soak mutants clean

demo: $(VENV)/ready
	$(BIN)/python demo.py

test: $(VENV)/ready
	@echo 'The whole test run takes ten minutes on 2 cores; `make quick` leaves out what takes long.'
	@# Else each of the processes below compiles all tests.
	find tests -name 'test_*.py' | xargs -P 2 -n 150 $(BIN)/python -m pytest --collect-only -qq >/dev/null || true
	$(BIN)/python -m pytest --numprocesses $(TESTERS) $(COVERAGE)

# The tests of one's own work; tests/conftest.py says what it leaves out.
quick: $(VENV)/ready
	$(BIN)/python -m pytest --numprocesses $(TESTERS) --quick -q

test-all: $(VENV)/ready
	$(BIN)/python tests/all_pythons.py

# Batches by Ray, which is too large (600 MB) for the other tests.
test-ray: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[ray]'
	$(BIN)/python -m pytest -m ray -s tests/batch/test_ray.py

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/ready
	$(BIN)/mypy
	$(BIN)/pyright

# The documentation as a site, in build/site.
docs: $(VENV)/docs
	$(BIN)/python -m tests.site

# Everything beside its peers, into benchmarks/README.md; an hour or so.
bench: $(VENV)/ready .peers/ready
	$(BIN)/python -m benchmarks

# Looks for counter-examples to the properties, elsewhere each time; an hour or so.
search: $(VENV)/ready
	$(BIN)/python -m pytest --numprocesses auto --timeout=0 --hypothesis-profile=search tests/test_properties.py

# llm_server and the frameworks whose requirements do not go with those of `dev`: litellm wants an
# openai older than all others.
frameworks: $(VENV)/ready
	for names in "langchain-openai langchain-anthropic llama-index-llms-openai \
			pydantic-ai-slim[openai]" litellm; do \
		folder=.frameworks/$${names%%[!a-z]*} && \
		$(PYTHON) -m venv $$folder && \
		$$folder/bin/python -m pip install --quiet --disable-pip-version-check \
			-e '.[pytest]' $$names && \
		$$folder/bin/python -m pytest -c /dev/null --rootdir=. --noconftest -p no:cacheprovider \
			-rA tests/testing/llm/test_frameworks.py || exit; done

# Each target for so many seconds: make fuzz FUZZ=600
FUZZ := 60
fuzz: $(VENV)/ready
	$(BIN)/python -m tests.fuzzing --seconds $(FUZZ)

# Changes the core in thousands of small ways; the tests have to notice. An hour or two.
mutants: $(VENV)/ready
	nice -n 5 $(BIN)/python -m tests.mutants

# Many streams at once, for minutes, on each event loop (Linux).
soak: $(VENV)/ready
	nice -n 10 $(BIN)/python -m tests.soak

gateway-soak: $(VENV)/ready
	nice -n 10 $(BIN)/python -m tests.gateway.soak

# Prints the providers' records into docs/providers.md.
providers: $(VENV)/ready
	$(BIN)/python -m tests.provider_tables

# Prints what the formats declare into docs/formats.
formats: $(VENV)/ready
	$(BIN)/python -m tests.format_pages

# Runs each case on each transport, and writes what came of it.
outcomes: $(VENV)/ready
	$(BIN)/python -m tests.outcomes

clean:
	rm -rf $(VENV) build dist demo-output .frameworks .fuzz .mutants .peers benchmarks/node_modules \
		src/*.egg-info *.egg-info .coverage

$(VENV)/ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or later was found" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

$(VENV)/docs: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	@touch $@

.peers/ready: pyproject.toml benchmarks/package-lock.json
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or later was found" >&2; exit 1; }
	for peers in bench bench-litellm bench-otel; do \
		$(PYTHON) -m venv .peers/$${peers#bench-} && \
		.peers/$${peers#bench-}/bin/python -m pip install --quiet --disable-pip-version-check \
			-e ".[$$peers]" || exit; done
	if command -v npm >/dev/null; then npm ci --prefix benchmarks --silent --no-audit --no-fund; fi
	@touch $@
