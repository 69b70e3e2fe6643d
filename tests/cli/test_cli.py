"""byol-tutorial, through its real entry point: a run from end to end, Ctrl-C, and every bad input in one line."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import create_autospec

import numpy as np
import pytest
import torch
import torchvision
from command_line import main
from PIL import Image

import byol_tutorial as bt
from byol_tutorial.cli import embed, report, run_folder
from byol_tutorial.cli import main as cli
from byol_tutorial.cli.data_source import DataSource
from byol_tutorial.cli.new_run import recipe, stored_size
from byol_tutorial.config.config import FIELDS, Config
from byol_tutorial.config.fields import Pair
from byol_tutorial.config.presets import PRESETS
from byol_tutorial.config.presets import preset as bt_preset
from byol_tutorial.data import loading, streaming
from byol_tutorial.evaluate.comparison import compare
from byol_tutorial.evaluate.embed import pca_embedding
from byol_tutorial.evaluate.features import features
from byol_tutorial.evaluate.pretrained import guest
from byol_tutorial.evaluate.protocols import PROTOCOLS
from byol_tutorial.runtime.signals import ending_signals
from byol_tutorial.train.checkpoint import load as load_checkpoint
from byol_tutorial.train.encoder_file import load_encoder
from byol_tutorial.train.trainer import Trainer

COMMAND = [str(Path(sys.executable).parent / "byol-tutorial")]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}

SMALL = {"warmup_epochs": 0.5, "width": 4, "hidden_dim": 8, "projection_dim": 4}
TINY = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
FILES = {
    "settings.json",
    "history.json",
    "metrics.csv",
    "checkpoint.pt",
    "encoder.safetensors",
    "results.json",
    "figures/views.png",
    "figures/curves.png",
    "figures/neighbours.png",
}


def call(command: list[str], *arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run([*command, *arguments], cwd=cwd, env=ENVIRONMENT, capture_output=True, timeout=120)


def pictures(path: Path, n: int, size: int = 12) -> Path:
    """n noisy pictures of one tint in a folder."""
    rng = np.random.default_rng(n + len(path.name))
    path.mkdir(parents=True)
    tint = rng.integers(0, 150, 3)
    for i in range(n):
        noise = rng.integers(0, 100, (size, size, 3)) + tint
        Image.fromarray(noise.astype(np.uint8)).save(path / f"{i:02}.png")
    return path


def content(path: Path) -> dict[str, bytes | None]:
    """Every file below a folder with its bytes, every folder with None."""
    return {str(p.relative_to(path)): p.read_bytes() if p.is_file() else None for p in path.rglob("*")}


def files(path: Path) -> set[str]:
    return {name for name, bytes_ in content(path).items() if bytes_ is not None}


def read(file: Path) -> dict:
    return json.loads(file.read_text("utf-8"))


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A folder of pictures, `images`: 4 train images and 1 test image in each of two classes.

    So few because drawing the nearest neighbours of many takes longest.
    """
    path = tmp_path_factory.mktemp("world")
    for name in ("cat", "horse"):
        pictures(path / "images" / name, 5)
    return path


@pytest.fixture(scope="module")
def trained(world) -> subprocess.CompletedProcess:
    """Two epochs on `images` by the installed command, into `run`; tests only look at it."""
    data_and_run = ["--data", "folder:images", "--out", "run"]
    return call(COMMAND, "train", *data_and_run, *TINY, "--epochs=2", "--batch-size=4", "--seed=3", cwd=world)


# --- train --------------------------------------------------------------------------------------


def test_train_succeeds_and_prints_where(trained, world):
    assert trained.returncode == 0, trained.stderr.decode()
    lines = trained.stdout.decode().splitlines()
    assert "2 epochs of 2 steps on" in trained.stdout.decode()
    assert lines[-1] == "all of it is in run"
    assert files(world / "run") == FILES  # and no temporary file


def test_train_shows_its_progress(trained):
    bar = trained.stderr.decode()
    assert "4/4" in bar
    for shown in ("loss", "√d·std", "kNN", "images/s"):
        assert shown in bar
    assert re.search(r"\[\d+:\d+<\d+:\d+", bar)  # time passed, time left


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], (8, 1)),  # less than the recipe asks for, as one batch
        (["--accumulation-steps=2"], (4, 2)),
        (["--accumulation-steps=2", "--batch-size=3"], (3, 2)),
    ],
)
def test_steps_that_ask_for_more_images_than_there_are(world, monkeypatch, tmp_path, capsys, given, expected):
    monkeypatch.chdir(world)
    monkeypatch.setattr(report, "judge", lambda *_: None)  # slow, and not what this is about
    small = ["--width=4", "--hidden-dim=8", "--projection-dim=4", "--epochs=1", "--warmup-epochs=0", "--device=cpu"]
    assert main("train", "--data=folder:images", f"--out={tmp_path / 'run'}", *small, *given) == 0
    config = read(tmp_path / "run" / "settings.json")["config"]
    assert (config["batch_size"], config["accumulation_steps"]) == expected
    said = f"batch_size {expected[0]} and accumulation_steps {expected[1]} instead of"
    assert (said in capsys.readouterr().out) == ("--batch-size=3" not in given)


