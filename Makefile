# make demo: the whole pipeline on the built-in synthetic pair, on CPU.  make test: every test that needs no GPU.
PYTHON ?= python3.11
VENV   := .venv
STAMP  := $(VENV)/.installed
EXTRAS ?= cpu,test
PYTEST := $(VENV)/bin/python -m pytest
PARTS  := test-limits test-processes test-whole test-slurm test-unit test-ranks lint
LIMITS := tests/slurm/test_preemption.py tests/slurm/test_signal_moments.py
APART  := tests/distributed tests/end_to_end tests/slurm

.PHONY: demo test lint setup clean $(PARTS)

demo: $(STAMP)
	$(VENV)/bin/kinrec demo

test: $(STAMP)  # three parts at a time, the longest first: they wait, for processes and for SLURM; six at a time are no faster
	@shared=$$(mktemp -d) && trap 'rm -rf "$$shared"' EXIT && KINREC_TESTS_SHARED="$$shared" \
	$(MAKE) --no-print-directory --keep-going --jobs=3 --output-sync=target $(PARTS)

test-ranks: ; $(PYTEST) tests/distributed
test-limits: ; $(PYTEST) $(LIMITS)
test-processes: ; $(PYTEST) tests/end_to_end/processes
test-whole: ; $(PYTEST) tests/end_to_end --ignore=tests/end_to_end/processes
test-slurm: ; $(PYTEST) tests/slurm $(LIMITS:%=--ignore=%)
test-unit: ; $(PYTEST) tests $(APART:%=--ignore=%)

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

setup: $(STAMP)

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[$(EXTRAS)]'
	touch $@

clean:  # runs/ stays: what is in there was paid for
	rm -rf $(VENV)
