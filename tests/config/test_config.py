"""Every valid value is taken, every other refused by name."""

import dataclasses
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import byol_tutorial as bt
from byol_tutorial.cli import main as cli
from byol_tutorial.config.config import FIELDS, LIVE, RESIDUAL
from byol_tutorial.config.fields import Pair
from byol_tutorial.config.presets import PRESETS


def numeric():
    return [(n, f) for n, f in FIELDS.items() if f.type in (int, float, Pair)]


@pytest.mark.parametrize(("name", "field"), numeric())
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "1", None, True, -1e12])
def test_bad_numbers_are_refused_by_name(name, field, value):
    with pytest.raises(bt.ConfigError, match=rf"^{name}=.*give") as caught:
        bt.Config(**{name: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "field"), numeric())
def test_bounds_are_inclusive_and_what_is_beyond_is_refused(name, field):
    meta = field.metadata
    other = {"epochs": 10**6} if name == "warmup_epochs" else {"warmup_epochs": 0}
    for key, sign in (("low", -1), ("high", 1)):
        bound = meta[key]
        if bound is None:
            continue
        bt.Config(**(other | {name: bound}))
        beyond = bound + sign * (1 if field.type is int else 1e-6 + abs(bound) * 1e-6)
        with pytest.raises(bt.ConfigError, match=f"^{name}=.*at (least|most) "):
            bt.Config(**(other | {name: beyond}))
    if meta["above"] is not None:
        with pytest.raises(bt.ConfigError, match=f"^{name}=.*above "):
            bt.Config(**{name: meta["above"]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tau_base": 1.5}, "tau_base=1.5: give a number at least 0 and at most 1"),
        ({"lr": -1}, "lr=-1: give a number above 0 and at most 1e+30"),
        ({"predictor": "mpl"}, "predictor='mpl': choose one of mlp, linear, identity, fixed, optimal"),
        ({"stop_gradient": "no"}, "stop_gradient='no': give True or False"),
        ({"batch_size": 32.5}, "batch_size=32.5: give a whole number at least 2"),
        ({"blur_p": (1, 0, 0)}, "blur_p=(1, 0, 0): give one number, or two: for T and for T′"),
        ({"crop_area": (0.9, 0.2)}, "crop_area=(0.9, 0.2): the first is larger than the second; exchange them"),
        ({"warmup_epochs": 20, "epochs": 10}, "warmup_epochs=20: longer than the run of epochs=10; lower it"),
        (
            {"negatives_weight": 1, "loss_normalization": "none"},
            "loss_normalization='none': the negatives compare cosines; give 'l2', or negatives_weight=0",
        ),
        (
            {"method": "dino", "local_crops": 2, "local_crop_area": 0.9, "crop_area": (0.3, 0.8)},
            "local_crop_area=(0.9, 0.9): local crops are no larger than the global ones, crop_area=(0.3, 0.8); lower the "
            "second number",
        ),
        (
            {"method": "dino", "ibot_weight": 1.0},
            "ibot_weight=1: encoder='small' has no patches to hide; give vit_nano, vit_tiny or vit_small, or 0",
        ),
        (
            {"zero_init_residual": True},
            "zero_init_residual=True: encoder='small' is built without it; give resnet18, resnet34 or resnet50, or False",
        ),
        (
            {"encoder": "timm:resnet18", "projection_shortcut": True},
            "projection_shortcut=True: encoder='timm:resnet18' is built without it; give resnet18, resnet34 or resnet50, "
            "or False",
        ),
        (
            {"encoder": "resnet18", "zero_init_residual": True, "norm": "none"},
            "zero_init_residual=True: norm='none' has no scale to start at 0; give 'bn' or 'gn_ws', or False",
        ),
        ({"heads": "simclr"}, "heads='simclr': choose one of byol, simsiam"),
        ({"student_temperature": 0}, "student_temperature=0: give a number at least 0.001 and at most 10"),
        ({"method": "moco"}, "method='moco': choose one of byol, simclr, simsiam, dino"),
        ({"taubase": 0.9}, "'taubase' is not a field of Config: did you mean 'tau_base'?"),
    ],
)
def test_messages_name_the_value_what_is_allowed_and_what_to_do(changes, message):
    with pytest.raises(bt.ConfigError) as caught:
        bt.preset("shapes", **changes)
    assert str(caught.value) == message
    with pytest.raises(bt.ConfigError):
        bt.Config().replace(**changes)


