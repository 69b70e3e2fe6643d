"""The encoder that comes with the course is the one that its record describes."""

from importlib.resources import files

import pytest

import byol_tutorial as bt
from byol_tutorial.course import longer_run


@pytest.mark.slow
def test_the_shipped_encoder_has_the_accuracies_of_its_record():
    longer = longer_run()
    found = bt.accuracies(longer.encoder, bt.load("photographs"), bt.load("photographs", "test"))
    assert found.knn == pytest.approx(longer.results["BYOL"]["knn"], abs=0.005)
    assert found.linear == pytest.approx(longer.results["BYOL"]["linear"], abs=0.005)


def test_its_record_names_command_settings_and_rivals():
    longer = longer_run()
    assert longer.command.startswith("byol-tutorial train --data photographs ")
    assert f"--epochs {longer.config['epochs']} " in longer.command + " "
    assert bt.preset("photos", epochs=240, knn_every=20) == bt.Config(**longer.config)
    assert longer.results.keys() == {"raw pixels", "random encoder", "BYOL"}
    for rival in ("raw pixels", "random encoder"):
        assert longer.results["BYOL"]["linear"] > longer.results[rival]["linear"] + 0.1
    assert 300 < longer.seconds < 1500


def test_it_is_small():
    assert files("byol_tutorial.course").joinpath("photographs.safetensors").stat().st_size < 5_000_000
