# make demo: a search on handwritten digits, from nothing to a Pareto front of ONNX networks
# make test: linters, types, documentation and all tests
# make docs: the documentation as a site in build/docs; warnings are errors

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test docs install clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --no-compile --editable '.[dev]'
	@# pip would compile on one core, and not evo_fair; some packages hold templates, which don't compile
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib evo_fair || true
	touch $@

demo: install
	rm -rf results/demo
	$(BIN)/evo-fair search digits --seed 0 --out results/demo

test: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@# types beside tests: mypy has one core's work; three tests at once for two cores, as some wait for processes
	$(BIN)/mypy & types=$$!; $(MAKE) --no-print-directory $(VENV)/.compiled && \
		$(BIN)/python -m pytest -n 3 --dist worksteal; tested=$$?; wait $$types && exit $$tested

# One test alone, for which Numba compiles most of what it keeps beside the sources: else all processes do so at once
$(VENV)/.compiled: $(VENV)/.installed
	$(BIN)/python -m pytest -q tests/jobs/test_audit.py -k supernet
	touch $@

docs: install
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs

clean:
	rm -rf $(VENV) build dist
