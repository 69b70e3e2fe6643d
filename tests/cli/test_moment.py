"""A run folder is of one moment: killed before every single operation on its files, and read afterwards."""

import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import SMALL, cut_run, main
from PIL import Image

from byol_tutorial.cli import report
from byol_tutorial.cli.metrics import has_tensorboard
from byol_tutorial.config.config import Config
from byol_tutorial.course import cache
from byol_tutorial.train import checkpoint
from byol_tutorial.train.encoder_file import load_encoder, steps_of
from byol_tutorial.train.trainer import Trainer

NEW = ["train", "--out=run", "--epochs=1", *SMALL]
COMMANDS = {"train": NEW, "resume": ["train", "--resume=run"], "evaluate": ["evaluate", "run"],
            "embed": ["embed", "run", "--kind=none"]}  # fmt: skip

# At smoke scale every fourth operation: files are written in three, so each of open, sync and rename has its turn.
EVERY = "4" if os.environ.get("BYOL_SCALE") == "smoke" else "1"

# For k = 1, 2, ... runs a command in a fork of this process, which ends before its k-th operation on a file of the run:
# an open for writing, a sync, a rename, a removal, a folder. Then other forks read what is left. Prints a line for each.
CRASHES = r"""
import contextlib, io, itertools, json, os, shutil, sys, traceback, types
from pathlib import Path
import torch
from byol_tutorial.cli import main as cli, report
from byol_tutorial.train import checkpoint, encoder_file

start, commands = Path(sys.argv[1]), json.loads(sys.argv[2])
torch.set_num_threads(1)
report.write_figures = lambda trainer, test, encoders, out: report._write_png(out / "figures" / "curves.png", b"png")
report.compare = lambda *_: types.SimpleNamespace(rows={}, balanced={}, chance=0.5, largest=0.5, floor="")
report.table_of = lambda *_: ""
left, folder = None, os.path.abspath("run")
WATCHED = {"os.rename", "os.remove", "os.mkdir", "os.rmdir"}


def due(*_):
    global left
    if left is not None:
        left -= 1
        if left == 0:
            os._exit(99)


def watch(event, arguments):
    if left is None or not (event in WATCHED or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR))):
        return
    if isinstance(arguments[0], (str, os.PathLike)) and os.path.abspath(arguments[0]).startswith(folder):
        due()


sys.addaudithook(watch)
fsync = os.fsync
os.fsync = lambda fd: (due(), fsync(fd))


def fork(work):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = work() or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def command(arguments, k=None):
    def work():
        global left
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                left = k
                cli.main(arguments)
        except SystemExit as end:
            if end.code:
                print(arguments, said.getvalue(), file=sys.stderr)
                return 2
        left = None
    return fork(work)


def of_one_moment():
    steps = checkpoint.load("run/checkpoint.pt")["steps_done"]
    history = json.load(open("run/history.json"))
    assert len(history["loss"]) == steps, (len(history["loss"]), steps)
    assert encoder_file.steps_of("run/encoder.safetensors") == steps
    assert history["loss"] == checkpoint.load("run/checkpoint.pt")["history"]["loss"]
    mine = checkpoint.load("run/checkpoint.pt")["model"]
    theirs = encoder_file.load_encoder("run/encoder.safetensors").state_dict()
    assert all(torch.equal(mine["online.encoder." + name], x) for name, x in theirs.items())
    assert not os.path.exists("run/metrics.csv") or len(open("run/metrics.csv").readlines()) == steps + 1
    hidden = [str(p) for p in Path("run").rglob(".*")]
    assert not hidden, hidden


def state():
    parts = [(p.name.split(".")[-1] if p.name.endswith(".part") else str(p), p.is_file() and not p.name.startswith(".")
              and p.read_bytes()) for p in sorted(Path("run").rglob("*"))]
    return str(sorted(parts, key=str))


warm = [a.replace("run", "warm") for a in commands["train"]]
cli.main(warm)  # loads all modules and kernels, with one thread, so that a fork begins at once
seen = set()
for name, arguments in commands.items():
    for k in itertools.count(1, int(sys.argv[3])):
        shutil.rmtree("run", ignore_errors=True)
        if arguments[0] != "train" or "--resume=run" in arguments:
            shutil.copytree(start, "run")
        ended = command(arguments, k)
        if ended == 0:
            break
        assert ended == 99, ended
        if (found := state()) in seen:
            continue
        seen.add(found)
        shutil.copytree("run", "crashed") if os.path.exists("run") else None
        if not os.path.exists("run/checkpoint.pt"):  # nothing was learned, and the folder can be taken
            assert command(commands["train"]) == 0, (name, k)
            assert fork(of_one_moment) == 0, (name, k)
        else:
            for reader in (["embed", "run", "--kind=none"], ["train", "--resume=run"]):
                shutil.rmtree("run")
                shutil.copytree("crashed", "run")
                assert command(reader) == 0, (name, k, reader)
                assert fork(of_one_moment) == 0, (name, k, reader)
            steps = 2 * json.load(open("run/settings.json"))["config"]["epochs"]
            assert checkpoint.load("run/checkpoint.pt")["steps_done"] == steps
            assert json.load(open("run/results.json"))["steps"] == steps
        shutil.rmtree("crashed", ignore_errors=True)
    print("kills:", name, k - 1, len(seen), flush=True)
"""


