"""The film in a page from the disk, without a kernel and without a server."""

import pytest
import torch
from playwright.sync_api import expect
from test_film import recording

from byol_tutorial.live.recording import Recording
from byol_tutorial.widgets.film import film
from byol_tutorial.widgets.static import save_html

PIXELS = "() => document.querySelector('.bt-film canvas').toDataURL()"
INK = """() => {
  const c = document.querySelector('.bt-film canvas'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
  let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n; }"""


@pytest.fixture
def film_page(page, tmp_path):
    page.set_viewport_size({"width": 900, "height": 800})
    r = recording(60)
    spots = torch.linspace(-1, 1, 60)
    maps = torch.stack(
        (torch.stack((spots, spots), 1), torch.stack((spots, -spots), 1), torch.stack((spots, 0 * spots), 1))
    )
    panel = film(Recording(**{**vars(r), "maps": maps}))
    save_html(panel, tmp_path / "film.html")
    panel.close()
    page.goto((tmp_path / "film.html").as_uri())
    root = page.get_by_role("region", name="Embedding film")
    expect(root.get_by_role("img", name="Map by PCA of 60 images at epoch 0.0")).to_be_visible()
    return root


def settled(page):
    """Wait for the next frame, in which a requested drawing is made."""
    page.evaluate("() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))")


def test_scrubbing_moves_the_points(film_page, page):
    settled(page)
    first = page.evaluate(PIXELS)
    slider = film_page.get_by_label("epoch", exact=True)
    slider.fill("1")
    settled(page)
    second = page.evaluate(PIXELS)
    expect(film_page.get_by_role("img", name="at epoch 1.0")).to_be_visible()
    slider.fill("0.5")
    settled(page)
    assert len({first, second, page.evaluate(PIXELS)}) == 3  # between two maps the picture differs from both
    slider.fill("0")
    settled(page)
    assert page.evaluate(PIXELS) == first


def test_it_plays_to_the_end_and_stops(film_page, page):
    film_page.get_by_label("speed").select_option("0.5")
    film_page.get_by_role("button", name="play").click()
    expect(film_page.get_by_role("button", name="pause")).to_be_visible()
    film_page.get_by_label("speed").select_option("4")
    expect(film_page.get_by_role("button", name="play")).to_be_visible()
    expect(film_page.get_by_label("epoch", exact=True)).to_have_value("2")
    expect(film_page.get_by_role("img", name="at epoch 2.0")).to_be_visible()
    assert int(film_page.get_attribute("data-drawn")) > 3


def test_nothing_plays_by_itself(film_page, page):
    settled(page)
    drawn = film_page.get_attribute("data-drawn")
    page.wait_for_timeout(300)
    assert film_page.get_attribute("data-drawn") == drawn


def test_a_point_under_the_mouse_shows_its_image_and_views(film_page, page):
    box = film_page.get_by_role("img", name="Map by").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2 + 3, box["y"] + box["height"] / 2 - 3)
    for name in ("image x: ", "view v of ", "view v′ of "):
        tile = film_page.get_by_role("img", name=name)
        expect(tile).to_be_visible()
        assert tile.evaluate("(c) => c.getContext('2d').getImageData(8, 8, 1, 1).data[3]") == 255
    expect(film_page.locator("dl")).to_contain_text("class")
    page.mouse.click(box["x"] + box["width"] / 2 + 3, box["y"] + box["height"] / 2 - 3)
    expect(film_page.get_by_role("heading", name="nearest in y at epoch 0")).to_be_visible()
    assert film_page.locator(".bt-near canvas").count() == 5
    page.mouse.move(5, 5)
    expect(film_page.locator(".bt-near")).to_be_visible()  # a point that was pressed stays selected


def test_the_keyboard_goes_from_point_to_point(film_page, page):
    picture = film_page.get_by_role("img", name="Map by")
    picture.focus()
    seen = []
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "ArrowLeft"):
        page.keyboard.press(key)
        seen.append(film_page.get_by_role("img", name="image x").get_attribute("aria-label"))
    numbers = [int(label.split()[-1]) for label in seen]
    assert numbers[1] == numbers[0] + 1  # the points lie on a rising line
    assert numbers[2] == numbers[1] + 1
    assert numbers[3] == numbers[2] - 1
    page.keyboard.press("Enter")
    expect(film_page.locator(".bt-near")).to_be_visible()
    page.keyboard.press("Escape")
    expect(film_page.locator(".bt-near")).to_have_count(0)


