"""The playground in Chromium, from the disk: it trains, explains itself, stops when nobody looks, and leaves nothing behind."""

import csv
import itertools
import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from bridge import PAGE, Bridge
from playwright.sync_api import expect

import byol_tutorial as bt
from byol_tutorial.widgets.static import save_html

STEP = "[...document.querySelectorAll('.bt-counter')].map((e) => Number(e.textContent.match(/step (\\d+)/)[1]))"
TRAINED = "(n) => document.querySelector('.bt-counter').textContent.includes('paused') && Number(document.querySelector('.bt-counter').textContent.match(/step (\\d+)/)[1]) >= n"


@pytest.fixture
def show(page, tmp_path):
    """Return a function that shows playgrounds in a page from the disk: show(fragment, options of each, ...)."""
    made = []

    def open_page(fragment="", *options, head="", tour=False):
        panels = [bt.widgets.playground(**o) for o in options or ({},)]
        made.extend(panels)
        file = tmp_path / "playground.html"
        save_html(panels, file)
        file.write_text(
            file.read_text("utf-8").replace('<meta charset="utf-8">', f'<meta charset="utf-8">{head}'), "utf-8"
        )
        if not tour:
            page.add_init_script(
                "try { localStorage.setItem('byol-playground-tour', 'seen'); } catch { /* about:blank has none */ }"
            )
        page.goto("about:blank")
        page.goto(file.as_uri() + fragment)
        panel = page.get_by_role("region", name="BYOL playground").first
        expect(panel.locator(".bt-verdict").first).not_to_contain_text("drawing")
        return panel

    yield open_page
    for panel in made:
        panel.close()


def train(page, panel, steps: int):
    """Train to the step that the address names, and wait for the last look at the pictures."""
    panel.get_by_role("button", name="train").click()
    page.wait_for_function(TRAINED, arg=steps)


def curves(page, panel) -> list[dict]:
    with page.expect_download() as download:
        panel.get_by_role("button", name="save curves").click()
    with open(download.value.path(), newline="") as file:
        return list(csv.DictReader(file))


def wait_for(page, condition: str, *arguments):
    page.wait_for_function(condition, arg=arguments[0] if arguments else None)


def test_it_trains_from_the_disk_and_says_what_happens(page, show):
    panel = show("#playground&stop_gradient=false&steps=100")
    expect(panel.locator(".bt-verdict").first).to_contain_text("not trained yet")
    expect(panel.get_by_text("in a worker, by WebAssembly")).to_be_visible()
    train(page, panel, 100)
    verdict = panel.locator(".bt-verdict").first
    expect(verdict).to_contain_text("collapse: every image gets nearly the same direction")
    expect(verdict).to_have_attribute("data-kind", "collapse")
    rows = curves(page, panel)
    assert [int(r["step"]) for r in rows] == list(range(101))
    assert float(rows[-1]["std"]) < 0.1 < 0.5 < float(rows[1]["std"])
    assert rows[0]["knn_shape"]
    network = panel.get_by_role("img", name="Network: ")
    expect(network).to_have_attribute("aria-label", re.compile("the gradient also passes through the target"))
    expect(panel.get_by_role("img", name="Map of z")).to_have_attribute("aria-label", re.compile("collapse"))


def test_a_prediction_is_compared_with_what_happened(page, show):
    panel = show()
    panel.get_by_role("button", name="no predictor").click()
    form = panel.get_by_role("form", name="Your prediction")
    form.get_by_label("The loss …").select_option("does not fall")
    form.get_by_label("The spread √d·std …").select_option("vanishes")
    form.get_by_role("button", name="run it").click()
    expect(panel.locator(".bt-outcome")).to_contain_text("you said “vanishes”; so far it vanishes ✓")
    expect(panel.locator(".bt-outcome")).to_contain_text("you said “does not fall”; so far it goes to zero ✗")
    panel.get_by_role("button", name="pause").click()
    assert "predictor=identity" in page.url


