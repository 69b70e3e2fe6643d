# Two commands matter: `make lab` and `make test`. Both set up .venv on first use.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: lab test notebooks student teacher constraints bench clean

lab: .venv/installed
	$(BIN)/jupyter lab $(ARGS) notebooks/00_start_here.ipynb

# One process a core, one thread each, so that tests which train do not fight over the cores. Notebooks apart: in one
# process with browser tests, two event loops would meet.
test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --nbmake notebooks
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto tests $(ARGS)

# The .md files are what one edits; this writes the .ipynb beside each.
notebooks: .venv/installed
	$(BIN)/jupytext --quiet --update --to ipynb $(filter-out %/README.md %/ledger.md,$(wildcard notebooks/*.md))

# The notebooks without solutions, and with them unfolded, in build/student and build/teacher.
student teacher: .venv/installed
	rm -rf build/$@
	$(BIN)/byol-tutorial course $@ build/$@

# Measured results in bench/results; about a quarter of an hour on two cores.
bench: .venv/installed
	$(BIN)/python bench/shapes.py

# TORCH=cpu takes torch's builds without CUDA.
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Python 3.11 or newer is needed; {sys.executable} is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python $(if $(TORCH),--torch-backend=$(TORCH)) -c constraints.txt -e ".[notebooks,dev]"
	@touch $@

# Written anew from what is installed, after an upgrade.
constraints:
	$(BIN)/uv pip freeze --exclude-editable | grep -v '^uv==' > constraints.txt

clean:
	rm -rf .venv build
