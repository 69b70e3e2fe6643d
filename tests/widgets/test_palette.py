"""The palette can be told apart by readers with each kind of colour blindness, and is the same in figures and panels.

Colour blindness is simulated by the matrices of Machado, Oliveira and Fernandes, "A Physiologically-based Model for
Simulation of Color Vision Deficiency" (IEEE Transactions on Visualization and Computer Graphics 15(6), 2009), table of
severity 1.0, applied to linear RGB. Differences are ΔE of CIE 1976 under D65; 12 is far above what is just noticeable
(2.3). Contrast is that of WCAG 2; thin marks need 3.
"""

import re
from itertools import combinations

import numpy as np
import pytest
from javascript import run
from matplotlib.path import Path

from byol_tutorial.figures import COLOURS, MARKS, mark
from byol_tutorial.widgets.assets import HERE, script

MACHADO = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
VISION = {"usual": np.eye(3)} | {name: np.array(matrix) for name, matrix in MACHADO.items()}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
GROUNDS = {"white": "#ffffff", "JupyterLab dark": "#212121", "the book, dark": "#14181e", "Chromium dark": "#121212"}
OPACITY = 0.85  # of a dot on a panel's map
BEFORE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8A800", "#7F5CC9", "#8C564B", "#7F7F7F")


def srgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def linear(c: np.ndarray) -> np.ndarray:
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """Return L*, a*, b* of a colour in linear RGB, under D65."""
    t = XYZ @ rgb / XYZ.sum(1)
    x, y, z = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def difference(a: str, b: str, vision: str = "usual") -> float:
    seen = [lab(np.clip(VISION[vision] @ linear(srgb(c)), 0, 1)) for c in (a, b)]
    return float(np.linalg.norm(seen[0] - seen[1]))


def contrast(colour: str, ground: str, opacity: float = 1.0) -> float:
    mixed = opacity * srgb(colour) + (1 - opacity) * srgb(ground)
    light = sorted(float(XYZ[1] @ linear(c)) for c in (mixed, srgb(ground)))
    return (light[1] + 0.05) / (light[0] + 0.05)


def test_the_measures_are_those_of_the_standards():
    np.testing.assert_allclose(lab(linear(srgb("#FF0000"))), [53.24, 80.09, 67.20], atol=0.02)
    assert contrast("#000000", "#ffffff") == pytest.approx(21, abs=1e-3)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    for matrix in VISION.values():  # white and greys stay as they are
        np.testing.assert_allclose(matrix.sum(1), 1, atol=2e-6)
    # Okabe and Ito's colours, extended to ten, had two pairs that a deuteranope cannot tell apart
    assert difference(BEFORE[1], BEFORE[6], "deuteranopia") < 8.5
    assert difference(BEFORE[0], BEFORE[7], "deuteranopia") < 8.5


@pytest.mark.parametrize("vision", VISION)
def test_every_two_colours_can_be_told_apart(vision):
    assert len(COLOURS) == 10
    least = min(combinations(COLOURS, 2), key=lambda pair: difference(*pair, vision))
    assert difference(*least, vision) >= (25 if vision == "usual" else 12), least


@pytest.mark.parametrize("ground", GROUNDS)
def test_every_colour_is_seen_on_every_ground(ground):
    for colour in COLOURS:
        assert contrast(colour, GROUNDS[ground]) >= 3, colour
        assert contrast(colour, GROUNDS[ground], OPACITY) >= 3, colour


def test_panels_and_figures_have_the_same_palette_and_marks():
    body = "return {colours: BT_COLOURS, marks: BT_MARKS, corners: BT_MARKS.map((_, k) => btCorners(k, 1))};"
    panel = run(script("common.js"), body)
    assert tuple(panel["colours"]) == COLOURS
    assert tuple(map(tuple, panel["marks"])) == MARKS
    for colour, corners in zip(COLOURS, panel["corners"], strict=True):
        np.testing.assert_allclose(np.array(corners) * [1, -1], mark(colour), atol=1e-12)  # y of a canvas is downwards


def test_panels_have_no_colours_beside_the_palette():
    others = {"#0072b2", "#fff", "#000"}  # the accent of buttons and links, text on it, and frames of pictures
    for file in [*HERE.glob("js/**/*.js"), *HERE.glob("css/*.css")]:
        found = {c.lower() for c in re.findall(r"#(?:[0-9a-fA-F]{3}){1,2}\b", file.read_text("utf-8"))}
        assert found <= others | {c.lower() for c in COLOURS}, file.name


def test_maps_are_drawn_with_the_opacity_that_is_tested():
    for name in ("cockpit", "board", "film", "playground/pictures"):
        assert str(OPACITY) in script(f"{name}.js"), name


def area(colour: str) -> np.ndarray:
    """Return which points of a grid lie within the mark of a colour."""
    side = np.linspace(-2.2, 2.2, 221)
    return Path(mark(colour)).contains_points(np.stack(np.meshgrid(side, side), -1).reshape(-1, 2))


def test_every_two_marks_differ_and_none_is_much_larger():
    areas = [area(colour) for colour in COLOURS]
    for (i, a), (j, b) in combinations(enumerate(areas), 2):
        assert (a & b).sum() / (a | b).sum() < 0.82, (i, j)
    sizes = [a.sum() for a in areas]
    assert max(sizes) < 1.6 * min(sizes)
