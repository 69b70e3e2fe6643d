"""What goes wrong in real runs, made to go wrong: killed, out of disk, out of memory, not a number, other data."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import main
from PIL import Image

import byol_tutorial as bt
from byol_tutorial.cli import run_folder
from byol_tutorial.config.errors import CheckpointError, DivergedError, TrainingError
from byol_tutorial.train import checkpoint, encoder_file

TINY = {"width": 4, "hidden_dim": 16, "projection_dim": 8, "batch_size": 8, "epochs": 3, "warmup_epochs": 1.0}
OPTIONS = [
    "--width",
    "4",
    "--hidden-dim",
    "8",
    "--projection-dim",
    "4",
    "--batch-size",
    "4",
    "--warmup-epochs",
    "0",
    "--device",
    "cpu",
]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")


@pytest.fixture(scope="module")
def train():
    return bt.load("shapes", limit=44)


@pytest.fixture
def images(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(6):
            picture = rng.integers(0, 255, (12, 12, 3)).astype(np.uint8)
            Image.fromarray(picture).save(tmp_path / "images" / name / f"{i}.png")
    return tmp_path


def tiny(train, **changes) -> bt.Trainer:
    return bt.Trainer(bt.Config(**(TINY | changes)), train, device="cpu")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "byol_tutorial", *arguments]


def read_until(stream, wanted: bytes) -> bytes:
    seen = b""
    while wanted not in seen and (more := os.read(stream.fileno(), 4096)):
        seen += more
    return seen


# --- while a checkpoint is written --------------------------------------------------------------

# Saves again and again with ever other content; the parent kills it at a moment of its choice.
SAVER = """
import sys, torch
from byol_tutorial.train import checkpoint
for k in range(10**9):
    checkpoint.save(sys.argv[1], {"k": k, "big": torch.full((300_000,), float(k))})
    print(k, flush=True)
"""


@pytest.mark.slow
@POSIX
def test_kill_9_while_saving_leaves_a_whole_checkpoint(tmp_path):
    path = tmp_path / "c.pt"
    process = subprocess.Popen([sys.executable, "-c", SAVER, str(path)], stdout=subprocess.PIPE, env=ENVIRONMENT)
    try:
        read_until(process.stdout, b"\n")  # the first is written
        for _ in range(10_000):
            if any(p.suffix == ".part" for p in tmp_path.iterdir()):  # in the middle of one
                break
        else:
            pytest.fail("never saw a file being written")
    finally:
        process.kill()
        process.wait()
    state = checkpoint.load(path)
    assert torch.equal(state["big"], torch.full((300_000,), float(state["k"])))


# Files may have at most 20,000 bytes: what a full disk does to a writer, without filling one.
LIMITED = """
import resource, sys
sys.dont_write_bytecode = True  # Python 3.11 would keep what the limit cuts short, and fail at the next import
import byol_tutorial as bt
trainer = bt.Trainer(bt.Config(**eval(sys.argv[2])), bt.load("shapes", limit=44), device="cpu")
trainer.step()
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    trainer.save(sys.argv[1])
except bt.config.errors.CheckpointError as error:
    print(error)
try:
    trainer.save_encoder(sys.argv[1])
except bt.config.errors.CheckpointError as error:
    print(error)
