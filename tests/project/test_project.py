"""What the project promises about itself: packages, imports, notebooks, links."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(p.with_suffix(".md") for p in (ROOT / "notebooks").glob("*.ipynb"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def requirement(text: str) -> tuple[str, str]:
    name, bound = re.fullmatch(r"([A-Za-z0-9_.-]+)\s*(.*)", text.strip()).groups()
    return name.lower(), bound


def test_environment_yml_names_the_packages_and_ranges_of_pyproject():
    text = (ROOT / "environment.yml").read_text()
    listed = dict(
        requirement(line) for line in re.findall(r"^ +- ([a-z][^:\n]*)$", text, re.M) if line != "conda-forge"
    )
    extras = PYPROJECT["project"]["optional-dependencies"]
    wanted = dict(requirement(r) for group in (PYPROJECT["project"]["dependencies"], *extras.values()) for r in group)
    wanted["pytorch"] = wanted.pop("torch")  # its name on conda-forge
    wanted |= {"python": PYPROJECT["project"]["requires-python"], "pip": ""}
    assert listed == wanted


def test_binder_gets_the_library_and_the_notebooks_without_cuda_by_a_python_of_two_numbers():
    """repo2docker reads binder/ first, and takes Python 3.10 for a range such as `python>=3.11`."""
    listed = dict(
        requirement(line)
        for line in re.findall(r"^ +- ([a-z].*)$", (ROOT / "binder/environment.yml").read_text(), re.M)
    )
    extras = PYPROJECT["project"]["optional-dependencies"]
    wanted = dict(map(requirement, PYPROJECT["project"]["dependencies"] + extras["notebooks"]))
    wanted["pytorch-cpu"] = wanted.pop("torch")
    python = listed.pop("python")
    assert re.fullmatch(r"=3\.\d+", python)
    assert float(python[3:]) >= 11
    assert listed == wanted | {"pip": "", "conda-forge": ""}
    install = ROOT / "binder/postBuild"
    assert os.access(install, os.X_OK)
    assert "pip install --no-deps --editable ." in install.read_text()
    assert "byol-tutorial lessons lessons" in install.read_text()
    assert "urlpath=lab/tree/lessons/00_start_here.ipynb" in (ROOT / "book/teach/hub.md").read_text("utf-8")


def test_the_container_of_vs_code_is_set_up_by_the_makefile():
    text = (ROOT / ".devcontainer/devcontainer.json").read_text()
    settings = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.M))
    make, target, variable = settings["postCreateCommand"].split()
    makefile = (ROOT / "Makefile").read_text()
    assert (make, variable) == ("make", "TORCH=cpu")
    assert re.search(rf"^{re.escape(target)}:", makefile, re.M)
    base = (ROOT / ".devcontainer" / settings["build"]["dockerfile"]).read_text()
    assert re.fullmatch(r"FROM python:3\.1[1-9]\n", base)


def test_python_has_one_lower_bound():
    bound = PYPROJECT["project"]["requires-python"].removeprefix(">=")
    assert f"You need Python {bound} or newer" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"You need Python {bound} or newer" in (ROOT / "book/index.md").read_text(encoding="utf-8")
    assert f"v < ({bound.replace('.', ', ')})" in (ROOT / "Makefile").read_text()


@pytest.mark.slow
def test_without_the_notebooks_extra_panels_name_it():
    code = "import sys; sys.modules['anywidget'] = None\nimport byol_tutorial as bt\nbt.widgets"
    end = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = end.stderr.strip().splitlines()[-1]
    assert last == (
        "ModuleNotFoundError: the panels need anywidget, which is not installed: pip install 'byol-tutorial[notebooks]'"
    )


def test_constraints_are_plain_pins_of_every_direct_requirement():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.lower().split("==") for line in lines)
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.!+-]+", line) for line in lines)
    extras = PYPROJECT["project"]["optional-dependencies"]
    for group in (PYPROJECT["project"]["dependencies"], *extras.values()):
        for name, _ in map(requirement, group):
            assert name in pins


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a copy of the source, as `pip install` builds it."""
    source = tmp_path_factory.mktemp("source")
    for folder in ("byol_tutorial", "notebooks", "book"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet", "."]
    subprocess.run(build, cwd=source, check=True)
    (made,) = source.glob("*.whl")
    return made


@pytest.mark.slow
def test_an_installed_wheel_writes_the_lessons_and_their_editions(wheel, tmp_path):
    """In an environment and a folder of their own, where nothing of the source can be found."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet", wheel]
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run(install, check=True, env=clean)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(
        sysconfig.get_path("purelib")
    )  # after the wheel; what it links to is not read
    empty = tmp_path / "empty"
    empty.mkdir()

    def run(*arguments):
        end = subprocess.run(
            [environment / "bin" / "byol-tutorial", *arguments], cwd=empty, env=clean, capture_output=True, text=True
        )
        assert end.returncode == 0, end.stderr
        return end.stdout

    count = len(list((ROOT / "notebooks").glob("*.ipynb")))
    assert run("lessons", "mine") == f"{count} notebooks in mine\n"
    first = empty / "mine" / "00_start_here.ipynb"
    text = first.read_text(encoding="utf-8")
    assert "](02_augmentations.ipynb)" in text
    assert {p.name for p in empty.glob("mine/*")} - {p.name for p in (ROOT / "notebooks").glob("*.ipynb")} == {
        f"{page}.ipynb" for page in ("ledger", "troubles", "glossary")
    }
    assert "solution" in (empty / "mine" / "02_augmentations.ipynb").read_text(encoding="utf-8")
    first.write_text(text.replace("Start here", "My notes"), encoding="utf-8")
    assert "what you changed stays as it is" in run("lessons", "mine")
    assert "My notes" in first.read_text(encoding="utf-8")
    assert run("course", "student", "pupils") == f"{count} notebooks in pupils\n"


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package(wheel):
    """It also holds `py.typed`, which tells type checkers that the library's annotations count."""
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("byol_tutorial/")}
    files = (p for p in (ROOT / "byol_tutorial").rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    assert held == {p.relative_to(ROOT).as_posix() for p in files}
    assert "byol_tutorial/py.typed" in held


def test_no_word_is_misspelt():
    end = subprocess.run([sys.executable, "-m", "codespell_lib", "."], cwd=ROOT, capture_output=True, text=True)
    assert (end.returncode, end.stdout) == (0, "")


def test_neither_the_import_nor_a_public_name_pulls_in_anything_heavy():
    """Modules that make the import slow, or need an optional package, are imported only where they are used."""
    code = (
        "import sys, torch; before = set(sys.modules); import byol_tutorial as bt;"
        "[getattr(bt, name) for name in bt.__all__]; print(*sorted(set(sys.modules) - before))"
    )
    new = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {
        "torchvision",
        "timm",
        "matplotlib",
        "sklearn",
        "scipy",
        "pandas",
        "umap",
        "ipywidgets",
        "IPython",
        "rich",
        "tqdm.notebook",
        "numba",  # takes half a second
    }
    assert "byol_tutorial" in new
    assert heavy.isdisjoint(new)


def contracts(folder: Path) -> subprocess.CompletedProcess:
    """Run import-linter on the package in this folder, with the contracts of pyproject.toml."""
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)


