"""The built book in Chromium: requests, errors, links, alt text, contrast and width are strict, and panels work.

`make test` builds the book at smoke scale first, and names its folder in BYOL_BOOK.
"""

import functools
import http.server
import io
import os
import platform
import re
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect
from prose import LONGEST_LINE

ROOT = Path(__file__).parents[2]
BOOK = Path(os.environ.get("BYOL_BOOK") or ROOT / "build" / "html").resolve()
PAGES = sorted(str(p.relative_to(BOOK)) for p in BOOK.rglob("*.html")) if BOOK.exists() else ["book/index.html"]
WIDGETS = ("book/play.html", "notebooks/live_controls.html")
MEGABYTE = 1e6

pytestmark = pytest.mark.skipif(not (BOOK / "book" / "index.html").exists(), reason=f"no book in {BOOK}: make book")

# Rules of axe-core that the theme breaks and the course cannot correct, each with its reason.
AXE_OFF = {
    "landmark-unique": "the theme has two unnamed navigation landmarks",
    "landmark-no-duplicate-banner": "the theme's header and the article's",
    "region": "the theme's skip link and header stand outside of landmarks",
}


@pytest.fixture(scope="module")
def site():
    """Return the address of the book on a plain static server."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(BOOK)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def opened(page, address: str):
    """Open the page, and wait until its equations are typeset and its panels are drawn."""
    page.goto(address, wait_until="load")
    page.evaluate("() => globalThis.MathJax?.startup?.promise")
    page.wait_for_function("() => [...document.querySelectorAll('.bt-static')].every((e) => e.querySelector('.bt'))")
    return page


def violations(page) -> list[str]:
    """Return the findings of axe-core, one line each."""
    options = {"preload": False, "rules": {rule: {"enabled": False} for rule in AXE_OFF}}
    context = {"exclude": [["th:has(mjx-container)"]]}  # axe does not read MathML, and takes an equation for empty
    found = Axe().run(page, context=context, options=options).response["violations"]
    return [
        f"{v['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:200]}" for v in found for node in v["nodes"]
    ]


@pytest.mark.parametrize("name", PAGES)
def test_page(page, site, name):
    """The page fixture fails the test for requests to other hosts and for errors on the console."""
    loaded = []
    page.on("response", lambda r: loaded.append(BOOK / urlsplit(r.url).path.lstrip("/")))
    if name == "index.html":  # it redirects to the first page
        page.goto(f"{site}/{name}")
        page.wait_for_url("**/book/index.html*")
        return
    opened(page, f"{site}/{name}")
    assert (
        page.evaluate(
            "() => [...document.images].filter((i) => !i.hasAttribute('alt') || !i.complete || !i.naturalWidth).length"
        )
        == 0
    )
    assert (
        page.evaluate(
            "() => [...document.querySelectorAll('article .math')].filter((m) => !m.querySelector('mjx-container')).length"
        )
        == 0
    )
    assert page.evaluate("() => document.querySelectorAll('mjx-merror').length") == 0
    assert page.locator('script[type^="application/vnd.jupyter.widget"]').count() == 0
    assert 0.1 * MEGABYTE < sum(file.stat().st_size for file in loaded if file.is_file()) <= 6 * MEGABYTE
    page.emulate_media(color_scheme="light")
    assert violations(page) == []
    too_wide = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    for width in (820, 360):  # a tablet, a phone
        page.set_viewport_size({"width": width, "height": 740})
        page.wait_for_function(f"() => ({too_wide})() <= 0", timeout=10_000)


@pytest.mark.parametrize(
    "name",
    [
        "book/index.html",
        "book/play.html",
        "book/summary.html",
        "notebooks/03_build_byol.html",
        "notebooks/live_controls.html",
    ],
)
def test_dark_pages_are_readable(page, site, name):
    page.emulate_media(color_scheme="dark")
    opened(page, f"{site}/{name}")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert max(map(int, re.findall(r"\d+", ground)[:3])) < 80
    assert violations(page) == []


LESSONS = [p for p in PAGES if re.match(r"notebooks/(\d|live)", p)]


@pytest.mark.parametrize("name", LESSONS)
def test_the_code_of_a_lesson_fits_and_its_solutions_are_closed(page, site, name):
    """On a screen of 1366 pixels no cell scrolls sideways, and no line of prose has more than 100 characters at 1920."""
    page.set_viewport_size({"width": 1366, "height": 768})
    opened(page, f"{site}/{name}")
    cells = page.locator("article.bd-article .cell_input pre")
    assert cells.count() > 3
    assert cells.evaluate_all("(all) => all.filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.innerText)") == []
    solutions = page.locator("article.bd-article details.hide")
    assert solutions.locator("summary").all_inner_texts() == ["Show the solution"] * solutions.count()
    assert solutions.evaluate_all("(all) => all.filter((e) => e.open).length") == 0
    assert not page.locator("article.bd-article").inner_text().count("Solution of")
    page.set_viewport_size({"width": 1920, "height": 1080})
    assert 70 <= page.locator("article.bd-article p:not(.bt *)").evaluate_all(LONGEST_LINE) <= 100


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_follow_the_scheme(page, site, scheme):
    page.emulate_media(color_scheme=scheme)
    opened(page, f"{site}/notebooks/00_start_here.html")
    picture = page.locator(".bt-picture").last
    pixels = np.asarray(Image.open(io.BytesIO(picture.screenshot())).convert("RGB")).astype(int)
    ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert abs(pixels[1, pixels.shape[1] // 2] - [int(c) for c in re.findall(r"\d+", ground)][:3]).max() <= 1
    grey = pixels.mean(axis=2)
    assert grey.min() < 80 if scheme == "light" else grey.max() > 180  # its words


class Links(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.links, self.anchors = [], {""}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors |= {attributes[k] for k in ("id", "name") if attributes.get(k)}
        if tag in ("a", "link", "img", "script") and (link := attributes.get("href") or attributes.get("src")):
            self.links.append(link)


def test_internal_links_lead_somewhere_and_nothing_is_loaded_from_elsewhere():
    texts = {p: p.read_text(encoding="utf-8") for p in BOOK.rglob("*.html")}
    parsed = {p: Links(text) for p, text in texts.items()}
    dead = []
    for p, content in parsed.items():
        for link in content.links:
            target, anchor = urldefrag(link)
            if re.match(r"[a-z]+:", target):
                continue
            file = (p.parent / unquote(target.split("?")[0])).resolve() if target else p
            found = not anchor or file not in parsed or unquote(anchor) in parsed[file].anchors
            if target.endswith("playground") or "?playground&" in target:  # an experiment, which the page's panel opens
                found = "bt bt-playground" in texts.get(file, "")  # the class of the panel, in its module
            if not file.exists() or not found:
                dead.append(f"{p.relative_to(BOOK)}: {link}")
    assert dead == []
    for p, text in texts.items():
        loads = re.findall(r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=\"(?:https?:)?//[^\"]*", text)
        assert loads == [], p


def test_no_page_tells_who_built_it():
    """`make test` builds as a user whose name, home and temporary folder hold "zz-canary"; see the Makefile."""
    names = ["zz-canary", f"{ROOT}/"] + ([platform.node()] if re.fullmatch(r"(?=.*\d).{8,}", platform.node()) else [])
    told = []
    for file in (p for p in BOOK.rglob("*") if p.is_file()):
        content = file.read_bytes()
        told += [f"{file.relative_to(BOOK)}: {name}" for name in names if name.encode() in content]
    assert told == []


def test_sizes():
    files = [p for p in BOOK.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 40 * MEGABYTE
    assert not [p for p in files if p.suffix == ".map"]


def test_search_finds_a_word_of_the_glossary(page, site):
    opened(page, f"{site}/search.html?q=eigenspace")
    result = page.locator("#search-results li a").filter(has_text="Glossary")
    expect(result.first).to_be_visible()


@pytest.mark.parametrize("name", ["book/index.html", "book/play.html", "notebooks/03_build_byol.html"])
def test_it_opens_from_a_disk(page, name):
    opened(page, (BOOK / name).as_uri())
    assert page.evaluate(
        "() => document.querySelectorAll('article .math').length == document.querySelectorAll('article .math mjx-container').length"
    )
    page.goto((BOOK / "search.html").as_uri() + "?q=eigenspace")
    expect(page.locator("#search-results li a").first).to_be_visible()


def test_a_lesson_opens_a_prepared_experiment(page, site):
    opened(page, f"{site}/notebooks/00_start_here.html")
    page.get_by_role("link", name="playground").click()
    panel = page.get_by_role("region", name="BYOL playground")
    expect(panel.get_by_role("combobox", name="predictor")).to_have_value("identity")
    expect(panel).to_be_in_viewport()
    assert re.search(
        r"book/play\.html\?playground=?&predictor=identity&steps=200$", page.url
    )  # a script may add the "="


SCHEMES = ("light", "dark")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("where", ["server", "disk"])
def test_icons_show(page, site, scheme, where):
    """Each icon is drawn in the book's own font: another font would draw the same box for all of them."""
    page.emulate_media(color_scheme=scheme)
    name = "notebooks/03_build_byol.html"
    opened(page, f"{site}/{name}" if where == "server" else (BOOK / name).as_uri())
    page.wait_for_function("() => document.fonts.ready.then(() => true)")
    page.wait_for_function(
        "() => document.getAnimations().every((a) => a.playState !== 'running')"
    )  # the theme's colours fade
    icons = page.evaluate(
        """() => [...document.querySelectorAll('[class*="fa-"]')].map((e) => {
          const style = getComputedStyle(e, "::before"), glyph = style.content.slice(1, -1);
          const draw = (family) => {
            const c = Object.assign(document.createElement("canvas"), {width: 60, height: 60}).getContext("2d");
            c.font = `${style.fontWeight} 40px ${family}`;
            c.fillText(glyph, 5, 45);
            return c.canvas.toDataURL();
          };
          return {name: e.className, glyph, visible: e.checkVisibility() && e.getBoundingClientRect().width > 4,
            own: draw(style.fontFamily), other: draw("sans-serif"), ink: style.color,
            hidden: e.closest('[aria-hidden="true"]') !== null};
        })"""
    )
    assert len(icons) > 8
    for icon in icons:
        assert len(icon["glyph"]) == 1, icon
        assert icon["own"] != icon["other"], icon
        assert icon["hidden"], icon
    assert len({icon["own"] for icon in icons}) == len({icon["glyph"] for icon in icons}) > 6
    shown = [icon for icon in icons if icon["visible"]]
    assert {"fa-bars", "fa-expand", "fa-circle-half-stroke"} <= {n for icon in shown for n in icon["name"].split()}
    for icon in shown:
        light = sum(map(int, re.findall(r"\d+", icon["ink"])[:3])) / 3 > 127
        assert light == (scheme == "dark"), icon


