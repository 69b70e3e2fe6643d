"""Every kind of file that is read, changed in thousands of ways: what is read is sane, or the library's error says it."""

import copy
import functools
import io
import json
import math
import random
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import byol_tutorial as bt
from byol_tutorial.cli import moment, report, run_folder
from byol_tutorial.cli.data_source import DataSource
from byol_tutorial.config.config import Config
from byol_tutorial.config.errors import UserError, WeightsError
from byol_tutorial.course import cache
from byol_tutorial.course.editions import edited, read_notebook
from byol_tutorial.evaluate.weight_files import read_weights
from byol_tutorial.live.experiment import Experiment
from byol_tutorial.live.recording import Recording
from byol_tutorial.train.initial_weights import take_weights
from byol_tutorial.train.state import state_of

ROOT = Path(__file__).parents[2]
CONFIG = Config(width=4, hidden_dim=8, projection_dim=4, batch_size=4, epochs=2, warmup_epochs=0.0, knn_every=0)
DEEP: list = []
for _ in range(60):
    DEEP = [DEEP]
PLAIN = [-5, 0, 5, 10**12, 2**62, 10**400, -1.5, 1e308, math.nan, math.inf, None, True, "", "nan", "x" * 20_000, [], [0], {},
         {"a": 1}, [[1, 2], 3], DEEP]  # fmt: skip
TENSORS = [torch.zeros(0), torch.full((4,), math.nan), torch.ones(2, 3, dtype=torch.complex64), torch.ones(3, dtype=torch.int8),
           torch.tensor(math.inf), torch.zeros(1, 3, 1, 1), torch.tensor(-1)]  # fmt: skip


def places(value, at=()):
    """Every place in nested dicts and lists, as a tuple of keys."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, each in [*inside][:40]:
        yield (*at, key)
        yield from places(each, (*at, key))


def thawed(value):
    """The same content with lists for tuples, so that it can be changed."""
    if isinstance(value, dict):
        return {key: thawed(each) for key, each in value.items()}
    return [thawed(each) for each in value] if isinstance(value, (list, tuple)) else value


def changed(content, rng: random.Random, more=()):
    """A copy in which one to three places hold something else, or are gone, or hold what another place holds."""
    content = thawed(copy.deepcopy(content))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        *way, last = rng.choice([*places(content)])
        holder = content
        for key in way:
            holder = holder[key]
        what = rng.random()
        if what < 0.15:
            del holder[last]
        elif what < 0.3 and isinstance(holder, dict):
            holder[rng.choice(["new", 7, "name"])] = holder.pop(last)
        elif what < 0.4 and isinstance(holder[last], torch.Tensor):
            holder[last] = rng.choice([lambda x: x * math.nan, lambda x: x.flatten(), lambda x: -x.abs(), lambda x: x.cfloat(),
                                       lambda x: x.to(torch.int8), lambda x: x * 0])(holder[last])  # fmt: skip
        else:
            holder[last] = copy.deepcopy(rng.choice([*PLAIN, *more]))
        if not [*places(content)]:
            break
    return content


def flipped(content: bytes, rng: random.Random) -> bytes:
    """The bytes with some of them changed, or cut off, or something added."""
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    return bytes(damaged[: rng.randrange(len(damaged))] if rng.random() < 0.2 else damaged)


@pytest.fixture(params=[(0, 0.4), pytest.param((10_000, 3.0), marks=pytest.mark.slow)], ids=["some", "more"])
def attack(request):
    """A function that tries changes for a part of a second, and in `make test` others for three seconds as well."""
    return functools.partial(try_changes, *request.param)


def try_changes(first: int, seconds: float, make, read, sane, least=20) -> None:
    """Read what make(rng) writes, with rng of seed `first` and so on: it is the library's error in one line, or sane."""
    until, n, passed, said = time.monotonic() + seconds, 0, 0, []
    while n < least or (time.monotonic() < until and n < 1500):
        make(random.Random(first + n))
        try:
            found = read()
        except UserError as error:
            said.append(str(error))
        except Exception as error:
            raise AssertionError(f"change {first + n} gives {type(error).__name__}: {str(error)[:200]}") from error
        else:
            passed += 1
            assert sane(found), f"change {first + n}"
        n += 1
    assert passed < n  # some are refused
    assert all("\n" not in words and len(words) < 3000 for words in said)