@pytest.mark.parametrize(
    ("view_size", "data", "kept"),
    [(224, "folder:x", 256), (24, "folder:x", 27), (128, "imagenette", 146), (224, "imagenette", 256), (32, "cifar10", None),
     (96, "stl10", None), (224, "shapes", None)],
)  # fmt: skip
def test_images_are_kept_somewhat_larger_than_the_views_where_they_can_be(view_size, data, kept):
    assert stored_size(view_size, data) == kept


def test_settings_hold_the_data_and_the_whole_config(trained, world):
    settings = read(world / "run" / "settings.json")
    assert settings["data"] == {
        "name": f"folder:{world / 'images'}",
        "size": None,
        "limit": None,
        "corrupt": "refuse",
        "stream": None,
        "labels": "auto",
        "holdout": 0.2,
        "value_range": None,
        "channels": None,
        "bits": None,
    }
    assert settings["found"]["used"] == {"train": 8, "test": 2}
    assert settings["found"]["classes"] == {"cat": 4, "horse": 4}
    expected = Config(**(PRESETS["photos"]() | SMALL | {"epochs": 2, "batch_size": 4, "seed": 3}))
    assert Config.from_dict(settings["config"]) == expected


def test_history_has_an_entry_for_every_step(trained, world):
    history = read(world / "run" / "history.json")
    for name in ("loss", "std", "lr", "tau"):
        assert len(history[name]) == 4
        assert np.isfinite(history[name]).all()
    assert min(history["loss"]) >= 0
    assert max(history["loss"]) <= 8
    assert [step for step, _ in history["knn"]] == [2, 4]


def test_checkpoint_is_that_of_the_last_step(trained, world):
    state = load_checkpoint(world / "run" / "checkpoint.pt")
    assert state["steps_done"] == 4
    assert state["history"]["loss"] == read(world / "run" / "history.json")["loss"]


def test_encoder_is_the_trained_one(trained, world):
    weights = load_encoder(world / "run" / "encoder.safetensors").state_dict()
    model = load_checkpoint(world / "run" / "checkpoint.pt")["model"]
    mine = {name.removeprefix("online.encoder."): w for name, w in model.items() if name.startswith("online.encoder.")}
    assert mine.keys() == weights.keys()
    assert all(torch.equal(weights[name], mine[name]) for name in mine)


def test_results_are_those_of_the_printed_table(trained, world):
    table = read(world / "run" / "results.json")["table"]
    assert list(table) == ["raw pixels", "random encoder", "BYOL"]
    printed = re.findall(r"(raw pixels|random encoder|BYOL)\W+([01]\.\d{3})\W+([01]\.\d{3})", trained.stdout.decode())
    assert printed == [(name, f"{row['knn']:.3f}", f"{row['linear']:.3f}") for name, row in table.items()]


@pytest.mark.parametrize("name", ["views", "curves", "neighbours"])
def test_figures_are_pictures(trained, world, name):
    with Image.open(world / "run" / "figures" / f"{name}.png") as image:
        image.load()
        assert min(image.size) > 100
        assert len(image.convert("L").getcolors()) > 10  # something is drawn


def test_evaluate_reproduces_the_results(trained, world, monkeypatch, capsys):
    """In another process than the one that trained: all that is needed is in the run folder."""
    shutil.copytree(world / "run", world / "again")
    (world / "again" / "results.json").unlink()
    (world / "again" / "figures" / "curves.png").unlink()
    monkeypatch.chdir(world)
    assert main("evaluate", "again") == 0
    printed = capsys.readouterr().out
    assert read(world / "again" / "results.json") == read(world / "run" / "results.json")
    table = re.compile(r"raw pixels.*BYOL[^\n]*", re.DOTALL)
    assert table.search(printed)[0] == table.search(trained.stdout.decode())[0]
    assert "4 of 4 steps" in printed
    kept = content(world / "run")
    for name, bytes_ in content(world / "again").items():
        if name in ("settings.json", "history.json", "checkpoint.pt", "encoder.safetensors"):
            assert bytes_ == kept[name]
    assert files(world / "again") == FILES


def test_shapes_are_the_default_and_run_folders_are_numbered(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "shapes-001").mkdir(parents=True)
    assert main("train", "--limit", "4", "--size", "16", "--epochs", "1", *TINY) == 0
    out = capsys.readouterr().out
    assert "train: 4 images of 16×16 px" in out
    assert f"all of it is in {Path('runs') / 'shapes-002'}" in out
    assert files(tmp_path / "runs" / "shapes-002") == FILES
    assert read(tmp_path / "runs" / "shapes-002" / "results.json")["table"].keys() >= {"BYOL"}


METHODS = [
    ("SimCLR", ["--method", "simclr"]),
    ("SimSiam", ["--method", "simsiam"]),
    ("DINO", ["--method", "dino", "--prototypes", "12", "--local-crops", "2"]),
    ("DINO", ["--preset", "dinov2", "--prototypes", "12", "--local-crops", "2", "--local-view-size", "16"]),
]