def test_what_panels_have_in_common_is_in_a_page_once():
    """Each module and each block of bytes that a panel names is in the page exactly once."""
    for name in PAGES:
        text = (BOOK / name).read_text(encoding="utf-8")
        sources = re.findall(r'data-bt-source="(\w+)">', text)
        named = re.findall(r'data-bt-module="(\w+)"|"bytes": "(\w+)"', text)
        assert len(sources) == len(set(sources)), name
        assert {a or b for a, b in named} == set(sources), name
    films = re.findall(r'"atlas": \{"bytes": "(\w+)"', (BOOK / "notebooks/09_see_it_umap.html").read_text("utf-8"))
    assert len(films) == 2
    assert len(set(films)) == 1


# --- terms -------------------------------------------------------------------------------------------


def term(page, place: str):
    return page.locator(f"article a[href$='glossary.html#term-{place}']").first, page.locator(f"#about-term-{place}")


def test_a_term_says_what_it_means_to_pointer_and_keyboard(page, site):
    opened(page, f"{site}/notebooks/00_start_here.html")
    link, text = term(page, "predictor")
    expect(link).to_have_accessible_description(re.compile("a small network that only the online side has"))
    expect(text).to_be_hidden()
    link.hover()
    expect(text).to_be_visible()
    text.hover()  # the definition stays while the pointer moves from the word to it
    page.wait_for_timeout(400)
    expect(text).to_be_visible()
    page.mouse.move(0, 0)
    expect(text).to_be_hidden()
    link.evaluate("(e) => { const a = document.createElement('button'); a.id = 'before'; e.before(a); a.focus(); }")
    page.keyboard.press("Tab")
    expect(link).to_be_focused()
    expect(text).to_be_visible()
    page.keyboard.press("Escape")
    expect(text).to_be_hidden()
    link.press("Enter")
    page.wait_for_url("**/book/glossary.html#term-predictor")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_definition_fits_and_is_readable(page, scheme):
    """A definition with an equation works on a phone, from a disk."""
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 360, "height": 740})
    opened(page, (BOOK / "notebooks/00_start_here.html").as_uri())
    link, text = term(page, "predictor")
    link.scroll_into_view_if_needed()
    link.focus()
    expect(text.locator("mjx-container").first).to_be_visible()
    box = text.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= 740
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    assert violations(page) == []


