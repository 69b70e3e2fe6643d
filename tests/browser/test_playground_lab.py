"""The playground in JupyterLab: the same module, in a worker of the page, while the kernel is busy."""

import pytest
from lab import run_all
from playwright.sync_api import expect

STEP = "Number(document.querySelector('.bt-counter').textContent.match(/step (\\d+)/)[1])"


@pytest.mark.training
def test_it_trains_in_jupyterlab_while_a_cell_keeps_the_kernel_busy(lab, page):
    page.set_viewport_size({"width": 1200, "height": 1000})
    lab.open(
        page,
        lab.notebook(
            "playground", "import byol_tutorial as bt", "bt.widgets.playground(seed=4)", "import time; time.sleep(600)"
        ),
    )
    run_all(page)
    panel = page.get_by_role("region", name="BYOL playground")
    expect(panel.locator(".bt-verdict").first).to_contain_text("not trained yet")
    expect(panel.get_by_label("seed", exact=True)).to_have_value("4")
    panel.get_by_role("button", name="train").click()
    page.wait_for_function(f"() => {STEP} >= 20")
    panel.get_by_role("button", name="pause").click()
    assert "#playground" not in page.url  # Lab's own address stays as it is