@pytest.mark.training
@pytest.mark.parametrize(("title", "arguments"), METHODS, ids=["simclr", "simsiam", "dino", "dinov2"])
def test_each_method_is_trained_resumed_judged_and_mapped(tmp_path, monkeypatch, capsys, title, arguments):
    monkeypatch.chdir(tmp_path)
    whole = Trainer.run
    shapes = ["--limit", "40", "--epochs", "2", "--batch-size", "10", *TINY, *arguments, "--seed", "2"]
    with monkeypatch.context() as patch:
        patch.setattr(report, "judge", lambda *_: None)  # only the resumed run is judged
        assert main("train", "--out", "uncut", *shapes) == 0
        patch.setattr(Trainer, "run", lambda self, **kwargs: whole(self, epochs=1, **kwargs))
        assert main("train", "--out", "cut", *shapes) == 0
    losses = {run: read(tmp_path / run / "history.json")["loss"] for run in ("uncut", "cut")}
    assert losses["cut"] == losses["uncut"][:4]
    assert main("train", "--resume", "cut") == 0
    assert read(tmp_path / "cut" / "history.json")["loss"] == losses["uncut"]
    assert len(losses["uncut"]) == 8
    table = read(tmp_path / "cut" / "results.json")["table"]
    assert list(table) == ["raw pixels", "random encoder", title]
    config = Config.from_dict(read(tmp_path / "cut" / "settings.json")["config"])
    assert config.method == title.lower()
    assert main("evaluate", "cut", "--protocol", "knn") == 0
    assert main("embed", "cut", "--kind", "pca") == 0
    assert title in capsys.readouterr().out


def test_a_method_takes_its_own_recipe_on_shapes():
    for name in ("simclr", "simsiam", "dino"):
        options = cli.train.make_context("train", ["--method", name]).params
        given = {field: options[field] for field in FIELDS if options[field] is not None}
        assert recipe("shapes", None, given) == bt_preset(name)
    assert recipe("shapes", None, {"tau_base": 0.5}) == bt_preset("shapes", tau_base=0.5)
    assert recipe("shapes", "shapes", {"method": "dino"}) == bt_preset("shapes", method="dino")
    assert recipe("folder:x", None, {"method": "dino"}) == bt_preset("photos", method="dino")
    assert recipe("digits", None, {}) == bt_preset("digits")


def test_an_unknown_method_is_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main("train", "--method", "moco") == 1
    error = capsys.readouterr().err
    assert error == "error: method='moco': choose one of byol, simclr, simsiam, dino\n"
    assert not (tmp_path / "runs").exists()


# --- embed --------------------------------------------------------------------------------------


