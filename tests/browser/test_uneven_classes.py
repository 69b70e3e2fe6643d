"""Where classes are not equally frequent, panels show chance and the share of the largest class beside accuracies."""

import pytest
import torch
from playwright.sync_api import expect

import byol_tutorial as bt

TINY = {"width": 4, "hidden_dim": 16, "projection_dim": 8, "batch_size": 8, "epochs": 2, "warmup_epochs": 0.5}


@pytest.mark.parametrize("uneven", [True, False])
def test_panels_show_the_floor_of_accuracies_only_if_classes_are_uneven(page, tmp_path, uneven):
    images = bt.load("shapes", limit=40).images
    labels = torch.arange(40) % (4 if uneven else 2)
    labels[labels > 1] = 1  # uneven: 30 of 40 images are of the second class
    data = bt.ImageSet("two", "test", images, labels, ("one", "other"))
    config = bt.Config(**TINY)
    film = bt.widgets.film(bt.record(bt.Trainer(config, data, data, "cpu"), data, progress=False))
    cockpit = bt.widgets.cockpit(config, data, data, "cpu")
    cockpit.session.run()
    laboratory = bt.widgets.laboratory(data, data, config, ["τ = 0"], workers=1)
    laboratory.lab.run()
    panels = [film, cockpit, laboratory]
    bt.widgets.save_html(panels, tmp_path / "page.html")
    for panel in panels:
        panel.close()
    page.goto((tmp_path / "page.html").as_uri())
    for name in ("Embedding film", "BYOL cockpit", "Collapse laboratory"):
        region = page.get_by_role("region", name=name)
        expect(region).to_be_visible()
        expect(region.get_by_text("chance 0.500, largest class 0.750")).to_have_count(int(uneven))
        if not uneven:
            assert "largest class" not in region.inner_text()
    cockpit, lab, film = (
        page.get_by_role("region", name=name) for name in ("BYOL cockpit", "Collapse laboratory", "Embedding film")
    )
    count = int(uneven)
    expect(cockpit.get_by_text("balanced 0.")).to_have_count(count)
    expect(cockpit.locator("[data-kind]", has_text="balanced kNN")).to_have_count(count)
    expect(film.get_by_role("img", name="balanced accuracy from")).to_have_count(count)
    lab.get_by_text("All of it as a table").click()
    expect(lab.get_by_role("row", name="τ = 0").get_by_text("(balanced ")).to_have_count(3 * count)