trainer.step()
"""


@pytest.mark.slow
@POSIX
def test_a_full_disk_keeps_the_old_checkpoint_and_the_run_goes_on(train, tmp_path):
    path = tmp_path / "c.pt"
    tiny(train).save(path)
    before = path.read_bytes()
    assert len(before) > 20_000
    big = str(TINY | {"width": 32})
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path), big], capture_output=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr.decode()
    errors = done.stdout.decode().splitlines()
    assert len(errors) == 2
    for error in errors:
        assert "c.pt' could not be written (" in error
        assert "make room, or choose another place" in error
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# --- signals ------------------------------------------------------------------------------------


@pytest.mark.slow
@POSIX
def test_sigterm_saves_and_exits_and_the_run_can_go_on(images):
    run = ["train", "--data", "folder:images", "--out", "run", *OPTIONS, "--epochs=500000"]
    process = subprocess.Popen(
        command(*run), cwd=images, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        seen = read_until(process.stderr, b"images/s")
        process.send_signal(signal.SIGTERM)
        while process.poll() is None:  # as where a launcher passes on what its processes get too
            process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGTERM, (seen + err).decode()
    assert not list((images / "run").rglob(".*"))  # nothing half-written
    assert "Traceback" not in (seen + err).decode()
    assert "go on with: byol-tutorial train --resume run" in out.decode()
    saved = checkpoint.load(images / "run" / "checkpoint.pt")
    assert saved["steps_done"] == len(json.loads((images / "run" / "history.json").read_text())["loss"]) > 0


@pytest.mark.training
@POSIX
def test_a_run_killed_before_its_first_epoch_ends_can_be_resumed(images, monkeypatch, capsys):
    run = ["train", "--data", "folder:images", "--out", "run", *OPTIONS, "--knn-every=0"]
    process = subprocess.Popen(
        command(*run, "--epochs=1", "--batch-size=2", "--encoder=resnet18", "--view-size=160"),
        cwd=images, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        read_until(process.stderr, b"step")
    finally:
        process.kill()
        process.wait()
    (images / "run" / ".checkpoint.pt.0123.part").write_bytes(b"half")
    monkeypatch.chdir(images.parent)  # from another folder than before
    assert main("train", "--resume", images / "run") == 0
    assert "going on at step 0" in capsys.readouterr().out
    assert not list((images / "run").rglob(".*"))


def test_what_is_written_others_may_read(tmp_path):
    before = os.umask(0o027)
    try:
        checkpoint.write_atomically(tmp_path / "a", lambda file: file.write(b"x"))
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_a_run_resumed_by_command_equals_an_uncut_one(images, monkeypatch, capsys):
    monkeypatch.chdir(images)
    monkeypatch.setattr("byol_tutorial.cli.report.write_figures", lambda *_: None)  # slow, and not what this is about
    whole = ["train", "--data", "folder:images", *OPTIONS, "--epochs", "4"]
    assert main(*whole, "--out", "whole") == 0
    # cut after the first epoch, as by a signal
    real = bt.Trainer.run
    with monkeypatch.context() as patch:
        patch.setattr(bt.Trainer, "run", lambda self, **kwargs: real(self, epochs=1, **kwargs))
        patch.setattr("byol_tutorial.cli.report.judge", lambda *_: None)
        assert main(*whole, "--out", "cut") == 0
    assert len(json.loads((images / "cut" / "history.json").read_text())["loss"]) == 2
    capsys.readouterr()
    assert main("train", "--resume", "cut") == 0
    assert "going on at step 2 of 8" in capsys.readouterr().out
    a, b = (checkpoint.load(images / run / "checkpoint.pt") for run in ("whole", "cut"))
    assert a["history"]["loss"] == b["history"]["loss"]
    assert all(torch.equal(a["model"][name], b["model"][name]) for name in a["model"])
    results = [json.loads((images / run / "results.json").read_text()) for run in ("whole", "cut")]
    assert results[0] == results[1]

    # and what does not belong to that run is refused by name
    for extra, words in (
        (["--epochs", "9"], ["epochs 4 (here 9)", "resume without them"]),
        (["--lr", "0.1", "--norm", "none"], ["lr", "norm 'bn' (here 'none')"]),
        (
            ["--data", "shapes"],
            ["other images: images 10 (here 4096)", f"resume with those of 'folder:{images / 'images'}'"],
        ),
        (["--out", "other"], ["--out other"]),
        (["--preset", "shapes"], ["--preset shapes"]),
    ):
        assert main("train", "--resume", "cut", *extra) == 1
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert all(word in error for word in words), error
    Image.new("RGB", (12, 12)).save(images / "images" / "cat" / "new.png")
    assert main("train", "--resume", "cut") == 1
    assert "images 10 (here 11)" in capsys.readouterr().err


# --- numbers and memory -------------------------------------------------------------------------


def test_divergence_names_the_step_and_keeps_the_last_good_checkpoint(images, monkeypatch, capsys):
    monkeypatch.chdir(images)
    real, kept = bt.Trainer.step, {}

    def step(self):
        if self.steps_done == 2:
            kept["checkpoint"] = (images / "run" / "checkpoint.pt").read_bytes()
        if self.steps_done == 3:  # in the middle of an epoch
            next(self.model.encoder.parameters()).data.fill_(float("nan"))
        return real(self)

    monkeypatch.setattr(bt.Trainer, "step", step)
    assert main("train", "--data", "folder:images", "--out", "run", *OPTIONS, "--epochs", "4") == 1
    error = capsys.readouterr().err
    assert "the loss is nan at step 3" in error
    assert "lower lr" in error
    assert (images / "run" / "checkpoint.pt").read_bytes() == kept["checkpoint"]


def everything(trainer) -> dict:
    return {name: x.clone() for name, x in trainer.model.state_dict().items()}


def equal(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("what", ["loss", "gradient's norm"])
def test_a_step_that_diverges_leaves_no_trace(train, tmp_path, what):
    trainer = tiny(train, accumulation_steps=2)
    trainer.step()
    before = everything(trainer)
    weight = trainer.model.encoder[0].weight
    if what == "loss":
        hook = trainer.model.encoder.register_forward_hook(lambda m, args, y: y * torch.nan)
    else:
        hook = weight.register_hook(lambda g: g * torch.inf)
    with pytest.raises(DivergedError, match=rf"the {what} is (nan|inf) at step 1, with lr .*: lower lr"):
        trainer.step()
    hook.remove()
    assert equal(everything(trainer), before)
    assert trainer.steps_done == 1
    twin = tiny(train, accumulation_steps=2)
    twin.step()
    assert trainer.step() == twin.step()


@pytest.fixture
def no_workers():
    """Decode in this process; later tests decide again."""
    before = bt.data.streaming._workers
    bt.data.streaming.set_workers(0)
    yield
    bt.data.streaming.set_workers(before)


@pytest.mark.parametrize(
    "changes", [{}, {"predictor": "optimal"}, {"method": "dino", "prototypes": 12, "local_crops": 0}]
)
def test_an_image_that_is_missing_in_a_later_pass_leaves_no_trace(images, no_workers, changes):
    """The run is saved, the image comes back: as if nothing had been."""
    changes = {"accumulation_steps": 2, "batch_size": 3, "epochs": 9} | changes
    data = bt.load(f"folder:{images / 'images'}", stream=True)
    trainer, twin = (tiny(data, **changes) for _ in range(2))
    for t in (trainer, twin):
        t.step()
    later = Path(os.fsdecode(data.files[trainer.feed.positions(1, 1)[0]]))
    content = later.read_bytes()
    later.unlink()
    with pytest.raises(bt.DataError, match=later.name):
        trainer.step()
    assert equal(everything(trainer), everything(twin))
    later.write_bytes(content)
    trainer.save(images / "c.pt")
    resumed = bt.Trainer.resume(images / "c.pt", data, device="cpu")
    assert resumed.step() == trainer.step() == twin.step()


OTHERS = {  # valid pictures of other kinds than those that a run began with
    "larger": lambda file: Image.new("RGB", (40, 31), (9, 200, 7)).save(file),
    "grey": lambda file: Image.new("L", (12, 12), 77).save(file),
    "transparent": lambda file: Image.new("RGBA", (12, 12), (9, 200, 7, 90)).save(file),
    "deeper": lambda file: Image.new("I;16", (12, 12), 40_000).save(file),
    "of another format": lambda file: Image.new("CMYK", (12, 12), (9, 200, 7, 3)).save(file, "JPEG"),
    "a single pixel": lambda file: Image.new("1", (1, 1), 1).save(file),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("kind", OTHERS)
def test_pictures_that_are_replaced_in_mid_run_are_trained_on_and_noticed_at_a_resume(images, no_workers, kind, stream):
    """Of a set on disk the run sees the new ones from then on; a set in memory stays as it was."""
    folder = f"folder:{images / 'images'}"
    data = bt.load(folder, stream=stream, holdout=0)
    trainer, twin = (tiny(data, batch_size=4) for _ in range(2))
    trainer.step(), twin.step()
    for file in (images / "images").rglob("*.png"):
        OTHERS[kind](file)
    losses = [trainer.step() for _ in range(trainer.steps_per_epoch)]
    assert np.isfinite(losses).all()
    assert trainer.view_size == 12
    trainer.save(images / "c.pt")
    if not stream:
        assert losses == [twin.step() for _ in range(trainer.steps_per_epoch)]
        assert bt.Trainer.resume(images / "c.pt", data, device="cpu").step() == trainer.step()
    now = bt.load(folder, stream=stream, holdout=0, size=12)
    with pytest.raises(bt.DataError, match="was written with other images: "):
        bt.Trainer.resume(images / "c.pt", now, device="cpu")


def test_an_overflow_of_float16_moves_nothing(train, tmp_path, monkeypatch):
    """Loss scaling works on a CPU too: the target stands still with the network, and the record stays JSON."""
    monkeypatch.setattr("byol_tutorial.train.trainer.resolve_precision", lambda name, device: torch.float16)
    trainer = tiny(train, encoder="vit_nano", patch_size=8, norm="none")
    before = [p.clone() for p in trainer.model.parameters()]
    hook = trainer.model.learned()["online"].projector[0].weight.register_hook(lambda g: g * torch.inf)
    trainer.step()
    hook.remove()
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True))
    assert (trainer.steps_done, trainer.computation.scaler.get_scale()) == (1, 2.0**15)
    run_folder.save_state(tmp_path, trainer)
    strict = json.loads((tmp_path / "history.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert strict["gradient_norm"] == [None]
    moved = False
    while not moved and trainer.steps_done < 17:  # each step that overflows halves the scale
        trainer.step()
        moved = not all(torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True))
    assert moved


def test_a_float16_step_that_failed_can_be_tried_again(train, monkeypatch):
    monkeypatch.setattr("byol_tutorial.train.trainer.resolve_precision", lambda name, device: torch.float16)
    trainer = tiny(train, encoder="vit_nano", patch_size=8, norm="none")
    hook = trainer.model.encoder.register_forward_hook(lambda m, args, y: y * torch.nan)
    with pytest.raises(DivergedError, match="the loss is nan at step 0"):
        trainer.step()
    hook.remove()
    twin = tiny(train, encoder="vit_nano", patch_size=8, norm="none")
    assert trainer.step() == twin.step()
    assert trainer.computation.scaler.state_dict() == twin.computation.scaler.state_dict()


def test_a_run_without_loss_scaling_goes_on_with_it(train, tmp_path, monkeypatch):
    """As on another device, which has no bfloat16."""
    tiny(train, precision="mixed").save(tmp_path / "c.pt")
    monkeypatch.setattr("byol_tutorial.train.trainer.resolve_precision", lambda name, device: torch.float16)
    resumed = bt.Trainer.resume(tmp_path / "c.pt", train, device="cpu")
    assert resumed.computation.scaler.get_scale() == 2.0**16


@pytest.mark.parametrize("part", ["running_mean", "momentum_buffer"])
def test_what_is_saved_is_finite_in_every_part(train, tmp_path, part):
    trainer = tiny(train)
    trainer.step()
    trainer.save(tmp_path / "c.pt")
    before = (tmp_path / "c.pt").read_bytes()
    if part == "running_mean":
        trainer.model.encoder[1].running_mean[0] = torch.inf
    else:
        next(iter(trainer.optimizer.state.values()))[part].fill_(torch.nan)
    with pytest.raises(DivergedError, match="not finite after step 1"):
        trainer.save(tmp_path / "c.pt")
    assert (tmp_path / "c.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", None), ("config", None), ("data", 3), ("random", None), ("steps_done", "abc"), ("history", {"x": []}),
        ("optimizer", {}), ("random", {}), ("model", {}),
    ],
)  # fmt: skip
def test_a_checkpoint_that_lacks_something_is_refused_in_words(train, tmp_path, name, value):
    trainer = tiny(train)
    trainer.save(tmp_path / "c.pt")
    state = checkpoint.load(tmp_path / "c.pt")
    checkpoint.save(tmp_path / "c.pt", state | {name: value})
    with pytest.raises(
        CheckpointError, match=r"c.pt' is not one of a whole run \(.*\): name a file that Trainer.save wrote"
    ):
        bt.Trainer.resume(tmp_path / "c.pt", train, device="cpu")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_not_saved(train, tmp_path, value):
    trainer = tiny(train)
    trainer.save(tmp_path / "c.pt")
    before = (tmp_path / "c.pt").read_bytes()
    next(trainer.model.projector.parameters()).data[0, 0] = value
    with pytest.raises(DivergedError, match=r"weights are not finite after step 0, so .*c.pt' was not written"):
        trainer.save(tmp_path / "c.pt")
    assert (tmp_path / "c.pt").read_bytes() == before


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        MemoryError("Allocation failed (probably too large)."),  # NumPy's and numba's
    ],
)
def test_out_of_memory_says_which_knob(train, monkeypatch, error):
    trainer = tiny(train)
    before = [p.clone() for p in trainer.model.parameters()]

    def forward(*_):
        raise error

    monkeypatch.setattr(trainer.computation, "forward", forward)
    with pytest.raises(
        TrainingError, match=r"out of memory on cpu at step 0, with batch_size=8 .* lower batch_size and"
    ):
        trainer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True))


def test_memory_that_the_machine_does_not_have(train):
    """For real: a view of which no machine can hold the pixels."""
    huge = bt.ImageSet("huge", "train", torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(8, 3, 1_500_000, 1_500_000))
    trainer = tiny(train)
    trainer.feed._resident = huge.images
    with pytest.raises(TrainingError, match="out of memory on cpu at step 0"):
        trainer.step()


def test_other_errors_are_not_taken_for_a_lack_of_memory(train, monkeypatch):
    def forward(*_):
        raise RuntimeError("shapes do not match")

    trainer = tiny(train)
    monkeypatch.setattr(trainer.computation, "forward", forward)
    with pytest.raises(RuntimeError, match=r"^shapes do not match"):
        trainer.step()


# --- resuming with something else ---------------------------------------------------------------


def test_resume_names_what_differs(train, tmp_path):
    path = tmp_path / "c.pt"
    trainer = tiny(train)
    trainer.save(path)
    with pytest.raises(
        bt.ConfigError, match=r"another config: tau_base 0.9 \(here 0.95\), lr 0.8 \(here 0.5\); resume"
    ):
        bt.Trainer.resume(path, train, config=trainer.config.replace(lr=0.5, tau_base=0.95))
    with pytest.raises(bt.DataError, match=r"other images: images 44 \(here 43\), content"):
        bt.Trainer.resume(path, train[:43])
    images = train.images.clone()
    images[3] += 1
    with pytest.raises(
        bt.DataError,
        match=r"other images: content \d+ \(here \d+\), all \d+ \(here \d+\); resume with those of 'shapes'",
    ):
        bt.Trainer.resume(path, replace(train, images=images))
    with pytest.raises(bt.DataError, match=r"other images: labels \d+ \(here \d+\); resume with"):
        bt.Trainer.resume(path, replace(train, labels=train.labels.flip(0)))
    with pytest.raises(bt.DataError, match=r"other images: labels \d+ \(here None\); resume with"):
        bt.Trainer.resume(path, replace(train, labels=None))
    assert bt.Trainer.resume(path, train, config=trainer.config, device="cpu").config == trainer.config


def test_labels_missing_where_a_protocol_needs_them(images, monkeypatch, capsys):
    monkeypatch.chdir(images)
    (images / "flat").mkdir()
    for i, file in enumerate((images / "images").glob("*/*.png")):
        file.rename(images / "flat" / f"{i}.png")
    monkeypatch.setattr("byol_tutorial.cli.report.judge", lambda *_: None)
    assert main("train", "--data", "folder:flat", "--out", "run", *OPTIONS, "--epochs", "1") == 0
    for protocol in ("knn", "linear", "sgd-linear", "few-labels-10"):
        capsys.readouterr()
        assert main("evaluate", "run", "--protocol", protocol) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"error: {protocol}")
        assert "no labels" in error


# --- an encoder alone ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("norm", "view_size"),
    [
        ("bn", 32),
        ("gn_ws", 224),
        pytest.param("bn", 224, marks=pytest.mark.slow),
        pytest.param("gn_ws", 32, marks=pytest.mark.slow),
    ],
)
def test_encoder_file_loads_into_a_plain_torchvision_resnet(tmp_path, norm, view_size):
    """Same features to float tolerance, by a network that knows nothing of this library."""
    from safetensors.torch import load_file
    from torch import nn
    from torchvision.models import resnet18

    config = bt.Config(encoder="resnet18", norm=norm)
    torch.manual_seed(0)
    ours = bt.networks.build_encoder(config, view_size, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    ours.train()(torch.randn(4, 3, 64, 64))  # running statistics of its own
    encoder_file.save_encoder(tmp_path / "e.safetensors", ours.eval(), config, view_size)
    plain = resnet18(norm_layer=None if norm == "bn" else lambda channels: nn.GroupNorm(16, channels))
    if view_size <= 64:
        plain.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    keys = plain.load_state_dict(load_file(tmp_path / "e.safetensors"), strict=False)
    assert keys.missing_keys == ["fc.weight", "fc.bias"]
    assert keys.unexpected_keys == []
    plain.fc = nn.Identity()
    if view_size <= 64:  # as README and docstring say
        plain.maxpool = nn.Identity()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(plain.eval()(x), ours(x), rtol=1e-4, atol=1e-5)
        again = bt.load_encoder(tmp_path / "e.safetensors")
        torch.testing.assert_close(again(x), ours(x), rtol=1e-4, atol=1e-5)
    assert not again.training
    assert again.pixel_mean.tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_no_encoder_of_ours_is_refused(tmp_path, train):
    from safetensors.torch import save_file

    with pytest.raises(CheckpointError, match="does not exist"):
        bt.load_encoder(tmp_path / "none")
    save_file({"conv1.weight": torch.zeros(3)}, tmp_path / "foreign")
    with pytest.raises(CheckpointError, match="foreign' is not an encoder of byol_tutorial"):
        bt.load_encoder(tmp_path / "foreign")
    tiny(train).save_encoder(tmp_path / "good")
    content = (tmp_path / "good").read_bytes()
    (tmp_path / "half").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="half' cannot be read"):
        bt.load_encoder(tmp_path / "half")
    (tmp_path / "text").write_text("not safetensors at all")
    with pytest.raises(CheckpointError, match="text' cannot be read"):
        bt.load_encoder(tmp_path / "text")
