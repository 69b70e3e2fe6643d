"""Vectors for image files in Python: labels and classes of a folder, paths as users type them."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import byol_tutorial as bt


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "all" / name / "more").mkdir(parents=True)
        for file in ("0.png", "more/1.png"):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(tmp_path / "all" / name / file)
    return tmp_path / "all"


@pytest.fixture(scope="module")
def encoder():
    return bt.Trainer(bt.Config(width=4, batch_size=4), bt.load("shapes", limit=8), device="cpu").model.encoder


def test_the_sub_folders_of_a_folder_are_its_classes(folder, encoder):
    found = bt.embed_images(encoder, folder, 16)
    assert found.classes == ("cat", "dog")
    assert found.labels.dtype == torch.int64
    assert [found.classes[k] for k in found.labels] == [
        file.removeprefix(f"{folder}/").split("/")[0] for file in found.files
    ]
    assert len(found.features) == len(found.labels) == 4


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Training", "VAL"), ("train", None)])
def test_splits_are_no_classes(folder, encoder, train, test):
    for split in filter(None, (train, test)):
        shutil.copytree(folder, folder.parent / "split" / split)
    found = bt.embed_images(encoder, folder.parent / "split", 16)
    assert found.classes == ("cat", "dog")
    assert found.labels.bincount().tolist() == [len(found.files) // 2] * 2


def test_images_beside_the_splits_have_no_class(folder, encoder):
    for split in ("train", "test", "unlabeled"):
        shutil.copytree(folder, folder.parent / "split" / split)
    found = bt.embed_images(encoder, folder.parent / "split", 16)
    assert len(found.files) == 12
    assert found.labels is None


def test_tests_without_train_have_no_classes_as_load_reads_them(folder, encoder):
    shutil.copytree(folder, folder.parent / "split" / "test")
    assert bt.embed_images(encoder, folder.parent / "split", 16).labels is None


def test_an_accent_has_either_encoding_in_either_split(folder, encoder):
    for split, name in (("train", "\u00e9cole"), ("test", "e\u0301cole")):
        shutil.copytree(folder / "cat", folder.parent / "split" / split / name)
        shutil.copytree(folder / "dog", folder.parent / "split" / split / "dog")
    found = bt.embed_images(encoder, folder.parent / "split", 16)
    assert found.classes == ("dog", "\u00e9cole")
    assert found.labels.bincount().tolist() == [4, 4]


def test_a_file_that_cannot_be_read_keeps_labels_and_files_together(folder, encoder):
    (folder / "cat" / "0.png").write_text("no picture")
    found = bt.embed_images(encoder, folder, 16, corrupt="skip")
    assert [found.classes[k] for k in found.labels] == ["cat", "dog", "dog"]


def test_without_classes_there_are_no_labels(folder, encoder):
    several = bt.embed_images(encoder, [folder / "cat", folder / "dog"], 16)
    one = bt.embed_images(encoder, folder / "cat" / "0.png", 16)
    Image.new("RGB", (16, 16)).save(folder / "beside.png")
    beside = bt.embed_images(encoder, folder, 16)
    for found in (several, one, beside):
        assert found.labels is None
        assert found.classes == ()


def test_home_and_variables_are_replaced(folder, encoder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("PLACE", str(folder))
    for path in ("~/all", "$PLACE", ["$PLACE/cat", "~/all/dog"]):
        assert len(bt.embed_images(encoder, path, 16).files) == 4