@pytest.mark.slow  # `make check` runs lint-imports itself
def test_imports_keep_to_the_contracts():
    end = contracts(ROOT)
    assert end.returncode == 0, end.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("room", "line", "broken"),
    [
        ("config/fields.py", "from ..train import optim", "imports run downwards"),
        ("augment/views.py", "from ..methods import byol", "imports run downwards"),  # a room on the same floor
        ("data/decode.py", "from . import loading", "no circle within a room"),
        ("live/session.py", "from .. import Trainer", "no room imports the package's own face"),
        ("attic/box.py", "X = 1", "imports run downwards"),  # a room that has no floor
    ],
)
def test_the_contracts_find_what_breaks_them(tmp_path, room, line, broken):
    shutil.copytree(ROOT / "byol_tutorial", tmp_path / "byol_tutorial", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    file = tmp_path / "byol_tutorial" / room
    if not file.exists():
        file.parent.mkdir()
        (file.parent / "__init__.py").touch()
        file.touch()
    file.write_text(f"{file.read_text()}\n{line}\n")
    end = contracts(tmp_path)
    assert end.returncode != 0
    assert f"{broken} BROKEN" in end.stdout


def test_the_types_of_every_room_are_checked_and_no_fault_is_silenced():
    """Triton's kernels alone may lack annotations, and only libraries of others may lack types."""
    mypy = PYPROJECT["tool"]["mypy"]
    silencing = {"exclude", "follow_imports", "ignore_errors", "disable_error_code", "ignore_missing_imports"}
    assert mypy["packages"] == ["byol_tutorial"]
    assert mypy["disallow_untyped_defs"]
    assert not mypy.keys() & silencing
    triton, *libraries = mypy["overrides"]
    assert triton == {"module": "byol_tutorial.augment.triton_kernels", "disallow_untyped_defs": False}
    for part in libraries:
        assert part.keys() == {"module", "ignore_missing_imports"}
        assert not any(name.startswith("byol_tutorial") for name in part["module"])
    source = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "byol_tutorial").rglob("*.py"))
    assert "type: ignore" not in source
    assert "# mypy:" not in source


