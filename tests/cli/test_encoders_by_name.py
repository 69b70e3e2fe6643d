"""`train --encoder LIBRARY:NAME` and `--init LIBRARY:NAME=FILE`: trained, resumed, judged, mapped; refused in one line."""

import json

import numpy as np
import pytest
import timm
import torch
from command_line import main

import byol_tutorial as bt
from byol_tutorial.cli import report

QUICK = ["--data", "shapes", "--limit", "48", "--epochs", "1", "--warmup-epochs", "0", "--batch-size", "16"]
QUICK += ["--hidden-dim", "8", "--projection-dim", "4", "--device", "cpu"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_run_by_name_with_weights_from_a_file(tmp_path, monkeypatch, capsys):
    torch.manual_seed(5)
    source = timm.create_model("test_resnet")
    torch.save(source.state_dict(), "w.pth")
    chosen = ["--encoder", "timm:test_resnet", "--init", "timm:test_resnet=w.pth"]
    assert main("train", *QUICK, *chosen, "--out", "run") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "encoder from timm:test_resnet=w.pth: taken" in said
    assert "projector from timm:test_resnet=w.pth: stays random: the file has none" in said
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert settings["config"]["encoder"] == "timm:test_resnet"
    assert settings["init"] == f"timm:test_resnet={tmp_path / 'w.pth'}"

    monkeypatch.setattr(report, "judge", lambda *_: None)  # the first command has judged
    assert main("train", "--resume", "run", "--device", "cpu") == 0
    assert main("evaluate", "run", "--protocol", "knn", "--device", "cpu") == 0
    assert main("embed", "run", "--kind", "pca", "--device", "cpu") == 0
    encoder = bt.load_encoder("run/encoder.safetensors")
    wanted = bt.features(encoder, bt.load("shapes", "test", limit=48))
    np.testing.assert_allclose(np.load("run/embeddings.npz")["features"], wanted.numpy(), rtol=1e-4, atol=1e-5)
    source.reset_classifier(0)  # a network of timm takes the file as it is
    from safetensors.torch import load_file

    source.load_state_dict(load_file("run/encoder.safetensors"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--encoder", "timm:resnt18"], ["encoder='timm:resnt18'", "did you mean", "timm:resnet18"]),
        (["--encoder", "resnet-18"], ["encoder='resnet-18'", "choose one of small", "timm:NAME"]),
        (["--encoder", "own"], ["--encoder own", "Trainer(config, images, encoder=...)"]),
        (
            ["--encoder", "timm:swin_tiny_patch4_window7_224", "--view-size", "30"],
            ["(2, 3, 30, 30)", "another view_size"],
        ),
        (
            ["--encoder", "timm:test_vit", "--method", "dino", "--ibot-weight", "1"],
            ["ibot_weight=1", "no patches to hide"],
        ),
        (["--init", "timm:test_resnet=gone.pth"], ["gone.pth", "do not exist"]),
        (["--init", "timm:nothing_like_it=w.pth"], ["init='timm:nothing_like_it'", "unknown"]),
    ],
)
def test_what_cannot_be_trained_is_one_line_and_leaves_no_folder(tmp_path, capsys, options, words):
    assert main("train", *QUICK, *options, "--out", "run") not in (0, None)
    err = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert [word for word in words if word not in err] == [], err
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()