@pytest.fixture(scope="module")
def cut(tmp_path_factory) -> Path:
    """A run that was cut after its second step of four."""
    return cut_run(tmp_path_factory.mktemp("cut") / "run", 2, after=1)


@pytest.mark.training
@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_killed_before_any_operation_on_its_files_every_reader_sees_one_moment(cut, tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CRASHES, cut, json.dumps(COMMANDS), EVERY],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("kills:")]
    points = {name: int(kills) for _, name, kills, _ in lines}
    print(lines)
    assert points.keys() == COMMANDS.keys()
    assert (
        points["train"] >= 30
    )  # lock, settings, and four times checkpoint, encoder and history, each in three operations
    assert points["resume"] >= 20


def learn_on(here) -> None:
    """Make only the checkpoint one of two more steps, as a kill between two files leaves it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        shutil.copytree("run", "other")
        assert main("train", "--resume=other") == 0
    shutil.copy("other/checkpoint.pt", "run/checkpoint.pt")


def test_an_encoder_that_is_loaded_from_a_folder_of_two_moments_is_said(here):
    learn_on(here)
    words = r"encoder.safetensors' is of step 2, and the checkpoint beside it of step 4: 'byol-tutorial evaluate run'"
    with pytest.warns(UserWarning, match=words):
        load_encoder("run/encoder.safetensors")
    shutil.copy("run/encoder.safetensors", "alone.safetensors")
    load_encoder("alone.safetensors")


@pytest.mark.parametrize("command", ["evaluate run", "embed run --kind none"])
def test_what_is_of_another_moment_is_written_again_and_said(here, capsys, command):
    learn_on(here)
    settings = json.loads(Path("run/settings.json").read_text())
    settings["config"]["lr"] = 0.123
    Path("run/settings.json").write_text(json.dumps(settings))
    (here / "run" / "history.json").unlink()
    capsys.readouterr()
    assert main(*command.split()) == 0
    words = "run: encoder.safetensors, history.json, metrics.csv, settings.json of another moment, written again from the checkpoint"
    assert words in " ".join(capsys.readouterr().out.split())
    config = Config.from_dict(json.loads(Path("run/settings.json").read_text())["config"])
    assert config == Config.from_dict(checkpoint.load("run/checkpoint.pt")["config"])
    for name in ("history.json", "metrics.csv"):
        assert Path("run", name).read_bytes() == Path("other", name).read_bytes()
    written, whole = (load_encoder(f"{run}/encoder.safetensors").state_dict() for run in ("run", "other"))
    assert all(torch.equal(written[name], whole[name]) for name in whole)
    assert steps_of("run/encoder.safetensors") == 4
    assert main(*command.split()) == 0
    assert "of another moment" not in capsys.readouterr().out


def test_embeddings_name_their_step_and_who_goes_on_is_told_that_they_are_earlier(here, capsys):
    for command in ("embed run --kind none", "embed run --kind pca --data run-is-here.png"):
        Image.new("RGB", (12, 12), (3, 200, 9)).save("run-is-here.png")
        assert main(*command.split()) == 0
    for file in Path("run").glob("embeddings*.npz"):
        assert np.load(file)["steps"] == 2
    assert main("evaluate", "run") == 0
    assert "is of step" not in capsys.readouterr().out
    assert main("train", "--resume=run") == 0
    said = " ".join(capsys.readouterr().out.split())
    for name in ("embeddings.npz", "embeddings-run-is-here-png.npz"):
        words = "is of step 2, and its encoder is of step 4: 'byol-tutorial embed run' makes such a file again"
        assert f"{Path('run', name)} {words}" in said
    assert main("evaluate", "run") == 0
    assert f"{Path('run/embeddings.npz')} is of step 2" in capsys.readouterr().out
    assert main("embed", "run", "--kind=none") == 0
    (here / "run" / "embeddings-old.npz").write_bytes(b"of an earlier version, or damaged")
    capsys.readouterr()
    assert main("evaluate", "run") == 0
    said = capsys.readouterr().out
    assert "embeddings.npz is of step" not in said
    assert "embeddings-old" not in said


def test_embeddings_are_compared_with_the_encoder_that_made_them(here, capsys):
    """A kept encoder stays of its step while the run goes on; a data set may have a name like an encoder's."""
    run = here / "run"
    shutil.copy(run / "encoder.safetensors", run / "encoder-0010.safetensors")
    shutil.copy(run / "encoder.safetensors", run / "encoder-gone.safetensors")
    (here / "0010").mkdir()
    Image.new("RGB", (12, 12), (3, 200, 9)).save(here / "0010" / "a.png")
    for command in ("embed run/encoder-0010.safetensors", "embed run/encoder-gone.safetensors"):
        assert main(*command.split(), "--kind=none") == 0
    (run / "encoder-gone.safetensors").unlink()
    assert main("train", "--resume=run") == 0
    capsys.readouterr()
    assert main("evaluate", "run") == 0
    assert "is of step" not in capsys.readouterr().out
    (run / "embeddings-0010.npz").unlink()
    assert main("embed", "run", "--kind=none", "--data=0010") == 0
    assert (run / "embeddings-0010.npz").exists()
    capsys.readouterr()
    assert main("evaluate", "run") == 0
    assert "is of step" not in capsys.readouterr().out
    (run / "embeddings-0010.npz").unlink()  # which would not be replaced by the vectors of other images
    assert main("embed", "run/encoder-0010.safetensors", "--kind=none") == 0
    shutil.copy(run / "encoder.safetensors", run / "encoder-0010.safetensors")
    capsys.readouterr()
    assert main("evaluate", "run") == 0
    words = f"is of step 2, and its encoder is of step 4: 'byol-tutorial embed {Path('run/encoder-0010.safetensors')}'"
    assert words in " ".join(capsys.readouterr().out.split())


