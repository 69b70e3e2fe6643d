"""The augmentation explorer without a browser: what it shows, accepts and refuses, and that it shows the newest."""

import threading
from contextlib import contextmanager
from dataclasses import replace

import ipywidgets.widgets.widget
import numpy as np
import pytest
import torch
from PIL import Image

import byol_tutorial as bt
from byol_tutorial.augment.views import Views
from byol_tutorial.config.config import FIELDS, LIVE, VIEWS
from byol_tutorial.config.errors import UserError
from byol_tutorial.widgets import explorer
from byol_tutorial.widgets.explorer.view_settings import GROUPS, PAIRED, SETTINGS

PAPER = "the paper's T and T′"
LESSON = "the lesson's"


@pytest.fixture(scope="module")
def images():
    return bt.load("shapes", limit=300)


@pytest.fixture
def panel(images):
    panel = explorer(images)
    yield panel
    panel.close()


def finished(panel) -> None:
    """Wait until the thread that computes has nothing more to do."""
    panel._queue.submit(lambda: None).result(timeout=60)


@contextmanager
def busy(panel):
    """Keep the thread that computes busy, as a long computation would."""
    begun, go = threading.Event(), threading.Event()
    panel._queue.submit(lambda: begun.set() or go.wait(60))
    assert begun.wait(60)
    try:
        yield
    finally:
        go.set()


def views_of(panel):
    """The pairs as augment.Views makes them, from nothing but the panel's public values."""
    scene = panel.scene
    rows = [(scene.index + i * scene.many) % len(scene.images) for i in range(8)]
    views = Views(panel.config, (0.0,) * 3, (1.0,) * 3, torch.Generator().manual_seed(scene.seed))
    return views(scene.images.images[rows])


def shown(panel) -> torch.Tensor:
    """The pictures that the browser gets, without the image: float (9 + 9 + 8 + 8, 3, s, s)."""
    (h, w), (height, width) = panel.chain["image"], panel.chain["size"]
    pixels = np.frombuffer(panel.pictures, np.uint8)[4 * h * w :].reshape(-1, height, width, 4)
    assert (pixels[..., 3] == 255).all()
    return torch.from_numpy(pixels[..., :3].copy()).permute(0, 3, 1, 2).float() / 255


# --- what it shows ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["torchvision", "authors"])
def test_chain_and_pairs_are_the_views(panel, form):
    """The chain's end, the pairs and the browser's pixels are Views' output."""
    panel.recipe(PAPER)
    panel.set(colour_form=form, solarize_p=0.5, grayscale_p=0.4)
    for many in (False, True):
        for pair in (0, 5):
            panel.go(index=7, seed=3, pair=pair, many=many)
            v1, v2 = views_of(panel)
            for (way, view), ours in zip(
                zip(panel.stages().values(), (v1, v2), strict=True), panel.pairs()[1:], strict=True
            ):
                torch.testing.assert_close(way[-1].picture, view[pair], rtol=0, atol=1e-5)
                torch.testing.assert_close(ours, view, rtol=0, atol=0)
            pictures = shown(panel)
            half = 0.5 / 255 + 1e-4
            torch.testing.assert_close(pictures[18:26], v1, rtol=0, atol=half)
            torch.testing.assert_close(pictures[26:], v2, rtol=0, atol=half)
            steps = torch.stack([s.picture for way in panel.stages().values() for s in way[1:]])
            torch.testing.assert_close(pictures[:18], steps, rtol=0, atol=half)


def test_texts_and_crop_belong_to_the_pictures(panel):
    panel.go(index=4, seed=11, pair=3)
    drawn = Views(panel.config, generator=torch.Generator().manual_seed(11)).draw(8, 32, 32)
    for side, (row, way) in enumerate(zip(panel.chain["rows"], panel.stages().values(), strict=True)):
        assert [(s["name"], s["words"], s["done"]) for s in row["steps"]] == [(s.name, s.words, s.done) for s in way]
        at = 3 + 8 * side
        crop = [float(x[at]) / 32 for x in (drawn.left, drawn.top, drawn.width, drawn.height)]
        assert row["crop"] == pytest.approx(crop)
    assert panel.chain["pair"] == 3


