"""A notebook that was saved and opened again with a new kernel shows its panels as they were."""

import json

from lab import run_all
from playwright.sync_api import expect

CELL = """import byol_tutorial as bt
bt.widgets.phase_plane()"""


def test_a_saved_notebook_opened_with_a_new_kernel_shows_its_panel(lab, page):
    name = lab.notebook("saved", CELL)
    lab.open(page, name)
    run_all(page)
    panel = page.get_by_role("region", name="Phase plane")
    expect(panel).to_be_visible()
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    content = json.loads((lab.folder / "work" / name).read_text("utf-8"))
    (output,) = content["cells"][0]["outputs"]
    model = output["data"]["application/vnd.jupyter.widget-view+json"]["model_id"]
    # JupyterLab leaves this out unless it is told to save it.
    assert model in content["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    assert "nothing can be live here" in "".join(output["data"]["text/html"])
    page.goto("about:blank")
    lab.shut_down_kernels()

    lab.open(page, name)
    expect(panel).to_be_visible()
    assert page.get_by_text("model not found").count() == 0
    page.goto("about:blank")
    lab.shut_down_kernels()
