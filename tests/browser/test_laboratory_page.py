"""The collapse laboratory in a page, with the widget itself behind it; and in a JupyterLab, with its processes."""

import re
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from bridge import Bridge
from lab import command, run_all
from playwright.sync_api import expect

import byol_tutorial as bt
from byol_tutorial.config.paper_tables import tables
from byol_tutorial.train.history import History
from byol_tutorial.widgets.laboratory import laboratory

pytestmark = pytest.mark.browser

BASE = bt.Config(width=4, hidden_dim=16, projection_dim=8, batch_size=8, epochs=4, warmup_epochs=1.0)
WAIT = 120
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"


@pytest.fixture(scope="module")
def images():
    return bt.load("shapes", limit=64), bt.load("shapes", "test", limit=40)


def finished(lab) -> None:
    """Wait until all commands are carried out and, if no process is at work, reported."""
    thread = lab._queue.thread
    lab._queue.submit(lambda: None).result(WAIT)
    thread = lab._queue.thread or thread
    if thread is not None and not lab.processes:
        thread.join(WAIT)


@pytest.fixture
def show(page, images):
    """Show a laboratory in the page, and return the bridge, whose `box` is the widget."""
    boxes = []

    def show(width=900, cells=("5a", "5b"), **options) -> Bridge:
        page.set_viewport_size({"width": width, "height": 900})
        boxes.append(laboratory(*images, BASE, cells=cells, workers=1))
        box = boxes[-1]
        bridge = Bridge(page, box.panel, finished=lambda: finished(box.lab), **options)
        bridge.box = box
        return bridge

    yield show
    for box in boxes:
        box.close()


def seen(box, step: int, state: str = "running", **accuracies) -> None:
    """Pretend that all runs have reached this step, with different curves for each run, and show it."""
    for i, (name, cell) in enumerate(box.lab.cells.items()):
        collapsed = (cell.row.paper or 100) < 1 and name != "τ = 0"
        loss = [1 / (1 + k + i) for k in range(step)]
        std = [0.01 if collapsed else 0.6 + 0.02 * i] * step
        knn = [(k, 0.2 + 0.01 * i) for k in range(8, step + 1, 8)]
        cell = cell.but(
            state=state, step=step, knn=tuple(knn), start_knn=0.3, _history=History(loss=loss, std=std, knn=knn)
        )
        box.lab._runs._replace(name, cell)
        if accuracies:
            words = cell.snapshot.verdict
            found = replace(
                box.lab.findings[name], verdict=words, linear=accuracies[name], random_linear=0.3, std=std[-1]
            )
            box.lab._runs._replace(name, replace(cell, finding=found))
    box.panel.show(frame=box.panel._frame())


ACCURACIES = {name: 0.9 if (row.paper or 0) > 1 else 0.25 for name, row in tables("5a", "5b").items()} | {
    "τ = 0": 0.92, "τ = 1": 0.5,
}  # fmt: skip


def cell(page, name):
    return page.get_by_role("article", name=name, exact=True)


def names(page):
    return page.get_by_role("article").locator("h4").all_inner_texts()