def test_the_legend_hides_a_class(film_page, page):
    settled(page)
    everything = page.evaluate(INK)
    key = film_page.get_by_role("button", name="a", exact=True)
    key.click()
    page.mouse.move(5, 5)
    expect(key).to_have_attribute("aria-pressed", "false")
    settled(page)
    half = page.evaluate(INK)
    assert half < 0.9 * everything
    key.click()
    page.mouse.move(5, 5)  # a class under the mouse is highlighted
    settled(page)
    assert page.evaluate(INK) == everything


def test_colour_by_a_factor(film_page, page):
    settled(page)
    before = page.evaluate(PIXELS)
    film_page.get_by_label("colour by").select_option("hue")
    settled(page)
    assert page.evaluate(PIXELS) != before
    expect(film_page.locator(".bt-ramp")).to_be_visible()
    settled(page)
    everything = page.evaluate(INK)
    film_page.get_by_role("button", name="a", exact=True).click()  # classes can be hidden with any colouring
    page.mouse.move(5, 5)
    settled(page)
    assert page.evaluate(INK) < 0.9 * everything


def test_a_class_under_the_mouse_stands_out(film_page, page):
    settled(page)
    before = page.evaluate(PIXELS)
    film_page.get_by_role("button", name="b", exact=True).hover()
    settled(page)
    assert page.evaluate(PIXELS) != before
    page.mouse.move(5, 5)
    settled(page)
    assert page.evaluate(PIXELS) == before


def test_the_strip_is_pressed_and_dragged(film_page, page):
    strip = film_page.get_by_role("img", name="Spread √d·std from").bounding_box()
    slider = film_page.get_by_label("epoch", exact=True)
    y, left, right = strip["y"] + 40, strip["x"] + 30, strip["x"] + strip["width"] - 8
    page.mouse.move((left + right) / 2, y)
    page.mouse.down()
    assert float(slider.input_value()) == pytest.approx(1, abs=0.02)
    page.mouse.move(left + 0.75 * (right - left), y)
    assert float(slider.input_value()) == pytest.approx(1.5, abs=0.02)
    page.mouse.move(right + 50, y)
    page.mouse.up()
    assert float(slider.input_value()) == 2
    page.mouse.move(left, y)
    assert float(slider.input_value()) == 2


def test_neighbours_are_those_of_the_map_that_is_shown(film_page, page):
    """The neighbours are computed in the space that is mapped, and change with it."""
    picture = film_page.get_by_role("img", name="Map by")
    picture.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    image = int(film_page.get_by_role("img", name="image x").get_attribute("aria-label").split()[-1])
    for frame in (0, 2):
        film_page.get_by_label("epoch", exact=True).fill(str(frame))
        expect(film_page.get_by_role("heading", name=f"nearest in y at epoch {frame}")).to_be_visible()
        labels = film_page.locator(".bt-near canvas").evaluate_all(
            "(all) => all.map((c) => c.getAttribute('aria-label'))"
        )
        assert [int(label.split()[-1]) for label in labels] == recording(60).neighbours[frame, image].tolist()


def test_with_reduced_motion_it_goes_from_map_to_map(film_page, page):
    page.emulate_media(reduced_motion="reduce")
    maps = []
    for frame in (0, 1, 2):
        film_page.get_by_label("epoch", exact=True).fill(str(frame))
        settled(page)
        maps.append(page.evaluate(PIXELS))
    seen = page.evaluate(
        """() => new Promise((resolve) => {
          const root = document.querySelector(".bt-film"), play = root.querySelector("button"), seen = new Set();
          const look = () => {
            seen.add(root.querySelector("canvas").toDataURL());
            play.textContent.includes("pause") ? requestAnimationFrame(look) : resolve([...seen]);
          };
          play.click();
          requestAnimationFrame(look);
        })"""
    )
    assert set(seen) <= set(maps)
    assert len(seen) >= 2


@pytest.mark.parametrize("width", [360, 900, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits(film_page, page, width, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    colours = film_page.evaluate("(e) => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]")
    assert colours[0] != colours[1]