def test_every_lesson_leads_to_the_glossary_and_no_heading_does():
    for name in PAGES:
        if re.match(r"notebooks/\d", name):
            text = (BOOK / name).read_text(encoding="utf-8")
            places = re.findall(r'<a class="[^"]*" href="[./]*book/glossary.html#(term-[\w-]+)"', text)
            assert len(places) == len(set(places)) >= 5, name
            assert {f"about-{place}" for place in places} == set(re.findall(r'id="(about-[\w-]+)"', text)), name
            assert not re.search(r"<h\d[^>]*>(?:(?!</h\d>).)*glossary.html#term", text, re.S), name


# --- panels without a kernel ---------------------------------------------------------------------


def moved(page, region, slider: str, picture: str, keys: str = "ArrowLeft"):
    """Return whether the picture's pixels change when the slider is moved by keyboard."""
    target = region.locator(picture).first
    target.scroll_into_view_if_needed()
    before = target.evaluate("(c) => c.toDataURL()")
    region.get_by_role("slider", name=slider).press(keys)
    page.wait_for_function("([c, before]) => c.toDataURL() !== before", arg=[target.element_handle(), before])


def test_the_board_follows_its_controls(page, site):
    opened(page, f"{site}/book/play.html")
    board = page.get_by_role("region", name="Hyperparameter board")
    expect(board.locator(".bt-verdict")).to_contain_text("healthy: spread kept")
    moved(page, board, "decay rate τ", "canvas")
    moved(page, board, "decay rate τ", "canvas[aria-label^='Map']", "End")
    board.get_by_role("button", name="BYOL").click()
    board.get_by_label("predictor").uncheck()
    expect(board.locator(".bt-verdict")).to_contain_text("collapse")
    board.get_by_label("predictor").check()
    board.get_by_label("stop-gradient").uncheck()
    expect(board.locator(".bt-verdict")).to_contain_text("collapse")
    expect(board.get_by_role("slider", name="decay rate τ")).to_be_disabled()


