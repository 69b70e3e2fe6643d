"""Every switch on a run: table 5b on "shapes", any valid Config, accumulation, precision, resuming."""

import math
import random

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_config import without_contradictions
from torch._subclasses.fake_tensor import FakeTensorMode

import byol_tutorial as bt
from byol_tutorial.config.config import FIELDS
from byol_tutorial.config.fields import Pair
from byol_tutorial.runtime.device import resolve_device, resolve_precision

TINY = {"width": 4, "hidden_dim": 16, "projection_dim": 8, "batch_size": 8, "epochs": 3, "warmup_epochs": 1.0}


@pytest.fixture(scope="module")
def train():
    return bt.load("shapes", limit=44)


def tiny(train, **changes) -> bt.Trainer:
    return bt.Trainer(bt.Config(**(TINY | changes)), train, device="cpu")


def weights(trainer):
    return [p.detach().clone() for p in trainer.model.parameters()]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# --- table 5b -----------------------------------------------------------------------------------

# (predictor, target network, β): collapses, as the paper's 0.1 to 0.3 against 69 to 73
TABLE_5B = {
    (True, True, 0.0): False,  # BYOL
    (True, True, 1.0): False,
    (False, True, 1.0): False,
    (False, False, 1.0): False,  # SimCLR
    (True, False, 1.0): False,
    (True, False, 0.0): True,
    (False, True, 0.0): True,
    (False, False, 0.0): True,
}


@pytest.mark.training
@pytest.mark.parametrize(("row", "collapses"), TABLE_5B.items())
def test_table_5b(row, collapses):
    """Without a target network both views go through the online one, with gradient."""
    predictor, target, beta = row
    changes = {"predictor": "mlp" if predictor else "identity", "negatives_weight": beta}
    changes |= {} if target else {"target": "online", "stop_gradient": False}
    trainer = bt.Trainer(bt.Config(epochs=8, knn_every=0, **changes), bt.load("shapes", limit=1024), device="cpu")
    trainer.run(progress=False)
    end = np.mean(trainer.history.std[-20:])
    assert (end < 0.15) if collapses else (end > 0.4), end


# --- any valid Config ---------------------------------------------------------------------------

LIMITS = {  # so that a step takes no longer than it must
    "epochs": (1, 5),
    "batch_size": (2, 8),
    "accumulation_steps": (1, 2),
    "width": (4, 8),
    "hidden_dim": (2, 16),
    "projection_dim": (2, 16),
    "predictor_hidden_dim": (0, 16),
    "projector_depth": (1, 3),
    "predictor_depth": (1, 3),
    "warmup_epochs": (0, 1),
    "lr": (1e-6, 0.01),
    "prototypes": (10, 16),
    "teacher_warmup_epochs": (0, 2),
    "local_crops": (0, 3),
    "local_view_size": (8, 16),
}
LEFT = {"compile", "view_size", "precision", "encoder", "seed"}  # slow, or tested apart


def values(name, field):
    meta = field.metadata
    if meta["choices"]:
        return st.sampled_from(meta["choices"])
    if field.type is bool:
        return st.booleans()
    low, high = LIMITS.get(name, (meta["low"] if meta["low"] is not None else meta["above"], meta["high"]))
    if field.type is int:
        return st.integers(int(low), int(high))
    number = st.floats(low, high, exclude_min=meta["above"] is not None, allow_infinity=False)
    return st.tuples(number, number).map(sorted).map(tuple) if field.type is Pair else number


CONFIGS = st.fixed_dictionaries(
    {n: values(n, FIELDS[n]) for n in LIMITS},
    optional={n: values(n, f) for n, f in FIELDS.items() if n not in LEFT | set(LIMITS) | {"knn_every"}},
)


@pytest.mark.parametrize("examples", [15, pytest.param(60, marks=pytest.mark.slow)])
def test_any_valid_config_builds_and_steps(examples):
    @settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(CONFIGS)
    def builds_and_steps(changes):
        config = bt.Config(**without_contradictions(changes))
        trainer = bt.Trainer(config, bt.load("shapes", limit=16, size=16), device="cpu")
        before = weights(trainer)
        assert math.isfinite(trainer.step())
        assert math.isfinite(trainer.history.gradient_norm[0])
        assert len(before) == len(weights(trainer))
        for p in trainer.model.parameters():
            assert torch.isfinite(p).all()

    builds_and_steps()


@pytest.mark.parametrize("name", ["loss_normalization", "norm", "optimizer", "predictor", "target", "colour_form"])
def test_every_choice_changes_the_run(train, name):
    """A switch that does nothing would pass everything else."""
    losses = set()
    for choice in FIELDS[name].metadata["choices"]:
        trainer = tiny(train, **{name: choice})
        trainer.run(epochs=2, progress=False)
        losses.add(trainer.history.loss[-1])
    assert len(losses) == len(FIELDS[name].metadata["choices"])


# --- accumulation, precision --------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "lars", "adamw"])
def test_accumulated_batches_equal_one_large_batch(train, optimizer):
    """Per-image normalisation: four passes of 8 make the step of one of 32, in weights and target."""
    changes = {"norm": "gn_ws", "optimizer": optimizer, "lr": 0.01 if optimizer == "adamw" else 0.5}
    changes |= {"trust_coefficient": 0.02}
    one = tiny(train, batch_size=32, **changes)
    four = tiny(train, batch_size=8, accumulation_steps=4, **changes)
    start = weights(one)
    for _ in range(3):
        one.step()
        four.step()
    assert four.steps_done == 3  # a step is a step of the optimiser, and of the moving average
    assert four.history.tau == one.history.tau
    assert four.history.loss == pytest.approx(one.history.loss, rel=1e-5)
    for s, a, b in zip(start, weights(one), weights(four), strict=True):
        assert (a - b).norm() <= 2e-3 * (a - s).norm() + 1e-6


