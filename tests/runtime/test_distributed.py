"""Two processes against one, with gloo on the CPU, started by torchrun as a user would."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import several_processes as script
import torch
from PIL import Image

import byol_tutorial as bt
from byol_tutorial.cli.main import main
from byol_tutorial.config.errors import DistributedError
from byol_tutorial.runtime import distributed
from byol_tutorial.runtime.distributed import Process, process
from byol_tutorial.train.batches import Feed

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """What two processes wrote: 0.pt, 1.pt and so on."""
    out = tmp_path_factory.mktemp("two")
    command = [*TORCHRUN, script.__file__, str(out)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, timeout=240)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return out


@pytest.mark.training
@pytest.mark.parametrize("case", [c for c in script.CASES if c != "batchnorm"])
def test_two_processes_with_half_the_batch_equal_one_with_all_of_it(two, case):
    """Weights after three steps, to float tolerance; BatchNorm apart, which on a CPU sees its own half only."""
    one = script.result(script.train(case))
    theirs = torch.load(two / "0.pt")[case]
    start = [
        p.detach()
        for p in bt.Trainer(
            bt.Config(**(script.TINY | script.CASES[case])), bt.load("shapes", limit=44), device="cpu"
        ).model.parameters()
    ]
    assert theirs["loss"] == pytest.approx(one["loss"], rel=1e-5)
    assert theirs["norm"] == pytest.approx(one["norm"], rel=1e-4)
    moved = 0.0
    for before, a, b in zip(start, one["weights"], theirs["weights"], strict=True):
        step = (a - before).norm()
        moved += step.item()
        assert (a - b).norm() <= 1e-3 * step + 1e-6, "the step itself must agree, not only what was there before it"
    assert moved > 0.01


@pytest.mark.training
@pytest.mark.parametrize("case", script.CASES)
def test_both_processes_have_the_same_weights(two, case):
    a, b = (torch.load(two / f"{rank}.pt")[case] for rank in (0, 1))
    assert a["loss"] == b["loss"]
    assert all(torch.equal(x, y) for x, y in zip(a["weights"], b["weights"], strict=True))


@pytest.mark.training
def test_a_whole_run_ends_with_identical_weights(two):
    a, b = (torch.load(two / f"run-{rank}.pt") for rank in (0, 1))
    assert len(a["loss"]) == 10
    assert all(torch.equal(x, y) for x, y in zip(a["weights"], b["weights"], strict=True))


@pytest.mark.training
def test_only_the_main_process_writes(two):
    assert (two / "checkpoint-0.pt").is_file()
    assert not (two / "checkpoint-1.pt").exists()


@pytest.mark.training
def test_a_checkpoint_of_two_processes_goes_on_in_one(two):
    train = bt.load("shapes", limit=44)
    trainer = bt.Trainer.resume(two / "checkpoint-0.pt", train, device="cpu")
    expected = torch.load(two / "run-0.pt")["weights"]
    assert trainer.steps_done == 10
    assert all(torch.equal(p, e) for p, e in zip(trainer.model.parameters(), expected, strict=True))


@pytest.mark.training
def test_batchnorm_is_where_they_differ(two):
    """The equality above is no accident of a test that sees nothing."""
    one, theirs = script.result(script.train("batchnorm")), torch.load(two / "0.pt")["batchnorm"]
    assert theirs["loss"] != pytest.approx(one["loss"], rel=1e-3)


@pytest.mark.training
def test_the_command_under_torchrun_writes_one_run(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(10):
            picture = rng.integers(0, 255, (12, 12, 3)).astype(np.uint8)
            Image.fromarray(picture).save(tmp_path / "images" / name / f"{i}.png")
    options = (
        "--data folder:images --epochs 2 --batch-size 8 --warmup-epochs 0 --width 4 --hidden-dim 8 --projection-dim 4"
    )
    options += " --norm gn_ws --no-symmetric --device cpu"
    call = {"cwd": tmp_path, "env": ENVIRONMENT, "capture_output": True, "timeout": 240}
    two = subprocess.run([*TORCHRUN, "-m", "byol_tutorial", "train", "--out", "two", *options.split()], **call)
    assert two.returncode == 0, two.stderr.decode()[-3000:]
    monkeypatch.chdir(tmp_path)
    main(["train", "--out", "one", *options.split()])
    assert two.stdout.decode().count("all of it is in two") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images", "one", "two"]
    first, second = (json.loads((tmp_path / run / "history.json").read_text())["loss"] for run in ("one", "two"))
    assert first == pytest.approx(second, rel=1e-4)
    lines = [line for line in two.stdout.decode().splitlines() if "epochs of" in line]
    assert lines == ["2 epochs of 2 steps on cpu; run folder two"]


# --- one process: who takes which images --------------------------------------------------------


def feed(rank, size, n=50, **changes):
    config = bt.Config(**({"batch_size": 8, "accumulation_steps": 2, "epochs": 2} | changes))
    images = bt.ImageSet(
        "numbered", "train", torch.arange(n, dtype=torch.uint8)[:, None, None, None].expand(n, 3, 2, 2)
    )
    return Feed(images, config, torch.device("cpu"), Process(rank, size))


@pytest.mark.parametrize("size", [1, 2, 4])
def test_processes_and_passes_divide_each_step_without_loss_or_repetition(size):
    whole = feed(0, 1)
    assert (whole.steps_per_epoch, whole.left_over) == (3, 2)
    feeds = [feed(rank, size) for rank in range(size)]
    for step in range(6):
        parts = [f.batch(step, m)[:, 0, 0, 0] for m in range(2) for f in feeds]
        assert {len(p) for p in parts} == {8 // size}
        assert torch.equal(torch.cat(parts), torch.cat([whole.batch(step, m)[:, 0, 0, 0] for m in range(2)]))
    epochs = [torch.cat([whole.batch(3 * e + k, m)[:, 0, 0, 0] for k in range(3) for m in range(2)]) for e in range(2)]
    assert [len(e.unique()) for e in epochs] == [48, 48]
    assert not torch.equal(*epochs)


def test_a_batch_that_processes_cannot_share_is_refused():
    with pytest.raises(bt.ConfigError, match="batch_size=8: 3 processes share it; give a multiple of 3, at least 6"):
        feed(0, 3)
    with pytest.raises(bt.ConfigError, match="batch_size=4: 4 processes share it; give a multiple of 4, at least 8"):
        feed(0, 4, batch_size=4)


def test_a_step_larger_than_the_set_is_refused():
    with pytest.raises(bt.ConfigError, match="batch_size=8 with accumulation_steps=7: the set has 50 images"):
        feed(0, 1, accumulation_steps=7)


def test_alone_there_is_nothing_to_join(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    assert distributed.join("auto") == "auto"
    assert process() == Process(0, 1)
    assert process().is_main
    distributed.leave()


def test_a_device_for_all_processes_is_refused(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(
        DistributedError, match="'cuda:1': under torchrun each process takes its own; give auto, cpu or"
    ):
        distributed.join("cuda:1")


def test_more_processes_than_gpus_are_refused(monkeypatch):
    for name, value in (("RANK", "3"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", "3")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(DistributedError, match="process 3 of this machine has no GPU, there are 2: lower --nproc-per"):
        distributed.join()