def damaged_maps(whole: bytes) -> dict[str, bytes]:
    """Return files of embed that NumPy's reader refuses, each with another error."""
    names = [i.header_offset for i in zipfile.ZipFile(io.BytesIO(whole)).infolist()]
    encrypted, unknown = bytearray(whole), bytearray(whole)
    directory = [m.start() for m in re.finditer(b"PK\x01\x02", whole)]
    for start in names:
        encrypted[start + 6] |= 1
        unknown[start + 8] = 99
    for start in directory:
        encrypted[start + 8] |= 1
        unknown[start + 10] = 99
    return {"encrypted": bytes(encrypted), "of an unknown compression": bytes(unknown), "cut": whole[: len(whole) // 2]}


@pytest.mark.parametrize("damage", ["encrypted", "of an unknown compression", "cut"])
def test_embeddings_that_cannot_be_read_are_no_traceback(here, capsys, damage):
    assert main("embed", "run", "--kind=pca") == 0
    file = here / "run" / "embeddings.npz"
    file.write_bytes(damaged_maps(file.read_bytes())[damage])
    with pytest.raises((RuntimeError, NotImplementedError, zipfile.BadZipFile)), np.load(file) as arrays:
        arrays["steps"]
    assert main("evaluate", "run") == 0
    capsys.readouterr()
    assert main("embed", "run", f"--onto={file}", "--out=v.npz") == 1
    assert "no .npz file of embed" in capsys.readouterr().err


def test_an_encoder_of_an_earlier_version_says_no_step_and_is_left_alone(here, capsys):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    file = "run/encoder.safetensors"
    with safe_open(file, "pt") as opened:
        metadata = {k: v for k, v in opened.metadata().items() if k != "steps"}
    save_file(load_file(file), file, metadata)
    before = Path(file).read_bytes()
    assert steps_of(file) is None
    assert main("evaluate", "run") == 0
    assert Path(file).read_bytes() == before


def test_results_of_another_number_of_steps_are_kept_apart(tmp_path):
    report._write_results(tmp_path, 2, {"verdict": "healthy", "protocols": {"knn": 0.3}})
    report._write_results(tmp_path, 2, {"protocols": {"linear": 0.4}})
    two = {"verdict": "healthy", "protocols": {"knn": 0.3, "linear": 0.4}, "steps": 2}
    assert report.read_results(tmp_path / "results.json") == two
    report._write_results(tmp_path, 4, {"protocols": {"knn": 0.5}})
    four = {"protocols": {"knn": 0.5}, "steps": 4}
    assert report.read_results(tmp_path / "results.json") == four | {"earlier": {"2": two}}
    report._write_results(tmp_path, 2, {"protocols": {"knn": 0.35}})
    again = two | {"protocols": {"knn": 0.35, "linear": 0.4}}
    assert report.read_results(tmp_path / "results.json") == again | {"earlier": {"4": four}}


# --- the clock, the place, the disk -------------------------------------------------------------


CLOCKS = {"of 1970": lambda k: 0.0, "an hour back at every look": lambda k: 2e9 - 3600 * k}


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_clock_that_jumps_back_changes_nothing(here, monkeypatch, clock):
    """As without a battery, or when it is set while a run goes on. All files are of the future then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        shutil.copytree("run", "usual")
        assert main("train", "--resume=usual") == 0
    looks = itertools.count()
    monkeypatch.setattr("time.time", lambda: CLOCKS[clock](next(looks)))
    monkeypatch.setattr("tqdm.std.time", time.time)
    for file in (here / "run").iterdir():
        os.utime(file, (2e9, 2e9))
    assert main("train", "--resume=run", "--tensorboard" if has_tensorboard() else "--no-tensorboard") == 0
    for command in ("evaluate run", "embed run --kind none", "embed run --kind none --out v.csv"):
        assert main(*command.split()) == 0
    assert main("train", "--epochs=1", *SMALL) == 0  # runs are counted, not named by dates
    assert [path.name for path in (here / "runs").iterdir()] == ["shapes-001"]
    usual, found = (checkpoint.load(f"{run}/checkpoint.pt") for run in ("usual", "run"))
    assert found["history"]["loss"] == usual["history"]["loss"]
    assert found["steps_done"] == steps_of("run/encoder.safetensors") == 4
    assert not [*here.rglob(".*")]  # no lock is held, and nothing is half-written


def test_kept_results_do_not_depend_on_the_clock_nor_on_the_times_of_files(tmp_path, monkeypatch):
    monkeypatch.setenv("BYOL_CACHE", str(tmp_path))
    assert cache.cached("x", lambda: {"v": 1}) == {"v": 1}
    (entry,) = tmp_path.iterdir()
    for moment in (0, 4e9):
        os.utime(entry, (moment, moment))
        monkeypatch.setattr("time.time", lambda: 2e9)
        assert cache.kept(torch.load(io.BytesIO(entry.read_bytes()[32:]))["key"]) is not None


def test_a_folder_that_is_moved_while_it_trains_is_said(here, monkeypatch, capsys):
    step = Trainer.step

    def moved(trainer):
        if trainer.steps_done == 3:
            (here / "run").rename(here / "elsewhere")
        return step(trainer)

    monkeypatch.setattr(Trainer, "step", moved)
    assert main("train", "--resume=run") == 1
    said = capsys.readouterr().err
    assert (
        "checkpoint.pt' could not be written (No such file or directory): there is no folder 'run' (any more)" in said
    )
    assert "put it back where it was moved" in said
    assert "make room" not in said
    assert not (here / "run").exists()
    monkeypatch.setattr(Trainer, "step", step)
    assert main("train", "--resume=elsewhere") == 0  # from its last checkpoint


@pytest.fixture
def small_disk(here):
    """A file system of 400 kB as the folder `disk`, with a copy of the run."""
    disk = here / "disk"
    disk.mkdir()
    if os.name != "posix" or os.getuid() != 0:
        pytest.skip("only root can mount a small file system")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


FULL = {
    "train --out disk/new": "settings.json",
    "train --resume disk/run": "settings.json",
    "evaluate disk/run --protocol knn": "results.json",
    "embed disk/run --kind none": "embeddings.npz",
    "embed disk/run --kind none --out disk/v.csv": "v.csv",
    "export disk/run": "encoder.onnx",
    "export run --out disk/mine.onnx": "mine.onnx",
    "course student disk/student": "00_start_here.ipynb",
    "claims --page disk/ledger.md": "ledger.md",
}


@pytest.mark.usefixtures("quick_export")
@pytest.mark.parametrize("command", FULL)
def test_a_full_disk_is_one_line_that_says_how_much_is_needed(small_disk, monkeypatch, capsys, command):
    if command.startswith("export"):
        pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    shutil.copytree("run", small_disk / "run")
    more = [] if "--out disk/new" not in command else ["--epochs=1", *SMALL]
    before = {p: p.read_bytes() for p in (small_disk / "run").iterdir() if p.is_file()}
    with (small_disk / "ballast").open("wb", buffering=0) as ballast:
        while True:
            try:
                ballast.write(bytes(4096))
            except OSError:
                break
    assert main(*command.split(), *more) == 1
    said = capsys.readouterr().err.rpartition("it/s]")[2].rpartition("images/s]\n")[2]  # without a progress bar
    words = f"{FULL[command]}' could not be written (No space left on device): it needs "
    assert said.count("\n") == 1
    assert said.startswith("error: ")
    assert words in said, said
    assert " and 0 kB are free there; what was there before is untouched; make room, or choose another place" in said
    assert {p: p.read_bytes() for p in (small_disk / "run").iterdir() if p.is_file()} == before
    assert not (small_disk / "new").exists()


def test_how_much_is_needed_is_what_the_file_takes(here, tmp_path):
    """The size of a checkpoint is not known before it is written."""
    from byol_tutorial.runtime.files import _size_of

    whole = checkpoint.load("run/checkpoint.pt")
    checkpoint.save(tmp_path / "c.pt", whole)
    content = {"format": whole["format"], "version": whole["version"]} | whole
    assert _size_of(lambda file: torch.save(content, file)) == pytest.approx(
        (tmp_path / "c.pt").stat().st_size, rel=0.01
    )