def test_embed_writes_the_encoders_features_their_map_and_a_picture(trained, world, monkeypatch, capsys):
    shutil.copytree(world / "run", world / "embedded")
    monkeypatch.chdir(world)
    assert main("embed", "embedded", "--kind", "pca", "--split", "train") == 0
    kept = np.load(world / "embedded" / "embeddings.npz")
    images = loading.load("folder:images", split="train")
    wanted = features(load_encoder(world / "embedded" / "encoder.safetensors"), images)
    np.testing.assert_allclose(kept["features"], wanted.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(kept["map"], pca_embedding(wanted).numpy(), rtol=1e-3, atol=1e-5)
    assert kept["labels"].tolist() == images.labels.tolist()
    assert kept["classes"].tolist() == ["cat", "horse"]
    assert min(Image.open(world / "embedded" / "figures" / "map.png").size) > 100
    assert "8 images" in capsys.readouterr().out
    assert files(world / "embedded") == FILES | {"embeddings.npz", "figures/map.png"}


def test_embed_other_images_by_umap(trained, world, monkeypatch):
    """UMAP itself, which takes long to load, has tests of its own: here a function with the same arguments stands for it."""
    shutil.copytree(world / "run", world / "other")
    monkeypatch.chdir(world)
    points = torch.rand(40, 2)
    umap = create_autospec(embed.umap_embedding, return_value=points)
    monkeypatch.setattr(embed, "umap_embedding", umap)
    assert main("embed", "other", "--data", "shapes", "--limit", "40", "--seed", "2") == 0
    kept = np.load(world / "other" / "embeddings-shapes.npz")
    assert kept["features"].shape == (40, 16)
    assert np.array_equal(kept["map"], points.numpy())
    (y, seed), options = umap.call_args
    assert np.array_equal(kept["features"], y.numpy())
    assert (seed, options) == (2, {"neighbours": 15})


def test_embed_says_what_it_cannot_do(trained, world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    assert main("embed", "run", "--split", "test", "--data", "folder:images") == 1
    assert "--data takes all images" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(DataSource, "load", lambda _: (loading.load("folder:images"), None))
        assert main("embed", "run", "--split", "test") == 1
    assert "has no test images; leave it out" in capsys.readouterr().err
    assert main("embed", "nowhere") == 1
    assert "does not exist" in capsys.readouterr().err
    assert main("embed", "run", "--kind", "tsne") == 2
    assert files(world / "run") == FILES


# --- guests -------------------------------------------------------------------------------------

VISITOR = "shufflenet_v2_x0_5"


@pytest.fixture(scope="module")
def weights(world) -> Path:
    """The weights of a small network of torchvision, `visitor.pth`."""
    torch.manual_seed(5)
    torch.save(torchvision.models.get_model(VISITOR, weights=None).state_dict(), world / "visitor.pth")
    return world / "visitor.pth"


def test_evaluate_puts_guests_into_table_and_figure(trained, world, weights, monkeypatch, capsys):
    shutil.copytree(world / "run", world / "visited")
    monkeypatch.chdir(world)
    two = [f"--guest={VISITOR}=visitor.pth", "--guest=timm:test_vit.r160_in1k=random"]
    assert main("evaluate", "visited", *two, "--guest-size", "32") == 0
    table = read(world / "visited" / "results.json")["table"]
    assert list(table) == ["raw pixels", "random encoder", "BYOL", VISITOR, "timm:test_vit.r160_in1k"]
    own = read(world / "run" / "results.json")["table"]
    assert {name: table[name] for name in own} == own
    train, test = (loading.load("folder:images", split=s) for s in ("train", "test"))
    knn, linear = compare({"guest": guest(VISITOR, weights, size=32)}, train, test).rows["guest"]
    assert table[VISITOR] == {"knn": knn, "linear": linear}
    assert f"{knn:.3f}" in re.search(rf"{VISITOR}[^\n]*", capsys.readouterr().out)[0]
    width = [Image.open(world / run / "figures" / "neighbours.png").size[0] for run in ("run", "visited")]
    assert width[1] > 1.4 * width[0]  # five encoders for three
    assert files(world / "visited") == FILES


@pytest.mark.slow
def test_one_guest_with_two_files_goes_under_their_names(trained, world, weights, monkeypatch):
    shutil.copytree(world / "run", world / "twice")
    shutil.copy(weights, world / "other.pth")
    monkeypatch.chdir(world)
    two = [f"--guest={VISITOR}={file}" for file in ("visitor.pth", "other.pth")]
    assert main("evaluate", "twice", *two, "--guest-size=32") == 0
    table = read(world / "twice" / "results.json")["table"]
    assert table[f"{VISITOR} (visitor.pth)"] == table[f"{VISITOR} (other.pth)"]


def test_protocols_judge_guests_beside_their_own_random_weights(trained, world, weights, monkeypatch, capsys):
    shutil.copytree(world / "run", world / "protocols")
    monkeypatch.chdir(world)
    more = ["--protocol=knn", f"--guest={VISITOR}=visitor.pth", "--guest-size=32"]
    assert main("evaluate", "protocols", *more) == 0
    found = read(world / "protocols" / "results.json")["protocols"]
    assert list(found) == ["knn", f"knn, {VISITOR}"]
    train, test = (loading.load("folder:images", split=s) for s in ("train", "test"))
    pair = guest(VISITOR, weights, size=32), guest(VISITOR, random=True, size=32)
    assert found[f"knn, {VISITOR}"] == PROTOCOLS["knn"](*pair, train, test).to_dict()
    assert f"{VISITOR}: knn: " in capsys.readouterr().out


def test_the_dense_protocol_needs_shapes_and_a_run_of_other_images_may_use_them(trained, world, monkeypatch, capsys):
    shutil.copytree(world / "run", world / "dense")
    monkeypatch.chdir(world)
    assert main("evaluate", "dense", "--protocol=dense") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: dense: 'folder:")
    assert "has no masks" in error
    assert "load that, or choose linear" in error
    assert main("evaluate", "dense", "--protocol=dense", "--data=shapes") == 0
    found = read(world / "dense" / "results.json")["protocols"]["dense on shapes"]
    assert list(found["table"]) == ["mIoU", "figure-ground mIoU", "error of the centre in pixels"]
    assert "dense: mIoU" in capsys.readouterr().out


def test_embed_maps_guests_and_leaves_the_runs_own_map(trained, world, weights, monkeypatch, capsys):
    shutil.copytree(world / "run", world / "mapped")
    monkeypatch.chdir(world)
    assert main("embed", "mapped", "--kind=pca", "--split=train") == 0
    before = content(world / "mapped")
    two = [f"--guest={VISITOR}=visitor.pth", "--guest=timm:test_vit.r160_in1k=random", "--guest-size=32"]
    assert main("embed", "mapped", "--kind=pca", "--split=train", *two) == 0
    after = content(world / "mapped")
    assert {name: after[name] for name in before} == before
    new = {f"{start}{who}.{end}" for who in (VISITOR, "timm-test_vit.r160_in1k")
           for start, end in (("embeddings-", "npz"), ("figures/map-", "png"))}  # fmt: skip
    assert after.keys() - before.keys() == new
    kept = np.load(world / "mapped" / f"embeddings-{VISITOR}.npz")
    wanted = features(guest(VISITOR, weights, size=32), loading.load("folder:images"))
    np.testing.assert_allclose(kept["features"], wanted.numpy(), rtol=1e-4, atol=1e-5)
    assert kept["map"].shape == (8, 2)
    assert f"{VISITOR}: " in capsys.readouterr().out


GUEST_FAULTS = [
    (["--guest=resnet19=visitor.pth"], ["resnet19", "did you mean", "resnet18"]),
    (["--guest=resnet18"], ["--guest resnet18", "NAME=FILE", "NAME=download"]),
    (["--guest=resnet18="], ["--guest resnet18", "NAME=FILE"]),
    (["--guest==visitor.pth"], ["--guest", "NAME=FILE"]),
    (["--guest=resnet18=gone.pth"], ["gone.pth", "do not exist"]),
    (["--guest=resnet18=visitor.pth"], ["visitor.pth", "do not fit", "conv1.weight", "resnet18"]),
    (["--guest=resnet18=run/encoder.safetensors"], ["of a run of this library", "bt.load_encoder"]),
    ([f"--guest={VISITOR}=visitor.pth"] * 2, ["visitor.pth", "leave one out"]),
    (["--guest-size=64"], ["--guest-size 64", "name one with --guest"]),
    ([f"--guest={VISITOR}=visitor.pth", "--guest-size=4"], ["--guest-size", "4", "x>=8"]),
]


@pytest.mark.parametrize("command", ["evaluate", "embed"])
@pytest.mark.parametrize(("options", "named"), GUEST_FAULTS)
def test_a_bad_guest_is_turned_away_before_any_work(
    trained, world, weights, monkeypatch, capsys, command, options, named
):
    def opened(*_):
        raise AssertionError("the run was opened before its guests")

    monkeypatch.chdir(world)
    monkeypatch.setattr(run_folder, "open_run", opened)
    before = content(world / "run")
    check_error(main(command, "run", *options), *capsys.readouterr(), named)
    assert content(world / "run") == before


# --- data without a table -----------------------------------------------------------------------


def flat(path: Path) -> None:
    pictures(path, 10)


def one_class(path: Path) -> None:
    pictures(path / "all", 10)


def train_only(path: Path) -> None:
    for name in ("cat", "horse"):
        pictures(path / "train" / name, 2)


def too_few_to_test(path: Path) -> None:
    for name in ("cat", "horse"):
        pictures(path / name, 1)


@pytest.mark.parametrize(("n_train", "n_test"), [(2, 2), (4, None)])
def test_figures_of_very_few_images_are_written(tmp_path, n_train, n_test):
    """Fewer images than neighbours are shown, and no test images."""
    train = bt.load("shapes", limit=n_train)
    test = None if n_test is None else bt.load("shapes", "test", limit=n_test)
    trainer = bt.Trainer(bt.preset("shapes", width=4, batch_size=2, epochs=1, knn_every=0), train, test, device="cpu")
    trainer.run(progress=False)
    (tmp_path / "figures").mkdir()
    report.write_figures(trainer, test, {"BYOL": trainer.model.encoder}, tmp_path)
    for name in ("views", "curves", "neighbours"):
        with Image.open(tmp_path / "figures" / f"{name}.png") as picture:
            assert min(picture.size) >= 50


@pytest.mark.parametrize(("build", "n_train"), [(flat, 8), (one_class, 8), (train_only, 4), (too_few_to_test, 2)])
def test_images_without_a_table_are_trained_on_and_told_why(tmp_path, monkeypatch, capsys, build, n_train):
    if build is not flat:  # figures take longest; those of few images are tested below
        monkeypatch.setattr(report, "write_figures", lambda *_: None)
    # A long name with a bracket: it must come out as it is.
    out = tmp_path / "a run of which the name is longer than one line and has [bold] in it, or [/red]"
    build(tmp_path / "images")
    arguments = ["train", "--data", f"folder:{tmp_path / 'images'}", "--out", out, "--epochs", "1", *TINY]
    assert main(*arguments) == 0
    printed = capsys.readouterr().out
    assert re.search("no table: .* labels, one sub-folder for each class", printed)
    assert "linear probe" not in printed
    assert f"all of it is in {out}\n" in printed
    assert "table" not in read(out / "results.json")
    assert files(out) == {name for name in FILES if build is flat or not name.startswith("figures")}
    assert f"batch_size {n_train} and accumulation_steps 1 instead of " in printed

    if build is train_only:  # which has no test images to evaluate on, either
        before = (out / "results.json").read_bytes()
        assert main("evaluate", out) == 0
        assert (out / "results.json").read_bytes() == before


@pytest.mark.parametrize(("option", "expected"), [(["--workers=0"], 0), (["--workers=2"], 2), ([], None)])
def test_workers_that_decode_are_as_many_as_asked_for(tmp_path, monkeypatch, option, expected):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "judge", lambda *_: None)
    monkeypatch.setattr(streaming, "_workers", None)  # and as it was after the test
    expected = streaming.default_workers() if expected is None else expected
    pictures(tmp_path / "images", 6)
    seen, loader = [], streaming._Loader

    def recorded(images, batches, workers, pin_memory):
        seen.append(workers)
        return loader(images, batches, workers, pin_memory)

    monkeypatch.setattr(streaming, "_Loader", recorded)
    rest = ["--data=folder:images", "--stream", "--out=run", *TINY, "--epochs=1", "--batch-size=2", *option]
    assert main("train", *rest) == 0
    assert seen == [expected]
    settings = read(tmp_path / "run" / "settings.json")
    assert not {"workers"} & (
        settings["data"].keys() | settings["config"].keys()
    )  # a matter of the machine, not of the run


def test_unreadable_files_are_left_out_by_name_on_request(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "judge", lambda *_: None)  # slow, and not what this is about
    bad = pictures(tmp_path / "images" / "train", 4) / "zz.png"
    bad.write_text("not a picture")
    arguments = ["train", "--data", f"folder:{tmp_path / 'images'}", "--out", tmp_path / "run", "--epochs", "1"]
    assert main(*arguments, "--corrupt", "skip", *TINY) == 0
    out = capsys.readouterr().out
    assert "4 images" in out
    assert out.count(f"left out, cannot be read: {bad} (no format that can be read") == 1


# --- help ---------------------------------------------------------------------------------------


@pytest.fixture
def help_of(monkeypatch, capsys):
    """help_of("train"): the help text on a wide terminal, without its frames and line breaks."""

    def help_of(*arguments: str) -> str:
        monkeypatch.setenv("COLUMNS", "400")
        monkeypatch.setattr(cli.click.rich_click, "MAX_WIDTH", 400)  # no column breaks its lines
        assert main(*arguments, "--help") == 0
        return " ".join(re.sub(r"[│╭╮╰╯─|]", " ", capsys.readouterr().out).split())

    return help_of


def test_help_explains_every_field_of_config_and_gives_its_default(help_of):
    text = help_of("train")
    for name, field in FIELDS.items():
        flag = "--" + name.replace("_", "-")
        if field.type is Pair:
            default = ",".join(f"{v:g}" for v in dict.fromkeys(field.default))
        else:
            default = f"{field.default:g}" if field.type is float else str(field.default)
        names = f"{flag}/--no-{flag[2:]}" if field.type is bool else flag
        choices = " ".join(field.metadata["choices"] or ())
        # What follows the flag: its type or choices, then the whole explanation and the default.
        explained = rf"{names} [A-Z,\[\]]*\s*{choices}\s*{re.escape(field.metadata['help'])} \[{re.escape(default)}\]"
        assert re.search(explained, text), f"{flag} is not explained"


@pytest.mark.parametrize("arguments", [[], ["train"], ["evaluate"]])
def test_help_of_every_command(help_of, arguments):
    text = help_of(*arguments)
    assert text.startswith(" ".join(["Usage: byol-tutorial", *arguments]))
    expected = {"--device"} if arguments else {"train", "evaluate", "--version"}
    assert expected <= set(text.split())


def test_output_survives_a_terminal_without_greek_letters(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main("train", "--help") == 0
    terminal.flush()
    assert b"--tau-base" in terminal.buffer.getvalue()


# --- Ctrl-C -------------------------------------------------------------------------------------


def test_ctrl_c_stops_cleanly_and_keeps_what_was_learned(world, capsys, monkeypatch):
    """In the middle of a step, the fourth; tests/train/test_faults.py signals another process at any moment."""
    whole = Trainer.step

    def interrupt(*_):
        hook.remove()
        signal.raise_signal(signal.SIGINT)

    def step(trainer):
        nonlocal hook
        if trainer.steps_done == 3:
            hook = trainer.model.encoder.register_forward_hook(interrupt)
        return whole(trainer)

    hook = None
    monkeypatch.setattr(Trainer, "step", step)
    monkeypatch.chdir(world)
    arguments = ["train", "--data", "folder:images", "--out", "stopped", *TINY, "--epochs=1000000", "--batch-size=4"]
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *ending_signals())}
    try:
        assert main(*arguments) == 130
        assert signal.getsignal(signal.SIGINT) is before[signal.SIGINT]
    finally:  # after its last message, the command ignores the others
        for number, handler in before.items():
            signal.signal(number, handler)
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert "stopped at step 4 of 2000000; kept in stopped\n" in out
    assert "byol-tutorial train --resume stopped\n" in out
    assert "byol-tutorial evaluate stopped\n" in out
    assert files(world / "stopped") == {
        "settings.json",
        "history.json",
        "metrics.csv",
        "checkpoint.pt",
        "encoder.safetensors",
    }
    assert len(read(world / "stopped" / "history.json")["loss"]) == 4

    trainer = Trainer.resume(world / "stopped" / "checkpoint.pt", loading.load("folder:images"), device="cpu")
    assert trainer.steps_done == 4
    trainer.step()
    assert len(trainer.history.loss) == 5

    assert main("evaluate", "stopped") == 0
    assert "raw pixels" in capsys.readouterr().out
    assert files(world / "stopped") == FILES