def test_by_keyboard_alone(page, show):
    panel = show()
    page.keyboard.press("Tab")
    expect(panel.get_by_role("button", name="train")).to_be_focused()
    page.keyboard.press("Enter")
    wait_for(page, f"() => ({STEP})[0] >= 10")
    page.keyboard.press("Enter")
    expect(panel.get_by_role("button", name="train")).to_be_focused()
    panel.get_by_role("button", name="no stop-gradient").focus()
    page.keyboard.press("Enter")
    expect(panel.get_by_label("The loss …")).to_be_focused()
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(panel.get_by_role("button", name="run it")).to_be_focused()
    page.keyboard.press("Enter")
    expect(panel.get_by_role("checkbox", name="stop-gradient")).not_to_be_checked()
    picture = panel.get_by_role("slider", name="picture")
    picture.focus()
    page.keyboard.press("ArrowRight")
    expect(panel.get_by_text(re.compile("^Picture 2, "))).to_be_visible()


def test_reduced_motion_draws_once_a_second(page, show):
    page.emulate_media(reduced_motion="reduce")
    panel = show("#playground&steps=500")
    page.evaluate("""() => { window.times = []; new MutationObserver(() => times.push(performance.now())).observe(
        document.querySelector('.bt-counter'), {childList: true, characterData: true, subtree: true}); }""")
    train(page, panel, 500)
    times = page.evaluate("times")
    between = [b - a for a, b in itertools.pairwise(times[1:-1])]  # the first and the last follow a press
    assert between
    assert min(between) >= 900


@pytest.mark.parametrize("width", [360, 1366])
def test_it_fits_a_phone_and_a_projector(page, show, width):
    page.set_viewport_size({"width": width, "height": 740})
    panel = show("", {"beside": {"predictor": "identity"}})
    for on in (True, False):
        expect(panel.get_by_role("img", name=re.compile("^Map of z"))).to_have_count(2 if on else 1)
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        if on:
            panel.get_by_label("two runs, A and B").uncheck()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_in_both_schemes(page, show, scheme):
    page.emulate_media(color_scheme=scheme)
    show(tour=True)
    expect(page.get_by_role("note", name="Tour")).to_be_visible()
    page.get_by_role("button", name="BYOL", exact=True).click()
    off = {
        rule: {"enabled": False} for rule in ("landmark-one-main", "page-has-heading-one", "region")
    }  # of whole pages
    found = Axe().run(page, options={"preload": False, "rules": off}).response["violations"]
    assert [f"{v['id']}: {n['html'][:120]}" for v in found for n in v["nodes"]] == []


def test_the_tour_has_five_steps_and_comes_once(page, show):
    panel = show(tour=True)
    tour = panel.get_by_role("note", name="Tour")
    for step in range(1, 6):
        expect(tour).to_contain_text(f"{step} of 5")
        tour.get_by_role("button", name="done" if step == 5 else "next").click()
    expect(tour).to_be_hidden()
    page.reload()
    expect(panel.locator(".bt-verdict").first).to_contain_text("not trained yet")
    expect(tour).to_be_hidden()


def test_it_pauses_while_nobody_looks(page, show):
    panel = show()
    panel.get_by_role("button", name="train").click()
    wait_for(page, f"() => ({STEP})[0] >= 5")
    hide = """(hidden) => { Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
                            document.dispatchEvent(new Event("visibilitychange")); }"""
    page.evaluate(hide, True)
    expect(panel.locator(".bt-counter")).to_contain_text("waiting to be seen")
    stopped = page.evaluate(STEP)[0]
    page.wait_for_timeout(700)  # in which it would make dozens of steps
    assert page.evaluate(STEP)[0] == stopped
    page.evaluate(hide, False)
    wait_for(page, f"(n) => ({STEP})[0] > n", stopped)
    page.evaluate(
        "document.body.prepend(Object.assign(document.createElement('div'), {style: 'height: 9000px'})); scrollTo(0, 0)"
    )
    expect(panel.locator(".bt-counter")).to_contain_text("waiting to be seen")


def test_divergence_is_said_in_words(page, show):
    panel = show("#playground&lr=1e28&steps=200")
    panel.get_by_role("button", name="train").click()
    expect(panel.locator(".bt-verdict").first).to_contain_text(
        "not finite: the run has diverged; lower lr, or lengthen the warm-up"
    )
    expect(panel.locator(".bt-counter")).to_contain_text("diverged")
    assert "NaN" not in panel.inner_text()
    panel.get_by_role("button", name="start again").click()
    expect(panel.locator(".bt-verdict").first).to_contain_text("not trained yet")


