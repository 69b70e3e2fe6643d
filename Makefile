# Two commands matter: `make lab` and `make test`. Both set up .venv on first use.
PYTHON ?= python3
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
ARGS ?=
UV := uv==0.13.9

# Python keeps the byte code that it compiles. Otherwise each of the many processes that tests, notebooks and the book
# start would compile the sources of torch again, which takes 6 s of the 10 s until the first step of a run.
unexport PYTHONDONTWRITEBYTECODE

# There is one process per core with one thread each, so that tests which train do not compete for the cores. Each begins
# with a part of the files of its own, so that few fixtures are made twice; the one that is done first takes over others.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

.PHONY: lab lint check test test-book test-others verify book book-next slides serve-book moving-picture notebooks student teacher \
    package address constraints bench bench-peers clean

# Opens a folder of the lessons for their reader, which git does not track. LESSONS=notebooks opens the course's own
# notebooks, whose texts JupyterLab writes when it saves them.
LESSONS ?= lessons
lab: .venv/installed
	$(BIN)/byol-tutorial lessons $(LESSONS) --open -- $(ARGS)

# Checks what can be seen without running the code.
lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# For every edit: lint, and the tests that neither train for long nor open a browser, without those that are slow for
# another reason, such as the interpreter of a GPU's kernel.
# check-all also runs those.
MARKS = not training and not slow
check-all: MARKS = not training
# Plugins that only notebooks and browsers need, or nothing here, take longer to load than pytest itself, in each process;
# the one of logs looks at some hundred loggers of other packages six times a test.
UNUSED = $(addprefix -p no:,nbmake playwright hydra_pytest anyio platformdirs logging)
check check-all: lint
	$(PYTEST) $(UNUSED) tests --ignore tests/browser -m "$(MARKS)" $(ARGS)

# The notebooks come first and alone: in one process with the browser tests two event loops would conflict, and the book
# reads the runs that they kept. The tests that do not need the book run beside it.
test: lint
	$(PYTEST) --nbmake notebooks
	$(MAKE) -j 2 test-book test-others

# Builds the book strictly and from an empty folder, then tests it. The user, the home and the temporary folder have a
# name that no page may contain, because a page must not tell who built it. The runs that notebooks keep stay where they
# are.
CANARY = zz-canary
test-book: .venv/installed
	rm -rf build/test && mkdir -p build/test/$(CANARY)/home build/test/$(CANARY)/tmp
	BYOL_CACHE=$${BYOL_CACHE:-$$HOME/.cache/byol_tutorial/runs} HOME=$(CURDIR)/build/test/$(CANARY)/home \
	    TMPDIR=$(CURDIR)/build/test/$(CANARY)/tmp USER=$(CANARY) LOGNAME=$(CANARY) OMP_NUM_THREADS=1 \
	    $(MAKE) book BYOL_SCALE=smoke WORK=build/test/work SITE=build/test/html
	BYOL_BOOK=build/test/html $(PYTEST) tests/browser/test_book.py

test-others: .venv/installed
	$(PYTEST) tests --ignore tests/browser/test_book.py $(ARGS)

# Runs every notebook as a reader does, at laptop scale, two at a time, those that take longest first. AT_ONCE=1 runs them
# one after another. pytest exits with 5 where ARGS selects no cell of a notebook, which is no failure.
AT_ONCE ?= 2
verify: .venv/installed
	notebooks=$$($(BIN)/python bench/lessons.py --longest-first) && printf '%s\n' $$notebooks | BYOL_SCALE=laptop \
	    xargs -P $(AT_ONCE) -n 1 sh -c '"$$@" || [ $$? -eq 5 ]' verify \
	    $(BIN)/python -m pytest -q -p no:cacheprovider --nbmake --nbmake-timeout=1200 --timeout=0 $(ARGS)

# Builds the course as a static site in build/html, which opens from any server and from a disk. BYOL_SCALE=smoke builds
# it quickly with short runs, BYOL_EDITION=teacher adds the answers to the questions. Executed pages are reused as long
# as the library and the page are unchanged.
SITE ?= build/html
WORK ?= build/book
book: .venv/installed
	rm -rf $(WORK)/_build/html $(WORK)/_build/.doctrees
	BYOL_STATIC=1 TQDM_DISABLE=1 BYOL_SCALE=$(BYOL_SCALE) $(BIN)/jupyter-book build . \
	    --config book/_config.yml --toc book/_toc.yml --path-output $(WORK) -W -n --keep-going
	rm -rf $(SITE) && cp -r $(WORK)/_build/html $(SITE)
	@printf '%s\n' $(FIRST_PAGE) > $(SITE)/index.html