def test_the_same_seed_gives_the_same_draw(panel):
    panel.go(seed=5)
    first = panel.pictures
    panel.command({"do": "another"})
    finished(panel)
    assert panel.settings["seed"] == 6
    assert panel.pictures != first
    panel.go(seed=5)
    assert panel.pictures == first


def test_each_pair_of_a_picture_of_its_own(panel, images):
    panel.go(index=297, many=True)
    assert torch.equal(panel.pairs()[0], images.images[[297, 298, 299, 0, 1, 2, 3, 4]])
    name = images.classes[images.labels[0]]
    assert panel.chain["pairs"][3] == f"picture 0: {name}"
    panel.go(many=False)
    assert torch.equal(panel.pairs()[0], images.images[[297] * 8])


def test_thumbs_are_the_pictures_around_the_one_shown(panel, images):
    panel.go(index=295)
    s = panel.settings
    assert (s["first"], s["size"], len(s["thumbs"]), s["count"]) == (288, [32, 32], 12, 300)
    pixels = np.frombuffer(panel.thumbs, np.uint8).reshape(12, 32, 32, 4)[..., :3]
    np.testing.assert_array_equal(pixels, images.images[288:300].permute(0, 2, 3, 1).numpy())


def test_bars_show_the_shares(panel):
    panel.set(jitter_p=0.0, grayscale_p=0.0)
    rows = {row["name"]: row for row in panel.bars["rows"]}
    assert list(rows) == ["hue", "brightness", "position", "scale", "shape"] == list(panel.shared)
    assert panel.bars["pairs"] == 256
    for name, share in panel.shared.items():
        assert rows[name] == {"name": name, "same": share.same, "different": share.different, "words": str(share)}
    assert rows["hue"]["same"] > 0.99
    panel.set(jitter_p=1.0, hue=0.5)
    assert abs(panel.shared["hue"].same) < 0.13


def test_bars_depend_on_t_and_t_prime_alone(panel):
    before = panel.bars
    panel.go(index=9, seed=4, pair=2, many=True)
    assert panel.bars == before
    panel.set(crop_area=(0.1, 1.0))
    assert panel.bars != before


# --- settings -----------------------------------------------------------------------------------


def test_every_live_setting_of_the_views_has_a_control():
    assert set(SETTINGS) == {n for n, f in FIELDS.items() if f.metadata["group"] == VIEWS} & LIVE
    assert len(SETTINGS) == len(set(SETTINGS))
    assert set(PAIRED) == {
        "flip_p", "vertical_flip_p", "quarter_turn_p", "jitter_p", "brightness", "contrast", "saturation", "hue", "grayscale_p", "blur_p", "solarize_p",
    }  # fmt: skip


def test_bounds_and_help_are_configs(panel):
    groups = panel.controls["groups"]
    assert [group["title"] for group in groups] == list(GROUPS)
    for field in (field for group in groups for field in group["fields"]):
        meta = FIELDS[field["name"]].metadata
        assert {k: field[k] for k in ("low", "high", "help")} == {k: meta[k] for k in ("low", "high", "help")}
        assert field["kind"] == {"colour_form": "choice"}.get(
            field["name"], "range" if field["name"] in ("crop_area", "crop_ratio", "blur_sigma") else "pair"
        )


def test_set_from_python(panel):
    panel.set(hue=0.1, blur_p=(1.0, 0.1), crop_area=(0.08, 1.0))
    assert panel.config == bt.preset("shapes", hue=0.1, blur_p=(1.0, 0.1), crop_area=(0.08, 1.0))
    assert panel.settings["values"]["hue"] == (0.1, 0.1)
    assert not panel.linked


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hue": 0.7}, "at most 0.5"),
        ({"hue": float("nan")}, "hue=nan"),
        ({"hue": "much"}, "give a number"),
        ({"hue": (0.1, 0.2, 0.3)}, "for T and for T′"),
        ({"crop_area": (0.9, 0.5)}, "exchange them"),
        ({"colour_form": "theirs"}, "choose one of torchvision, authors"),
        ({"lr": 0.1}, "'lr' has no control here"),
        ({"huge": 0.1}, "'huge' has no control here"),
    ],
)
def test_bad_settings_change_nothing(panel, settings, words):
    before = panel.config, panel.settings, panel.pictures, panel.chain
    with pytest.raises(bt.ConfigError, match=words):
        panel.set(**settings)
    assert (panel.config, panel.settings, panel.pictures, panel.chain) == before
    assert panel.problem == ""


