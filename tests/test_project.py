"""What the project promises about itself: packages, imports, notebooks, links."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).parent.parent
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


def test_constraints_are_plain_pins_of_every_direct_requirement():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.lower().split("==") for line in lines)
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.!+-]+", line) for line in lines)
    extras = PYPROJECT["project"]["optional-dependencies"]
    for group in (PYPROJECT["project"]["dependencies"], *extras.values()):
        for name, _ in map(requirement, group):
            assert name in pins


def test_no_word_is_misspelt():
    end = subprocess.run([sys.executable, "-m", "codespell_lib", "."], cwd=ROOT, capture_output=True, text=True)
    assert (end.returncode, end.stdout) == (0, "")


def test_import_pulls_in_nothing_heavy():
    """What makes the import slow, or needs an optional package, is imported where it is used."""
    code = (
        "import sys, torch; before = set(sys.modules); import byol_tutorial; print(*sorted(set(sys.modules) - before))"
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
    }
    assert "byol_tutorial" in new
    assert heavy.isdisjoint(new)


def test_imports_run_downwards_only():
    """No room knows one above it (DESIGN: config < data, augment, networks < byol < optim < train < course < cli)."""
    order = [
        {"option", "config", "shapes", "diagnose", "vit", "distributed", "history", "interrupt", "fused", "openmp",
         "progress", "randomness", "triton_views", "cuda_graph"},
        {"hardware", "presets", "pictures", "augment", "networks", "figures", "ablations", "chain", "processes",
         "orders"},
        {"folders", "stream", "checkpoint"}, {"data", "weights"}, {"objective", "dinov2"},
        {"byol", "simclr", "simsiam", "dino", "methods", "evaluate", "embed", "feed", "guests"},
        {"optim", "result", "state"}, {"tuning"}, {"protocols"}, {"step"}, {"train"},
        {"runfolder", "recording", "snapshot", "session", "experiment", "shared", "laboratory", "turns", "crew"},
        {"judge"}, {"course", "cli"}, {"__main__"},
    ]  # fmt: skip
    level = {name: i for i, names in enumerate(order) for name in names}
    for file in (ROOT / "byol_tutorial").glob("*.py"):
        if file.stem == "__init__":
            continue
        assert file.stem in level, f"give {file.stem} its place in the table above"
        for name in re.findall(r"^\s*from \.(\w+) import", file.read_text(), re.M):
            # rooms of the same level may know each other; none knows a higher one
            assert level[name] <= level[file.stem], f"{file.stem} imports {name}"


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
    for path in [ROOT / "README.md", *NOTEBOOKS]:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text()):
            if not target.startswith(("http://", "https://", "mailto:")):
                assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_no_number_in_the_readme_is_older_than_its_results():
    """Every measured number in the README's table stands in bench/results."""
    results = json.loads((ROOT / "bench/results/amd-epyc-2-cores/shapes.json").read_text())["runs"]
    mean = lambda rows, key: sum(r[key] for r in rows) / len(rows)  # noqa: E731
    table = re.findall(
        r"^\| ([^|]+?) \| ([\d.–]+) \| ([\d.–]+) \| ([\d.–]+) \| ([\d.–]+) \|$", (ROOT / "README.md").read_text(), re.M
    )
    assert len(table) >= 6
    for name, *values in table:
        for key, value in zip(("linear", "knn", "hue", "std"), values, strict=True):
            if value != "–":
                assert value == f"{mean(results[name], key):.{len(value.split('.')[1])}f}", (name, key)
