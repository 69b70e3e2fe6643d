"""The playground in Chromium, from the disk: it trains, explains itself, stops when it is not visible, and leaves nothing behind."""

import csv
import itertools
import json
import re
import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from bridge import PAGE, Bridge
from playwright.sync_api import expect

import byol_tutorial as bt
from byol_tutorial.widgets.static import save_html

STEP = "[...document.querySelectorAll('.bt-counter')].map((e) => Number(e.textContent.match(/step (\\d+)/)[1]))"
TRAINED = "(n) => document.querySelector('.bt-counter').textContent.includes('paused') && Number(document.querySelector('.bt-counter').textContent.match(/step (\\d+)/)[1]) >= n"


# A loaded machine may start a worker late, which is no reason for the page's thread; what workers send is kept for the tests.
PATIENT = """{
  const wait = globalThis.setTimeout;
  globalThis.setTimeout = (f, ms, ...rest) => wait(f, ms === 5000 ? 100000 : ms, ...rest);
  globalThis.frames = [];
  globalThis.Worker = class extends Worker {
    constructor(...a) { super(...a); this.addEventListener("message", ({data}) => { if (data.kind === "frame") frames.push(data); }); }
  };
}"""


def until(page, condition):
    """Wait until a function of Python, such as one that asks for the page's workers, returns a true value."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it has not happened within a minute"
        page.wait_for_timeout(50)


@pytest.fixture
def show(page, tmp_path):
    """Return a function that shows playgrounds in a page from the disk: show(fragment, options of each, ...)."""
    made = []
    page.add_init_script(PATIENT)

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
    panel = show()
    page.evaluate("""() => { window.times = []; new MutationObserver(() => times.push(performance.now())).observe(
        document.querySelector('.bt-counter'), {childList: true, characterData: true, subtree: true}); }""")
    panel.get_by_role("button", name="train").click()
    wait_for(page, "() => times.length >= 5")
    times = page.evaluate("times")
    between = [b - a for a, b in itertools.pairwise(times[1:])]  # the first follows the press
    assert len(between) >= 3
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
    wait_for(page, "() => !frames.at(-1).running")  # the run itself says that it has stopped
    expect(panel.locator(".bt-counter")).to_contain_text("waiting until it is visible")
    stopped, sent = page.evaluate("[frames.at(-1).step, frames.length]")
    page.wait_for_timeout(700)  # in which it would make dozens of steps
    assert page.evaluate("frames.length") == sent
    page.evaluate(hide, False)
    wait_for(page, f"(n) => ({STEP})[0] > n", stopped)
    page.evaluate(
        "document.body.prepend(Object.assign(document.createElement('div'), {style: 'height: 9000px'})); scrollTo(0, 0)"
    )
    expect(panel.locator(".bt-counter")).to_contain_text("waiting until it is visible")


def test_divergence_is_said_in_words(page, show):
    panel = show("#playground&lr=1e28&steps=200")
    labels = """() => { const canvas = document.querySelector(".bt-plots canvas"), scale = canvas.width / canvas.clientWidth;
      return canvas.getContext("2d").getImageData(0, 0, 36 * scale, 110 * scale).data.some((v) => v > 0); }"""
    panel.get_by_role("button", name="train").click()
    expect(panel.locator(".bt-verdict").first).to_contain_text(
        "not finite: the run has diverged; lower lr, or lengthen the warm-up"
    )
    expect(panel.locator(".bt-counter")).to_contain_text("diverged")
    assert "NaN" not in panel.inner_text()
    wait_for(page, labels)  # the axis of the loss has its numbers
    panel.get_by_role("button", name="start again").click()
    expect(panel.locator(".bt-verdict").first).to_contain_text("not trained yet")


# --- changes --------------------------------------------------------------------------------------------------------------------

SET = """(name, value) => { const label = [...document.querySelectorAll("label")].find((l) => l.textContent === name);
  const input = document.getElementById(label.htmlFor);
  if (input.type === "checkbox") input.checked = value; else input.value = value;
  input.dispatchEvent(new Event(input.type === "range" ? "input" : "change")); }"""


def test_new_run_settings_can_change_at_any_time_while_it_trains(page, show):
    """Frames of the run before, which were on their way, count for nothing: no error, and no value of theirs is shown."""
    panel = show()
    panel.get_by_role("button", name="train").click()
    wait_for(page, f"() => ({STEP})[0] >= 5")
    page.evaluate(
        f"""async () => {{
          const set = {SET}, rest = (ms) => new Promise((r) => setTimeout(r, ms));
          for (let i = 1; i <= 24; i++) {{
            set("batch size", i % 2 ? "16" : "32");
            if (i % 3 === 0) set("seed", String(i));
            if (i % 5 === 0) set("method", ["byol", "simsiam", "simclr"][i % 3]);
            if (i % 4 === 0) [...document.querySelectorAll("button")].find((b) => b.textContent === "start again").click();
            if (i % 4 === 0) document.querySelector(".bt-play").click();
            await rest(5 * (i % 9));
          }}
          set("method", "simclr");
          set("seed", "77");
        }}"""
    )
    expect(panel.locator(".bt-counter")).to_contain_text("training")
    wait_for(page, "() => frames.at(-1).settings.seed === 77 && frames.at(-1).step >= 5")
    panel.get_by_role("button", name="pause").click()
    expect(panel.get_by_label("seed", exact=True)).to_have_value("77")
    expect(panel.get_by_role("alert")).to_be_hidden()
    expect(panel).to_contain_text("SimSiam has BYOL’s projector and predictor here")
    wait_for(
        page,
        "() => location.hash.includes('seed=77') && location.hash.includes('lr=1.6') && location.hash.includes('weight_decay=0.0002')",
    )
    number, steps = page.evaluate(
        "[frames.at(-1).number, frames.filter((f) => f.number === frames.at(-1).number).map((f) => f.step)]"
    )
    assert number >= 25
    assert steps == sorted(steps)


def test_a_change_is_kept_before_the_run_has_begun(page, show):
    panel = show("#playground&40:lr=0.2&steps=3")
    page.evaluate(
        f"() => {{ const set = {SET}; set('seed', '5'); set('predictor', 'linear'); set('stop-gradient', false); }}"
    )
    expect(panel.locator(".bt-verdict").first).to_contain_text("not trained yet")
    wait_for(page, "() => frames.at(-1).settings.predictor === 'linear'")
    assert page.evaluate("frames.at(-1).settings.stop_gradient") is False
    expect(panel.get_by_role("combobox", name="predictor")).to_have_value("linear")
    expect(panel.get_by_label("seed", exact=True)).to_have_value("5")
    train(page, panel, 3)
    assert page.url.endswith("#playground&seed=5&predictor=linear&stop_gradient=false&40:lr=0.2&steps=3")


def test_a_value_that_is_the_present_one_changes_nothing(page, show):
    panel = show("#playground&steps=3")
    train(page, panel, 3)
    for name, value in (("seed", "00"), ("seed", "0"), ("batch size", "32"), ("method", "byol"), ("pictures", "24")):
        page.evaluate(f"([name, value]) => ({SET})(name, value)", [name, value])
        expect(panel.locator(".bt-counter")).to_contain_text("step 3")
        expect(panel.locator(".bt-verdict").first).not_to_contain_text("drawing")
    expect(panel.get_by_label("seed", exact=True)).to_have_value("0")


def test_sliders_settle_each_for_itself_and_its_run(page, show):
    panel = show("", {"beside": {"predictor": "identity"}})
    expect(panel.locator(".bt-verdict").nth(1)).to_contain_text("not trained yet")
    page.evaluate(
        f"""() => {{ const set = {SET}, press = (name) => [...document.querySelectorAll(".bt-which")].find((b) => b.textContent === name).click();
          press("A"); set("smallest crop, of the area", "0.2"); set("learning rate", "500");
          press("B"); set("smallest crop, of the area", "0.9"); }}"""
    )
    wait_for(page, "() => /crop_area=0.2.*&b&.*crop_area=0.9/.test(location.hash)")
    first, second = page.evaluate("location.hash").split("&b&")
    assert "lr=" in first
    assert "lr=" not in second


def test_a_new_run_has_no_prediction_and_the_focus_returns_to_the_card(page, show):
    panel = show()
    card = panel.get_by_role("button", name="no predictor")
    card.click()
    form = panel.get_by_role("form", name="Your prediction")
    form.get_by_role("button", name="cancel").click()
    expect(card).to_be_focused()
    card.click()
    form.get_by_label("The loss …").select_option("does not fall")
    form.get_by_role("button", name="run it").click()
    expect(card).to_be_focused()
    expect(panel.locator(".bt-outcome")).to_contain_text("you said")
    wait_for(page, f"() => ({STEP})[0] >= 2")
    panel.get_by_role("combobox", name="batch size").select_option("16")
    expect(panel.locator(".bt-outcome")).to_be_hidden()


def test_another_heading_of_the_page_leaves_the_run_alone(page, show):
    """Also where the experiment came by the query, which stays in the address."""
    panel = show("?playground&predictor=linear&steps=4")
    panel.get_by_role("button", name="step").click()
    wait_for(page, f"() => ({STEP})[0] === 1")
    page.evaluate("history.replaceState(null, '', location.pathname + '?playground&predictor=linear&steps=4')")
    page.evaluate(
        "new Promise((r) => { addEventListener('hashchange', () => setTimeout(r)); location.hash = '#the-board'; })"
    )
    assert page.evaluate(STEP)[0] == 1
    expect(panel.locator(".bt-verdict").first).not_to_contain_text("drawing")
    page.evaluate("location.hash = '#playground&seed=9'")
    expect(panel.get_by_label("seed", exact=True)).to_have_value("9")


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
    the query again, as the second address here."""
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
    until(page, lambda: page.workers == [])
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
    for _ in range(5):
        page.evaluate("once()")
    until(page, lambda: page.workers == [])
    session.send("HeapProfiler.collectGarbage")
    heap, nodes = session.send("Runtime.getHeapUsage")["usedSize"], session.send("Memory.getDOMCounters")["nodes"]
    for _ in range(25):
        page.evaluate("once()")

    def freed():  # workers end, and what they held is freed, some time after they were told to
        session.send("HeapProfiler.collectGarbage")
        now, nodes_now = (
            session.send("Runtime.getHeapUsage")["usedSize"],
            session.send("Memory.getDOMCounters")["nodes"],
        )
        return page.workers == [] and now - heap < 2_000_000 and nodes_now - nodes < 200

    until(page, freed)
