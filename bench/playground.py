"""How fast does BYOL train in a browser? python bench/playground.py [--quick]

steps     steps per second of processor time of one thread, views included, by the playground's engine in node (the
          JavaScript engine of Chromium) and by PyTorch with one thread, in turns, on the same network; the best of
          several rounds of each, since other work on the machine only makes a round slower
ratio     the playground's steps divided by PyTorch's
first     milliseconds from the press on "train" to the first picture of a step, in Chromium
frames    frames a second that the page draws while it trains, and its steps a second there; both by the clock
"""

import argparse
import base64
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import common
import torch

import byol_tutorial as bt
from byol_tutorial.widgets.playground.build import FOLDER, engine
from byol_tutorial.widgets.playground.fields import OPEN_END, SIZES, about
from byol_tutorial.widgets.static import save_html

NETS = {"light": 24, "course": 32}
MEASURE = """
const [wasm, settings, steps] = JSON.parse(require("fs").readFileSync(0, "utf8"));
openWebAssembly(Uint8Array.from(Buffer.from(wasm, "base64"))).then((open) => {
  const run = new Run(() => {}, open, "worker");
  run.begin(settings, []);
  run.until = Infinity;
  for (let i = 0; i < 140; i++) run.one(); // in which every picture is drawn and the code compiled
  const before = process.cpuUsage();
  for (let i = 0; i < steps; i++) run.one();
  const {user, system} = process.cpuUsage(before);
  console.log((user + system) / 1e6);
  process.exit(0);
});
"""


def in_javascript(size: int, steps: int) -> float:
    """Return the steps per second of processor time in node."""
    settings = about()["settings"] | {"pixels": size, "width": SIZES[size]}
    wasm = base64.b64encode((FOLDER / "kernels.wasm").read_bytes()).decode()
    with tempfile.NamedTemporaryFile("w", suffix=".cjs", encoding="utf-8") as program:
        program.write(engine() + MEASURE)
        program.flush()
        end = subprocess.run(["node", program.name], input=json.dumps([wasm, settings, steps]), capture_output=True, text=True, check=True)  # fmt: skip
    return steps / float(end.stdout)


class InPyTorch:
    """The library's own trainer on the same network and recipe, with one thread."""

    def __init__(self, size: int):
        torch.set_num_threads(1)
        config = bt.Config(width=SIZES[size], knn_every=0, **OPEN_END)
        self.trainer = bt.Trainer(config, bt.load("shapes", size=size), device="cpu")
        for _ in range(20):
            self.trainer.step()

    def rate(self, steps: int) -> float:
        start = time.process_time()
        for _ in range(steps):
            self.trainer.step()
        return steps / (time.process_time() - start)


def in_a_page(seconds: float) -> dict[str, float]:
    """Return when the first picture came, and how many frames and steps a second there are while it trains."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "page.html"
        save_html(bt.widgets.playground(), file)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        page.goto(file.as_uri())
        page.wait_for_function("() => document.querySelector('.bt-verdict')?.textContent.includes('not trained')")
        found = page.evaluate(
            """(seconds) => new Promise((resolve) => {
              const counter = document.querySelector(".bt-counter"), step = () => Number(counter.textContent.match(/step (\\d+)/)[1]), start = performance.now();
              let first = null, frames = 0;
              const frame = () => {
                const now = performance.now() - start;
                if (first === null && step() > 0) first = now;
                frames++;
                if (now < 1000 * seconds) requestAnimationFrame(frame);
                else resolve({first, frames: frames / seconds, steps: step() / seconds});
              };
              document.querySelector(".bt-play").click();
              requestAnimationFrame(frame);
            })""",
            seconds,
        )
        browser.close()
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only check that it runs; write nothing")
    quick = parser.parse_args().quick
    rounds, steps = (1, 10) if quick else (7, 100)
    result: dict = {"steps": {}, "page": {}}
    for name, size in NETS.items():
        torch_side, rates = InPyTorch(size), {"playground": [], "pytorch": []}
        for _ in range(rounds):
            rates["playground"].append(in_javascript(size, steps))
            rates["pytorch"].append(torch_side.rate(steps))
        best = {side: max(values) for side, values in rates.items()}
        middle = {f"{side}, median": statistics.median(values) for side, values in rates.items()}
        result["steps"][name] = {k: round(v, 1) for k, v in (best | middle).items()} | {
            "ratio": round(best["playground"] / best["pytorch"], 2)
        }
        print(name, result["steps"][name])
    result["page"] = {k: round(v, 1) for k, v in in_a_page(2 if quick else 10).items()}
    print(result["page"])
    if not quick:
        common.write("playground", result)


if __name__ == "__main__":
    main()
