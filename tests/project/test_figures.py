"""Figures show the data that they were given, describe it in alt text, and draw without pyplot."""

import base64
import re
import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from byol_tutorial import figures as F
from byol_tutorial.course.figures.maps import by_class, show_maps
from byol_tutorial.course.figures.overview import overview

PICTURES = torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
RUN = {"loss": [4.0, 3.0, 2.0, 1.0], "std": [0.7, 0.8, 0.8, 0.9], "knn": [(2, 0.3), (4, 0.5)]}


@pytest.fixture(params=["grid", "pairs", "curves", "curves of two", "neighbours", "bars"])
def picture(request):
    return {
        "grid": lambda: F.image_grid(PICTURES, columns=4, titles=list("abcdef")),
        "pairs": lambda: F.view_pairs(PICTURES, PICTURES, PICTURES),
        "curves": lambda: F.curves({"BYOL": RUN}, steps_per_epoch=2),
        "curves of two": lambda: F.curves({"BYOL": RUN, "without": {"loss": [1.0], "std": [0.1]}}),
        "neighbours": lambda: F.neighbours(
            PICTURES[:2], {"a": PICTURES.view(2, 3, 3, 8, 8)}, {"a": torch.eye(2, 3) > 0}
        ),
        "bars": lambda: F.bars({"shape": {"before": 0.3, "after": 0.9}, "hue": {"before": 0.8}}, chance=0.1),
    }[request.param]()


def test_picture_is_a_png_with_something_on_it(picture):
    pixels = np.asarray(Image.open(BytesIO(picture.png())).convert("L"))
    assert pixels.shape[0] > 50
    assert pixels.shape[1] > 200
    assert pixels.std() > 5


def test_notebooks_get_alt_text(picture):
    html = picture._repr_html_()
    assert html.startswith('<img alt="')
    assert len(picture.alt) > 10
    assert 'src="data:image/png;base64,' in html


def test_the_book_gets_the_same_pixels_in_fewer_bytes(picture, monkeypatch):
    def shown():
        html = picture._repr_html_()
        data = re.search(r'src="data:image/(\w+);base64,([^"]+)"', html)
        return html[: data.start()], data[1], base64.b64decode(data[2])

    picture.set_layout_engine("none")  # a layout engine may move things a little at every drawing
    around, kind, png = shown()
    monkeypatch.setenv("BYOL_STATIC", "1")
    book_around, book_kind, webp = shown()
    assert (around, kind, book_kind) == (book_around, "png", "webp")
    assert len(webp) < len(png)
    first, second = (np.asarray(Image.open(BytesIO(data)).convert("RGB")) for data in (png, webp))
    assert (first == second).all()


def test_alt_text_is_escaped():
    assert 'alt="a &quot;b&quot; &lt;c&gt;"' in F.Picture(2, 2, 'a "b" <c>')._repr_html_().replace(">", "&gt;", 1)


def test_curves_draw_the_numbers():
    loss, std, knn = F.curves({"BYOL": RUN}, steps_per_epoch=2).axes
    np.testing.assert_allclose(loss.lines[0].get_xydata(), [(0.5, 4), (1, 3), (1.5, 2), (2, 1)])
    np.testing.assert_allclose(std.lines[0].get_ydata(), RUN["std"])
    np.testing.assert_allclose(knn.lines[0].get_xydata(), [(1, 0.3), (2, 0.5)])


def test_smooth_is_the_mean_of_the_last_values():
    values = np.random.default_rng(0).normal(size=100)
    expected = [values[max(0, i - 9) : i + 1].mean() for i in range(100)]
    np.testing.assert_allclose(F.smooth(values, 10), expected)


def test_neighbours_are_framed_by_right_and_wrong():
    picture = F.neighbours(PICTURES[:1], {"a": PICTURES[None, :2]}, {"a": torch.tensor([[True, False]])})
    frames = [a.spines["top"].get_edgecolor() for a in picture.axes if a.images and a.spines["top"].get_visible()]
    from matplotlib.colors import to_rgba

    assert frames == [to_rgba(F.GREEN), to_rgba(F.RED)]


def test_figures_need_no_pyplot():
    code = "import sys; from byol_tutorial import figures as F; F.bars({'a': {'b': 0.5}}).png(); print('matplotlib.pyplot' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "False"
    )


# --- texts of users -----------------------------------------------------------------------------

NAMES = {
    "formula": "$x^{$ costs 5$",
    "long": "x" * 200,
    "bytes": "ch\udce4t",
    "japanese": "犬と猫",
    "markup": "<b>&amp;</b>\\alpha_{i}",
    "empty": "",
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_names_of_users_are_shown_as_text(name):
    pictures = torch.zeros(4, 3, 8, 8)
    for figure in (
        F.image_grid(pictures, columns=2, titles=[name] * 4),
        F.lines({name: ([0, 1], [0, 1]), "other": ([0, 1], [1, 0])}, "x", "y", title=name, alt=name),
        F.bars({name: {"kNN": 0.5}, "other": {"kNN": 0.2}}),
        show_maps([{name: torch.rand(4, 2)}], [by_class(torch.tensor([0, 1, 0, 1]))], (name, "other"), alt=name),
    ):
        image = Image.open(BytesIO(figure.png()))
        assert max(image.size) < 3000
        figure._repr_html_().encode()  # as a notebook sends it


def test_what_no_font_has_is_its_code_and_long_lines_are_cut_in_the_middle():
    assert F.readable("√d·std τ′") == "√d·std τ′"
    assert F.readable("a\udce4") == "a\\udce4"
    assert F.readable("\U0001f9ff") == "\\u1f9ff"
    assert F.readable("a" * 70 + "b" * 70) == "a" * 30 + "…" + "b" * 30
    assert F.readable("short\n" + "c" * 99).startswith("short\nccc")


def test_formulas_of_our_own_stay_formulas():
    assert overview().math