def test_bfloat16_is_close_to_float32(train):
    full, half = tiny(train, batch_size=32), tiny(train, batch_size=32, precision="bfloat16")
    a, b = full.step(), half.step()
    assert b == pytest.approx(a, rel=0.02)
    assert b != a
    assert {p.dtype for p in half.model.parameters()} == {torch.float32}


def test_mixed_is_bfloat16_where_the_device_has_it():
    assert resolve_precision("mixed", torch.device("cpu")) == torch.bfloat16
    assert resolve_precision("float32", torch.device("cpu")) == torch.float32
    assert resolve_precision("float16", torch.device("cpu")) == torch.float16


@pytest.mark.parametrize(("has_it", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_mixed_is_float16_on_a_gpu_that_only_imitates_bfloat16(monkeypatch, has_it, dtype):
    """As torch does on those before Ampere."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: has_it or including_emulation)
    assert resolve_precision("mixed", torch.device("cuda", 0)) == dtype


@pytest.mark.parametrize(("name", "index"), [("cuda", 0), ("cuda:1", 1), ("mps", 0), ("cpu", None)])
def test_a_device_is_that_of_what_lies_there(name, index):
    """With an index where tensors have one: on fake tensors, because such devices are rare."""
    with FakeTensorMode():
        assert resolve_device(name) == torch.empty(1, device=name).device == torch.device(name.split(":")[0], index)


def test_float16_scales_its_loss_and_the_gradient_is_that_of_the_loss(train):
    full, half = tiny(train, batch_size=32), tiny(train, batch_size=32, precision="float16")
    assert half.computation.scaler.is_enabled()
    assert not full.computation.scaler.is_enabled()
    half.computation.scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    full.step()
    half.step()
    assert half.history.gradient_norm[0] == pytest.approx(full.history.gradient_norm[0], rel=0.05)


def test_a_float16_gradient_that_overflows_is_skipped_and_the_scale_lowered(train):
    trainer = tiny(train, precision="float16")
    trainer.computation.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    before = [p.clone() for p in trainer.model.online.parameters()]
    trainer.step()
    assert same(before, trainer.model.online.parameters())
    assert trainer.computation.scaler.get_scale() == 2.0**39


# --- resuming -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "lars", "trust_coefficient": 0.02},
        {"accumulation_steps": 2},
        {"predictor": "optimal"},
        {"precision": "bfloat16"},
        {"norm": "gn_ws", "negatives_weight": 0.5},
    ],
    ids=str,
)
def test_resumed_equals_uncut_bit_for_bit_under_every_kind_of_state(train, tmp_path, changes):
    uncut = tiny(train, **changes).run(progress=False)
    cut = tiny(train, **changes)
    for _ in range(3):
        cut.step()
    cut.save(tmp_path / "c.pt")
    resumed = bt.Trainer.resume(tmp_path / "c.pt", train, device="cpu").run(progress=False)
    assert resumed.history.loss == uncut.history.loss
    assert resumed.history.gradient_norm == uncut.history.gradient_norm
    a, b = resumed.model.state_dict(), uncut.model.state_dict()
    assert same(a.values(), b.values())


def test_resume_restores_the_random_states_of_python_numpy_and_torch(train, tmp_path):
    tiny(train).save(tmp_path / "c.pt")

    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002

    expected = draw()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    assert draw() != expected
    bt.Trainer.resume(tmp_path / "c.pt", train, device="cpu")
    assert draw() == expected


# --- the authors' colours -----------------------------------------------------------------------


def test_authors_colour_operations_in_float64():
    """Additive brightness, contrast about each channel's mean, saturation and hue in HSV, by colorsys."""
    import colorsys

    from byol_tutorial.augment.operations import add_brightness, channel_contrast, scale_saturation

    x = torch.rand(3, 3, 4, 5, generator=torch.Generator().manual_seed(0)).double()
    factor = torch.tensor([0.6, 1.0, 1.4]).double()
    a, f = x.numpy(), factor.numpy()[:, None, None, None]
    np.testing.assert_allclose(add_brightness(x, factor), np.clip(a + f - 1, 0, 1), atol=1e-12)
    mean = a.mean((2, 3), keepdims=True)
    np.testing.assert_allclose(channel_contrast(x, factor), np.clip(mean + f * (a - mean), 0, 1), atol=1e-12)
    expected = np.empty_like(a)
    for n, i, j in np.ndindex(3, 4, 5):
        h, s, v = colorsys.rgb_to_hsv(*a[n, :, i, j])
        expected[n, :, i, j] = colorsys.hsv_to_rgb(h, min(1, s * factor[n].item()), v)
    np.testing.assert_allclose(scale_saturation(x, factor), expected, atol=1e-7)


def test_authors_form_leaves_what_was_not_chosen():
    images = torch.rand(6, 3, 16, 16)
    config = bt.Config(colour_form="authors", jitter_p=(1.0, 0.0), grayscale_p=0.0, crop_area=(1, 1), flip_p=0.0)
    views = bt.augment.Views(config.replace(crop_ratio=1.0), (0, 0, 0), (1, 1, 1))
    v1, v2 = views(images)
    torch.testing.assert_close(v2, images, atol=1e-5, rtol=0)
    assert ((v1 - images).abs().amax((1, 2, 3)) > 0.01).all()
