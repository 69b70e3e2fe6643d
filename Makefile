# Two commands matter: `make lab` and `make test`. Both set up .venv on first use.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: lab check test verify book slides serve-book notebooks student teacher constraints bench bench-peers clean

lab: .venv/installed
	$(BIN)/jupyter lab $(ARGS) notebooks/00_start_here.ipynb

# At every edit: lint, import contracts, and the tests that neither train for long nor open a browser.
check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto tests --ignore tests/browser -m "not training" $(ARGS)

# One process a core, one thread each, so that tests which train do not fight over the cores. Notebooks apart: in one
# process with browser tests, two event loops would meet. The book is built first, strictly and from nothing.
test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --nbmake notebooks
	rm -rf build/test && OMP_NUM_THREADS=1 $(MAKE) book BYOL_SCALE=smoke WORK=build/test/work SITE=build/test/html
	OMP_NUM_THREADS=1 BYOL_BOOK=build/test/html $(BIN)/python -m pytest -n auto tests $(ARGS)

# Every notebook as a reader runs it, at laptop scale; about twenty minutes on two cores.
verify: .venv/installed
	BYOL_SCALE=laptop $(BIN)/python -m pytest --nbmake --nbmake-timeout=1200 notebooks $(ARGS)

# The course as a static site in build/html: it opens from any server, and from a disk. BYOL_SCALE=smoke for a quick look,
# BYOL_EDITION=teacher for answers to the questions. What was executed is kept, as long as library and pages are the same.
SITE ?= build/html
WORK ?= build/book
book: .venv/installed
	rm -rf $(WORK)/_build/html $(WORK)/_build/.doctrees
	BYOL_STATIC=1 TQDM_DISABLE=1 BYOL_SCALE=$(BYOL_SCALE) $(BIN)/jupyter-book build . \
	    --config book/_config.yml --toc book/_toc.yml --path-output $(WORK) -W -n --keep-going
	rm -rf $(SITE) && cp -r $(WORK)/_build/html $(SITE)
	@printf '%s\n' '<!doctype html><html lang="en"><meta charset="utf-8"><title>BYOL</title>' \
	    '<link rel="icon" href="_static/favicon.svg"><meta http-equiv="Refresh" content="0; url=book/index.html">' > $(SITE)/index.html

# One deck of slides a lesson, in build/slides-html.
slides: book
	$(BIN)/python book/slides/make.py $(WORK) build/slides-html

serve-book:
	$(if $(wildcard build/html/index.html),,$(error there is no book yet: make book))
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory build/html 8000

# The .md files are what one edits; this writes the .ipynb beside each.
notebooks: .venv/installed
	$(BIN)/jupytext --quiet --update --to ipynb $(filter-out %/README.md %/ledger.md,$(wildcard notebooks/*.md))

# The notebooks without solutions, and with them unfolded, in build/student and build/teacher.
student teacher: .venv/installed
	rm -rf build/$@
	$(BIN)/byol-tutorial course $@ build/$@

# Measured results in bench/results; about a quarter of an hour on two cores. QUICK=--quick only sees whether they run.
bench: bench-peers
	$(BIN)/python bench/step.py $(QUICK)
	$(BIN)/python bench/peers.py $(QUICK)
	$(BIN)/python bench/growth.py $(QUICK)
	$(BIN)/python bench/learn.py $(QUICK)
	$(if $(QUICK),,$(BIN)/python bench/shapes.py)

bench-peers: .venv/installed
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group peers

# TORCH=cpu takes torch's builds without CUDA.
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Python 3.11 or newer is needed; {sys.executable} is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python $(if $(TORCH),--torch-backend=$(TORCH)) -c constraints.txt -e ".[notebooks,book,dev]"
	@touch $@

# Written anew from what is installed, after an upgrade.
constraints:
	$(BIN)/uv pip freeze --exclude-editable | grep -v '^uv==' > constraints.txt

clean:
	rm -rf .venv build
