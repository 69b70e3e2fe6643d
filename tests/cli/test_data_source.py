"""What images a run uses: the record of it, and settings.json as it was and is written."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

from byol_tutorial.cli import run_folder
from byol_tutorial.cli.data_source import DataSource
from byol_tutorial.config.config import Config
from byol_tutorial.config.errors import DataError, RunError
from byol_tutorial.data.loading import load
from byol_tutorial.train.trainer import Trainer


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run folder of one step on 12 images of "shapes"."""
    path = tmp_path_factory.mktemp("runs") / "run"
    config = Config(width=4, hidden_dim=8, projection_dim=4, batch_size=4, epochs=1, warmup_epochs=0.0, knn_every=0)
    source = DataSource("shapes", size=16, limit=12)
    train, test = source.load()
    trainer = Trainer(config, train, test, device="cpu")
    trainer.step()
    path.mkdir()
    run_folder.begin(path, config, source, trainer)
    return path


def test_it_loads_what_load_gives_for_the_same_arguments():
    images = DataSource("shapes", size=16, limit=12).load()
    for split, mine in zip(("train", "test"), images, strict=True):
        assert torch.equal(mine.images, load("shapes", split, size=16, limit=12).images)
    with pytest.raises(DataError, match="size=4: give a whole number, at least 8"):
        DataSource("shapes", size=4).load()


def test_it_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        DataSource("shapes").size = 8


@pytest.mark.parametrize(
    ("name", "short"),
    [("cifar10", "cifar10"), ("folder:photos", "photos"), ("folder:/home/me/photos/", "photos"),
     ("folder:C:\\me\\photos\\", "photos"), ("folder:~/a.b/my photos", "my photos")],
)  # fmt: skip
def test_short_name_is_the_last_part_of_the_path(name, short):
    assert DataSource(name).short_name == short


def test_a_folder_is_kept_with_its_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = DataSource("folder:photos", limit=5, stream=True)
    run_folder.write_settings(tmp_path, Config(), source, load("shapes", limit=2))
    kept = run_folder.read_source(tmp_path)
    assert kept == dataclasses.replace(source, name=f"folder:{tmp_path / 'photos'}")
    assert kept == run_folder.read_source(tmp_path).absolute()
    assert DataSource("shapes").absolute() == DataSource("shapes")


def test_differences_are_those_of_the_images_that_are_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = DataSource("folder:photos", size=32).absolute()
    assert kept.differences({}) == []
    assert kept.differences({"name": "folder:photos", "size": 32, "corrupt": "refuse"}) == []
    assert kept.differences({"name": "folder:other", "size": 64, "limit": 9}) == ["name", "size", "limit"]
    assert kept.differences({"corrupt": "skip", "stream": False}) == ["corrupt", "stream"]


OLD = {  # settings.json as version 0.1 wrote it, and as it was before images could be streamed
    "with stream": """{
 "version": "0.1.0",
 "data": {
  "name": "shapes",
  "size": 16,
  "limit": 12,
  "corrupt": "refuse",
  "stream": null
 },
 "config": {"method": "byol"}
}""",
    "without": '{"version": "0.1.0", "data": {"name": "shapes", "size": 16, "limit": 12, "corrupt": "refuse"}}',
}


@pytest.mark.parametrize("text", OLD.values(), ids=list(OLD))
def test_runs_of_older_versions_are_opened(run, tmp_path, text):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "settings.json").write_text(text)
    assert run_folder.read_source(tmp_path / "run") == DataSource("shapes", 16, 12, "refuse", None)
    trainer, train, test = run_folder.open_run(tmp_path / "run", "cpu", {"size": 16, "limit": 12})
    assert (trainer.steps_done, len(train), len(test), train.image_size) == (1, 12, 12, (16, 16))


def test_settings_hold_every_field_and_are_read_as_they_were_written(run):
    data = json.loads((run / "settings.json").read_text())["data"]
    assert data.keys() == {field.name for field in dataclasses.fields(DataSource)}
    assert data.items() >= json.loads(OLD["with stream"])["data"].items()
    assert run_folder.read_source(run) == DataSource("shapes", size=16, limit=12)


@pytest.mark.parametrize("option", [{"size": 32}, {"limit": 13}, {"stream": True}, {"labels": "none"}])
def test_a_run_is_not_opened_with_other_images(run, option):
    ((name, value),) = option.items()
    with pytest.raises(RunError, match=rf"has {name}=.*, not {value!r}: leave it out, or start a new run"):
        run_folder.open_run(run, "cpu", option)


@pytest.mark.parametrize(
    "content",
    [[], {}, {"data": None}, {"data": []}, {"data": {}}, {"data": {"size": 8}}, {"data": {"name": 3}},
     {"data": {"name": "shapes", "colour": 1}}],
)  # fmt: skip
def test_settings_that_are_damaged_are_refused_by_name(tmp_path, content):
    (tmp_path / "settings.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"settings.json' is damaged \(.*\): train again, or restore it"):
        run_folder.open_run(tmp_path, "cpu")
