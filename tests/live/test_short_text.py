"""The short text of an experiment: it is short, it says the same as the long one, and damaged ones are refused."""

import json
import random

import pytest

import byol_tutorial as bt
from byol_tutorial.config.config import FIELDS, LIVE
from byol_tutorial.config.errors import ConfigError, DataError, ExperimentError
from byol_tutorial.live import short_text
from byol_tutorial.live.experiment import Experiment

DATA = {"name": "shapes", "images": 4096, "pixels": [32, 32], "content": 1, "labels": 2, "all": 3}


def again(experiment: Experiment) -> Experiment:
    return Experiment.parse(experiment.short)


def same_run(a: Experiment, b: Experiment) -> bool:
    """Return whether both name the same config, changes and steps, by the JSON that the long text gives."""
    parts = [json.loads(str(one)) for one in (a, b)]
    return all(parts[0][name] == parts[1][name] for name in ("config", "changes", "steps", "version"))


def test_a_usual_session_takes_less_than_two_hundred_characters():
    changes = (
        (62, {"predictor": "identity"}),
        (118, {"tau_base": 0.99612}),
        (305, {"lr": 0.0123, "crop_area": (0.25, 1.0)}),
    )
    experiment = Experiment(DATA, bt.preset("shapes", seed=7, epochs=24), changes, 1920)
    assert len(experiment.short) <= 200
    assert len(experiment.code) <= 230
    assert same_run(experiment, again(experiment))


def test_it_can_stand_in_an_address_as_it_is():
    experiment = Experiment(
        DATA | {"name": "folder: a&b=c, ü%20"}, bt.preset("shapes", encoder="timm:convnext_tiny"), (), 3
    )
    assert set(experiment.short) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-:,&=%")
    assert again(experiment).data["name"] == "folder: a&b=c, ü%20"
    assert same_run(experiment, again(experiment))


def some_value(name: str, rng: random.Random):
    """Return a value that the field may have, another than its default where it can be drawn."""
    meta, now = FIELDS[name].metadata, getattr(bt.Config(), name)
    if isinstance(now, bool):
        return not now
    if meta["choices"]:
        return rng.choice(list(meta["choices"]))
    if isinstance(now, tuple):
        return tuple(sorted(round(rng.uniform(0.05, 0.5), 3) for _ in now))
    if isinstance(now, int) and now:
        return now + rng.randrange(1, 9)
    return now * rng.choice([0.5, 0.123456789, 1e-7]) if isinstance(now, float) else now


@pytest.mark.parametrize("seed", range(40))
def test_any_config_and_any_changes_come_back_to_the_last_digit(seed):
    rng = random.Random(seed)

    def draw(names, most):
        fields = {}
        for name in rng.sample(sorted(names), most):
            value = some_value(name, rng)
            try:
                bt.Config(**fields | {name: value})
            except (ConfigError, ValueError):
                continue
            fields[name] = value
        return fields

    config = bt.Config(**draw(FIELDS, 12))
    changes = tuple((step, draw(LIVE, 3)) for step in sorted(rng.sample(range(1000), 6)))
    changes = tuple((step, fields) for step, fields in changes if fields)
    experiment = Experiment(DATA, config, changes, rng.randrange(10_000))
    assert same_run(experiment, again(experiment))
    assert again(again(experiment)).short == experiment.short


@pytest.mark.parametrize(
    "value", ["none", "true", "12", "-1.5", ".5", "1e9", "-inf", "1_0", "a,b", "a=b&c", "ü", "nan", "%41", "b\udce4r"]
)
def test_a_text_stays_a_text(value):
    assert short_text._value(short_text._word(value)) == value
    assert isinstance(short_text._value(short_text._word(value)), str)


@pytest.mark.parametrize("value", [1, 1.0, -0.5, 1e-300, 10**15, True, False, None, [0.25, 1.0], [3], [None, "x"]])
def test_other_values_keep_their_type(value):
    back = short_text._value(short_text._word(value))
    assert back == value
    assert json.dumps(back) == json.dumps(value)


