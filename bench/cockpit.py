"""How much does the cockpit slow training down, and how fast does it respond? python bench/cockpit.py

Measured in JupyterLab, in headless Chromium on this machine, with the default recipe for "shapes":
  first picture   from running the cell to the drawn panel, without the imports
  control         from moving a slider to the frame that shows the finished change, during training
  frames          of the curves in the page, and of the map while it glides, a second, during training
  cores           that each program keeps busy meanwhile, by its CPU time: kernel, server, browser
  speed           steps a second of a run that plays, with the panel in the page, and of a Trainer alone; measured in turns
  runs again      what thirty more runs of the panel's cell, with some steps each, add to the kernel's memory and to the page
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import common
import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
from lab import Lab, command, nodes
from playwright.sync_api import sync_playwright

from conftest import FLAGS, chromium

ROUNDS, SECONDS, MOVES, PLAY, AGAIN = 7, 8.0, 20, 10.0, 30
SETUP = """import json, os, time
import psutil
import byol_tutorial as bt
train, test = bt.load("shapes"), bt.load("shapes", "test")
config = bt.preset("shapes", epochs=100, knn_every=0)
bt.Trainer(config, train, test).step(), bt.widgets"""
PANEL = """panel = bt.widgets.cockpit(config, train, test)
panel"""
SPEED = f"""def bare():
    trainer = bt.Trainer(config, train, test)
    for _ in range(30):
        trainer.step()
    start = time.perf_counter()
    while time.perf_counter() - start < {SECONDS}:
        trainer.step()
    return (trainer.steps_done - 30) / (time.perf_counter() - start)

def live():
    panel.session.reset().result()
    panel.session.start().result()
    while panel.session.snapshot().measure.step < 30:  # the first measures come sooner than those of a run that goes on
        time.sleep(0.01)
    first, start = panel.session.snapshot().step, time.perf_counter()
    time.sleep({SECONDS})
    speed = (panel.session.snapshot().step - first) / (time.perf_counter() - start)
    panel.session.pause().result()
    return speed

