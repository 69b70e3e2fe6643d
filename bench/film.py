"""Frames a second of the embedding film, and its size. python bench/film.py

5,000 points of "shapes" through four maps, as a page from the disk in headless Chromium without a GPU, playing at
normal speed. A frame is drawn by requestAnimationFrame, at most 60 a second. The size is that of the page.
"""

import statistics
import tempfile
from pathlib import Path

import common
import torch
from cockpit import FLAGS, chromium
from playwright.sync_api import sync_playwright

import byol_tutorial as bt
from byol_tutorial.widgets import film, save_html

FRAMES = """() => new Promise((resolve) => {
  const root = document.querySelector(".bt-film"), times = [];
  let drawn = 0;
  const look = (t) => {
    if (root.dataset.drawn !== drawn) { drawn = root.dataset.drawn; times.push(t); }
    if (root.querySelector("button").textContent.includes("pause") || times.length < 3) requestAnimationFrame(look);
    else resolve(times);
  };
  root.querySelector("button").click();
  requestAnimationFrame(look);
})"""


def main() -> None:
    train = bt.load("shapes", limit=5000)
    config = bt.preset("shapes", epochs=3, warmup_epochs=1.0, knn_every=0)
    recording = bt.record(bt.Trainer(config, train), train, progress=False)
    result = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        for n in (2000, 5000):
            some = {
                k: v[:, :n]
                for k, v in (("maps", recording.maps), ("neighbours", recording.neighbours.clamp(max=n - 1)))
            }
            some |= {k: getattr(recording, k)[:n] for k in ("images", "views", "labels")}
            some["factors"] = {k: v[:n] for k, v in recording.factors.items()}
            panel = film(type(recording)(**{**vars(recording), **some}))
            path = Path(folder) / f"{n}.html"
            save_html(panel, path)
            page = browser.new_page(viewport={"width": 1200, "height": 900})
            page.goto(path.as_uri())
            page.wait_for_selector(".bt-film")
            page.evaluate(FRAMES)
            times = page.evaluate(FRAMES)
            gaps = torch.tensor(times).diff()
            result[f"{n} points"] = {
                "frames_per_second": round(1000 / statistics.mean(gaps.tolist()), 1),
                "slowest_frame_ms": round(gaps.max().item(), 1),
                "95 % of frames within ms": round(gaps.quantile(0.95).item(), 1),
                "frames": len(times),
                "page_bytes": path.stat().st_size,
                "numbers_bytes": len(panel.data),
                "pictures_bytes": len(panel.atlas),
            }
            page.close()
        result["chromium"] = browser.version
        browser.close()
    print(result)
    common.write("film", result)


if __name__ == "__main__":
    main()