@pytest.fixture(scope="module")
def images():
    return bt.load("shapes", limit=8, size=12), bt.load("shapes", "test", limit=8, size=12)


@pytest.fixture(scope="module")
def trainer(images):
    trainer = bt.Trainer(CONFIG, *images, device="cpu")
    trainer.step()
    return trainer


def finite(module: torch.nn.Module) -> bool:
    return all(bool(x.isfinite().all()) for x in module.state_dict().values())


def test_checkpoint(attack, trainer, images, tmp_path):
    trainer.save(tmp_path / "c.pt")
    state = {"format": "byol_tutorial checkpoint", "version": 2} | state_of(trainer)
    whole = (tmp_path / "c.pt").read_bytes()

    def make(rng):
        if rng.random() < 0.2:
            (tmp_path / "c.pt").write_bytes(flipped(whole, rng))
        else:
            torch.save(changed(state, rng, TENSORS), tmp_path / "c.pt")

    def sane(resumed):
        steps = resumed.steps_done
        return (
            type(steps) is int and steps == len(resumed.history.loss) and finite(resumed.model) and resumed.std[0] > 0
        )

    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        attack(make, lambda: bt.Trainer.resume(tmp_path / "c.pt", *images, device="cpu"), sane)
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("steps_done",), -5, "steps_done is -5, not a whole number of at least 0"),
        (("steps_done",), 10**12, "history.loss has 1 entries after 1000000000000 steps"),
        (("model", "online.encoder.pixel_std"), torch.zeros(3), "is not above 0"),
        (("model", "online.encoder.0.weight"), torch.ones(4, 3, 3, 3).to(torch.int8), "of int8, not a tensor"),
        (("model", "online.encoder.0.weight"), torch.full((4, 3, 3, 3), math.nan), "has values that are not finite"),
        (("model", "online.encoder.1.running_var"), torch.full((4,), -1.0), "running_var']: a variance cannot"),
        (("data", "name"), 5, "data.name is 5, not a text"),
        (("data", "images"), -1, "data.images is -1, not a whole number of at least 1"),
        (("optimizer", "param_groups", 0, "lr"), math.nan, "optimizer.param_groups[0].lr is nan, not a number, finite"),
        (("scaler",), DEEP, "nested more than 40 deep"),
    ],
)
def test_a_checkpoint_is_refused_by_file_and_field(trainer, images, tmp_path, place, value, words):
    state = thawed({"format": "byol_tutorial checkpoint", "version": 2} | copy.deepcopy(state_of(trainer)))
    holder = state
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    torch.save(state, tmp_path / "c.pt")
    with pytest.raises(bt.config.CheckpointError) as refused:
        bt.Trainer.resume(tmp_path / "c.pt", *images, device="cpu")
    assert "c.pt' is not one of a whole run (" in str(refused.value)
    assert words in str(refused.value)


def test_encoder_file(attack, trainer, tmp_path):
    file = tmp_path / "e.safetensors"
    trainer.save_encoder(file)
    whole, weights = file.read_bytes(), load_file(file)
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    about = {name: json.loads(value) for name, value in metadata.items() if name != "format"}

    def make(rng):
        kind = rng.random()
        if kind < 0.2:
            file.write_bytes(flipped(whole, rng))
        elif kind < 0.5:
            other = {n: x for n, x in changed(weights, rng, TENSORS).items() if isinstance(x, torch.Tensor)}
            save_file({str(n): x.contiguous() for n, x in other.items()}, file, metadata)
        else:
            other = {str(n): "[" * 3000 if v is DEEP else json.dumps(v) for n, v in changed(about, rng).items()}
            save_file(weights, file, other | {"format": metadata["format"]})

    x = torch.rand(2, 3, 12, 12)
    attack(make, lambda: bt.load_encoder(file), lambda f: finite(f) and f(x).isfinite().all() and f.pixel_std.min() > 0)


