"""Figures show the data that they were given, describe it in alt text, and draw without pyplot."""

import base64
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from byol_tutorial import figures as F
from byol_tutorial.course.figures.maps import by_class, show_maps
from byol_tutorial.course.figures.overview import overview
from byol_tutorial.runtime.markup import escaped

ROOT = Path(__file__).parents[2]
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
    assert re.findall(r'<img alt="([^"]*)"', html)[0] == escaped(picture.alt)
    assert len(picture.alt) > 10
    assert 'src="data:image/png;base64,' in html


def layers(picture) -> dict[str, tuple[str, np.ndarray]]:
    """class in the page -> (kind of file, pixels: uint8 (H, W, 4)), from below to above."""
    found = re.findall(r'class="(bt-\w+) dark-light" [^>]*src="data:image/(\w+);base64,([^"]+)"', picture._repr_html_())
    return {
        name: (kind, np.asarray(Image.open(BytesIO(base64.b64decode(data))).convert("RGBA")))
        for name, kind, data in found
    }


def on(paper: int, *pixels: np.ndarray) -> np.ndarray:
    """Lay transparent layers on a page of this grey: float (H, W, 3)."""
    page = np.full((*pixels[0].shape[:2], 3), float(paper))
    for layer in pixels:
        alpha = layer[..., 3:] / 255
        page = alpha * layer[..., :3] + (1 - alpha) * page
    return page


def test_the_book_gets_the_same_pixels_in_fewer_bytes(picture, monkeypatch):
    picture.set_layout_engine("none")  # a layout engine may move things a little at every drawing
    notebook, png = layers(picture), len(picture._repr_html_())
    monkeypatch.setenv("BYOL_STATIC", "1")
    book, webp = layers(picture), len(picture._repr_html_())
    assert notebook.keys() == book.keys()
    assert webp < png
    for name in book:
        assert (notebook[name][0], book[name][0]) == ("png", "webp")
        first, second = (
            on(255, pixels[name][1]) for pixels in (notebook, book)
        )  # nothing shows where nothing is drawn
        assert (first == second).all()


def test_the_layers_together_are_the_picture(picture):
    """On white they are what png() draws, and each is transparent where it has nothing to show."""
    from PIL import Image as Images

    picture.set_layout_engine("none")
    shown = on(255, *(pixels for _, pixels in layers(picture).values()))
    whole = np.asarray(Images.open(BytesIO(picture.png(dpi=160))).convert("RGB"))
    assert np.abs(shown - whole).max() <= 4  # colour and opacity are rounded to 8 bits each
    assert all((pixels[..., 3] == 0).mean() > 0.1 for _, pixels in layers(picture).values())


def test_photographs_keep_their_colours_on_a_dark_page_and_what_is_drawn_does_not():
    """CSS turns the layer "bt-ink" around: its colours as they are drawn must not contain the photographs'."""
    photographs = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    photographs[:, 0] = 200  # one red, which nothing else has
    for picture in (
        F.image_grid(photographs, columns=2, titles=list("abcd")),
        F.view_pairs(photographs, photographs, photographs),
        F.neighbours(photographs[:1], {"a": photographs[None, :2]}, {"a": torch.tensor([[True, False]])}),
    ):
        found = layers(picture)
        assert list(found) == ["bt-photographs", "bt-ink"]
        has = {name: (pixels == (200, 0, 0, 255)).all(axis=-1) for name, (_, pixels) in found.items()}
        assert has["bt-photographs"].mean() > 0.1
        assert not has["bt-ink"].any()
        opaque = found["bt-photographs"][1][..., 3] > 0
        assert (found["bt-photographs"][1][opaque][:, :3] == (200, 0, 0)).all()  # no text, no frame
    assert list(layers(F.curves({"BYOL": RUN}))) == ["bt-ink"]