@pytest.mark.parametrize(
    ("where", "words"),
    [({"index": 300}, "from 0 to 299"), ({"index": -1}, "index=-1"), ({"seed": 1.5}, "whole number"), ({"pair": 8}, "0 to 7")],
)  # fmt: skip
def test_bad_places_change_nothing(panel, where, words):
    before = panel.settings
    with pytest.raises(UserError, match=words):
        panel.go(**where)
    assert panel.settings == before


def made_by(code: str, **names):
    """What `config` is after this line."""
    scope = names | {"bt": bt}
    exec(code, scope)
    return scope["config"]


def test_code_makes_the_config_and_names_only_what_differs(images):
    panel = explorer(images)
    assert panel.code == 'config = bt.preset("shapes")'
    panel.set(hue=0.1, blur_p=(1.0, 0.1), crop_area=(0.3, 1.0), colour_form="authors")
    assert panel.code == (
        "config = bt.preset(\"shapes\", crop_area=(0.3, 1.0), colour_form='authors', hue=0.1, blur_p=(1.0, 0.1))"
    )
    assert made_by(panel.code) == panel.config
    panel.set(hue=0.1 + 0.2)
    assert made_by(panel.code) == panel.config

    start = bt.preset("photos", epochs=3)
    panel = explorer(images, start)
    assert panel.config == start
    panel.set(jitter_p=0.0)
    assert panel.code == "config = config.replace(jitter_p=0.0)"
    assert made_by(panel.code, config=start) == panel.config
    assert panel.config.epochs == 3


def test_recipes(images):
    start = bt.preset("shapes", hue=0.25, blur_p=0.3, epochs=2)
    panel = explorer(images, start)
    assert panel.settings["recipes"] == ["as given"]
    panel.recipe(PAPER)
    assert panel.config == start.replace(**bt.config.presets.PAPER_VIEWS)
    assert panel.settings["recipes"] == [PAPER]
    panel.recipe("no colour change")
    assert panel.config == start.replace(**bt.config.presets.PAPER_VIEWS | {"jitter_p": 0.0, "grayscale_p": 0.0})
    panel.recipe("crop and flip only")
    assert panel.config.blur_p == panel.config.solarize_p == panel.config.jitter_p == (0.0, 0.0)
    assert panel.config.crop_area == (0.08, 1.0)
    assert panel.settings["recipes"] == ["crop and flip only", "no colour change"]
    panel.recipe(LESSON)
    assert panel.config == bt.preset("shapes", epochs=2)
    panel.recipe("as given")
    assert panel.config == start
    with pytest.raises(UserError, match="choose one of as given, the lesson's"):
        panel.recipe("strong")


def test_link(panel):
    assert panel.linked  # the lesson's T′ is its T
    panel.recipe(PAPER)
    assert not panel.linked
    panel.link()
    assert panel.config.blur_p == (1.0, 1.0)
    assert panel.config.solarize_p == (0.0, 0.0)
    assert panel.config.crop_area == (0.08, 1.0)  # a range, not a pair
    assert panel.settings["linked"]
    panel.link(False)
    panel.set(hue=0.2)
    assert not panel.settings["linked"]


def test_a_wrong_set_or_config_is_refused(images):
    with pytest.raises(UserError, match=r"images=Tensor: give a set of images"):
        explorer(images.images)
    with pytest.raises(UserError, match=r"config=dict: give a Config"):
        explorer(images, {"hue": 0.1})
    with pytest.raises(UserError, match="no images"):
        explorer(images[:0])


# --- sets of every kind -------------------------------------------------------------------------


def test_one_picture_can_be_looked_at_but_not_compared(images):
    panel = explorer(images[:1])
    panel.go(many=True)
    assert panel.bars == {"pairs": 256, "rows": []}
    assert panel.shared == {}
    assert panel.problem == ""
    assert len(shown(panel)) == 34


