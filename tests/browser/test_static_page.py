"""Panels in a page from the disk: several at once, in any order, and the substitute for the model."""

import pytest
import traitlets
from playwright.sync_api import expect

import byol_tutorial as bt
from byol_tutorial.widgets.panel import Panel
from byol_tutorial.widgets.phase import phase_plane
from byol_tutorial.widgets.static import save_html, static_html


class Probe(Panel):
    """A panel that writes what it finds into the page."""

    _esm = """
    globalThis.loads = (globalThis.loads ?? 0) + 1;
    export default {render({model, el}) {
      const bytes = model.get("numbers"), events = [];
      const f = () => events.push("named"), g = () => events.push("any");
      model.on("change:label", f);
      model.on("change", g);
      model.set("label", "second");
      model.off("change:label", f);
      model.set("label", "third");
      model.save_changes();
      model.send({do: "ping"});
      el.append(Object.assign(document.createElement("output"), {className: "probe", textContent: JSON.stringify({
        recorded: model.recorded, view: bytes instanceof DataView, int16: bytes.getInt16(2, true), label: model.get("label"),
        missing: model.get("nothing") ?? null, events, nested: model.get("about").a[1].b})}));
    }};
    """
    _css = ".probe { color: rgb(1, 2, 3) }"
    numbers = traitlets.Bytes(b"\x00\x00\xfe\xff").tag(sync=True)
    label = traitlets.Unicode("first").tag(sync=True)
    about = traitlets.Dict({"a": [1, {"b": "</script> & <b>"}]}).tag(sync=True)


class Broken(Panel):
    _esm = "export default {render() { throw new Error('no such shape'); }};"
    _css = ""


FOUND = (
    '{"recorded":true,"view":true,"int16":-2,"label":"third","missing":null,"events":["named","any","any"],'
    '"nested":"</script> & <b>"}'
)


@pytest.fixture
def panels():
    made = [Probe(), Probe(label="other"), phase_plane(), phase_plane(eta=0.3), Broken()]
    yield made
    for panel in made:
        panel.close()


def show(page, tmp_path, html: str):
    path = tmp_path / "page.html"
    path.write_text(f"<!doctype html><meta charset='utf-8'><title>page</title>{html}", encoding="utf-8")
    page.goto(path.as_uri())


def test_the_substitute_works_as_a_model(page, tmp_path, panels):
    show(page, tmp_path, static_html(panels[0]))
    found = page.locator("output.probe")
    expect(found).to_have_text(FOUND)
    expect(found).to_have_css("color", "rgb(1, 2, 3)")


def test_panels_of_a_kind_share_a_module_and_do_not_clash(page, tmp_path, panels):
    save_html(panels[:4], tmp_path / "all.html")
    page.goto((tmp_path / "all.html").as_uri())
    expect(page.locator("output.probe")).to_have_count(2)
    assert page.evaluate("loads") == 1
    planes = page.get_by_role("region", name="Phase plane")
    expect(planes).to_have_count(2)
    expect(planes.nth(0).locator(".bt-phase-words")).to_contain_text("survives")
    expect(planes.nth(1).locator(".bt-phase-words")).to_contain_text("collapses")
    planes.nth(0).get_by_role("button", name="strong weight decay").click()
    expect(planes.nth(0).locator(".bt-phase-words")).to_contain_text("collapses")
    planes.nth(1).get_by_role("button", name="healthy").click()
    expect(planes.nth(1).locator(".bt-phase-words")).to_contain_text("survives")
    expect(planes.nth(0).locator(".bt-phase-words")).to_contain_text("collapses")
    twice = "() => { const ids = [...document.querySelectorAll('[id]')].map((e) => e.id); return ids.length - new Set(ids).size; }"
    assert page.evaluate(twice) == 0


def test_fragments_that_each_bring_everything_load_it_once(page, tmp_path, panels):
    show(page, tmp_path, static_html(panels[0]) + static_html(panels[1]) + static_html(panels[0]))
    expect(page.locator("output.probe")).to_have_count(3)
    assert page.evaluate("loads") == 1


def test_a_fragment_may_come_later_as_a_cells_output_does(page, tmp_path, panels):
    show(page, tmp_path, static_html(panels[0]))
    expect(page.locator("output.probe")).to_have_count(1)
    # JupyterLab puts HTML into the page and then runs its scripts again
    page.evaluate(
        """(html) => {
          const div = document.createElement("div");
          div.innerHTML = html;
          document.body.append(div);
          for (const old of div.querySelectorAll("script")) {
            const script = document.createElement("script");
            for (const {name, value} of old.attributes) script.setAttribute(name, value);
            script.textContent = old.textContent;
            old.replaceWith(script);
          }
        }""",
        static_html(panels[2]),
    )
    expect(page.get_by_role("region", name="Phase plane")).to_be_visible()
    expect(page.locator("output.probe")).to_have_count(1)


def test_a_panel_that_fails_says_so_and_the_others_are_shown(context, tmp_path, panels):
    page = context.new_page()  # the fixture's page would count the error as one of the test
    show(page, tmp_path, static_html(panels[4]) + static_html(panels[0]))
    expect(page.get_by_text("This panel could not be shown: no such shape")).to_be_visible()
    expect(page.locator("output.probe")).to_have_text(FOUND)
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_panel_that_needs_a_kernel_shows_its_last_picture(page, tmp_path, scheme):
    page.emulate_media(color_scheme=scheme)
    train, test = bt.load("shapes", limit=128), bt.load("shapes", "test", limit=64)
    config = bt.Config(epochs=1, warmup_epochs=0.5, width=4, hidden_dim=16, projection_dim=8)
    panel = bt.widgets.cockpit(config, train, test)
    panel.session.run(steps=4)
    save_html(panel, tmp_path / "cockpit.html")
    panel.close()
    page.goto((tmp_path / "cockpit.html").as_uri())
    expect(page.get_by_text("a recorded picture")).to_be_visible()