@pytest.mark.parametrize(("layer", "value"), [(1, -1.0), (10, -1.0), (10, -1e-5), (1, -2e-5)])
def test_a_variance_below_zero_is_refused(trainer, tmp_path, layer, value):
    """With it a feature would not be finite, and every value in the file is. The eps of these layers is 1e-5."""
    file = tmp_path / "e.safetensors"
    trainer.save_encoder(file)
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    weights = load_file(file)
    weights[f"{layer}.running_var"][-1] = value
    save_file(weights, file, metadata)
    with pytest.raises(bt.config.CheckpointError, match=rf"is damaged: {layer}\.running_var: a variance cannot"):
        bt.load_encoder(file)
    with pytest.raises(bt.config.CheckpointError, match=rf"{layer}\.running_var: a variance cannot be below 0"):
        take_weights(trainer.model, CONFIG, file)


@pytest.mark.parametrize("value", [-1e-30, -1e-7, -9e-6])
def test_what_rounding_leaves_of_a_variance_of_zero_is_read(trainer, images, tmp_path, value):
    other = copy.deepcopy(trainer.model)
    variances = [layer.running_var for layer in other.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    for variance in variances:
        variance[0] = value
    state = {"format": "byol_tutorial checkpoint", "version": 2} | state_of(trainer) | {"model": other.state_dict()}
    torch.save(state, tmp_path / "c.pt")
    resumed = bt.Trainer.resume(tmp_path / "c.pt", *images, device="cpu")
    assert variances
    resumed.save_encoder(tmp_path / "e.safetensors")
    with torch.no_grad():
        assert bt.load_encoder(tmp_path / "e.safetensors")(torch.rand(2, 3, 12, 12)).isfinite().all()


class Own(torch.nn.Module):
    """An encoder with a buffer whose name ends as that of a variance does, and a layer with another eps."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.BatchNorm2d(3, eps=1e-3)
        self.register_buffer("log_running_var", torch.full((3,), -4.0))

    def forward(self, x):
        return self.layer(x).mean((2, 3)) + self.log_running_var


def test_only_what_is_a_running_variance_must_not_be_below_zero(images, tmp_path):
    trainer = bt.Trainer(CONFIG, *images, device="cpu", encoder=Own())
    trainer.model.encoder.layer.running_var[0] = -1e-4  # less than this layer's eps
    trainer.save(tmp_path / "c.pt")
    trainer.save_encoder(tmp_path / "e.safetensors")
    bt.Trainer.resume(tmp_path / "c.pt", *images, device="cpu", encoder=Own())
    assert bt.load_encoder(tmp_path / "e.safetensors", Own()).log_running_var.tolist() == [-4.0] * 3
    trainer.model.encoder.layer.running_var[0] = -2e-3
    trainer.save(tmp_path / "c.pt")
    with pytest.raises(bt.config.CheckpointError, match=r"layer\.running_var'\]: a variance cannot be below 0"):
        bt.Trainer.resume(tmp_path / "c.pt", *images, device="cpu", encoder=Own())


def test_settings(attack, trainer, images, tmp_path):
    run_folder.write_settings(tmp_path, CONFIG, DataSource("shapes", size=12, limit=8), images[0])
    file = tmp_path / "settings.json"
    whole, content = file.read_bytes(), json.loads(file.read_bytes()) | {"found": {"size": 12, "value_range": [0, 255]}}

    def make(rng):
        file.write_bytes(flipped(whole, rng) if rng.random() < 0.2 else json.dumps(changed(content, rng)).encode())

    def read():
        found = run_folder.read_source(tmp_path), run_folder.image_size(tmp_path), run_folder.scale(tmp_path)
        run_folder.initial_weights(tmp_path)
        run_folder.config_differs(tmp_path, CONFIG)
        return found

    def sane(found):
        source, size, _ = found
        return isinstance(source.name, str) and (size is None or (type(size) is int and size > 0))

    attack(make, read, sane)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("records.keep_every", "ten", "records.keep_every is 'ten', not a whole number"),
        ("records.keep_best", "no", "records.keep_best is 'no', not one of True, False"),
        ("found.size", "x", "found.size is 'x'"),
        ("found.size", 100000, "found.size is 100000, not a whole number of at least 1 and at most 16384"),
        ("found.channels", "3", "found.channels is '3'"),
        ("found.bits", 12, "found.bits is 12, not one of 8, 16, None"),
        ("found.deep", -1, "found.deep is -1"),
        ("found.value_range", "ab", "found.value_range is 'ab', not a list of 2 entries"),
        ("found.value_range", [5, 5], "found.value_range is 5 to 5: the first must be below the second"),
        ("data.value_range", [5, "x"], "data.value_range[1] is 'x'"),
        ("data.size", 2**15, "data.size is 32768"),
        ("init", 5, "init is 5, not a text"),
    ],
)
def test_settings_are_refused_by_file_and_field(images, tmp_path, field, value, words):
    run_folder.write_settings(tmp_path, CONFIG, DataSource("folder:x", size=12, limit=8), images[0])
    file = tmp_path / "settings.json"
    content = json.loads(file.read_bytes())
    part, _, name = field.rpartition(".")
    (content.setdefault(part, {}) if part else content)[name] = value
    file.write_text(json.dumps(content))
    for read in (run_folder.read_source, run_folder.remembered, run_folder.initial_weights, run_folder.reading):
        with pytest.raises(bt.config.errors.RunError) as refused:
            read(tmp_path)
        assert f"settings.json' is damaged ({words}" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("value_range", "[1]", "value_range is '[1]', not a list of 3 entries"),
        ("value_range", [1], "value_range is a list of 1 entries"),
        ("value_range", ["a", "b", 1], "value_range[0] is 'a', not a number"),
        ("value_range", [5, 5, True], "value_range is 5 to 5: the first must be below the second"),
        ("value_range", [9, 5, True], "value_range is 9 to 5"),
        ("bits", "x", "bits is 'x', not one of 8, 16, None"),
        ("view_size", "x", "view_size is 'x'"),
        ("view_size", -3, "view_size is -3"),
        ("pixel_std", [0, 0, 0], "pixel_std[0] is 0"),
        ("pixel_std", [0.5], "pixel_mean and pixel_std are not of the same number of channels"),
        ("pixel_mean", [float("nan")] * 3, "NaN is no number of JSON"),
    ],
)
def test_what_an_encoder_file_says_of_itself_is_refused_by_field(trainer, tmp_path, name, value, words):
    file = tmp_path / "e.safetensors"
    trainer.save_encoder(file)
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    save_file(load_file(file), file, metadata | {name: json.dumps(value)})
    with pytest.raises(bt.config.CheckpointError, match=r"e.safetensors' is damaged: ") as refused:
        bt.load_encoder(file)
    assert words in str(refused.value)


def test_results_and_history(attack, tmp_path):
    content = {"steps": 4, "verdict": "healthy", "table": {"BYOL": {"knn": 0.5}}, "protocols": {"knn": {"a": 1}}}
    file = tmp_path / "results.json"

    def make(rng):
        whole = json.dumps(changed(content, rng)).encode()
        file.write_bytes(flipped(whole, rng) if rng.random() < 0.2 else whole)
        (tmp_path / "history.json").write_bytes(file.read_bytes())

    def read():
        moment._steps_of_history(tmp_path / "history.json")
        report._write_results(tmp_path, 4, {"protocols": {"linear": 1}})
        found = report.read_results(file)
        if "earlier" not in found:
            raise UserError("counts as one that was refused")
        return found

    attack(make, read, lambda found: found["protocols"]["linear"] == 1 and found["steps"] == 4)


def test_recording(attack, trainer, images, tmp_path):
    file = tmp_path / "r.npz"
    n, t = 25, 2
    whole = Recording(
        "shapes", "pca", "y", torch.arange(t).float(), torch.rand(t, n, 2), torch.zeros(t, n, 5, dtype=torch.int16),
        torch.rand(t), torch.rand(t), torch.zeros(n, 3, 8, 8, dtype=torch.uint8), torch.zeros(n, 2, 3, 8, 8, dtype=torch.uint8),
        torch.zeros(n, dtype=torch.int64), ("a", "b"), {"hue": torch.rand(n)},
    )  # fmt: skip
    whole.save(file)
    content = file.read_bytes()
    with np.load(file) as opened:
        arrays = {name: torch.from_numpy(opened[name]) for name in opened if name != "about"}
        about = json.loads(str(opened["about"]))

    def make(rng):
        kind = rng.random()
        if kind < 0.2:
            file.write_bytes(flipped(content, rng))
            return
        words = changed(about, rng) if kind < 0.6 else about
        tensors = changed(arrays, rng, TENSORS) if kind >= 0.6 else arrays
        other = {str(k): x.numpy() for k, x in tensors.items() if isinstance(x, torch.Tensor)}
        buffer = io.BytesIO()
        np.savez(buffer, about=np.array("[" * 3000 if words is DEEP else json.dumps(words)), **other)
        file.write_bytes(buffer.getvalue())

    def sane(found):
        return (
            len(repr(found)) < 30_000
            and found.maps.shape == (len(found.epochs), len(found), 2)
            and found.maps.isfinite().all()
        )

    attack(make, lambda: Recording.load(file), sane)


def test_experiment(attack):
    content = json.loads(str(Experiment({"name": "shapes", "images": 8, "content": 1}, CONFIG, ((1, {"lr": 0.5}),), 3)))
    texts = []

    def make(rng):
        whole = json.dumps(changed(content, rng))
        texts[:] = [flipped(whole.encode(), rng).decode("latin1") if rng.random() < 0.2 else whole]

    def sane(found):
        return (
            type(found.steps) is int and found.steps >= 0 and isinstance(found.config, Config) and len(str(found)) > 0
        )

    attack(make, lambda: Experiment.parse(texts[0]), sane)


def test_notebook(attack, tmp_path):
    whole = json.loads((ROOT / "notebooks" / "ledger.ipynb").read_text()) if (ROOT / "notebooks/ledger.ipynb").exists() else {
        "cells": [{"cell_type": "code", "metadata": {"tags": ["solution"]}, "source": ["a\n"], "outputs": []},
                  {"cell_type": "markdown", "metadata": {}, "source": "[x](a.md)"}], "metadata": {}, "nbformat": 4}  # fmt: skip
    file = tmp_path / "a.ipynb"

    def make(rng):
        content = json.dumps(changed(whole, rng)).encode()
        file.write_bytes(flipped(content, rng) if rng.random() < 0.2 else content)

    attack(
        make, lambda: edited(read_notebook(file), "teacher", {"a": {}}), lambda found: isinstance(found["cells"], list)
    )


def test_weights_of_guests(attack, tmp_path):
    weights = {"state_dict": {"module.conv1.weight": torch.ones(4, 3, 3, 3), "fc.bias": torch.ones(2)}, "epoch": 3}
    file = tmp_path / "w.pth"
    torch.save(weights, file)
    content = file.read_bytes()

    def make(rng):
        if rng.random() < 0.4:
            file.write_bytes(flipped(content, rng))
        else:
            torch.save(changed(weights, rng, TENSORS), file)

    attack(make, lambda: read_weights(file), lambda found: all(isinstance(x, torch.Tensor) for x in found.values()))


def test_weights_that_contain_themselves_are_refused(tmp_path):
    loop: dict = {"epoch": 1}
    loop["model"] = loop
    torch.save(loop, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w.pth' are refused \(a dict of 2 entries contains itself\)"):
        read_weights(tmp_path / "w.pth")


def test_kept_entry(attack, tmp_path, monkeypatch):
    monkeypatch.setenv("BYOL_CACHE", str(tmp_path))
    cache.keep("x", "a" * 64, {"value": torch.ones(50)})
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()

    def read():
        found = cache.kept("a" * 64)
        if found is None:
            raise UserError("counts as one that was refused")
        return found

    attack(
        lambda rng: file.write_bytes(flipped(whole, rng)),
        read,
        lambda found: torch.equal(found["value"], torch.ones(50)),
    )