def test_a_schedule_that_has_ended_begins_anew(page, show):
    panel = show("#playground&method=simsiam&lr=3.2&epochs=1&warmup_epochs=0&batch_size=128")
    expect(panel.get_by_text("The learning rate falls to 0 within this run of 1 × 32 steps")).to_be_visible()
    panel.get_by_role("button", name="train").click()
    page.wait_for_function(TRAINED, arg=32)
    first = curves(page, panel)
    assert [len(first), float(first[-1]["loss"]) < 0] == [33, True]
    panel.get_by_role("button", name="train").click()
    wait_for(page, f"() => 0 < ({STEP})[0] && ({STEP})[0] < 32")
    page.wait_for_function(TRAINED, arg=32)
    assert curves(page, panel)[-1]["loss"] == first[-1]["loss"]


def test_one_panel_runs_at_a_time(page, show):
    show("", {}, {"seed": 1})
    a, b = (page.get_by_role("region", name="BYOL playground").nth(i) for i in (0, 1))
    a.get_by_role("button", name="train").click()
    wait_for(page, f"() => ({STEP})[0] >= 2")
    b.scroll_into_view_if_needed()
    expect(b.locator(".bt-verdict").first).to_contain_text("not trained yet")
    b.get_by_role("button", name="train").click()
    wait_for(page, f"() => ({STEP})[1] >= 2")
    expect(a.get_by_role("button", name="train")).to_be_attached()
    expect(a.locator(".bt-counter")).to_contain_text("paused")


# --- links and experiments --------------------------------------------------------------------------------------------------


def test_a_link_makes_the_same_run_with_its_changes(page, show):
    panel = show("#playground&seed=3&20:lr=0.2&30:predictor=linear&steps=40")
    train(page, panel, 40)
    first, address = curves(page, panel), page.url
    assert address.endswith("#playground&seed=3&20:lr=0.2&30:predictor=linear&steps=40")
    page.goto("about:blank")
    page.goto(address)
    expect(panel.locator(".bt-verdict").first).to_contain_text("not trained yet")
    train(page, panel, 40)
    again = curves(page, panel)
    assert [r["loss"] for r in again] == [r["loss"] for r in first]
    panel.get_by_role("button", name="start again").click()
    expect(panel.locator(".bt-counter")).to_contain_text("step 0")


def test_the_query_of_an_address_opens_an_experiment_too(page, show):
    """A theme of a book may take the fragments of links for selectors, so the book's links have queries. It may also write
    the query anew, as the second address here."""
    for query in (
        "?playground&predictor=linear&2:lr=0.2&steps=3&b&seed=1&steps=3",
        "?playground=&predictor=linear&2%3Alr=0.2&steps=3&b=&seed=1&steps=3",
    ):
        panel = show(query)
        expect(panel.get_by_role("button", name="B", exact=True)).to_have_attribute("aria-pressed", "true")
        panel.get_by_role("button", name="A", exact=True).click()
        expect(panel.get_by_role("combobox", name="predictor")).to_have_value("linear")
        train(page, panel, 3)
        assert page.url.endswith("playground.html#playground&predictor=linear&2:lr=0.2&steps=3&b&seed=1&steps=3")


def test_a_change_is_recorded_with_its_step_and_rebuilds_in_python(page, show):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    panel = show("#playground&steps=6")
    train(page, panel, 6)
    panel.get_by_role("combobox", name="predictor").select_option("none")
    wait_for(page, "() => location.hash.includes('6:predictor=identity')")
    panel.get_by_role("button", name="copy experiment").click()
    expect(panel.get_by_role("button", name="copied")).to_be_visible()
    text = page.evaluate("navigator.clipboard.readText()")
    session = bt.rebuild(text, device="cpu")
    assert session.snapshot().step == 6
    assert session.snapshot().changes == ((6, {"predictor": "identity"}),)
    session.change(tau_base=0.5).result()
    line = str(bt.Experiment.of(session))
    session.close()
    panel.get_by_label("experiment", exact=True).fill(line)
    panel.get_by_role("button", name="open").click()
    wait_for(page, "() => location.hash.includes('6:tau_base=0.5') && location.hash.includes('6:predictor=identity')")