def test_the_package_shows_few_rooms():
    """A newcomer can read their names at a glance."""
    apart = {"__init__.py", "__main__.py", "_version.py", "py.typed", "__pycache__"}
    assert len({p.name for p in (ROOT / "byol_tutorial").iterdir()} - apart) <= 14


# The names that users type: a name may be added, but none may be removed.
PUBLIC = {
    "BYOL", "LARS", "PROTOCOLS", "Config", "ConfigError", "DataError", "Experiment", "ImageSet", "Recording", "Session",
    "StreamedSet", "Trainer", "accuracies", "augment", "byol_loss", "collapse_report", "compare", "dense_probe", "factor_probe", "features", "guest",
    "knn_accuracy", "linear_probe", "load", "load_encoder", "pca_embedding", "preset", "rebuild", "record", "set_threads", "tau_at",
    "umap_embedding", "config", "diagnose", "embed", "embed_images", "evaluate", "networks", "optim", "train", "widgets", "exercises",
}  # fmt: skip
WITHIN = {
    "augment": "Views LocalCrops Draw apply stages crop colour_jitter gaussian_blur luma as_float normalise constant",
    "evaluate": "features kept_size seen_size pixels nearest knn_accuracy linear_probe factor_probe dense_probe DenseResult compare Comparison "
    "accuracies Accuracies",
    "networks": "Branch MLP OptimalPredictor SmallEncoder build_encoder build_norm build_predictor resnet standardise",
    "diagnose": "collapse_report diagnose spread cosines effective_rank alarm_step",
    "embed": "pca_embedding umap_embedding align size successive_maps",
    "optim": "LARS build_optimizer lr_factor_at set_hyperparameters",
    "train": "Trainer DivergedError TrainingError History",
    "config": "Config ConfigError FIELDS LIVE preset PRESETS",
}


def test_public_names_stay():
    import byol_tutorial as bt

    assert PUBLIC - {"widgets", "exercises"} <= set(bt.__all__)
    assert all(hasattr(bt, name) for name in PUBLIC)
    missing = [
        f"bt.{room}.{name}"
        for room, names in WITHIN.items()
        for name in names.split()
        if not hasattr(getattr(bt, room), name)
    ]
    assert missing == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_pairs_are_in_step_and_hold_no_outputs(path):
    text, notebook = jupytext.read(path), json.loads(path.with_suffix(".ipynb").read_text())
    cells = [(c["cell_type"], "".join(c["source"]), c["metadata"].get("tags")) for c in notebook["cells"]]
    assert cells == [(c.cell_type, c.source, c.metadata.get("tags")) for c in text.cells], "run: make notebooks"
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_every_notebook_has_its_text():
    texts = {p.stem for p in (ROOT / "notebooks").glob("*.md")} - {"README", "ledger"}
    assert texts == {p.stem for p in NOTEBOOKS} != set()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_open_and_close_as_promised(path):
    text = path.read_text()
    for part in ("**You will see**", "**Time**", "**You need**", "## Summary", "## Exercises", "## What to read next"):
        assert part in text


def test_links_in_texts_lead_somewhere():
    for path in [*ROOT.glob("*.md"), *(ROOT / "bench").glob("*.md"), *NOTEBOOKS]:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text()):
            if not target.startswith(("http://", "https://", "mailto:")):
                assert (path.parent / target).exists(), f"{path.name}: {target}"


SHAPES = json.loads((ROOT / "bench/results/intel-xeon-2-cores/shapes.json").read_text())["runs"]