def values(field):
    meta = field.metadata
    if meta["choices"]:
        return st.sampled_from(meta["choices"])
    if field.type is bool:
        return st.booleans()
    low = meta["low"] if meta["low"] is not None else (meta["above"] or 0)
    high = meta["high"] if meta["high"] is not None else low + 1000
    if field.type is int:
        return st.integers(int(low), int(high))
    number = st.floats(low, high, exclude_min=meta["above"] is not None)
    return st.tuples(number, number).map(sorted).map(tuple) if field.type is Pair else number


def without_contradictions(changes: dict) -> dict:
    """Fields that exclude each other, each valid alone."""
    if changes.get("negatives_weight"):
        changes.pop("loss_normalization", None)
    if not changes.get("encoder", "small").startswith("vit"):
        changes.pop("ibot_weight", None)
    if not changes.get("encoder", "small").startswith("resnet"):
        changes.pop("projection_shortcut", None)
        changes.pop("zero_init_residual", None)
    if changes.get("norm") == "none":
        changes.pop("zero_init_residual", None)
    if changes.get("local_crop_area", (0, 0.5))[1] > changes.get("crop_area", (0, 1))[1]:
        changes.pop("local_crops", None)
    return changes


ANY = st.fixed_dictionaries(
    {}, optional={n: values(f) for n, f in FIELDS.items() if n not in ("epochs", "warmup_epochs")}
).map(without_contradictions)


def wrong(field):
    """Values that this field cannot have."""
    meta = field.metadata
    if meta["choices"]:
        return st.text("abcdefgh_ 1").filter(lambda value: value not in meta["choices"])
    if field.type is bool:
        return st.sampled_from([2, -1, 0.5, "yes", "True"])
    low = meta["low"] if meta["low"] is not None else meta["above"]
    kinds = [st.sampled_from(["many", math.nan, math.inf, -math.inf])]
    if low is not None:
        kinds.append(st.floats(max_value=low, exclude_max=meta["above"] is None))
    if meta["high"] is not None:
        kinds.append(st.floats(min_value=meta["high"], exclude_min=True))
    if field.type is int:
        kinds.append(st.floats(1, 100).filter(lambda value: value != int(value)))
    return st.one_of(kinds)


@given(st.sampled_from(sorted(FIELDS)).flatmap(lambda name: st.tuples(st.just(name), wrong(FIELDS[name]))))
def test_any_invalid_value_is_refused_by_the_name_of_its_field(case):
    name, value = case
    with pytest.raises(bt.ConfigError, match=re.escape(name)):
        bt.Config(**{name: value})


@given(ANY)
def test_any_valid_config_survives_the_round_trip_through_json(changes):
    import json

    config = bt.Config(**changes)
    assert bt.Config.from_dict(json.loads(config.to_json())) == config
    for name, value in changes.items():
        assert getattr(config, name) == value


@given(ANY)
def test_any_valid_config_survives_the_command_line(changes):
    """Each field written as an option, and read by the command itself: over another recipe, the same Config."""
    config = bt.Config(**changes)
    options = []
    for name, value in config.to_dict().items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            options.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            options.append(f"--{flag}=" + (",".join(map(str, value)) if isinstance(value, tuple) else str(value)))
    read = cli.train.make_context("train", options).params
    assert bt.preset("simsiam", **{name: read[name] for name in FIELDS}) == config


