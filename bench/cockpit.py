"""How much does the cockpit slow training down, and how fast does it respond? python bench/cockpit.py

Measured in JupyterLab, in headless Chromium on this machine, with the default recipe for "shapes":
  first picture   from running the cell to the drawn panel, without the imports
  control         from moving a slider to the frame that shows the finished change, during training
  speed           steps a second with the panel in the page, and with a Trainer alone; measured in turns
"""

import statistics
import sys
import tempfile
from pathlib import Path

import common

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
from lab import Lab, command
from playwright.sync_api import sync_playwright

from conftest import FLAGS, chromium

ROUNDS, STEPS, MOVES = 5, 150, 20
SETUP = """import json, time
import byol_tutorial as bt
train, test = bt.load("shapes"), bt.load("shapes", "test")
config = bt.preset("shapes", epochs=100, knn_every=0)
bt.Trainer(config, train, test).step(), bt.widgets"""
PANEL = """panel = bt.widgets.cockpit(config, train, test)
panel"""
SPEED = f"""def bare():
    trainer = bt.Trainer(config, train, test)
    start = time.perf_counter()
    for _ in range({STEPS}):
        trainer.step()
    return {STEPS} / (time.perf_counter() - start)

def live():
    panel.session.reset().result()
    panel.session.run(steps=1)
    start = time.perf_counter()
    panel.session.run(steps={STEPS})
    return {STEPS} / (time.perf_counter() - start)

bare(), live()
print(json.dumps([(bare(), live()) for _ in range({ROUNDS})]))"""
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


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    lab = Lab(folder, scale="laptop", threads=None)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
            page = browser.new_page(viewport={"width": 1200, "height": 1300})
            page.set_default_timeout(300_000)
            lab.open(page, lab.notebook("bench", SETUP, PANEL, SPEED))
            cells = page.locator(".jp-Notebook .jp-Cell")
            cells.nth(0).locator(".cm-content").click()
            command(page, "notebook:run-cell-and-select-next")
            cells.nth(0).locator(".jp-InputPrompt").get_by_text("[1]").wait_for()
            first = page.evaluate(FIRST)
            panel = page.get_by_role("region", name="BYOL cockpit")
            panel.get_by_role("button", name="play").click()
            page.wait_for_function("document.querySelector('.bt-counter').textContent.match(/step (\\d+)/)[1] > 50")
            moves = page.evaluate(MOVE, MOVES)
            panel.get_by_role("button", name="pause").click()
            cells.nth(2).locator(".cm-content").click()
            command(page, "notebook:run-cell")
            printed = cells.nth(2).locator(".jp-OutputArea-output pre")
            printed.wait_for()
            rounds = common.json.loads(printed.inner_text())
            version = browser.version
            browser.close()
    finally:
        lab.close()
    ratios = [live / bare for bare, live in rounds]
    result = {
        "chromium": version,
        "first_picture_ms": round(first),
        "control_ms": {"median": round(statistics.median(moves)), "most": round(max(moves)), "moves": len(moves)},
        "steps_per_second": {"bare": [round(b, 1) for b, _ in rounds], "live": [round(v, 1) for _, v in rounds]},
        "speed_kept": {
            "median": round(statistics.median(ratios), 3),
            "least": round(min(ratios), 3),
            "rounds": len(ratios),
        },
    }
    print(result)
    common.write("cockpit", result)


if __name__ == "__main__":
    main()