def mean_of(rows, key: str) -> float:
    return sum(row[key] for row in rows) / len(rows)


def test_no_number_in_the_readme_is_older_than_its_results():
    """Every measured number in the README's table is in bench/results."""
    number = r" ([\d.–]+) \|"
    table = re.findall(rf"^\| ([^|]+?) \|{5 * number}$", (ROOT / "README.md").read_text("utf-8"), re.M)
    assert [name for name, *_ in table] == list(SHAPES)
    for name, *values in table:
        for key, value in zip(("linear", "knn", "hue", "std", "rank"), values, strict=True):
            assert (value == "–") == (key not in SHAPES[name][0]), (name, key)
            if value != "–":
                assert value == f"{mean_of(SHAPES[name], key):.{len(value.split('.')[1])}f}", (name, key)


def test_a_healthy_run_looks_healthy_on_every_seed():
    """What the course promises of its recipe, by the results of bench/shapes.py."""
    healthy = SHAPES["BYOL"]
    assert len(healthy) == 10
    assert min(run["linear"] for run in healthy) >= 0.92
    assert mean_of(healthy, "knn") >= 0.93
    assert min(run["rank"] for run in healthy) >= 3
    assert mean_of(healthy, "rank") >= 4
    assert max(run["seconds"] for run in healthy) <= 35
    assert all(run["verdict"] == "healthy" and run["alarm"] is None for run in healthy)
    passing = [moment for run in healthy for moment in run["ill_moments"]]
    assert len(passing) <= 2
    assert all(step < 400 and verdict == "partial collapse" for step, verdict in passing)  # of 1,920 steps


def test_every_ablation_keeps_its_sign():
    """No predictor and no stop-gradient collapse; a fixed target is between; no colour leaves the hue; no EMA learns."""
    for name in ("no predictor", "no stop-gradient"):
        assert max(run["std"] for run in SHAPES[name]) < 0.05
    for run, random, byol in zip(SHAPES["fixed random target"], SHAPES["random encoder"], SHAPES["BYOL"], strict=False):
        assert random["linear"] + 0.1 < run["linear"] < byol["linear"] - 0.1
    assert max(run["linear"] for run in SHAPES["no colour augmentation"]) <= 0.25
    assert min(run["hue"] for run in SHAPES["no colour augmentation"]) >= 0.9
    assert min(run["linear"] for run in SHAPES["no EMA (τ = 0)"]) >= 0.9


def test_no_property_begins_with_what_sphinx_takes_for_a_type():
    """Napoleon reads "x: y" in the first line of a property's docstring as type and text, and the strict book fails."""
    for file in sorted((ROOT / "byol_tutorial").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            names = {ast.unparse(decorator) for decorator in node.decorator_list}
            if names & {"property", "cached_property", "functools.cached_property"}:
                first = (ast.get_docstring(node) or "").split("\n")[0]
                assert ": " not in first, f"{file.name}: {node.name}: {first}"


def test_security_names_what_decodes_images_and_what_connects():
    text = (ROOT / "SECURITY.md").read_text()
    (row,) = (line for line in text.splitlines() if line.startswith("| images |"))
    names = {"PIL": "Pillow", "numpy": "NumPy", "tifffile": "tifffile", "torchvision": "torchvision"}
    package = ROOT / "byol_tutorial"
    code = "".join((package / "data" / f"{name}.py").read_text() for name in ("bands", "decode", "formats"))
    imported = {name.split(".")[0] for name in re.findall(r"^ *(?:from|import) ([a-zA-Z]\S*)", code, re.M)}
    assert imported - {"torch"} - sys.stdlib_module_names == names.keys()
    assert all(name in row for name in names.values())

    words = {
        "data/torchvision_sets.py": "a data set of torchvision",
        "evaluate/pretrained.py": "download=True",
        "cli/options.py": "`=download`",
        "train/initial_weights.py": "`--init timm:NAME`, `--init torchvision:NAME`",
    }
    fetching = re.compile(r"\bdownload\s*=(?!=)|[\"']download[\"']|pretrained=download")
    found = {str(p.relative_to(package).as_posix()) for p in package.rglob("*.py") if fetching.search(p.read_text())}
    assert found == words.keys()
    assert all(each in " ".join(text.split()) for each in words.values())