def test_a_picture_can_be_shown_and_changed_again():
    picture = F.image_grid(PICTURES, columns=3, titles=list("abcdef"))
    engine = picture.get_layout_engine()
    first = picture._repr_html_()
    assert type(picture.get_layout_engine()) is type(engine)
    assert all(artist.get_visible() for axes in picture.axes for artist in (*axes.images, axes.title))
    picture.axes[0].set_title("changed")
    assert picture._repr_html_() != first


# --- alternative texts --------------------------------------------------------------------------


def test_alternative_texts_have_the_numbers():
    assert (
        "before 0.30, after 0.90; hue: before 0.80"
        in F.bars({"shape": {"before": 0.3, "after": 0.9}, "hue": {"before": 0.8}}).alt
    )
    alt = F.lines({"a": ([1, 2, 3], [0.5, 0.9, 0.25]), "b": ([1, 3], [2, 7])}, "x", "y", alt="Two curves").alt
    assert alt == "Two curves. a: from 0.5 at 1 to 0.25 at 3, between 0.25 and 0.9; b: from 2 at 1 to 7 at 3"
    alt = F.curves({"BYOL": RUN | {"loss": [4.0] * 30 + [1.0] * 25, "std": [0.8] * 55}}).alt
    assert "BYOL: loss from 4 to 1;" in alt  # the smoothed line, whose last value is the mean of 25
    assert "quick kNN accuracy from 0.3 to 0.5" in alt
    found = torch.tensor([[True, False, True]])
    assert "2 of 3 under a" in F.neighbours(PICTURES[:1], {"a": PICTURES[None, :3]}, {"a": found}).alt
    assert "no values" in F.curves({"empty": {"loss": [], "std": []}}).alt


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
    dashes = [a.spines["top"].get_linestyle() for a in picture.axes if a.images and a.spines["top"].get_visible()]
    assert dashes[0] == "-" != dashes[1]  # not by colour alone


def test_texts_name_the_colours_of_the_frames_as_they_look():
    """A hue below 20 degrees is red to a reader, one from there to 45 is orange."""
    import colorsys

    hue, *_ = colorsys.rgb_to_hsv(*(int(F.RED[i : i + 2], 16) / 255 for i in (1, 3, 5)))
    assert 360 * hue < 20
    text = " ".join((ROOT / "notebooks" / "00_start_here.md").read_text("utf-8").split())
    assert "dashed red ones another" in text
    assert "red ones the way of the gradient" in text  # as course/figures/overview.py draws it
    assert "orange" not in text


@pytest.mark.slow
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


@pytest.mark.parametrize("base", [2, 10])
def test_the_numbers_of_a_logarithmic_axis_are_powers_and_not_their_source(base):
    """A power is as wide as two digits and a small one; the source of the formula is six times as wide."""

    def drawn(scale):
        figure = F.lines({"a": ([1, 2, 4, 1000], [1, 10, 100, 1000])}, "x", "$y$", title="$t$")
        getattr(figure.axes[0], f"set_{scale}scale")("log", base=base)
        figure.png()
        return figure

    for scale in "xy":
        figure = drawn(scale)
        axis = getattr(figure.axes[0], f"{scale}axis")
        widths = [label.get_window_extent().width for label in axis.get_ticklabels() if label.get_text()]
        assert len(widths) >= 3
        assert max(widths) < 40
        assert not figure.axes[0].yaxis.label.get_parse_math()


def test_a_wrong_neighbour_has_a_frame_with_gaps_and_a_right_one_has_none():
    for right in (False, True):
        black = torch.zeros(1, 2, 3, 8, 8, dtype=torch.uint8)
        figure = F.neighbours(black[0, :1], {"a": black}, {"a": torch.full((1, 2), right)})
        pixels = np.asarray(Image.open(BytesIO(figure.png())).convert("RGB")).astype(int)
        framed = (pixels.max(2) - pixels.min(2)) > 120  # green or red
        row = framed[framed.sum(1).argmax()]  # along the upper or the lower edge of a frame
        pieces = int((np.diff(row.astype(int)) == 1).sum())
        assert pieces == 2 if right else pieces > 8, pieces