@pytest.mark.parametrize("size", [(8, 8), (96, 96), (150, 150), (24, 40)])
def test_pictures_of_any_size(size):
    pictures = torch.randint(0, 256, (5, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    panel = explorer(bt.ImageSet("noise", "train", pictures))
    assert panel.problem == ""
    assert panel.settings["thumbs"] == [f"picture {i}" for i in range(5)]
    assert max(panel.chain["size"] + panel.chain["image"]) <= 96
    assert len(shown(panel)) == 34
    v1, v2 = views_of(panel)
    for way, view in zip(panel.stages().values(), (v1, v2), strict=True):
        torch.testing.assert_close(way[-1].picture, view[0], rtol=0, atol=1e-5)


def test_views_of_another_size(images):
    panel = explorer(images, bt.preset("shapes", view_size=20))
    assert panel.chain["size"] == [20, 20]
    assert panel.stages()["v"][-1].picture.shape == (3, 20, 20)


def test_a_streamed_folder(tmp_path):
    for i in range(6):
        Image.new("RGB", (40, 40), (40 * i, 255 - 40 * i, 90)).save(tmp_path / f"{i}.png")
    panel = explorer(bt.load(f"folder:{tmp_path}", stream=True))
    assert panel.problem == ""
    assert 2 <= panel.settings["count"] <= 6


# --- messages -----------------------------------------------------------------------------------


def test_a_message_sets_and_answers_with_its_stamp(panel):
    before = panel.pictures
    panel.command({"do": "set", "stamp": "abc", "hue": [0.1, 0.2]})
    assert panel.config.hue == (0.1, 0.2)
    assert panel.settings["stamp"] == "abc"
    finished(panel)
    assert panel.pictures != before


def test_a_bad_setting_shows_an_error_and_the_last_picture_stays(panel):
    panel.command({"do": "set", "stamp": "1", "crop_area": [0.7, 1.0]})
    finished(panel)
    config, pictures = panel.config, panel.pictures
    panel.command({"do": "set", "stamp": "2", "crop_area": [0.7, 0.5]})
    finished(panel)
    assert panel.problem == "crop_area=(0.7, 0.5): the first is larger than the second; exchange them"
    assert (panel.config, panel.pictures) == (config, pictures)
    assert panel.settings["values"]["crop_area"] == [0.7, 0.5]  # the controls stay as the learner left them
    assert panel.settings["stamp"] == "2"

    panel.command({"do": "another"})  # other commands work meanwhile, and the error stays
    finished(panel)
    assert "exchange them" in panel.problem
    assert panel.pictures != pictures
    panel.command({"do": "set", "stamp": "3", "hue": [0.0, 0.0]})
    assert "exchange them" in panel.problem

    panel.command({"do": "set", "stamp": "4", "crop_area": [0.4, 0.5]})
    assert panel.problem == ""
    assert panel.config == bt.preset("shapes", crop_area=(0.4, 0.5), hue=0.0)


def test_a_recipe_or_a_cell_removes_the_error_of_a_bad_setting(panel):
    for repair in (lambda: panel.command({"do": "recipe", "name": PAPER}), lambda: panel.set(hue=0.1)):
        panel.command({"do": "set", "crop_area": [0.7, 0.5]})
        assert panel.problem
        repair()
        assert panel.problem == ""
        assert tuple(panel.settings["values"]["crop_area"]) == panel.config.crop_area


@pytest.mark.parametrize(
    "message",
    [
        {"do": "fly"},
        {"do": "go", "index": None, "colour": 3},
        {"do": "go", "index": 10**9},
        {"do": "go", "seed": "a"},
        {"do": "set", "lr": 3},
        {"do": "set", "hue": [None, 0.1]},
        {"do": "recipe", "name": "x"},
        {},
    ],
)
def test_nonsense_shows_an_error(panel, message):
    before = panel.config, panel.scene
    panel.command(message)
    finished(panel)
    assert panel.problem
    assert (panel.config, panel.scene.index) == (before[0], before[1].index)


def test_an_error_while_computing_is_shown_and_the_next_command_works(panel, monkeypatch):
    pictures = panel.pictures
    with monkeypatch.context() as patch:
        patch.setattr(type(panel.scene), "packed", lambda scene: 1 / 0)
        panel.command({"do": "another"})
        finished(panel)
    assert panel.problem == "division by zero"
    assert panel.pictures == pictures
    panel.command({"do": "another"})
    finished(panel)
    assert panel.problem == ""
    assert panel.pictures != pictures


# --- newest first -------------------------------------------------------------------------------


def test_of_many_messages_only_the_newest_is_computed(panel, monkeypatch):
    computed = []
    packed = type(panel.scene).packed
    monkeypatch.setattr(type(panel.scene), "packed", lambda scene: computed.append(scene.config.hue) or packed(scene))
    with busy(panel):
        for i in range(100):
            panel.command({"do": "set", "stamp": str(i), "hue": [i / 200, i / 200]})
    finished(panel)
    assert computed == [(0.495, 0.495)]
    torch.testing.assert_close(shown(panel)[18:26], views_of(panel)[0], rtol=0, atol=0.5 / 255 + 1e-4)


def test_a_picture_of_a_replaced_scene_is_dropped(panel, monkeypatch):
    """A newer command comes while a picture is computed: the old picture is not shown, its bars are not computed."""
    seen, measured = [], []
    panel.observe(lambda change: seen.append(panel.scene.seed), names="pictures")
    packed, bars = type(panel.scene).packed, panel._bars

    def slow(scene):
        result = packed(scene)
        if scene.seed == 1:
            panel.command({"do": "go", "seed": 2})
        return result

    monkeypatch.setattr(type(panel.scene), "packed", slow)
    monkeypatch.setattr(panel, "_bars", lambda config: measured.append(config) or bars(config))
    panel.command({"do": "go", "seed": 1})
    finished(panel)
    finished(panel)
    assert seen == [2]
    assert len(measured) == 1


def test_many_threads_at_once(panel):
    def hammer(k):
        for i in range(15):
            panel.command({"do": "set", "hue": [k / 20, i / 40]})
            panel.command({"do": "go", "seed": 100 * k + i, "index": i, "pair": i % 8})
            if i % 5 == 0:
                panel.set(blur_p=(k / 10, 1.0))

    threads = [threading.Thread(target=hammer, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    finished(panel)
    assert panel.problem == ""
    s = panel.scene
    assert panel.settings["values"] == {name: getattr(panel.config, name) for name in SETTINGS}
    assert (panel.settings["seed"], panel.settings["index"], panel.chain["pair"]) == (s.seed, s.index, s.pair)
    torch.testing.assert_close(shown(panel)[26:], views_of(panel)[1], rtol=0, atol=0.5 / 255 + 1e-4)


def test_two_panels_do_not_disturb_each_other_nor_the_global_generator(images):
    state = torch.get_rng_state()
    one, two = explorer(images), explorer(images)
    assert one.pictures == two.pictures
    two.go(seed=9)
    one.set(hue=0.0)
    one.set(hue=0.5)
    assert one.pictures == explorer(images).pictures
    assert torch.equal(torch.get_rng_state(), state)


def test_a_closed_panel_computes_no_more(images):
    panel = explorer(images)
    pictures = panel.pictures
    closing = threading.Thread(target=panel.close)
    with busy(panel):
        panel.command({"do": "another"})
        closing.start()
        while not panel._ended:
            closing.join(0.01)
    closing.join(60)
    panel.command({"do": "another"})
    finished(panel)
    assert panel.pictures == pictures


def test_nothing_is_left_of_closed_panels(images):
    few = images[:4]
    explorer(few).close()
    threads, widgets = threading.active_count(), len(ipywidgets.widgets.widget._instances)
    for i in range(20):
        panel = explorer(few)
        panel.command({"do": "go", "seed": i})
        panel.close()
    assert threading.active_count() <= threads  # a thread that an earlier test left may end meanwhile
    assert len(ipywidgets.widgets.widget._instances) <= widgets


def test_scenes_are_never_changed(panel):
    before = panel.scene
    copy = replace(before)
    panel.set(hue=0.0)
    panel.go(seed=3)
    assert (before.config, before.seed) == (copy.config, copy.seed)
    assert panel.scene is not before