def test_the_strip_follows_its_controls(page, site):
    opened(page, f"{site}/book/play.html")
    strip = page.get_by_role("region", name="Augmentation strip")
    moved(page, strip, "strength", "canvas >> nth=1")
    strip.get_by_label("operation").select_option(label="grayscale")
    strip.get_by_role("slider", name="strength").press("End")
    expect(strip.get_by_role("img").first).to_have_attribute("aria-label", re.compile("grayscale, probability 1"))
    pixels = (
        strip.locator("canvas")
        .nth(1)
        .evaluate("(c) => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]")
    )
    assert all(pixels[i] == pixels[i + 1] == pixels[i + 2] for i in range(0, len(pixels), 4))


def test_phase_plane_and_film_follow_their_sliders(page, site):
    opened(page, f"{site}/book/play.html")
    moved(page, page.get_by_role("region", name="Phase plane"), "η, weight decay", "canvas", "ArrowRight")
    opened(page, f"{site}/notebooks/live_controls.html")
    moved(page, page.get_by_role("region", name="Embedding film"), "epoch", "canvas", "End")


def test_panels_that_need_a_kernel_say_how_to_run_them(page, site):
    opened(page, f"{site}/notebooks/live_controls.html")
    for text in ("run the notebook for live controls", "To move its controls, run in a notebook"):
        expect(page.get_by_text(text).first).to_be_visible()


def test_nothing_moves_by_itself(page, site):
    page.emulate_media(reduced_motion="reduce")
    opened(page, f"{site}/book/play.html")
    page.wait_for_function("() => document.getAnimations().every((a) => a.playState !== 'running')")
    first = page.screenshot(animations="allow")
    page.evaluate(
        "() => new Promise((f) => { let n = 0; const g = () => (++n < 20 ? requestAnimationFrame(g) : f()); g(); })"
    )
    assert page.screenshot(animations="allow") == first
