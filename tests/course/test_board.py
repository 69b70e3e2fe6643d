"""The board's grid of runs, and the strip of augmentations: what they hold is what the library makes."""

import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

import byol_tutorial as bt
from byol_tutorial.augment.views import Views
from byol_tutorial.config.errors import UserError
from byol_tutorial.course import board
from byol_tutorial.evaluate.diagnose import THRESHOLDS
from byol_tutorial.widgets.strip import LEVELS, NONE, OPERATIONS, as_row, config_of, strip, tiles

TINY = {"epochs": 2, "warmup_epochs": 1.0, "width": 4, "hidden_dim": 16, "projection_dim": 8, "batch_size": 8}


# --- the grid ------------------------------------------------------------------------------------


def test_every_place_has_a_run_and_without_stop_gradient_all_decay_rates_are_one():
    places = board.places()
    assert len(places) == 5 * 2 * 2 * 2
    assert len(set(places.values())) == 5 * 2 * 2 + 2 * 2
    for (_, predictor, stop, colour), config in places.items():
        if not stop:
            assert config == places[0.9, predictor, stop, colour]
    assert places[0.0, True, True, True].target == "online"
    assert places[1.0, True, True, True].target == "random"
    assert places[0.99, False, True, True].predictor == "identity"
    assert places[0.99, True, True, False].jitter_p == (0.0, 0.0)


def test_the_recorded_runs_are_those_of_the_grid():
    recorded, configs = board.recorded(), list(dict.fromkeys(board.places().values()))
    assert recorded["epochs"] == board.EPOCHS
    assert len(recorded["runs"]) == len(configs)
    assert [[*place, configs.index(c)] for place, c in board.places().items()] == recorded["places"]
    for run in recorded["runs"]:
        steps = run["epoch"] * recorded["epochs"]
        assert len(run["loss"]) == len(run["std"]) == -(-steps // run["block"]) <= board.POINTS
        assert run["knn"][-1][0] == steps
        assert len(base64.b64decode(run["map"])) == 4 * len(recorded["labels"])


def test_the_recorded_runs_say_what_the_course_says():
    runs = {tuple(p[:4]): board.recorded()["runs"][p[4]] for p in board.recorded()["places"]}
    for tau in board.TAUS:
        assert runs[tau, True, True, True]["spread"] > THRESHOLDS.partial
        for predictor in (True, False):
            assert runs[tau, predictor, False, True]["spread"] < THRESHOLDS.collapsed
    for tau in (0.0, 0.9, 0.95, 0.99):
        assert runs[tau, False, True, True]["spread"] < THRESHOLDS.collapsed
        assert runs[tau, True, True, True]["linear"] > runs[tau, False, True, True]["linear"] + 0.4
        assert (
            runs[tau, True, True, True]["linear"] > runs[tau, True, True, False]["linear"] + 0.4
        )  # the colour shortcut


def test_one_run_as_it_is_kept():
    train, test = bt.load("shapes", limit=96), bt.load("shapes", "test", limit=40)
    found = board.one(bt.Config(**TINY), train, test, test.images[:20])
    trainer = bt.Trainer(bt.Config(**TINY), train, test, device="cpu").run(progress=False)
    assert found["block"] == 1
    np.testing.assert_allclose(found["loss"], trainer.history.loss, rtol=1e-3)
    assert [step for step, _ in found["knn"]] == [12, 24]
    points = np.frombuffer(base64.b64decode(found["map"]), "<i2").reshape(-1, 2)
    assert points.shape == (20, 2)
    assert np.abs(points).max() <= board.FULL


def test_curves_are_averaged_in_blocks():
    assert board.means([1, 2, 3, 4, 5], 2) == [1.5, 3.5, 5]


def test_a_run_that_fails_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    file = tmp_path / "board.json"
    file.write_text("old")
    made = []

    def one(*_):
        if len(made) == 2:
            raise RuntimeError("injected")
        made.append(1)
        return {"linear": 0.0, "spread": 0.0}

    monkeypatch.setattr(board, "one", one)
    with pytest.raises(RuntimeError, match="injected"):
        board.train_all(lambda _: None, file)
    assert file.read_text() == "old"


def test_the_board_needs_nothing_but_its_data():
    panel = bt.widgets.board()
    sent = json.loads(json.dumps(panel.runs))
    kinds = {tuple(p[:4]): sent["runs"][p[4]]["verdict"].split(":")[0] for p in sent["places"]}
    assert kinds[0.99, True, True, True] == kinds[0.0, True, True, True] == "healthy"
    assert kinds[0.99, False, True, True] == kinds[0.99, True, False, True] == "collapse"
    assert kinds[0.99, True, True, False] == "worse than untrained"  # the colour shortcut: spread out, and useless
    assert len(panel.runs["circle"]) == 24
    panel.close()


# --- the strip -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def images():
    return bt.load("shapes", limit=12)


def sheet_of(panel) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(panel.sheet)).convert("RGB"))


def test_the_sheet_holds_the_librarys_views(images):
    panel = strip(images, count=3, seed=5)
    sheet, size = sheet_of(panel), 32
    names = list(OPERATIONS)
    assert sheet.shape == ((1 + len(names) * LEVELS) * size, 2 * 3 * size, 3)
    for name, level in (("hue", 8), ("random resized crop", 5), ("Gaussian blur", 3), ("solarize", 8)):
        config = config_of(name, level)
        v1, v2 = Views(config, (0.0,) * 3, (1.0,) * 3, torch.Generator().manual_seed(5))(images.images[:3])
        row = 1 + names.index(name) * LEVELS + level
        for i in range(3):
            for column, view in ((2 * i, v1[i]), (2 * i + 1, v2[i])):
                tile = sheet[row * size : (row + 1) * size, column * size : (column + 1) * size]
                wanted = (view.clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()
                np.testing.assert_array_equal(tile, wanted)
    panel.close()


@pytest.mark.parametrize("name", OPERATIONS)
def test_at_strength_zero_a_view_is_the_image_and_at_full_strength_it_is_not(images, name):
    plain = as_row(images.images[:4].repeat_interleave(2, 0).float() / 255)
    none, full = (tiles(images.images[:4], 0, name, level) for level in (0, LEVELS - 1))
    np.testing.assert_allclose(none, plain, atol=1)
    assert (np.abs(full.astype(int) - plain) > 8).any()


def test_each_strength_is_what_the_slider_says():
    for name, (_, (first, last), fields) in OPERATIONS.items():
        for level, value in enumerate(np.linspace(first, last, LEVELS)):
            assert config_of(name, level) == bt.Config(**(NONE | fields(value)))


@pytest.mark.parametrize("count", [0, 9, 13])
def test_a_count_that_is_not_allowed(images, count):
    with pytest.raises(UserError, match=f"count={count}: give a whole number from 1 to 8"):
        bt.widgets.strip(images, count)


def test_images_that_are_too_large():
    large = bt.ImageSet("large", "train", torch.zeros(2, 3, 128, 128, dtype=torch.uint8))
    with pytest.raises(UserError, match="128×128 pixels: at most 96"):
        bt.widgets.strip(large, 1)
