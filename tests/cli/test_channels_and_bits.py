"""The command line on files of five bands, of one channel and of 16 bits: train, resume, evaluate, embed."""

import json
import re

import numpy as np
import pytest
import torch
from command_line import main
from PIL import Image

import byol_tutorial as bt
from byol_tutorial.cli import report, run_folder
from byol_tutorial.evaluate.features import features

SMALL = ["--warmup-epochs=0", "--width=4", "--hidden-dim=8", "--projection-dim=4", "--batch-size=4", "--device=cpu",
         "--epochs=1"]  # fmt: skip


@pytest.fixture
def five(tmp_path, monkeypatch):
    """Two classes of ten files with five bands of 12 bits."""
    rng = np.random.default_rng(0)
    for name in ("cell", "dust"):
        (tmp_path / "five" / name).mkdir(parents=True)
        for i in range(10):
            np.save(tmp_path / "five" / name / f"{i}.npy", rng.integers(0, 4096, (16, 16, 5)).astype(np.uint16))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "five"


def test_a_run_on_five_bands_from_end_to_end(five, monkeypatch, capsys):
    assert main("train", "--data=folder:five", "--out=run", *SMALL) == 0
    told = capsys.readouterr().out
    assert "saturation, hue, grayscale_p switched off in the views" in told
    assert "16 files have 5 channels" in told or "20 files have 5 channels" in told
    assert "values 0 to 4095 become 0 to 65535" in told
    assert (five.parent / "run" / "figures" / "views.png").is_file()
    monkeypatch.setattr(report, "judge", lambda *_: None)  # the first command has judged
    about = json.loads((five.parent / "run" / "settings.json").read_text())
    assert (about["found"]["channels"], about["found"]["bits"]) == (5, 16)
    assert main("train", "--resume=run") == 0
    assert main("evaluate", "run", "--protocol", "knn", "--device=cpu") == 0
    capsys.readouterr()

    # other images, fewer values: they are scaled as those of the run
    (five.parent / "new").mkdir()
    dark = np.random.default_rng(1).integers(0, 900, (16, 16, 5)).astype(np.uint16)
    np.save(five.parent / "new" / "a.npy", dark)
    assert main("embed", "run", "--data=new", "--out=new.npz", "--kind=none", "--device=cpu") == 0
    encoder = bt.load_encoder("run/encoder.safetensors")
    as_read = torch.from_numpy((dark / 4095 * 65535).round().astype(np.uint16)).permute(2, 0, 1)[None]
    expected = features(encoder, as_read)
    np.testing.assert_allclose(np.load("new.npz")["features"], expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(bt.embed_images(encoder, "new").features, expected.numpy(), atol=1e-5)

    # images with other channels: the message names no option, because none was typed
    (five.parent / "rgb").mkdir()
    for i in range(8):
        Image.new("RGB", (16, 16), (i, 2, 3)).save(five.parent / "rgb" / f"{i}.png")
    made_for = "the encoder is made for 5 channels, and "
    files = made_for + r"\d files? ha(ve|s) 3 channels \(\d\.png\): choose other images"
    protocol = ["evaluate", "run", "--protocol=transfer", "--device=cpu"]
    for command, words in (
        (["embed", "run", "--data=rgb/0.png", "--kind=none"], files),
        (["embed", "run", "--data=rgb", "--kind=none"], files),
        (
            ["embed", "run", "--data=shapes", "--kind=none"],
            made_for + "the images of 'shapes' have 3: choose other images",
        ),
        ([*protocol, "--data=folder:rgb"], files),
        ([*protocol, "--data=shapes"], made_for + "the images of 'shapes' have 3: choose other images"),
        (["evaluate", "run", "--data=folder:rgb"], files),
    ):
        assert main(*command) != 0
        error = " ".join(capsys.readouterr().err.split())
        assert re.search(words, error), (command, error)
        assert "channels=" not in error
    with pytest.raises(bt.DataError, match=files):
        bt.embed_images(encoder, "rgb")
    with pytest.raises(bt.DataError, match=r"channels=7, but 8 files have 3 .*give at most 3"):
        bt.embed_images(encoder, "rgb", channels=7)

    # guests: before any work
    capsys.readouterr()
    for command in (
        ["evaluate", "run"],
        ["evaluate", "run", "--protocol=knn"],
        ["embed", "run"],
        ["embed", "run", "--data=new"],
    ):
        assert main(*command, "--guest=resnet18=random", "--device=cpu") != 0
        told = capsys.readouterr()
        words = "--guest resnet18: it is made for 3 channels, and the images have 5; leave it out"
        assert words in " ".join(told.err.split())
        assert "verdict" not in told.out.lower()
        assert "channels=" not in told.err
    assert not (five.parent / "run" / "embeddings-resnet18.npz").exists()


def test_operations_on_colours_that_were_typed_are_refused_by_name(five, capsys):
    assert main("train", "--data=folder:five", "--out=run", "--hue=0.1", *SMALL) != 0
    assert "hue=(0.1, 0.1): this takes three channels" in capsys.readouterr().err
    assert not (five.parent / "run").exists()


def test_one_channel_and_the_first_three(five, monkeypatch, capsys):
    monkeypatch.setattr(report, "judge", lambda *_: None)  # slow, and not what this is about
    for channels in (1, 3):
        assert main("train", "--data=folder:five", f"--out=run{channels}", f"--channels={channels}", *SMALL) == 0
        encoder = bt.load_encoder(f"run{channels}/encoder.safetensors")
        assert len(encoder.pixel_mean) == channels
    assert main("train", "--data=folder:five", "--channels=seven", *SMALL) != 0
    assert "give auto or a number" in capsys.readouterr().err
    assert main("train", "--data=folder:five", "--channels=auto", "--out=auto", *SMALL) == 0


def test_a_run_of_a_version_without_channels_goes_on_with_eight_bits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "judge", lambda *_: None)  # slow, and not what this is about
    rng = np.random.default_rng(0)
    (tmp_path / "grey").mkdir()
    for i in range(12):
        Image.fromarray(rng.integers(0, 4096, (16, 16)).astype(np.uint16)).save(tmp_path / "grey" / f"{i}.png")
    assert main("train", "--data=folder:grey", "--out=run", "--bits=8", "--channels=3", *SMALL) == 0
    file = tmp_path / "run" / "settings.json"
    about = json.loads(file.read_text())
    for name in ("channels", "bits", "file_channels"):
        about["found"].pop(name)
        about["data"].pop(name, None)
    file.write_text(json.dumps(about))
    reading = run_folder.reading(tmp_path / "run")
    assert (reading["channels"], reading["bits"]) == (3, 8)
    assert main("train", "--resume=run") == 0
