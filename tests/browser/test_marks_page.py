"""The marks of classes on a panel's map and in its legend, as Chromium draws them."""

import numpy as np
import pytest
from matplotlib.path import Path
from playwright.sync_api import expect

from byol_tutorial.figures import COLOURS, mark
from byol_tutorial.widgets.assets import script, source

pytestmark = pytest.mark.browser
SIZE, RADIUS = 60, 16
DRAW = """([how, size, radius]) => {
  const canvas = Object.assign(document.createElement("canvas"), {width: size, height: size}), context = canvas.getContext("2d");
  return BT_MARKS.map((_, k) => {
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (how === "fill") btMark(context, k, size / 2, size / 2, radius);
    else {
      const dots = makeDots(radius);
      dots.start(context);
      dots.dot(size / 2 - 0.5, size / 2 - 0.5, dotsRgb(BT_COLOURS[k]), 1, k);
      dots.finish();
    }
    return [...context.getImageData(0, 0, canvas.width, canvas.height).data];
  });
}"""


@pytest.mark.parametrize("how", ["fill", "dots"])
def test_marks_are_drawn_as_in_figures(page, how):
    page.add_script_tag(content=source("dots", "js"))
    drawn = np.array(page.evaluate(DRAW, [how, SIZE, RADIUS]), np.uint8).reshape(len(COLOURS), SIZE, SIZE, 4)
    middle = np.arange(SIZE) + 0.5 - SIZE / 2
    places = np.stack(np.meshgrid(middle, middle), -1).reshape(-1, 2)
    for colour, pixels in zip(COLOURS, drawn, strict=True):
        wanted = Path(mark(colour) * RADIUS * [1, -1]).contains_points(places).reshape(SIZE, SIZE)
        assert np.abs(pixels[..., 3] / 255 - wanted).mean() < 0.02, colour
        if how == "dots":
            assert [int(colour[i : i + 2], 16) for i in (1, 3, 5)] == pixels[SIZE // 2, SIZE // 2, :3].tolist()


def test_a_legend_shows_each_class_with_its_colour_and_its_mark(page):
    page.add_script_tag(content=script("common.js"))
    page.evaluate("document.body.append(...BT_COLOURS.map((_, k) => btKey(k)))")
    keys = page.locator("i.bt-class")
    expect(keys).to_have_count(10)
    styles = keys.evaluate_all(
        "(all) => all.map((e) => [getComputedStyle(e).backgroundColor, getComputedStyle(e).clipPath])"
    )
    rgb = [f"rgb({', '.join(str(int(c[i : i + 2], 16)) for i in (1, 3, 5))})" for c in COLOURS]
    assert [style[0] for style in styles] == rgb
    assert len({style[1] for style in styles}) == 10
    for (_, clip), colour in zip(styles, COLOURS, strict=True):
        corners = [[float(x.strip().rstrip("%")) for x in pair.split()] for pair in clip[8:-1].split(",")]
        shape = mark(colour) * [1, -1]
        np.testing.assert_allclose((np.array(corners) - 50) / 33, shape, atol=1e-3)