print(json.dumps([(bare(), live()) for _ in range({ROUNDS})]))"""
RUN_AGAIN = """panel = bt.widgets.cockpit(bt.preset("shapes"), train, test)
panel.session.run(steps=20)
panel"""
MEMORY = "print(psutil.Process().memory_info().rss)"
MOVE = """async (n) => {
  const slider = [...document.querySelectorAll(".bt-control")].find((c) => c.textContent.startsWith("hue")).querySelector("input");
  const log = document.querySelector(".bt-log"), times = [];
  for (let i = 0; i < n; i++) {
    const value = (0.05 + 0.4 * (i + 1) / n).toFixed(2), start = performance.now();
    const shown = new Promise((resolve) => {
      const watch = new MutationObserver(() => {
        if (log.lastElementChild.textContent.includes(`→ ${Number(value)}`)) { watch.disconnect(); resolve(); }
      });
      watch.observe(log, {childList: true});
    });
    slider.value = value;
    slider.dispatchEvent(new Event("input", {bubbles: true}));
    slider.dispatchEvent(new Event("pointerup", {bubbles: true})); // the end of the gesture
    await shown;
    times.push(performance.now() - start);
    await new Promise((resolve) => setTimeout(resolve, 37 * (i % 7))); // at different places within a step and a frame
  }
  return times;
}"""
FIRST = """() => new Promise((resolve) => {
  const start = performance.now();
  const look = () => {
    const canvas = document.querySelector(".bt-plots canvas");
    if (canvas && canvas.width > 0 && canvas.toDataURL().length > 1000) resolve(performance.now() - start);
    else requestAnimationFrame(look);
  };
  look();
  window.jupyterapp.commands.execute("notebook:run-cell-and-select-next");
})"""
WATCH = """() => {
  window.seen = {curves: [], map: []}; // when each frame was drawn, in milliseconds
  new MutationObserver(() => { seen.curves.push(performance.now()); })
    .observe(document.querySelector(".bt-counter"), {childList: true, characterData: true, subtree: true});
  const {putImageData} = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.putImageData = function (...given) {
    if (this.canvas.closest?.(".bt-map")) seen.map.push(performance.now());
    putImageData.apply(this, given);
  };
}"""
NEW = ".bt-cockpit:not([data-old]) .bt-state[data-state=paused]"


def busy(lab: Lab) -> dict[str, float]:
    """Return the CPU seconds that kernels, server and browser have taken so far."""
    seconds = {"kernel": 0.0, "server": 0.0, "browser": 0.0}
    for process in psutil.Process().children(recursive=True):
        try:
            words, times = " ".join(process.cmdline()), process.cpu_times()
        except psutil.Error:
            continue
        name = "server" if process.pid == lab.process.pid else "kernel" if "ipykernel" in words else "browser"
        if name != "browser" or "chrom" in words:
            seconds[name] += times.user + times.system
    return seconds


def watched(lab: Lab, page) -> dict:
    """Return the frames a second that the page shows while a run goes on, and the cores that the programs keep busy."""
    page.evaluate("() => { seen.curves.length = seen.map.length = 0; }")
    before, start = busy(lab), time.perf_counter()
    page.wait_for_timeout(1000 * PLAY)
    seconds, after = time.perf_counter() - start, busy(lab)
    seen = page.evaluate("seen")
    gaps = [b - a for a, b in zip(seen["map"], seen["map"][1:], strict=False) if b - a < 100]  # within one glide
    if not gaps:
        raise SystemExit(f"the map did not move in {seconds:.0f} s of a run: no measure was taken")
    return {
        "frames_per_second": {
            "curves": round(len(seen["curves"]) / seconds, 1),
            "gliding_map": round(1000 / statistics.median(gaps), 1),
            "share_of_time_gliding": round(sum(gaps) / 1000 / seconds, 2),
        },
        "cores_busy": {name: round((after[name] - before[name]) / seconds, 3) for name in after},
    }


def run(page, number: int, times: int) -> str:
    """Run the cell of this number, from 0, in a notebook whose cells have been run so many times; return what it printed."""
    cell = page.locator(".jp-Notebook .jp-Cell").nth(number)
    cell.locator(".cm-content").click()
    command(page, "notebook:run-cell")
    cell.locator(".jp-InputPrompt").get_by_text(f"[{times + 1}]").wait_for()
    return "".join(cell.locator(".jp-OutputArea-output pre").all_inner_texts())


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    lab = Lab(folder, scale="laptop", threads=None)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
            page = browser.new_page(viewport={"width": 1200, "height": 1300})
            page.set_default_timeout(300_000)
            lab.open(page, lab.notebook("bench", SETUP, PANEL, SPEED, RUN_AGAIN, MEMORY))
            run(page, 0, times=0)
            page.locator(".jp-Notebook .jp-Cell").nth(1).locator(".cm-content").click()
            first = page.evaluate(FIRST)
            panel = page.get_by_role("region", name="BYOL cockpit")
            page.evaluate(WATCH)
            panel.get_by_role("button", name="play").click()
            page.wait_for_function("document.querySelector('.bt-counter').textContent.match(/step (\\d+)/)[1] > 50")
            moves = page.evaluate(MOVE, MOVES)
            seen = watched(lab, page)
            panel.get_by_role("button", name="pause").click()
            rounds = common.json.loads(run(page, 2, times=2))
            left = []
            for again in range(AGAIN + 1):
                page.evaluate(
                    "document.querySelectorAll('.bt-cockpit').forEach((panel) => { panel.dataset.old = ''; })"
                )
                run(page, 3, times=3 + again + len(left))
                page.locator(NEW).wait_for()
                if again in (0, AGAIN):
                    left.append((int(run(page, 4, times=4 + again + len(left))), nodes(page)))
            version = browser.version
            browser.close()
    finally:
        lab.close()
    ratios = [live / bare for bare, live in rounds]
    result = {
        "chromium": version,
        "first_picture_ms": round(first),
        "control_ms": {"median": round(statistics.median(moves)), "most": round(max(moves)), "moves": len(moves)},
        **seen,
        "steps_per_second": {"bare": [round(b, 1) for b, _ in rounds], "live": [round(v, 1) for _, v in rounds]},
        "speed_kept": {
            "median": round(statistics.median(ratios), 3),
            "least": round(min(ratios), 3),
            "rounds": len(ratios),
        },
        "runs_again": {
            "runs": AGAIN,
            "kernel_megabytes": [round(memory / 1e6, 1) for memory, _ in left],
            "nodes": [count for _, count in left],
        },
    }
    print(result)
    common.write("cockpit", result)


if __name__ == "__main__":
    main()