def test_recipes_say_what_the_authors_code_and_the_paper_say_of_their_resnets():
    """By Haiku's BlockV1 and the README of the authors' code: γ 0 in ResNet-50's blocks, not in the paper's own results."""
    named = {name: bt.preset(name) for name in PRESETS}
    assert {name for name, c in named.items() if c.zero_init_residual} == {"byol-imagenet-40", "byol-imagenet-100"}
    assert {name for name, c in named.items() if c.projection_shortcut} == {"imagenette"}
    assert {name for name, c in named.items() if c.heads == "simsiam"} == {"simsiam", "cifar10-simsiam"}
    assert bt.preset("photos", method="simsiam").heads == "simsiam"


@pytest.mark.parametrize("encoder", ["small", "vit_tiny", "own", "timm:resnet18"])
@pytest.mark.parametrize("name", ["byol-imagenet-100", "imagenette"])
def test_a_recipe_with_an_encoder_that_is_no_resnet_leaves_out_what_only_resnets_have(name, encoder):
    config = bt.preset(name, encoder=encoder)
    assert (config.zero_init_residual, config.projection_shortcut) == (False, False)
    assert config.replace(encoder="resnet18") == bt.preset(name, encoder="resnet18", **dict.fromkeys(RESIDUAL, False))
    with pytest.raises(bt.ConfigError, match="projection_shortcut=True: encoder="):
        bt.preset(name, encoder=encoder, projection_shortcut=True)
    bare = bt.preset(name, norm="none")
    assert (bare.zero_init_residual, bare.projection_shortcut) == (False, name == "imagenette")


def test_settings_from_before_these_fields_mean_what_they_meant():
    import json

    old = bt.preset("simsiam", heads="byol").to_dict()
    for name in ("zero_init_residual", "projection_shortcut", "heads"):
        old.pop(name)
    assert bt.Config.from_dict(json.loads(json.dumps(old))) == bt.preset("simsiam", heads="byol")


def test_one_number_serves_both_views():
    assert bt.Config(jitter_p=0.3).jitter_p == (0.3, 0.3)
    assert bt.Config(jitter_p=[0.3, 0.4]).jitter_p == (0.3, 0.4)


def test_config_is_frozen_and_hashable():
    config = bt.Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.lr = 1.0
    assert len({config, bt.Config(), bt.Config(seed=1)}) == 2


@pytest.mark.parametrize("name", PRESETS)
def test_presets_build(name):
    assert bt.preset(name, seed=5).seed == 5


def test_unknown_preset():
    with pytest.raises(bt.ConfigError, match="preset 'shape': choose one of shapes, digits, photos, byol-imagenet-40"):
        bt.preset("shape")


def test_default_config_is_the_recipe_for_shapes():
    assert bt.Config() == bt.preset("shapes")


def test_every_field_is_explained_and_grouped():
    for f in FIELDS.values():
        assert len(f.metadata["help"]) > 10
        assert f.metadata["group"]


def test_what_decides_tensor_shapes_is_structural():
    assert not LIVE & {
        "encoder",
        "width",
        "hidden_dim",
        "projection_dim",
        "batch_size",
        "seed",
        "epochs",
        "optimizer",
        "view_size",
    }
    assert {"lr", "weight_decay", "tau_base", "stop_gradient", "predictor", "target", "symmetric", "hue"} <= LIVE


def test_learning_rate_grows_with_the_batch():
    assert bt.Config(lr=0.2, batch_size=512).step_lr == pytest.approx(0.4)


def test_a_short_run_of_a_preset_has_a_warm_up_that_fits():
    assert bt.preset("shapes", epochs=1).warmup_epochs == 1
    assert bt.preset("cifar10-lars", epochs=4).warmup_epochs == 4
    assert bt.preset("cifar10-lars", epochs=40).warmup_epochs == 10
    assert bt.preset("shapes", epochs=3, warmup_epochs=0.5).warmup_epochs == 0.5
    with pytest.raises(bt.ConfigError, match="warmup_epochs=2: longer than the run of epochs=1"):
        bt.preset("shapes", epochs=1, warmup_epochs=2)
    with pytest.raises(bt.ConfigError, match="epochs=0: give"):
        bt.preset("shapes", epochs=0)
