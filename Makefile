# make demo: the whole pipeline on the built-in synthetic pair, on CPU.  make test: every test that needs no GPU.
PYTHON ?= python3.11
VENV   := .venv
STAMP  := $(VENV)/.installed
EXTRAS ?= cpu,test
FIRST  := tests/unit tests/distributed
SECOND := tests/slurm

.PHONY: demo test lint setup clean

demo: $(STAMP)
	$(VENV)/bin/kinrec demo

test: lint  # three parts at a time: much of each waits for processes, and most of the second for SLURM
	@said=$$(mktemp -d); \
	$(VENV)/bin/python -m pytest $(FIRST) >$$said/first 2>&1 & first=$$!; \
	$(VENV)/bin/python -m pytest $(SECOND) >$$said/second 2>&1 & second=$$!; \
	$(VENV)/bin/python -m pytest tests $(patsubst %,--ignore=%,$(FIRST) $(SECOND)); status=$$?; \
	wait $$first || status=1; wait $$second || status=1; cat $$said/first $$said/second; rm -r $$said; \
	exit $$status

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
