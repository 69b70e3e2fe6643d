"""Panels as fragments of HTML: each is complete, and none breaks the page."""

import base64
import json
import re
import sys
from pathlib import Path

import ipywidgets
import pytest
import traitlets

import byol_tutorial as bt
from byol_tutorial.config.errors import CheckpointError, UserError
from byol_tutorial.widgets.panel import Panel
from byol_tutorial.widgets.phase import phase_plane
from byol_tutorial.widgets.static import save_html, static_html

ROOT = Path(__file__).parents[2]


class Probe(Panel):
    _esm = 'export default {render: () => "</script><b>"};'
    _css = ".probe > i { color: red }"
    numbers = traitlets.Bytes(bytes(range(256))).tag(sync=True)
    about = traitlets.Dict().tag(sync=True)
    private = traitlets.Unicode("only in Python")


def scripts(html: str) -> list[tuple[str, str]]:
    """Return attributes and text of each script element, as a browser separates them."""
    return re.findall(r"<script([^>]*)>(.*?)</script>", html, re.S)


@pytest.fixture
def probe():
    panel = Probe(
        about={"text": "</script><img src=x onerror=alert(1)>", "list": [1.5, float("nan"), None, b"\x00\xff"]}
    )
    yield panel
    panel.close()


def test_a_fragment_holds_the_traits_and_the_module_and_nothing_breaks_out(probe):
    (_, traits), *sources, (host, _) = scripts(static_html(probe))
    traits, (module, *others) = json.loads(traits), [json.loads(text) for _, text in sources]
    named = dict(zip([re.search('data-bt-source="(.*)"', where)[1] for where, _ in sources[1:]], others, strict=True))
    assert base64.b64decode(named[traits["numbers"]["bytes"]]) == bytes(range(256))
    assert traits["about"]["text"] == "</script><img src=x onerror=alert(1)>"
    assert traits["about"]["list"] == [
        1.5,
        None,
        None,
        {"bytes": next(n for n, text in named.items() if text == "AP8=")},
    ]
    assert set(traits) == {"numbers", "about", "problem"}  # no private traits, and none that every widget has
    assert module == {"js": Probe._esm, "css": Probe._css}
    assert "module" in host


def test_the_same_panel_gives_the_same_fragment(probe):
    again = Probe(about=probe.about)
    assert static_html(probe) == static_html(again)
    again.close()


def test_a_module_is_in_a_page_once_if_the_caller_passes_shipped(probe):
    first, second = phase_plane(), phase_plane(eta=0.1)
    shipped: set[str] = set()
    page = "\n".join(static_html(panel, shipped=shipped) for panel in (first, second, probe))
    assert page.count('{"js": ') == 2
    assert page.count('class="bt-static"') == 3
    assert static_html(first).count('json" data-bt-source="') == 1
    for panel in (first, second):
        panel.close()


def test_equal_bytes_are_in_a_page_once_if_the_caller_passes_shipped(probe):
    again, other = Probe(about=probe.about), Probe(about=probe.about, numbers=b"others")
    shipped: set[str] = set()
    page = "\n".join(static_html(panel, shipped=shipped) for panel in (probe, again, other))
    assert page.count(base64.b64encode(probe.numbers).decode()) == 1
    assert page.count(base64.b64encode(b"others").decode()) == 1
    again.close()
    other.close()


def test_a_box_of_panels_is_its_panels(probe):
    plane = phase_plane()
    box = ipywidgets.VBox([probe, ipywidgets.HBox([plane])])
    assert static_html(box).count('class="bt-static"') == 2
    for widget in (box, plane):
        widget.close()


def test_something_that_is_not_a_panel_is_refused():
    for thing in (3, ipywidgets.VBox([])):
        with pytest.raises(UserError, match=f"{type(thing).__name__} is not a panel"):
            static_html(thing)


def test_height_reserves_space():
    plane = phase_plane()
    assert 'style="min-height:640px"' in static_html(plane, height=640)
    plane.close()