FIRST_PAGE = '<!doctype html><html lang="en"><meta charset="utf-8"><title>BYOL</title>' \
    '<link rel="icon" href="_static/favicon.svg"><meta http-equiv="Refresh" content="0; url=book/index.html">'

# Builds the same pages with the newest Sphinx instead of Jupyter Book 1, in build/next/html, from the same configuration and
# with the pages that `make book` executed; see book/conf.py. Its tools need other versions than Jupyter Book's, so they have
# an environment of their own, in which only what computes has the versions of constraints.txt.
NEXT ?= build/next
book-next: $(NEXT)/.venv/installed
	rm -rf $(WORK)/_build/next $(WORK)/_build/.doctrees-next $(NEXT)/html
	BYOL_STATIC=1 TQDM_DISABLE=1 BYOL_SCALE=$(BYOL_SCALE) $(NEXT)/.venv/bin/python -m sphinx -b html -c book \
	    -d $(WORK)/_build/.doctrees-next -W -n --keep-going . $(WORK)/_build/next
	cp -r $(WORK)/_build/next $(NEXT)/html
	@printf '%s\n' $(FIRST_PAGE) > $(NEXT)/html/index.html

$(NEXT)/.venv/installed: pyproject.toml constraints.txt .venv/installed
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(NEXT)/.venv
	grep -E '^(torch|torchvision|numpy|scipy|numba|matplotlib|scikit-learn|umap-learn)==' constraints.txt > $(NEXT)/constraints.txt
	$(BIN)/uv pip install --quiet --python $(NEXT)/.venv $(if $(TORCH),--torch-backend=$(TORCH)) -c $(NEXT)/constraints.txt \
	    -e ".[notebooks]" --group book-next
	@touch $@

# Makes one deck of slides for each lesson, in build/slides-html.
slides: book
	$(BIN)/python book/slides/make.py $(WORK) build/slides-html

serve-book:
	$(if $(wildcard build/html/index.html),,$(error there is no book yet: make book))
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory build/html 8000

# Films the playground in Chromium for the first screen of the README, in half a minute.
moving-picture: .venv/installed
	$(BIN)/python book/moving_picture.py

# Edit the .md files; this writes the .ipynb beside each.
notebooks: .venv/installed
	$(BIN)/jupytext --quiet --update --to ipynb $(filter-out %/README.md %/ledger.md,$(wildcard notebooks/*.md))

# Writes the notebooks without solutions to build/student, and with the solutions unfolded to build/teacher.
student teacher: .venv/installed
	rm -rf build/$@
	$(BIN)/byol-tutorial course $@ build/$@

# Writes measured results to bench/results in about a quarter of an hour on two cores. QUICK=--quick only checks that
# the benchmarks run.
bench: bench-peers
	$(BIN)/python bench/step.py $(QUICK)
	$(BIN)/python bench/peers.py $(QUICK)
	$(BIN)/python bench/growth.py $(QUICK)
	$(BIN)/python bench/learn.py $(QUICK)
	$(if $(QUICK),,$(BIN)/python bench/shapes.py)

bench-peers: .venv/installed
	$(BIN)/uv pip install --quiet --python .venv --group peers

# TORCH=cpu installs torch without CUDA.
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11, 5) and f"Python 3.11.5 or newer is needed; {sys.executable} is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(UV)
	$(BIN)/uv pip install --quiet --python .venv $(if $(TORCH),--torch-backend=$(TORCH)) -c constraints.txt -e ".[notebooks,book,dev]"
	@touch $@

# Builds the wheel and the source archive in build/dist, and checks what an index would show of them. Two of pyroma's ten
# points are for an e-mail address, which the project has none of, and for links, which `make address` adds.
package: .venv/installed
	rm -rf build/dist && $(BIN)/uv build --quiet --out-dir build/dist .
	$(BIN)/uv tool run --quiet twine check --strict build/dist/*
	$(BIN)/uv tool run --quiet pyroma --min 8 build/dist/*.tar.gz

# Writes where the project is published, after a fork too: make address REPOSITORY=OWNER/NAME
address: .venv/installed
	$(BIN)/python book/_ext/address.py $(REPOSITORY)

# Writes constraints.txt again from the installed packages, after an upgrade.
constraints:
	$(BIN)/uv pip freeze --exclude-editable | grep -vE '^(pip|uv)==' > constraints.txt

clean:
	rm -rf .venv build
