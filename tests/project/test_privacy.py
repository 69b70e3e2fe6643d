"""What the project gives away does not tell who made it: no path, user or host of the machine that built it.

Things are made as a user with a name that no text may contain, in folders with that name. The built book is searched
for the same name by browser/test_book.py.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import byol_tutorial as bt
from byol_tutorial.data.names import described, short_name
from byol_tutorial.live.experiment import Experiment, rebuild

ROOT = Path(__file__).parents[2]
CANARY = "zz-canary"
TINY = {"width": 4, "hidden_dim": 16, "projection_dim": 8, "batch_size": 8, "epochs": 2, "warmup_epochs": 0.5}
PLACES = re.compile(r"/home/\w|/Users/\w|/root/|/tmp/\w|[A-Z]:\\\\?Users")  # paths as on the machine of an author


def tracked(*ends: str) -> list[Path]:
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.split("\0") if name.endswith(ends) and (ROOT / name).is_file()]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="only in a checkout")
def test_notebooks_and_measurements_hold_no_path_and_no_output():
    files = tracked(".ipynb", ".json")
    assert len(files) > 20
    assert [str(file) for file in files if PLACES.search(file.read_text("utf-8"))] == []
    assert [str(f) for f in files if f.suffix == ".ipynb" and '"output_type"' in f.read_text("utf-8")] == []
    host = platform.node()
    if len(host) > 7 and re.search(r"\d", host):  # not a word that a text may hold
        assert [str(file) for file in files if host in file.read_text("utf-8")] == []


@pytest.mark.slow
def test_wheel_and_source_archive(tmp_path):
    home = tmp_path / CANARY
    source = home / "source"
    shutil.copytree(ROOT / "byol_tutorial", source / "byol_tutorial", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "notebooks", source / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    (source / "book").mkdir()
    for name in ("glossary.md", "troubles.md"):  # which the wheel holds, too
        shutil.copy(ROOT / "book" / name, source / "book")
    (home / "tmp").mkdir()
    own = {"HOME": str(home), "USER": CANARY, "LOGNAME": CANARY, "TMPDIR": str(home / "tmp")}
    build = "from setuptools import build_meta as b; b.build_wheel('dist'); b.build_sdist('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=source, env=os.environ | own, check=True, capture_output=True)
    (wheel,), (archive,) = (source / "dist").glob("*.whl"), (source / "dist").glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as file:
        inside = {name: file.read(name) for name in file.namelist()}
    with tarfile.open(archive) as file:
        members = [member for member in file.getmembers() if member.isfile()]
        inside |= {f"source {member.name}": file.extractfile(member).read() for member in members}
        assert all(CANARY not in member.uname + member.gname for member in members)
    assert len(inside) > 300
    assert [name for name, content in inside.items() if CANARY.encode() in name.encode() + content] == []


@pytest.fixture(scope="module")
def own_images(tmp_path_factory):
    """Return images of a folder in the home of a user who does not want to be named."""
    place = tmp_path_factory.mktemp("home") / CANARY / "cats & dogs"
    draw = np.random.default_rng(0)
    for split, n in (("train", 14), ("test", 14)):
        for name in ("cat", "dog"):
            (place / split / name).mkdir(parents=True)
            for i in range(n):
                Image.fromarray(draw.integers(0, 256, (16, 16, 3), np.uint8)).save(place / split / name / f"{i}.png")
    return bt.load(f"folder:{place}"), bt.load(f"folder:{place}", "test")


def test_exported_panels_of_own_images(own_images, tmp_path):
    train, test = own_images
    config = bt.Config(**TINY)
    assert CANARY in train.name
    recording = bt.record(bt.Trainer(config, train, device="cpu"), test, progress=False)
    panels = [
        bt.widgets.cockpit(config, train, test, "cpu"),
        bt.widgets.laboratory(train, test, config, ["τ = 0"], workers=1),
        bt.widgets.explorer(train, config),
        bt.widgets.film(recording),
        bt.widgets.strip(train),
    ]
    panels[0].session.run(steps=2)
    findings = panels[1].findings
    bt.widgets.save_html(panels, tmp_path / "panels.html")
    recording.save(tmp_path / "film.npz")
    for panel in panels:
        panel.close()
    page = (tmp_path / "panels.html").read_text("utf-8")
    with np.load(tmp_path / "film.npz") as file:
        about = str(file["about"])
    for made in (page, about, findings._repr_html_()):
        assert "folder:cats & dogs" in made.replace("&amp;", "&")
        assert CANARY not in made


def test_an_experiment_that_is_sent_to_others_names_no_place_and_can_be_made_again_where_the_folder_has_moved(
    own_images,
):
    train, test = own_images
    with bt.Session(bt.Config(**TINY), train, test, "cpu") as session:
        session.run(steps=2)
        text, losses = str(Experiment.of(session)), session.snapshot().series("loss")
    assert CANARY not in text
    moved = bt.ImageSet("folder:/elsewhere/cats & dogs", "train", train.images, train.labels, train.classes)
    with rebuild(text, moved, test, "cpu") as again:
        assert again.snapshot().series("loss") == losses
    other = bt.ImageSet("folder:/elsewhere/birds", "train", train.images, train.labels, train.classes)
    with pytest.raises(bt.DataError, match="other images: name 'folder:cats & dogs'"):
        rebuild(text, other, test, "cpu")


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("folder:/home/ada/cats", "folder:cats"),
        ("folder:/home/ada/cats/", "folder:cats"),
        ("folder:C:\\Users\\Ada\\cats", "folder:cats"),
        ("folder:cats", "folder:cats"),
        ("folder:/", "folder:"),
        ("shapes", "shapes"),
        ("a:b/c", "a:b/c"),
    ],
)
def test_short_names(name, short):
    assert short_name(name) == short
    images = bt.ImageSet(name, "train", bt.load("shapes", limit=2).images)
    assert described(images) == repr(bt.ImageSet(short, "train", images.images))
