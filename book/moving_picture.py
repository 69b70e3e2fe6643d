"""Film the playground for the README: make moving-picture

BYOL trains in Chromium until it knows the shapes. Then its predictor is removed, and the answers run together. The film is
book/_assets/playground.webp. Training goes on only as far as the next picture needs, so the film does not depend on how
fast the machine is.
"""

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page, sync_playwright

import byol_tutorial as bt
from byol_tutorial.widgets.static import save_html

OUT = Path(__file__).parent / "_assets" / "playground.webp"
REMOVED, END = 1200, 1640  # the step at which the predictor is removed, and the last one
LEARNING, COLLAPSING = 38, 26  # pictures of each part, which begin close together, because most happens at first
MILLISECONDS, LAST = 100, 1500  # for which the film shows a picture, and the last one of each part
PAGE, SHOWN = (1000, 900), 820  # pixels of the browser's window, and the width of the film
ROOM = 28  # pixels below, because the verdict becomes longer
QUALITIES = (70, 50, 30)
LIMIT = 1_000_000  # bytes

# A run goes on only when it is told to: "run" of the panel is left out, and advance(n) trains until step n.
BY_HAND = """
try { localStorage.setItem("byol-playground-tour", "seen"); } catch { /* about:blank has no storage */ }
globalThis.Worker = class extends Worker {
  postMessage(message, ...rest) {
    globalThis.advance = (until) => super.postMessage({do: "run", until});
    if (message.do !== "run") super.postMessage(message, ...rest);
  }
};"""
AT_STEP = """(n) => document.querySelector(".bt-counter").textContent.startsWith(`step ${n} `)"""
DRAWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def steps() -> list[int]:
    """Return the steps at which there is a picture."""
    learning = [round(REMOVED * (k / LEARNING) ** 1.5) for k in range(LEARNING + 1)]
    collapsing = [REMOVED + round((END - REMOVED) * (k / COLLAPSING) ** 1.5) for k in range(1, COLLAPSING + 1)]
    return sorted({*learning, *collapsing})


def film(page: Page, panel: Locator) -> list[Image.Image]:
    """Train, and return a picture of the panel down to the network at each of `steps`."""
    panel.get_by_role("button", name="train").click()
    network = panel.get_by_role("img", name="Network: ")
    pictures = []
    for step in steps():
        if step:
            page.evaluate("(n) => advance(n)", step)
            page.wait_for_function(AT_STEP, arg=step)
            page.evaluate(DRAWN)
        if not pictures:
            top, bottom = panel.bounding_box(), network.bounding_box()
            height = bottom["y"] + bottom["height"] - top["y"] + ROOM
            clip = {"x": top["x"], "y": top["y"], "width": top["width"], "height": height}
        shot = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")
        pictures.append(shot.resize((SHOWN, round(SHOWN * shot.height / shot.width)), Image.Resampling.LANCZOS))
    return pictures


def packed(pictures: list[Image.Image]) -> bytes:
    """Return the film in the best quality that is below LIMIT."""
    times = [LAST if step in (REMOVED, END) else MILLISECONDS for step in steps()]
    for quality in QUALITIES:
        file = io.BytesIO()
        pictures[0].save(
            file, "WEBP", save_all=True, append_images=pictures[1:], duration=times, loop=0, quality=quality, method=4
        )
        if file.tell() < LIMIT:
            print(f"{len(pictures)} pictures, {sum(times) / 1000:.1f} s, quality {quality}, {file.tell():,} bytes")
            return file.getvalue()
    sys.exit(f"the film has {file.tell():,} bytes at the lowest quality: take fewer pictures")


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("the film needs Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "playground.html"
        save_html(bt.widgets.playground(), file)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": PAGE[0], "height": PAGE[1]}, color_scheme="light")
        page.set_default_timeout(120_000)
        page.add_init_script(BY_HAND)
        page.goto(f"{file.as_uri()}#playground&{REMOVED}:predictor=identity&steps={END}")
        page.wait_for_function("() => document.querySelector('.bt-verdict')?.textContent.startsWith('not trained yet')")
        pictures = film(page, page.get_by_role("region", name="BYOL playground"))
        browser.close()
    OUT.write_bytes(packed(pictures))


if __name__ == "__main__":
    main()