def test_every_row_is_shown_with_the_papers_number(page, show):
    show()
    assert names(page) == list(tables("5a", "5b"))
    for name, row in tables("5a", "5b").items():
        expect(cell(page, name)).to_contain_text(f"paper {row.paper:.1f} %")
        expect(cell(page, name)).to_contain_text("not begun")
    expect(page.get_by_role("heading", name="Table 5a")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("13 runs, 1 at a time, a few steps of each in turn. Press play.")


def test_a_run_from_play_to_the_papers_number_beside_ours(page, show):
    """This works with a process and real training."""
    bridge = show(cells=["BYOL", "no predictor"])
    page.get_by_role("button", name="play").click()
    end = time.monotonic() + WAIT
    while "each process loads PyTorch" not in page.get_by_role("status").inner_text():  # loading takes seconds
        assert time.monotonic() < end
        bridge.settle()
    expect(cell(page, "BYOL")).to_contain_text("starting")
    while bridge.panel.frame["state"] != "done":
        assert time.monotonic() < end
        bridge.settle()
    bridge.settle()
    expect(page.get_by_role("status")).to_have_text("All 2 runs are over.")
    for name, found in bridge.box.findings.items():
        expect(cell(page, name)).to_contain_text(
            f"here {100 * found.linear:.1f} % (balanced {100 * found.balanced['linear']:.1f}) "  # so few test images are uneven
            f"untrained {100 * found.random_linear:.1f} %"
        )
        last = bridge.box.lab.cells[name].snapshot
        picture = cell(page, name).get_by_role("img").get_attribute("aria-label")
        assert f"step {last.total_steps} of {last.total_steps}" in picture
        expect(cell(page, name)).to_contain_text(last.verdict)
    expect(page.get_by_role("button", name="play")).to_be_disabled()
    page.get_by_role("button", name="reset").click()
    bridge.settle()
    expect(page.get_by_role("button", name="play")).to_be_enabled()
    assert bridge.box.lab.cells["BYOL"].snapshot.step == 0


def test_differences_from_the_paper_are_shown(page, show):
    bridge = show()
    seen(bridge.box, 32, "done", **ACCURACIES)
    bridge.settle()
    expect(cell(page, "τ = 0")).to_contain_text(
        "Not as in the paper: learns as well as the best here, learned nothing there."
    )
    expect(cell(page, "τ = 0")).to_contain_text("SimSiam")
    expect(cell(page, "no predictor")).to_contain_text("As in the paper: learns nothing.")
    expect(cell(page, "no predictor")).to_contain_text("collapse: every image gets nearly the same direction")
    expect(cell(page, "τ = 1")).to_contain_text("As in the paper: learns something.")
    page.get_by_text("What is as in the paper, and what is not").click()
    expect(page.get_by_text("64 images of 'shapes', 10 classes, not ImageNet")).to_be_visible()
    page.get_by_text("All of it as a table").click()
    row = page.get_by_role("row", name=re.compile("^τ = 0 0.3"))
    expect(row).to_contain_text("τ = 00.392.030.0")
    assert page.get_by_role("row").count() == 14


def test_marks_stand_where_the_numbers_are(page, show):
    bridge = show()
    here = cell(page, "τ = 1").locator(".bt-ruler .bt-here")
    expect(here).to_be_hidden()
    seen(bridge.box, 32, "done", **ACCURACIES)
    bridge.settle()
    ruler = cell(page, "τ = 1").locator(".bt-ruler").bounding_box()
    for mark, percent in (("here", 50), ("paper", 18.8), ("untrained", 30)):
        box = cell(page, "τ = 1").locator(f".bt-ruler .bt-{mark}").bounding_box()
        middle = box["x"] + box["width"] / 2 - ruler["x"]
        assert abs(middle - ruler["width"] * percent / 100) < 1.5


def test_sorting_moves_the_cells_and_keeps_the_focus(page, show):
    bridge = show()
    seen(bridge.box, 32, "done", **ACCURACIES)
    bridge.settle()
    page.get_by_label("sort by").select_option("paper")
    papers = {name: row.paper for name, row in tables("5a", "5b").items()}
    order = [papers[name] for name in names(page)]
    assert order == sorted(order, reverse=True)
    page.get_by_label("sort by").select_option("here")
    assert names(page)[0] == "τ = 0"
    cell(page, "τ = 1").focus()
    page.evaluate("model.receive('frame', model.get('frame'))")
    expect(cell(page, "τ = 1")).to_be_focused()
    page.get_by_label("sort by").select_option("table")
    assert names(page) == list(papers)
    assert bridge.sent == []


def test_every_y_axis_draws_another_picture(page, show):
    bridge = show()
    seen(bridge.box, 30)
    bridge.settle()
    pictures = set()
    for option in page.get_by_label("y-axis").locator("option").all():
        page.get_by_label("y-axis").select_option(option.get_attribute("value"))
        bridge.settle()
        pictures.add(cell(page, "no predictor").locator("canvas").evaluate("(c) => c.toDataURL()"))
    assert len(pictures) == 5


def test_choosing_a_table_and_a_speed_reaches_the_laboratory(page, show):
    bridge = show()
    page.get_by_label("tables").select_option("5b")
    page.get_by_label("speed").select_option("5")
    bridge.settle()
    assert bridge.box.lab.chosen == list(tables("5b"))
    assert bridge.box.lab.rate == 5.0
    assert names(page) == list(tables("5b"))
    expect(page.get_by_role("heading", name="Table 5a")).to_be_hidden()


def test_a_cell_opens_in_a_cockpit_and_its_code_makes_it_again(page, show, images):
    bridge = show()
    cell(page, "no target").click()  # selects it
    cell(page, "no target").get_by_role("button", name="open no target in cockpit").click()
    bridge.settle()
    assert bridge.box.bench.children[1].session.config == tables("no target")["no target"].config(BASE)
    expect(page.get_by_role("status")).to_contain_text("The cockpit of no target is open beneath this panel.")
    seen(bridge.box, 3)
    bridge.settle()
    page.evaluate(
        "Object.defineProperty(navigator, 'clipboard', {value: {writeText: async (t) => { window.copied = t; }}})"
    )
    button = page.get_by_role("button", name="copy code of no target", exact=True)
    button.click()
    expect(button).to_have_text("copied")
    text = re.fullmatch(r"session = bt\.rebuild\('(.*)'\)", page.evaluate("window.copied")).group(1)
    with bt.rebuild(text, *images) as session:
        assert (session.snapshot().step, session.config.stop_gradient) == (3, False)


def test_arrows_go_from_cell_to_cell_and_tab_reaches_all(page, show):
    show()
    cell(page, "τ = 1").focus()
    page.keyboard.press("ArrowRight")
    expect(cell(page, "τ = 0.999")).to_be_focused()
    page.keyboard.press("End")
    expect(cell(page, "no predictor, no target")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(cell(page, "no predictor, no target")).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("Tab")
    expect(cell(page, "τ = 1").get_by_role("button", name="open τ = 1 in cockpit")).to_be_focused()
    page.keyboard.press("ArrowRight")  # on a button it does nothing
    expect(cell(page, "τ = 1").get_by_role("button", name="open τ = 1 in cockpit")).to_be_focused()
    wanted = page.locator('.bt :is(button, select, summary, [tabindex="0"]):not(:disabled)')
    assert wanted.evaluate_all("(all) => all.every((e) => e.dataset.lmSuppressShortcuts === 'true')")
    focused = "[...document.querySelectorAll('.bt *')].indexOf(document.activeElement)"
    page.locator(".bt button").first.focus()
    reached = {page.evaluate(focused)}
    for _ in range(wanted.count() - 1):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(focused))
    assert len(reached) == wanted.count()


def test_every_control_and_every_picture_has_a_name(page, show):
    show()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll(".bt :is(button, input, select, summary, canvas, article)")].filter((e) =>
          !e.getAttribute("aria-label") && !e.textContent.trim() && !e.labels?.length).map((e) => e.outerHTML)"""
    )
    assert nameless == []
    labels = page.locator(".bt button").evaluate_all(
        "(all) => all.map((e) => e.getAttribute('aria-label') ?? e.textContent)"
    )
    assert len(labels) == len(set(labels)) == 2 + 2 * 13


def test_nothing_jumps_while_it_trains(page, show):
    bridge = show()
    seen(bridge.box, 9)
    bridge.settle()
    places = "() => [...document.querySelectorAll('.bt canvas, .bt button')].map((e) => { const r = e.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; })"
    before = page.evaluate(places)
    for step in (10, 17, 25, 32):
        seen(bridge.box, step)
        bridge.settle()
        assert page.evaluate(places) == before


@pytest.mark.parametrize("width", [360, 900, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_read(page, show, width, scheme, tmp_path):
    page.emulate_media(color_scheme=scheme)
    bridge = show(width=width)
    seen(bridge.box, 32, "done", **ACCURACIES)
    bridge.settle()
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        """() => { const box = document.querySelector(".bt").getBoundingClientRect();
          return [...document.querySelectorAll(".bt :is(button, select, canvas, article, p, ul)")].filter((e) => {
            const r = e.getBoundingClientRect();
            return r.width && (r.left < box.left || r.right > box.right);
          }).map((e) => e.outerHTML); }"""
    )
    assert outside == []
    contrasts = page.evaluate(
        """() => {
          const canvas = new OffscreenCanvas(1, 1).getContext("2d");
          const luminance = (colour) => {
            canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
            const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const ground = luminance(getComputedStyle(document.querySelector(".bt")).backgroundColor);
          return [".bt-quiet", "h3", "h4", "label", ".bt-remark", ".bt-verdict"].map((s) => {
            const ink = luminance(getComputedStyle(document.querySelector(".bt " + s)).color);
            return (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
          });
        }"""
    )
    assert min(contrasts) > 4.5
    page.screenshot(path=tmp_path / f"laboratory-{scheme}-{width}.png", full_page=True)


def test_recorded_it_shows_the_last_picture_and_says_how_to_run_it(page, show):
    bridge = show(recorded=True)
    expect(page.get_by_text("lab = bt.widgets.laboratory()")).to_be_visible()
    expect(page.get_by_role("button", name="play")).to_be_disabled()
    cell(page, "BYOL").click()
    expect(page.get_by_role("button", name="open BYOL in cockpit")).to_be_disabled()
    expect(page.get_by_label("tables")).to_be_disabled()
    expect(page.get_by_role("button", name="copy code of BYOL", exact=True)).to_be_enabled()
    page.get_by_label("sort by").select_option("paper")
    assert names(page)[0] == "τ = 0.99"
    assert bridge.sent == []


def test_without_a_kernel_it_says_so_and_comes_back(page, show):
    page.clock.install()
    bridge = show()
    bridge.answers = False
    page.clock.run_for(50_000)
    expect(page.get_by_text("Not live: no kernel answers.")).to_be_visible()
    expect(page.get_by_role("button", name="play")).to_be_disabled()
    bridge.answers = True
    seen(bridge.box, 3)  # every message of the kernel counts as an answer
    page.clock.resume()
    bridge.settle()
    expect(page.get_by_text("Not live: no kernel answers.")).to_be_hidden()
    expect(page.get_by_role("button", name="pause").or_(page.get_by_role("button", name="play"))).to_be_enabled()


def test_removed_from_the_page_it_removes_its_handlers(page, show):
    show()
    page.evaluate("unmount()")
    assert page.evaluate("model.listeners()") == 0


# --- in JupyterLab ------------------------------------------------------------------------------

SETUP = """import byol_tutorial as bt
train, test = bt.load("shapes", limit=64), bt.load("shapes", "test", limit=40)
config = bt.Config(width=4, hidden_dim=16, projection_dim=8, batch_size=8, epochs=400, warmup_epochs=1.0)"""
PANEL = """lab = bt.widgets.laboratory(train, test, config, cells=["BYOL", "no predictor"], workers=2)
lab"""


def is_worker(process: psutil.Process) -> bool:
    """Tell whether `process` is a living worker of the laboratory; one that ended while it was asked is not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE and "byol_tutorial.live.round_robin" in " ".join(
            process.cmdline()
        )
    except psutil.NoSuchProcess:  # processes end between the list and the question
        return False


def workers() -> list[psutil.Process]:
    """Return the laboratory's processes on this machine that were started by this test."""
    return [process for process in psutil.Process().children(recursive=True) if is_worker(process)]


def wait_for_workers(number):
    end = time.monotonic() + WAIT
    while len(workers()) != number:
        assert time.monotonic() < end, f"{len(workers())} processes, not {number}"
        time.sleep(0.1)


def test_in_jupyterlab_from_play_to_a_cockpit_and_no_process_is_left(lab, page):
    page.set_viewport_size({"width": 1200, "height": 1300})
    lab.open(page, lab.notebook("laboratory", SETUP, PANEL))
    run_all(page)
    panel = page.get_by_role("region", name="Collapse laboratory")
    panel.get_by_role("button", name="play").click(timeout=WAIT * 1000)
    expect(panel.get_by_role("article", name="BYOL").get_by_text("running")).to_be_visible(timeout=WAIT * 1000)
    assert len(workers()) == 2
    expect(panel.get_by_role("article", name="no predictor").locator(".bt-verdict")).to_contain_text(
        "√d·std", timeout=WAIT * 1000
    )
    panel.get_by_role("button", name="pause").click()
    expect(panel.get_by_role("button", name="play")).to_be_visible()

    panel.get_by_role("article", name="no predictor").click()
    panel.get_by_role("button", name="open no predictor in cockpit").click()
    cockpit = page.get_by_role("region", name="BYOL cockpit")
    expect(cockpit).to_contain_text("no predictor")  # the run's name
    expect(cockpit.locator(".bt-state")).to_have_text("paused", timeout=WAIT * 1000)
    expect(cockpit.get_by_label("predictor q")).to_have_value("identity")
    step = int(re.search(r"step (\d+) of 3200", cockpit.locator(".bt-counter").inner_text()).group(1))
    assert step > 0
    cockpit.get_by_role("button", name="step").click()
    expect(cockpit.locator(".bt-counter")).to_contain_text(f"step {step + 1} of 3200")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "laboratory-lab.png")
    page.get_by_role("button", name="close cockpit").click()
    expect(cockpit).to_have_count(0)

    panel.get_by_role("button", name="play").click()
    expect(panel.get_by_role("button", name="pause")).to_be_visible()
    command(page, "notebook:interrupt-kernel")
    wait_for_workers(0)
    expect(panel.get_by_role("status")).to_contain_text("interrupted; play goes on from here")
    panel.get_by_role("button", name="play").click()
    wait_for_workers(2)
    page.locator(".jp-Notebook .jp-Cell .cm-content").nth(1).click()
    command(page, "notebook:run-cell")  # run again, so another laboratory replaces this one
    wait_for_workers(0)
    expect(panel.get_by_role("status")).to_contain_text("Press play")
    panel.get_by_role("button", name="play").click()
    wait_for_workers(2)
    for kernel in lab.kernels():
        assert kernel["execution_state"] in ("idle", "busy")
    last = workers()
    lab.shut_down_kernels()
    assert psutil.wait_procs(last, timeout=WAIT)[1] == []
    page.goto("about:blank")