def test_a_text_that_is_no_experiment_is_refused_in_the_panel(page, show):
    panel = show("#playground&encoder=resnet18")
    expect(panel.get_by_role("alert")).to_contain_text("encoder: the page cannot change it")
    for text, words in [
        ("hello", "this is not an experiment"),
        (json.dumps({"byol": 1, "config": {}, "changes": [], "data": {"name": "digits"}}), "images of “digits”"),
    ]:
        panel.get_by_label("experiment", exact=True).fill(text)
        panel.get_by_role("button", name="open").click()
        expect(panel.get_by_role("alert")).to_contain_text(words)


def test_two_runs_share_the_seed_and_stay_together(page, show):
    panel = show("#playground&steps=120&b&predictor=identity&steps=120")
    train(page, panel, 120)
    expect(panel.locator(".bt-counter")).to_contain_text("step 120 and 120")
    verdicts = panel.locator(".bt-verdict")
    expect(verdicts.nth(1)).to_contain_text("B: collapse")
    expect(verdicts.nth(0)).not_to_contain_text("collapse:")
    rows = curves(page, panel)
    a, b = ([r for r in rows if r["run"] == name] for name in "AB")
    assert a[1]["std"] == b[1]["std"]  # the same weights and the same views
    assert len(a) == len(b) == 121
    with page.expect_download() as download:
        panel.get_by_role("button", name="save picture").click()
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


# --- fallbacks -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (
            "script-src 'unsafe-inline' blob: 'wasm-unsafe-eval'; worker-src 'none'",
            "on the page’s thread, by WebAssembly",
        ),
        ("script-src 'unsafe-inline' blob:", "in a worker, by JavaScript"),
        ("script-src 'unsafe-inline' blob:; worker-src 'none'", "on the page’s thread, by JavaScript"),
    ],
)
def test_where_a_policy_forbids_workers_or_webassembly_it_still_trains(context, tmp_path, policy, words):
    page = context.new_page()  # the fixture's page would count the browser's complaint as an error
    panel = bt.widgets.playground()
    save_html(panel, tmp_path / "page.html")
    panel.close()
    text = (tmp_path / "page.html").read_text("utf-8")
    (tmp_path / "page.html").write_text(
        text.replace(
            '<meta charset="utf-8">',
            f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">',
        ),
        "utf-8",
    )
    page.goto((tmp_path / "page.html").as_uri() + "#playground&steps=8")
    region = page.get_by_role("region", name="BYOL playground")
    expect(region.get_by_text(words)).to_be_visible()
    expect(region.locator(".bt-verdict").first).to_contain_text("not trained yet")
    train(page, region, 8)
    page.close()


# --- nothing is left ---------------------------------------------------------------------------------------------------------


def test_closing_ends_the_worker(page):
    panel = bt.widgets.playground()
    bridge = Bridge(page, panel)
    expect(page.locator(".bt-verdict").first).to_contain_text("not trained yet")
    assert len(page.workers) == 1
    page.get_by_role("button", name="train").click()
    wait_for(page, f"() => ({STEP})[0] >= 2")
    page.evaluate("() => { unmount(); document.getElementById('panel').replaceChildren(); }")
    page.wait_for_timeout(200)
    assert page.workers == []
    assert bridge.errors == []
    panel.close()


def test_thirty_openings_leave_the_memory_as_it_was(page):
    """After each the panel is closed; what is left is compared with what the fifth left."""
    page.set_content(PAGE)
    panel = bt.widgets.playground()
    state = {"about": panel.about, "plans": panel.plans}
    page.evaluate(
        """async ([source, state]) => {
          const module = await import(URL.createObjectURL(new Blob([source], {type: "text/javascript"})));
          window.once = async () => {
            const el = document.createElement("div"), model = {recorded: false, get: (name) => state[name]};
            document.body.append(el);
            const dispose = module.default.render({model, el});
            while (!el.querySelector(".bt-verdict").textContent.includes("not trained")) await new Promise((r) => setTimeout(r, 20));
            dispose();
            el.remove();
          };
        }""",
        [panel._esm, state],
    )
    panel.close()
    session = page.context.new_cdp_session(page)
    left = []
    for times in (5, 25):
        for _ in range(times):
            page.evaluate("once()")
        session.send("HeapProfiler.collectGarbage")
        left.append((session.send("Runtime.getHeapUsage")["usedSize"], session.send("Memory.getDOMCounters")["nodes"]))
    (heap, nodes), (heap_later, nodes_later) = left
    assert page.workers == []
    assert heap_later - heap < 2_000_000
    assert nodes_later - nodes < 200