@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        (lambda t: t.replace("&steps=9", ""), ExperimentError, "whole text"),
        (lambda t: t.replace("steps=9", "steps=-9"), ExperimentError, "whole text"),
        (lambda t: t.replace("steps=9", "steps=lots"), ExperimentError, "whole text"),
        (lambda t: t + "&steps=8", ExperimentError, "twice"),
        (lambda t: t.replace("4:lr=", "4:lr"), ExperimentError, "not name=value"),
        (lambda t: t.replace("4:lr", "4:tau"), ConfigError, "tau"),
        (lambda t: t.replace("seed", "sead"), ConfigError, "sead"),
        (lambda t: t.replace("seed=3", "seed=many"), ConfigError, "seed"),
        (lambda t: t.replace("data=shapes", "data=%E4"), ExperimentError, "UTF-8"),
        (lambda t: t.replace("seed=3", "seed=%FF"), ExperimentError, "UTF-8"),
        (lambda t: t.replace("data=shapes,4096", "data=shapes,many"), ExperimentError, "whole text"),
        (lambda t: t.replace("byol1", "byol2"), ExperimentError, "upgrade"),
        *[
            (lambda t, word=word: t.replace("lr=0.5", f"lr={word}"), ExperimentError, words)
            for word, words in [("-nan", "no number"), ("-inf", "no number"), ("1e999", "too large"), ("-1e400", "too large"),
                                ("1_0", "no number"), ("0x10", "no number"), ("1.", "no number"), ("007", "no number"),
                                ("1\u0661", "no number"), ("0.1,1_0", "no number"), ("9" * 5000, "too long")]
        ],
        (lambda t: t.replace("steps=9", "steps=\u0669"), ExperimentError, "steps is"),
        (lambda t: t.replace("data=shapes,4096", "data=shapes,\u0664"), ExperimentError, "images is"),
        *[
            (lambda t, check=check: t.replace(f",{short_text.check_of(DATA)}", f",{check}"), ExperimentError, "eight hexadecimal")
            for check in ("5f3a91c", "5F3A91C2", "5f3a91c2\n", "\u0661f3a91c2", "0" * 100_000)
        ],
        (lambda t: t.replace(",32,", ",32,1,"), ExperimentError, "at most four"),
        (lambda t: t[: len(t) // 2], (ExperimentError, ConfigError), ""),
    ],
)  # fmt: skip
def test_a_damaged_text_is_refused_in_words(damage, error, words):
    text = Experiment(DATA, bt.Config(seed=3), ((4, {"lr": 0.5}),), 9).short
    with pytest.raises(error, match=words) as raised:
        Experiment.parse(damage(text))
    assert len(str(raised.value)) < 1200


@pytest.mark.parametrize("more", ["&4:lr=" + "1," * 100, "".join(f"&{k}:lr=1" for k in range(100)), "&" * 100])
def test_a_text_of_too_many_parts_is_refused_before_it_is_read(monkeypatch, more):
    text = Experiment(DATA, bt.Config(seed=3), ((4, {"lr": 0.5}),), 9).short
    monkeypatch.setattr(short_text, "MOST", 50)
    monkeypatch.setattr(short_text, "PART", None)
    with pytest.raises(ExperimentError, match="more than 50 parts"):
        Experiment.parse(text + more)


def test_a_checksum_in_the_long_text_is_checked_and_other_images_are_named_briefly(images):
    parts = json.loads(str(Experiment(DATA, bt.Config(), (), 0)))
    parts["data"]["check"] = "z" * 50_000
    with pytest.raises(ExperimentError, match="eight hexadecimal") as raised:
        Experiment.parse(json.dumps(parts))
    assert len(str(raised.value)) < 1200
    parts["data"] |= {"check": "00000000", "content": "z" * 50_000}
    with pytest.raises(DataError, match="other images") as raised:
        bt.rebuild(json.dumps(parts), *images, device="cpu")
    assert len(str(raised.value)) < 1000


@pytest.fixture(scope="module")
def images():
    return bt.load("shapes", limit=44), bt.load("shapes", "test", limit=40)


def test_it_makes_the_same_run_again_and_knows_its_images(images):
    config = bt.Config(width=4, hidden_dim=16, projection_dim=8, batch_size=8, epochs=20)
    with bt.Session(config, *images, device="cpu") as session:
        session.run(steps=4)
        session.change(predictor="identity", hue=(0.1, 0.2)).result(60)
        session.run(steps=5)
        text = Experiment.of(session).short
        with bt.rebuild(text, *images, device="cpu") as other:
            assert other.snapshot().series("loss") == session.snapshot().series("loss")
            assert Experiment.of(other).short == text
        with bt.rebuild(text, device="cpu") as other:  # the embedded images, by their name
            assert other.snapshot().series("loss") == session.snapshot().series("loss")
    with pytest.raises(DataError, match="other images"):
        bt.rebuild(text, bt.load("shapes", limit=44, seed=5), device="cpu")


def test_what_no_text_can_hold_has_no_short_one_either(images):
    with pytest.raises(ExperimentError, match="a transform of your own"):
        _ = Experiment(DATA, bt.Config(), transform="mine").short
