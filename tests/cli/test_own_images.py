"""The command line on folders as users have them: runs that start together, own outputs, moved images, vectors."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import main, pictures
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from byol_tutorial.cli import report, run_folder
from byol_tutorial.cli.data_source import DataSource
from byol_tutorial.data.tree import RESERVED
from byol_tutorial.data.value_range import ValueRange
from byol_tutorial.evaluate.features import features
from byol_tutorial.evaluate.image_files import embed_images
from byol_tutorial.train.encoder_file import load_encoder
from byol_tutorial.train.trainer import Trainer

COMMAND = str(Path(sys.executable).parent / "byol-tutorial")
SMALL = ["--warmup-epochs=0.5", "--width=4", "--hidden-dim=8", "--projection-dim=4", "--batch-size=4", "--device=cpu"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """`images` of two classes and `run`, one epoch on them."""
    path = tmp_path_factory.mktemp("own")
    for name in ("cat", "horse"):
        pictures(path / "images" / name, 6)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.setattr(report, "judge", lambda *_: None)
        assert main("train", "--data=folder:images", "--out=run", "--epochs=1", *SMALL) == 0
    return path


# --- run folders --------------------------------------------------------------------------------


@pytest.mark.training
def test_two_commands_started_together_make_two_runs(world, tmp_path):
    """Each is a process of its own; both begin before either has read its images."""
    shutil.copytree(world / "images", tmp_path / "images")
    arguments = [COMMAND, "train", "--data=folder:images", "--epochs=1", *SMALL]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    runs = [
        subprocess.Popen(arguments, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [run.communicate(timeout=200) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    last = sorted(out.decode().splitlines()[-1] for out, _ in said)
    assert last == ["all of it is in runs/images-001", "all of it is in runs/images-002"]
    for name in ("images-001", "images-002"):
        assert (tmp_path / "runs" / name / "results.json").is_file()
        assert not (tmp_path / "runs" / name / RESERVED).exists()


def test_a_start_that_fails_gives_its_folder_back(here):
    before = sorted(here.rglob("*"))
    assert main("train", "--data=folder:gone", *SMALL) == 1
    assert main("train", "--data=folder:gone", "--out=a/b/c", *SMALL) == 1
    assert sorted(here.rglob("*")) == before


def test_a_start_that_fails_leaves_the_users_empty_folder(here):
    (here / "mine").mkdir()
    assert main("train", "--data=folder:gone", "--out=mine", *SMALL) == 1
    assert list((here / "mine").iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")
def test_a_start_that_is_ended_while_it_reads_gives_its_folder_back(here, monkeypatch):
    load = DataSource.load

    def ended(source):
        os.kill(os.getpid(), signal.SIGTERM)
        return load(source)

    monkeypatch.setattr(DataSource, "load", ended)
    before, handlers = sorted(here.rglob("*")), {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)}
    try:
        assert main("train", "--data=folder:images", "--out=a/b", *SMALL) == 128 + signal.SIGTERM
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert sorted(here.rglob("*")) == before


def test_a_full_disk_at_the_first_state_gives_the_folder_back(here, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_folder, "save_state", full)
    before = sorted(here.rglob("*"))
    assert main("train", "--data=folder:images", "--out=new", *SMALL) == 1
    assert "No space left" in capsys.readouterr().err
    assert sorted(here.rglob("*")) == before


def test_runs_beside_their_own_images_stay_apart(here, monkeypatch, capsys):
    """cd images; byol-tutorial train --data folder:. -- twice, and the first run can still be opened."""
    monkeypatch.chdir(here / "images")
    for _ in range(2):
        assert main("train", "--data=folder:.", "--epochs=1", *SMALL) == 0
    out = capsys.readouterr().out
    assert out.count("2 classes, from 5 images") == 2
    assert "not entered, a folder of runs: ./runs" in out
    first, second = (
        json.loads((here / "images" / "runs" / f"run-00{k}" / "settings.json").read_text()) for k in (1, 2)
    )
    assert first["found"]["used"] == second["found"]["used"]
    assert main("evaluate", "runs/run-001") == 0


def test_a_tilde_that_the_shell_left_is_the_home_folder(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here / "home"))
    monkeypatch.setenv("USERPROFILE", str(here / "home"))
    assert main("train", "--data=folder:images", "--out=~/x", "--epochs=1", *SMALL) == 0
    assert (here / "home" / "x" / "checkpoint.pt").is_file()
    assert not (here / "~").exists()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM"])
def test_a_closed_terminal_keeps_what_was_learned(here, monkeypatch, capsys, name):
    step = Trainer.step

    def hang_up(trainer):
        step(trainer)
        if trainer.steps_done == 3:
            os.kill(os.getpid(), getattr(signal, name))

    monkeypatch.setattr(Trainer, "step", hang_up)
    before = {n: signal.getsignal(getattr(signal, n)) for n in ("SIGHUP", "SIGTERM")}
    try:
        assert main("train", "--data=folder:images", "--out=cut", "--epochs=4", *SMALL) == 128 + getattr(signal, name)
    finally:
        for n, handler in before.items():
            signal.signal(getattr(signal, n), handler)
    assert "stopped at step 3" in capsys.readouterr().out
    monkeypatch.setattr(Trainer, "step", step)
    assert main("train", "--resume=cut") == 0


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_under_nohup_a_closed_terminal_changes_nothing(here, monkeypatch, capsys):
    step = Trainer.step

    def hang_up(trainer):
        step(trainer)
        os.kill(os.getpid(), signal.SIGHUP)

    monkeypatch.setattr(Trainer, "step", hang_up)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert main("train", "--data=folder:images", "--out=on", "--epochs=1", *SMALL) == 0
    finally:
        signal.signal(signal.SIGHUP, before)
    assert "stopped" not in capsys.readouterr().out


# --- what was found -----------------------------------------------------------------------------


def test_the_folder_is_described_before_training_and_in_the_settings(here, capsys):
    (here / "images" / "cat" / "a.heic").touch()
    (here / "images" / "@eaDir").mkdir()
    (here / "images" / "cat" / "bad.png").write_text("no picture")
    assert main("train", "--data=folder:images", "--out=new", "--epochs=1", "--corrupt=skip", *SMALL) == 0
    out = capsys.readouterr().out
    described = out[: out.index("1 epochs of")]
    for words in (
        "13 image files: 13 .png",
        "20% of each class kept for tests",
        "1 are HEIC, convert them to JPEG",
        "not entered, left by the system or another program: images/@eaDir",
        "bad.png (no format that can be read",
    ):
        assert words in described
    found = json.loads((here / "new" / "settings.json").read_text())["found"]
    assert found["others"] == {".heic": 1}
    assert list(found["left_out"]) == ["images/@eaDir"]


@pytest.mark.parametrize(
    ("options", "classes", "test"),
    [(["--labels=none"], (), 2), (["--holdout=0"], ("cat", "horse"), 0), (["--holdout=0.5"], ("cat", "horse"), 6)],
)
def test_labels_and_holdout_are_options(here, options, classes, test):
    assert main("train", "--data=folder:images", "--out=new", "--epochs=1", *options, *SMALL) == 0
    found = json.loads((here / "new" / "settings.json").read_text())["found"]
    assert found["used"] == {"train": 12 - test, "test": test}
    assert tuple(found["classes"]) == classes
    assert main("train", "--resume=new") == 0  # the same division again


def test_a_name_that_is_no_text_goes_through_all_of_it(here, capsys):
    """A file and a class whose names are not valid UTF-8, as old archives leave them."""
    if sys.platform != "linux":
        pytest.skip("other systems refuse such names")
    shutil.rmtree(here / "images" / "cat")
    pictures(Path(os.fsdecode(os.fsencode(here / "images") + b"/ch\xe4t")), 6)
    assert main("train", "--data=folder:images", "--out=new", "--epochs=1", *SMALL) == 0
    found = json.loads((here / "new" / "settings.json").read_text())["found"]
    assert "ch\udce4t" in found["classes"]
    assert main("embed", "new", "--kind=pca") == 0


# --- moved and damaged images -------------------------------------------------------------------


def test_images_that_have_moved_are_named_with_data(here, capsys):
    (here / "images").rename(here / "elsewhere")
    assert main("evaluate", "run") == 1
    assert "name their new place with --data" in capsys.readouterr().err
    assert main("evaluate", "run", "--data=folder:elsewhere") == 0
    assert main("train", "--resume=run", "--data=folder:elsewhere") == 0
    settings = json.loads((here / "run" / "settings.json").read_text())
    assert settings["data"]["name"] == f"folder:{here / 'elsewhere'}"
    assert main("train", "--resume=run") == 0  # from its new place


def test_a_run_does_not_go_on_with_other_images(here, capsys):
    before = (here / "run" / "settings.json").read_bytes()
    pictures(here / "others" / "cat", 6, size=14)
    pictures(here / "others" / "horse", 6, size=14)
    assert main("train", "--resume=run", "--data=folder:others") == 1
    assert "other images" in capsys.readouterr().err
    assert (here / "run" / "settings.json").read_bytes() == before


@pytest.mark.parametrize("command", ["evaluate", "embed"])
def test_a_file_that_was_damaged_since_can_be_skipped(here, command, capsys):
    (here / "images" / "cat" / "03.png").write_text("no picture")
    more = ["--kind=none"] if command == "embed" else []
    assert main(command, "run", *more) == 1
    assert "03.png (no format" in capsys.readouterr().err
    assert main(command, "run", "--corrupt=skip", *more) == 0


# --- vectors for images -------------------------------------------------------------------------


def test_embed_needs_the_encoder_alone(here):
    """Neither the images nor the checkpoint of the run; every image of the folder is taken, with its file and class."""
    (here / "images").rename(here / "mine")
    (here / "run" / "checkpoint.pt").unlink()
    assert main("embed", "run", "--data=mine", "--kind=pca") == 0
    kept = np.load(here / "run" / "embeddings-mine.npz")
    assert len(kept["files"]) == len(kept["features"]) == 12
    assert kept["classes"].tolist() == ["cat", "horse"]
    encoder = load_encoder(here / "run" / "encoder.safetensors")
    for file, y in zip(kept["files"], kept["features"], strict=True):
        np.testing.assert_allclose(y, embed_images(encoder, file).features[0], rtol=1e-4, atol=1e-5)
        image = np.asarray(Image.open(file))
        expected = features(encoder, torch.from_numpy(image.copy()).permute(2, 0, 1)[None])
        np.testing.assert_allclose(y, expected[0], rtol=1e-4, atol=1e-5)
    assert not (here / "run" / "embeddings.npz").exists()


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_embed_takes_as_few_as_one_image(here, n):
    some = [f"--data=images/cat/{i:02}.png" for i in range(n)]
    assert main("embed", "run", *some, "--out=vectors.npz") == 0
    kept = np.load(here / "vectors.npz")
    assert kept["features"].shape == (n, 16)
    assert kept["files"].tolist() == [f"images/cat/{i:02}.png" for i in range(n)]
    assert ("map" in kept) == (n > 1)


def test_new_images_are_placed_on_an_earlier_map(here, capsys):
    """Those that the map has are placed where it has them; the earlier file and its map stay as they are."""
    assert main("embed", "run", "--data=images", "--kind=pca", "--out=known.npz") == 0
    before = (here / "known.npz").read_bytes()
    assert main("embed", "run", "--data=images/cat", "--onto=known.npz", "--out=new.npz") == 0
    assert "their places on the map of known.npz in new.npz" in " ".join(capsys.readouterr().out.split())
    known, new = np.load(here / "known.npz"), np.load(here / "new.npz")
    places = dict(zip(known["files"], known["map"], strict=True))
    for file, place in zip(new["files"], new["map"], strict=True):
        np.testing.assert_allclose(place, places[file], atol=1e-4)
    assert (here / "known.npz").read_bytes() == before
    assert main("embed", "run", "--data=images/cat/00.png", "--onto=known.npz", "--out=one.csv") == 0
    assert len((here / "one.csv").read_text().splitlines()) == 2  # a heading, and the only image


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read (No such file"),
        (b"", "no .npz file of embed"),
        (b"PK\x03\x04 damaged", "no .npz file of embed"),
        ({"features": np.ones((3, 16))}, "map"),
        ({"features": np.ones((3, 5)), "map": np.ones((3, 2))}, "those of the map 5"),
        ({"features": np.ones((3, 16)), "map": np.ones((2, 2))}, "give 3 finite points"),
        ({"features": np.array(["a", "b"]), "map": np.ones((2, 2))}, "no .npz file of embed"),
    ],
)
def test_a_file_without_a_map_is_refused_in_words(here, capsys, content, words):
    if isinstance(content, bytes):
        (here / "known.npz").write_bytes(content)
    elif content is not None:
        np.savez(here / "known.npz", **content)
    assert main("embed", "run", "--data=images/cat", "--onto=known.npz", "--out=new.npz") == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line
    assert not (here / "new.npz").exists()


def test_a_map_is_not_overwritten_by_what_is_placed_on_it(here, capsys):
    assert main("embed", "run", "--data=images", "--kind=pca", "--out=run/embeddings.npz") == 0
    (here / "link.npz").symlink_to("run/embeddings.npz")
    before = {p: p.read_bytes() for p in (here / "run").rglob("*") if p.is_file()}
    for out in ("run/embeddings.npz", "link.npz", "run/../run/embeddings.npz"):
        assert main("embed", "run", "--data=images/cat", "--onto=run/embeddings.npz", f"--out={out}") == 1
        assert "it would be overwritten, with its map; name another file with --out" in capsys.readouterr().err
    assert {p: p.read_bytes() for p in (here / "run").rglob("*") if p.is_file()} == before

    assert main("embed", "run", "--onto=run/embeddings.npz") == 0  # which would write embeddings.npz without --onto
    assert main("embed", "run", "--data=images/cat", "--onto=run/embeddings.npz") == 0
    after = {p: p.read_bytes() for p in (here / "run").rglob("*") if p.is_file()}
    assert before.items() <= after.items()
    assert {p.relative_to(here / "run").as_posix() for p in after.keys() - before.keys()} == {
        "embeddings-onto.npz", "figures/map-onto.png", "embeddings-cat-onto.npz", "figures/map-cat-onto.png"
    }  # fmt: skip
    assert main("embed", "run", "--onto=run/embeddings-onto.npz") == 1
    assert "it would be overwritten" in capsys.readouterr().err


def test_a_map_of_another_encoder_of_the_same_width_is_refused(here, capsys):
    assert main("embed", "run", "--data=images", "--kind=pca", "--out=known.npz") == 0
    file = here / "run" / "encoder.safetensors"
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    weights = load_file(file)
    first = next(name for name, x in weights.items() if x.dim() == 4)
    weights[first].view(-1)[0] += 1e-6  # a single number, by little more than a float's last digit
    save_file(weights, file, metadata)
    capsys.readouterr()
    assert main("embed", "run", "--data=images/cat", "--onto=known.npz", "--out=new.npz") == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "another encoder than run/encoder.safetensors made this map" in line
    assert not (here / "new.npz").exists()
    with np.load("known.npz") as known:
        np.savez("old.npz", features=known["features"], map=known["map"])  # as earlier versions wrote it
    assert main("embed", "run", "--data=images/cat", "--onto=old.npz", "--out=new.npz") == 0
    assert "old.npz does not say which encoder made it" in " ".join(capsys.readouterr().out.split())


def test_a_kept_encoder_is_embedded_with_the_settings_of_its_folder(here, capsys):
    shutil.copy("run/encoder.safetensors", "run/encoder-best.safetensors")
    assert main("embed", "run", "--data=images", "--kind=none", "--out=whole.npz") == 0
    assert main("embed", "run/encoder-best.safetensors", "--data=images", "--kind=pca") == 0
    assert np.array_equal(np.load("whole.npz")["features"], np.load("run/embeddings-images-best.npz")["features"])
    assert (here / "run" / "figures" / "map-images-best.png").is_file()
    assert main("embed", "run/encoder.safetensors", "--data=images", "--kind=none") == 0
    assert (here / "run" / "embeddings-images.npz").is_file()
    shutil.copy("run/encoder.safetensors", "alone.safetensors")
    capsys.readouterr()
    assert main("embed", "alone.safetensors", "--data=images") == 1
    assert "is not a run folder, nor in one" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["embed", "export"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("checkpoint.pt", "name 'run/encoder.safetensors'"),
        ("checkpoint-best.pt", "name 'run/encoder-best.safetensors'"),
        ("checkpoint-0010.pt", "or write this one's with bt.Trainer.resume('run/checkpoint-0010.pt', images)"),
    ],
)
def test_a_checkpoint_is_called_one_where_an_encoder_is_wanted(here, monkeypatch, capsys, command, name, words):
    monkeypatch.setattr("byol_tutorial.cli.export.require_writers", lambda: None)
    shutil.copy("run/encoder.safetensors", "run/encoder-best.safetensors")
    if name != "checkpoint.pt":
        shutil.copy("run/checkpoint.pt", f"run/{name}")
    assert main(command, f"run/{name}") == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"'run/{name}' is a checkpoint, the whole state of a run, and no encoder file: name " in line
    assert words in line


def test_embed_writes_a_table(here):
    assert main("embed", "run", "--data=images", "--out=vectors.csv", "--kind=pca") == 0
    with open(here / "vectors.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert list(rows[0])[:5] == ["file", "label", "map_x", "map_y", "y0"]
    assert {row["label"] for row in rows} == {"cat", "horse"}
    encoder = load_encoder(here / "run" / "encoder.safetensors")
    first = embed_images(encoder, rows[0]["file"]).features[0]
    np.testing.assert_allclose([float(rows[0][f"y{k}"]) for k in range(16)], first, rtol=1e-4, atol=1e-5)


def test_embed_of_mixed_depth_uses_the_range_of_training(here):
    deep = here / "deep"
    deep.mkdir()
    rng = np.random.default_rng(0)
    for i in range(8):
        Image.fromarray(rng.integers(0, 4000, (12, 12)).astype(np.uint16)).save(deep / f"{i}.png")
    assert main("train", "--data=folder:deep", "--out=deeprun", "--epochs=1", *SMALL) == 0
    assert run_folder.scale(here / "deeprun") == ValueRange(0, 4095)
    dark = here / "dark.png"
    Image.fromarray(rng.integers(0, 200, (12, 12)).astype(np.uint16)).save(dark)
    assert main("embed", "deeprun", "--data=dark.png", "--out=dark.npz") == 0
    encoder = load_encoder(here / "deeprun" / "encoder.safetensors")
    expected = embed_images(encoder, dark, value_range=(0, 4095)).features
    np.testing.assert_allclose(np.load(here / "dark.npz")["features"], expected, rtol=1e-5, atol=1e-6)


def test_embed_scales_each_file_as_training_did(here):
    """Of a folder of 12-bit and of 8-bit files the latter are taken as they are, by both ways to embed them."""
    rng = np.random.default_rng(1)
    (here / "mix").mkdir()
    for i in range(6):
        Image.fromarray(rng.integers(0, 4000, (12, 12)).astype(np.uint16)).save(here / "mix" / f"deep{i}.png")
        Image.fromarray(rng.integers(0, 256, (12, 12), dtype=np.uint8)).save(here / "mix" / f"flat{i}.png")
    assert main("train", "--data=folder:mix", "--out=mixed", "--epochs=1", "--holdout=0", *SMALL) == 0
    assert main("embed", "mixed", "--kind=none", "--out=own.npz") == 0
    assert main("embed", "mixed", "--data=mix", "--kind=none", "--out=files.npz") == 0
    own, files = np.load(here / "own.npz"), np.load(here / "files.npz")
    by_name = {Path(name).name: y for name, y in zip(own["files"], own["features"], strict=True)}
    for name, y in zip(files["files"], files["features"], strict=True):
        np.testing.assert_allclose(y, by_name[Path(name).name], rtol=1e-4, atol=1e-5)
    Image.fromarray(np.full((12, 12), 60_000, np.uint16)).save(here / "mix" / "bright.png")  # changes no other vector
    assert main("embed", "mixed", "--kind=none", "--out=later.npz") == 0
    later = np.load(here / "later.npz")
    again = {Path(name).name: y for name, y in zip(later["files"], later["features"], strict=True)}
    np.testing.assert_allclose(again["deep0.png"], by_name["deep0.png"], rtol=1e-4, atol=1e-5)


def test_a_run_from_before_ranges_were_found_keeps_its_scale(here):
    rng = np.random.default_rng(1)
    (here / "deep").mkdir()
    for i in range(8):
        Image.fromarray(rng.integers(0, 4000, (12, 12)).astype(np.uint16)).save(here / "deep" / f"{i}.png")
    with pytest.MonkeyPatch.context() as patch:  # as versions before loaded them
        patch.setattr("byol_tutorial.data.reading.choose_range", lambda *_: None)
        assert main("train", "--data=folder:deep", "--out=old", "--epochs=1", "--bits=8", *SMALL) == 0
    settings = json.loads((here / "old" / "settings.json").read_text())
    del settings["found"]
    for name in ("labels", "holdout", "value_range", "channels", "bits"):
        del settings["data"][name]
    (here / "old" / "settings.json").write_text(json.dumps(settings))
    assert main("train", "--resume=old") == 0
    (here / "deep").rename(here / "moved")
    assert main("train", "--resume=old", "--data=folder:moved") == 0
    assert main("train", "--resume=old") == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--value-range=5,5", "--data=images"], "first below the second"),
        (["--value-range=0,5"], "it is for --data"),
        (["--data="], "give image files or folders"),
        (["--out=x.parquet"], "needs pandas and pyarrow"),
    ],
)
def test_embed_refuses_before_any_work(here, monkeypatch, capsys, options, words):
    monkeypatch.setattr("byol_tutorial.cli.embed.load_encoder", lambda _: pytest.fail("work was begun"))
    monkeypatch.setattr("byol_tutorial.cli.vector_files.is_installed", lambda _: False)
    assert main("embed", "run", *options) == 1
    assert words in capsys.readouterr().err


def test_results_on_other_data_never_replace_the_runs_own(here):
    pictures(here / "other" / "cat", 6)
    pictures(here / "other" / "horse", 6)
    assert main("evaluate", "run", "--protocol=knn") == 0
    own = json.loads((here / "run" / "results.json").read_text())["protocols"]["knn"]
    (here / "images").rename(here / "gone")
    assert main("evaluate", "run", "--protocol=knn", "--data=folder:other") == 0
    found = json.loads((here / "run" / "results.json").read_text())["protocols"]
    assert found["knn"] == own
    assert set(found) == {"knn", "knn on folder:other"}


# --- existing weights ---------------------------------------------------------------------------


def test_a_run_starts_from_another(here, capsys):
    assert main("train", "--data=folder:images", "--init=run", "--out=longer", "--epochs=1", *SMALL) == 0
    assert "encoder from run: taken" in capsys.readouterr().out
    assert json.loads((here / "longer" / "settings.json").read_text())["init"] == str(here / "run")
    assert main("train", "--data=folder:images", "--init=gone", "--out=none", "--epochs=1", *SMALL) == 1
    assert "does not exist" in capsys.readouterr().err
    assert not (here / "none").exists()
    assert main("train", "--resume=longer", "--init=run") == 1
    assert "a resumed run keeps its own" in capsys.readouterr().err
