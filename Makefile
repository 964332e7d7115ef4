# make demo: the whole pipeline on the built-in synthetic pair, on CPU.  make test: every test that needs no GPU.
PYTHON ?= python3.11
VENV   := .venv
STAMP  := $(VENV)/.installed
EXTRAS ?= cpu,test
FIRST  := tests/unit tests/distributed tests/end_to_end/processes

.PHONY: demo test lint setup clean

demo: $(STAMP)
	$(VENV)/bin/kinrec demo

test: lint  # two halves at a time: most of the second waits for processes and for SLURM
	@first=$$(mktemp); \
	$(VENV)/bin/python -m pytest $(FIRST) >$$first 2>&1 & \
	$(VENV)/bin/python -m pytest tests $(FIRST:%=--ignore=%); second=$$?; \
	wait $$!; status=$$?; cat $$first; rm -f $$first; \
	[ $$status -eq 0 ] && [ $$second -eq 0 ]

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
