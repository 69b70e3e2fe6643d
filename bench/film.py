"""Measure the frames a second of the embedding film, and its size: python bench/film.py

The film shows 5,000 points of "shapes" in four maps, as a page from the disk in headless Chromium without a GPU,
playing at normal speed. A frame is drawn by requestAnimationFrame, at most 60 a second; draw_ms is the time of one
frame until its pixels can be read. The size is that of the page. For the phase plane, the time from moving a slider until the
new basin is drawn is measured.
"""

import statistics
import tempfile
from pathlib import Path

import common
import torch
from cockpit import FLAGS, chromium
from playwright.sync_api import sync_playwright

import byol_tutorial as bt
from byol_tutorial.widgets import film, phase_plane, save_html

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

# The time of moving a slider is the time of its own event plus that of the drawing in the next frame, measured from a
# callback that was requested before the panel's to one that was requested after it.
DRAW = """async ([panel, label, values]) => {
  const root = document.querySelector(panel), canvas = root.querySelector("canvas").getContext("2d"), taken = [];
  const name = [...root.querySelectorAll("label")].find((l) => l.textContent.includes(label));
  const slider = document.getElementById(name.getAttribute("for"));
  for (const value of values) taken.push(await new Promise((resolve) => {
    let frame;
    requestAnimationFrame(() => { frame = performance.now(); });
    const start = performance.now();
    slider.value = value;
    slider.dispatchEvent(new Event("input"));
    const moved = performance.now() - start;
    requestAnimationFrame(() => { canvas.getImageData(0, 0, 1, 1); resolve(moved + performance.now() - frame); });
  }));
  return taken;
}"""


def milliseconds(taken: list[float]) -> dict:
    return {"median": round(statistics.median(taken), 1), "longest": round(max(taken), 1)}


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
            positions = [(recording.maps.shape[0] - 1) * i / 60 for i in range(60)]
            drawing = page.evaluate(DRAW, [".bt-film", "epoch", positions])
            page.evaluate(FRAMES)
            times = page.evaluate(FRAMES)
            gaps = torch.tensor(times).diff()
            result[f"{n} points"] = {
                "frames_per_second": round(1000 / statistics.mean(gaps.tolist()), 1),
                "slowest_frame_ms": round(gaps.max().item(), 1),
                "95 % of frames within ms": round(gaps.quantile(0.95).item(), 1),
                "frames": len(times),
                "draw_ms": milliseconds(drawing[5:]),
                "page_bytes": path.stat().st_size,
                "numbers_bytes": len(panel.data),
                "pictures_bytes": len(panel.atlas),
            }
            page.close()
        save_html(phase_plane(), Path(folder) / "plane.html")
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.goto((Path(folder) / "plane.html").as_uri())
        page.wait_for_selector(".bt-phase")
        taken = page.evaluate(DRAW, [".bt-phase", "weight decay", [0.005 * i for i in range(60)]])
        result["phase plane"] = {"slider_to_picture_ms": milliseconds(taken[5:])}
        result["chromium"] = browser.version
        browser.close()
    print(result)
    common.write("film", result)


if __name__ == "__main__":
    main()
