"""Film the playground in Chromium for the README's first screen: make moving-picture

BYOL trains beside the same run without its predictor; the second collapses. The film is book/_assets/playground.webp, below
one megabyte.
"""

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

import byol_tutorial as bt
from byol_tutorial.widgets.static import save_html

OUT = Path(__file__).parent / "_assets" / "playground.webp"
FRAGMENT = "#playground&b&predictor=identity"
SHOWN = ".bt-counter, .bt-verdict, .bt-views"  # what the film shows of the panel
WIDTH, HEIGHT = 1000, 760  # of the page, in pixels
STEPS = 2400  # of training
FRAMES = 60  # of the film, more of them at first, when most happens
MILLISECONDS = 125  # for which the film shows each frame, the last for longer
ROOM = 60  # pixels below, because the verdicts become longer
LIMIT = 1_000_000  # bytes


def film(page, panel) -> list[Image.Image]:
    """Train, and return a picture of the panel every few steps."""
    boxes = [box for one in panel.locator(SHOWN).all() if (box := one.bounding_box())]
    top, bottom = min(box["y"] for box in boxes) - 8, max(box["y"] + box["height"] for box in boxes) + ROOM
    panel.get_by_role("button", name="train").click()
    pictures = []
    for k in range(FRAMES):
        page.wait_for_function(
            "(n) => Number(document.querySelector('.bt-counter').textContent.match(/step (\\d+)/)[1]) >= n",
            arg=round(STEPS * ((k + 1) / FRAMES) ** 2),
            timeout=120_000,
        )
        shot = page.screenshot(clip={"x": 0, "y": top, "width": WIDTH, "height": bottom - top}, full_page=True)
        pictures.append(Image.open(io.BytesIO(shot)).convert("RGB"))
    return pictures


def main() -> None:
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if browser_path is None:
        sys.exit("Chromium is not installed: apt-get install chromium, or another way of your system")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "playground.html"
        save_html(bt.widgets.playground(), file)
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.add_init_script(
            "try { localStorage.setItem('byol-playground-tour', 'seen'); } catch { /* about:blank has none */ }"
        )
        page.goto(file.as_uri() + FRAGMENT)
        panel = page.get_by_role("region", name="BYOL playground")
        page.wait_for_function("() => !document.querySelector('.bt-verdict').textContent.includes('drawing')")
        pictures = film(page, panel)
        browser.close()
    times = [MILLISECONDS] * (len(pictures) - 1) + [3000]
    for quality in (70, 55, 40, 25):
        packed = io.BytesIO()
        pictures[0].save(
            packed, "WEBP", save_all=True, append_images=pictures[1:], duration=times, loop=0, quality=quality, method=6
        )
        if packed.tell() < LIMIT:
            OUT.write_bytes(packed.getvalue())
            print(f"{OUT}: {packed.tell():,} bytes, quality {quality}, {len(pictures)} frames")
            return
    sys.exit(f"the film has {packed.tell():,} bytes at the lowest quality: take fewer frames")


if __name__ == "__main__":
    main()