def test_a_page_is_written_completely_or_not_changed(probe, tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    save_html([probe, probe], path, title="<views> & more")
    page = path.read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert "<title>&lt;views&gt; &amp; more</title>" in page
    assert page.count('class="bt-static"') == 2
    assert page.count('{"js": ') == 1

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        save_html(phase_plane(), path)
    assert path.read_text("utf-8") == page
    assert list(tmp_path.iterdir()) == [path]


def test_no_panel_names_another_host():
    for file in (ROOT / "byol_tutorial" / "widgets").rglob("*.*"):
        if file.suffix in (".js", ".css"):
            assert not re.search(r"https?://|@import|\bimport\(['\"]|^import ", file.read_text("utf-8"), re.M), (
                file.name
            )


# --- notebooks shown as pages --------------------------------------------------------------------


@pytest.fixture
def as_page(monkeypatch):
    monkeypatch.setenv("BYOL_STATIC", "1")


def shown(panel) -> dict:
    found = panel._repr_mimebundle_()
    return found[0] if isinstance(found, tuple) else found


def test_a_notebook_shows_a_live_widget():
    panel = bt.widgets.phase_plane()
    assert "application/vnd.jupyter.widget-view+json" in shown(panel)
    panel.close()


def test_a_notebook_of_the_book_shows_a_page_that_needs_no_other_cell(as_page):
    panel = bt.widgets.phase_plane()
    found = [shown(panel), shown(panel)]
    assert set(found[0]) == {"text/html", "text/plain"}
    assert found[0] == found[1]
    assert found[0]["text/html"].count('{"js": ') == 1
    panel.close()


def test_a_cockpit_of_the_book_has_trained_a_little(as_page):
    images = bt.load("shapes", limit=64)
    panel = bt.widgets.cockpit(
        bt.Config(width=4, hidden_dim=16, projection_dim=8, batch_size=8, epochs=4), images, images, "cpu"
    )
    shown(panel)
    assert panel.session.snapshot().step == 8  # a quarter of its 32
    assert panel.frame["step"] == 8
    shown(panel)
    assert panel.session.snapshot().step == 8
    panel.close()


@pytest.mark.training
def test_a_laboratory_of_the_book_has_run(as_page, monkeypatch):
    monkeypatch.setenv("BYOL_SCALE", "smoke")
    box = bt.widgets.laboratory(cells=["τ = 0"])
    html = shown(box)["text/html"]
    assert box.lab.state == "done"
    assert "data-bt-module" in html
    box.close()


# --- where widgets cannot be shown ---------------------------------------------------------------

VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(params=["panel", "box"])
def displayed(request):
    if request.param == "panel":
        panel = bt.widgets.phase_plane()
    else:
        images = bt.load("shapes", limit=32)
        panel = bt.widgets.laboratory(images, images, bt.Config(width=4, hidden_dim=16), cells=["τ = 0"])
    yield panel
    panel.close()


def test_beside_the_widget_stands_a_page_that_says_what_it_is(displayed):
    data, _ = displayed._repr_mimebundle_()
    assert data[VIEW]["model_id"] == displayed.model_id
    assert data["text/html"].startswith("<p>This is the panel as it was when its cell ran: nothing can be live here.")
    assert static_html(displayed) in data["text/html"]
    assert data["text/plain"].startswith(f"{type(displayed).__name__}, a panel: it needs JupyterLab with anywidget")


def test_a_saved_notebook_shows_the_page_where_the_model_is_not_found(displayed):
    """nbconvert knows widgets, but finds no state of this one in the notebook; it shows the next best."""
    import nbformat
    from nbconvert import HTMLExporter

    data, metadata = displayed._repr_mimebundle_()
    cell = nbformat.v4.new_code_cell("panel")
    cell.outputs = [nbformat.v4.new_output("display_data", data, metadata=metadata)]
    saved = nbformat.writes(nbformat.v4.new_notebook(cells=[cell]))
    page, _ = HTMLExporter().from_notebook_node(nbformat.reads(saved, as_version=4))
    assert "nothing can be live here" in page
    assert page.count('class="bt-static"') == 1
    assert displayed.model_id not in page


def test_on_colab_the_widget_has_no_rival(displayed, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", object())
    data, _ = displayed._repr_mimebundle_()
    assert set(data) == {VIEW, "text/plain"}


def test_on_kaggle_a_panel_is_a_page_and_says_so(monkeypatch):
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    panel = bt.widgets.phase_plane()
    data = shown(panel)
    assert set(data) == {"text/html", "text/plain"}
    assert data["text/html"].startswith("<p>This is the panel as it was when its cell ran")
    assert data["text/html"].endswith(static_html(panel))
    panel.close()


def test_the_book_says_nothing_about_other_places(as_page):
    panel = bt.widgets.phase_plane()
    assert shown(panel)["text/html"] == static_html(panel)
    panel.close()
