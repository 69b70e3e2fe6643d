"""The command line on input that would be taken for something else, or would silently overwrite something."""

import csv
import json
import os
import shutil
import sys
import warnings

import pytest
from command_line import main, pictures

from byol_tutorial.cli.data_source import DataSource
from byol_tutorial.config.errors import DataError

SMALL = ["--epochs=1", "--warmup-epochs=0", "--width=4", "--hidden-dim=8", "--projection-dim=4", "--batch-size=4",
         "--device=cpu", "--knn-every=1"]  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """`images` of a frequent and a seldom class, `run`, and folders of one name, `x/cat` and `y/cat`."""
    path = tmp_path_factory.mktemp("hostile")
    pictures(path / "images" / "often", 20)
    pictures(path / "images" / "seldom", 5)
    pictures(path / "x" / "cat", 4)
    pictures(path / "y" / "cat", 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        assert main("train", "--data=folder:images", "--out=run", *SMALL) == 0
    return path


def error(capsys):
    """The only line on standard error."""
    (line,) = (x for x in capsys.readouterr().err.splitlines() if x.startswith("error: "))
    return line


# --- uneven classes -------------------------------------------------------------------------------


def test_balanced_accuracy_is_in_all_files_of_a_run(world):
    history = json.loads((world / "run" / "history.json").read_text())
    (check,) = history["knn_balanced"]
    with open(world / "run" / "metrics.csv", newline="") as file:
        *_, last = csv.DictReader(file)
    assert (int(last["step"]), float(last["knn_balanced"])) == tuple(check)
    results = json.loads((world / "run" / "results.json").read_text())
    assert results["balanced"].keys() == results["table"].keys()


# --- what would be overwritten ----------------------------------------------------------------------


def test_folders_of_one_name_do_not_overwrite_each_others_vectors(here, capsys):
    assert main("embed", "run", "--data=x/cat", "--kind=pca") == 0
    kept = {p: p.read_bytes() for p in (here / "run").rglob("*") if p.is_file()}
    for data in ("y/cat", "y/../y/cat", "folder:y/cat"):
        assert main("embed", "run", f"--data={data}", "--kind=pca") == 1
        line = error(capsys)
        assert f"run/embeddings-cat.npz holds the vectors of {here / 'x' / 'cat'}: name another file with --out" in line
    assert {p: p.read_bytes() for p in (here / "run").rglob("*") if p.is_file()} == kept
    assert main("embed", "run", "--data=x/../x/cat", "--kind=pca") == 0  # the same place again
    assert main("embed", "run", "--data=y/cat", "--kind=pca", "--out=other.npz") == 0
    assert (here / "run" / "figures" / "map-other.png").is_file()
    assert (here / "run" / "figures" / "map-cat.png").read_bytes() == kept[here / "run" / "figures" / "map-cat.png"]


def test_a_folder_that_is_named_like_a_kept_encoder_does_not_overwrite_its_vectors(here, capsys):
    shutil.copy("run/encoder.safetensors", "run/encoder-best.safetensors")
    assert main("embed", "run/encoder-best.safetensors", "--kind=none") == 0
    shutil.copytree("x/cat", "best")
    assert main("embed", "run", "--data=best", "--kind=none") == 1
    assert "embeddings-best.npz holds the vectors of the run's own images" in error(capsys)


def test_the_folder_one_is_in_has_its_own_name(here, monkeypatch):
    monkeypatch.chdir(here / "x" / "cat")
    assert main("embed", "../../run", "--data=.", "--kind=none") == 0
    assert (here / "run" / "embeddings-cat.npz").is_file()


@pytest.mark.parametrize("out", ["images", "images/often", "images/often/00.png", "images/often/00.png/x"])
def test_a_run_is_not_written_over_images(here, out):
    before = {p: p.read_bytes() for p in here.rglob("*") if p.is_file()}
    assert main("train", "--data=folder:images", f"--out={out}", *SMALL) == 1
    assert {p: p.read_bytes() for p in here.rglob("*") if p.is_file()} == before


# --- what would be taken for something else -----------------------------------------------------------


@pytest.mark.parametrize("command", [["train"], ["evaluate", "run", "--protocol=knn"]])
def test_the_first_of_two_sets_of_images_is_not_left_out_in_silence(here, capsys, command):
    assert main(*command, "--data=folder:x", "--data=folder:y") == 1
    assert "--data is given 2 times, folder:x and folder:y: give one" in error(capsys)


@pytest.mark.parametrize("command", ["train --data=folder:run", "embed run --data=run", "embed run --data=run/../run"])
def test_the_figures_of_a_run_are_no_images(here, capsys, command):
    assert main(*command.split()) == 1
    assert "is a run folder, and its figures are no data" in error(capsys)


def test_variables_and_home_are_replaced_in_every_path(here, monkeypatch):
    monkeypatch.setenv("PLACE", str(here))
    monkeypatch.setenv("HOME", str(here))
    assert main("train", "--data=folder:$PLACE/images", "--out=$PLACE/new", "--init=$PLACE/run", *SMALL) == 0
    assert (here / "new" / "checkpoint.pt").is_file()
    assert main("train", "--resume=$PLACE/new", "--data=folder:~/images") == 0
    settings = json.loads((here / "new" / "settings.json").read_text())
    assert settings["data"]["name"] == f"folder:{here / 'images'}"
    assert main("embed", "$PLACE/run", "--data=$PLACE/x/cat", "--out=$PLACE/v.csv", "--kind=none") == 0
    assert (here / "v.csv").is_file()
    assert not (here / "$PLACE").exists()


def test_an_unknown_users_home_is_one_line(here, capsys):
    assert main("train", "--resume=run", "--data=folder:~nobody-of-this-name/x") == 1
    assert "does not exist" in error(capsys)
    assert main("train", "--data=folder:images", "--out=~nobody-of-this-name/x", *SMALL) == 2
    assert "there is no home folder here" in error(capsys)


def test_classes_within_splits_are_the_labels_of_a_folder(here):
    for split in ("train", "Test"):
        for name, source in (("a", "x/cat"), ("b", "y/cat")):
            shutil.copytree(source, here / "mine" / split / name)
    assert main("embed", "run", "--data=mine", "--kind=none", "--out=v.csv") == 0
    with open("v.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["file"].split("/")[2], row["label"]) for row in rows} == {("a", "a"), ("b", "b")}


def test_names_that_are_no_text_stay_different_in_a_table(here):
    if sys.platform != "linux":
        pytest.skip("other systems refuse such names")
    place = os.fsencode(here / "odd")
    os.mkdir(place)
    for k in (b"\xe4", b"\xf6"):
        shutil.copy("x/cat/00.png", place + b"/" + k + b".png")
    assert main("embed", "run", "--data=odd", "--kind=none", "--out=v.csv") == 0
    with open("v.csv", newline="", encoding="utf-8") as file:
        assert [row["file"] for row in csv.DictReader(file)] == [r"odd/\udce4.png", r"odd/\udcf6.png"]


def test_what_is_printed_cannot_break_a_line_nor_steer_the_terminal(here, capsys):
    pictures(here / "odd" / "two\nlines\x1b[2J", 5)
    pictures(here / "odd" / "b", 4)
    (here / "odd" / "b" / "bad\nfile.png").touch()
    assert main("train", "--data=folder:odd", "--out=new", "--corrupt=skip", *SMALL) == 0
    out = capsys.readouterr().out
    assert "\x1b[2J" not in out
    assert r"two\nlines\x1b[2J" in out
    assert r"left out, cannot be read: odd/b/bad\nfile.png" in out
    assert main("train", "--data=folder:gone\nline\x1b[2J", *SMALL) == 1
    assert "\x1b" not in error(capsys)


def test_a_warning_is_one_line_without_the_place_in_the_code(here, monkeypatch):
    said = []

    def load(_):
        said.append(warnings.formatwarning(UserWarning("two\nlines\x1b"), UserWarning, "file.py", 3))
        raise DataError("no images")

    monkeypatch.setattr(DataSource, "load", load)
    before = warnings.formatwarning
    assert main("train", "--data=folder:images", "--out=new", *SMALL) == 1
    assert said == ["warning: two lines\\x1b\n"]
    assert warnings.formatwarning is before


def test_a_run_whose_layout_is_refused_today_is_opened_as_it_was_made(here):
    pictures(here / "odd" / "val", 8)
    assert main("train", "--data=folder:odd", "--out=new", *SMALL) == 1
    assert main("train", "--data=folder:odd", "--labels=folders", "--out=old", *SMALL) == 0
    settings = here / "old" / "settings.json"
    content = json.loads(settings.read_text())
    content["data"]["labels"] = "auto"  # as an earlier version wrote it, which took the folder for a class
    settings.write_text(json.dumps(content))
    assert main("train", "--resume=old") == 0
    shutil.rmtree(here / "odd")
    assert main("train", "--resume=old") == 1