def test_ctrl_c_while_judging_says_that_the_run_is_kept(world, trained, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.chdir(world)
    monkeypatch.setattr(report, "judge", interrupt)
    assert main("evaluate", "run") == 130
    assert re.search(r"^error: interrupted.*keeps what was learned\n$", capsys.readouterr().err.lstrip("\n"))


# --- bad input ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bad(world, trained) -> Path:
    """`images` and `run`, and folders of which each has one fault."""
    path = world / "bad"
    path.mkdir()
    shutil.copytree(world / "images", path / "images")
    shutil.copytree(world / "run", path / "run")
    (path / "empty").mkdir()
    pictures(path / "one", 1)
    pictures(path / "hole" / "full", 4)
    (path / "hole" / "hollow").mkdir()
    (path / "text").mkdir()
    (path / "text" / "notes.txt").write_text("no picture")
    (path / "file").write_text("no folder")
    pictures(path / "damaged", 4)
    (path / "damaged" / "x.png").write_text("no picture")

    for name in ("half", "emptied", "foreign", "without", "garbled", "moved"):
        shutil.copytree(path / "run", path / name)
    whole = (path / "run" / "checkpoint.pt").read_bytes()
    (path / "half" / "checkpoint.pt").write_bytes(whole[: len(whole) // 2])
    (path / "emptied" / "checkpoint.pt").write_bytes(b"")
    torch.save({"weights": torch.ones(2)}, path / "foreign" / "checkpoint.pt")
    (path / "without" / "checkpoint.pt").unlink()
    (path / "garbled" / "settings.json").write_bytes(b"{\xff")
    settings = read(path / "run" / "settings.json")
    settings["data"]["name"] = "folder:gone"
    (path / "moved" / "settings.json").write_text(json.dumps(settings))
    return path


TRAIN = "train --data folder:images --device cpu"
NO_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
BAD = [  # command, what its error must name: the value, and what is allowed or what to do
    ("train --data cifar11", ["cifar11", "did you mean 'cifar1"]),
    ("train --data zzzz", ["zzzz", "shapes", "digits", "cifar10", "folder:PATH"]),
    ("train --data images", ["images", "folder:images"]),
    ("train --data folder:gone", ["gone", "does not exist", "folder:PATH"]),
    ("train --data folder:file", ["file", "is a file", "folder:PATH"]),
    ("train --data folder:empty", ["empty", "put images"]),
    ("train --data folder:one", ["one", "1 image", "at least 2"]),
    ("train --data folder:hole", ["hollow", "no images", "add some, remove the folder"]),
    ("train --data folder:text", ["text", "1 files but no image", "put images"]),
    ("train --data folder:damaged", ["x.png", "cannot be read", "remove", "skip"]),
    (f"train --data folder:{'x' * 300}", ["xxx", "File name too long"]),
    ("train --data folder:~nobody-here/x", ["nobody-here", "does not exist"]),
    (f"{TRAIN} --tau-base 1.5", ["tau_base=1.5", "at least 0 and at most 1"]),
    (f"{TRAIN} --tau-base nan", ["tau_base=nan", "at least 0 and at most 1"]),
    (f"{TRAIN} --tau-base -0.1", ["tau_base=-0.1", "at least 0 and at most 1"]),
    (f"{TRAIN} --lr -1", ["lr=-1", "above 0"]),
    (f"{TRAIN} --lr nan", ["lr=nan", "above 0"]),
    (f"{TRAIN} --lr inf", ["lr=inf", "above 0"]),
    (f"{TRAIN} --weight-decay -inf", ["weight_decay=-inf", "at least 0"]),
    (f"{TRAIN} --epochs 0", ["epochs=0", "at least 1"]),
    (
        f"{TRAIN} --method simsiam --tau-base 0.9",
        ["tau_base=0.9", "no effect in method 'simsiam'", "byol, dino", "leave it out"],
    ),
    (f"{TRAIN} --method simclr --negatives-weight 1", ["negatives_weight=1.0", "no effect in method 'simclr'", "byol"]),
    (f"{TRAIN} --lr 1e300", ["lr=1e+300", "at most 1e+30"]),
    (f"{TRAIN} --epochs 1.5", ["--epochs", "1.5", "integer"]),
    (f"{TRAIN} --lr fast", ["--lr", "fast", "float", "--help"]),
    (f"{TRAIN} --batch-size 1", ["batch_size=1", "at least 2"]),
    (f"{TRAIN} --batch-size 9", ["batch_size=9", "8 images"]),
    (f"{TRAIN} --warmup-epochs 5 --epochs 2", ["warmup_epochs=5", "epochs=2"]),
    (f"{TRAIN} --predictor transformer", ["transformer", "mlp, linear, identity"]),
    (f"{TRAIN} --target mean", ["mean", "ema, online, random"]),
    (f"{TRAIN} --encoder vit", ["vit", "small", "resnet50"]),
    (f"{TRAIN} --blur-p 0.1,0.2,0.3", ["0.1,0.2,0.3", "one number, or two"]),
    (f"{TRAIN} --blur-p 0.1;0.2", ["0.1;0.2", "one number, or two"]),
    (f"{TRAIN} --blur-p 0.1,nan", ["blur_p=nan", "at least 0 and at most 1"]),
    (f"{TRAIN} --hue 0.2,0.7", ["hue=0.7", "at most 0.5"]),
    (f"{TRAIN} --crop-area 0.9,0.2", ["crop_area=(0.9, 0.2)", "exchange"]),
    (f"{TRAIN} --size 4", ["size=4", "at least 8"]),
    (f"{TRAIN} --limit 1", ["limit=1", "at least 2"]),
    (f"{TRAIN} --corrupt mend", ["mend", "refuse", "skip"]),
    (f"{TRAIN} --threads 0", ["--threads", "0", "x>=1"]),
    (f"{TRAIN} --preset simple", ["simple", "shapes, digits, photos"]),
    (f"{TRAIN} --tau-bass 1", ["--tau-bass", "--tau-base"]),
    (f"{TRAIN} --zzz", ["--zzz", "byol-tutorial train --help"]),
    (f"{TRAIN} more", ["more", "byol-tutorial train --help"]),
    ("learn", ["learn", "byol-tutorial --help"]),
    (f"{TRAIN} --out run", ["run", "exists", "--out"]),
    (f"{TRAIN} --out file", ["file", "exists", "--out"]),
    (f"{TRAIN} --out file/run", ["file/run", "cannot be written", "--out"]),
    (f"{TRAIN} --out {'x' * 300}", ["xxx", "File name too long"]),
    (f"{TRAIN} --device tpu", ["tpu", "auto, cpu"]),
    pytest.param("train --device cuda", ["'cuda'", "auto, cpu", "no CUDA device"], marks=NO_CUDA),
    pytest.param("evaluate run --device cuda", ["'cuda'", "auto, cpu", "no CUDA device"], marks=NO_CUDA),
    ("evaluate", ["RUN", "byol-tutorial evaluate --help"]),
    ("evaluate gone", ["gone", "does not exist", "byol-tutorial train"]),
    ("evaluate images", ["images", "no settings.json", "byol-tutorial train"]),
    ("evaluate file", ["file", "not a run folder", "byol-tutorial train"]),
    ("evaluate half", ["checkpoint.pt", "damaged", "Trainer.save"]),
    ("evaluate emptied", ["checkpoint.pt", "damaged", "Trainer.save"]),
    ("evaluate foreign", ["checkpoint.pt", "not a checkpoint", "Trainer.save"]),
    ("evaluate without", ["checkpoint.pt", "does not exist", "Trainer.save"]),
    ("evaluate garbled", ["settings.json", "damaged", "restore"]),
    ("evaluate moved", ["gone", "does not exist", "name their new place with --data"]),
    ("train --resume moved --data folder:one", ["one", "1 image"]),
    (f"{TRAIN} --holdout 1", ["holdout=1.0", "below 1"]),
    (f"{TRAIN} --labels dates", ["labels='dates'", "auto, folders, none"]),
    (f"{TRAIN} --value-range 5", ["--value-range", "two numbers"]),
    (f"{TRAIN} --value-range 5,2", ["value_range=(5.0, 2.0)", "first below the second"]),
    ("train --data shapes --holdout 0", ["holdout=0.0", "for folder:PATH"]),
    ("embed run --data gone", ["gone", "does not exist"]),
    ("embed run --data empty", ["no image", "empty"]),
    ("embed run --data file", ["file", "no image by its ending"]),
    ("embed run --data damaged", ["x.png", "cannot be read", "skip"]),
    ("embed run --out vectors.txt", ["vectors.txt", ".npz, .csv, .parquet"]),
]


def check_error(status: int, out: str, err: str, named: list[str]) -> None:
    assert status in (1, 2)
    assert err.startswith("error: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert "Traceback" not in out + err
    assert [part for part in named if part not in err] == []


@pytest.mark.parametrize(("command", "named"), BAD)
def test_bad_input_is_one_line_and_writes_nothing(bad, monkeypatch, capsys, command, named):
    monkeypatch.chdir(bad)
    before = content(bad)
    status = main(*command.split(" "))
    check_error(status, *capsys.readouterr(), named)
    assert content(bad) == before


def test_bad_input_through_the_other_entry_point_which_loads_nothing_heavy(bad):
    """python -m byol_tutorial; the fixture `trained` starts byol-tutorial."""
    before = content(bad)
    done = call([sys.executable, "-X", "importtime", "-m", "byol_tutorial"], "evaluate", "half", cwd=bad)
    lines = done.stderr.decode().splitlines(keepends=True)
    imports = [line for line in lines if line.startswith("import time:")]
    printed = "".join(line for line in lines if line not in imports)
    check_error(done.returncode, done.stdout.decode(), printed, ["checkpoint.pt", "damaged"])
    assert content(bad) == before
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in imports}
    assert "byol_tutorial" in loaded
    assert loaded.isdisjoint(
        {"matplotlib", "sklearn", "umap", "pandas", "timm", "torchvision", "ipywidgets", "IPython"}
    )


def test_full_disk_while_training_is_one_line(world, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device", "checkpoint.pt")

    monkeypatch.chdir(world)
    monkeypatch.setattr(Trainer, "save", full)
    assert main(*TRAIN.split(), "--out", "disk", "--epochs", "1", *TINY) == 1
    words = "error: [Errno 28] No space left on device: 'checkpoint.pt': make room, or choose another place\n"
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [([], None), (["--compile", "--seed", "3"], "on"), (["--compile", "off"], "off"), (["--compile"], "on")],
)
def test_compile_may_be_given_alone_or_with_a_choice(arguments, expected):
    with cli.app.commands["train"].make_context("train", arguments) as context:
        assert context.params["compile"] == expected
