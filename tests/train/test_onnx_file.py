"""An encoder as an ONNX file: onnxruntime computes what bt.features computes, or nothing is written."""

import copy
import importlib.util
import sys

import numpy as np
import pytest
import torch
from command_line import main
from torch import nn

import byol_tutorial as bt
from byol_tutorial.config.errors import CheckpointError, ExportError
from byol_tutorial.networks.encoders import build_encoder
from byol_tutorial.train import onnx_file
from byol_tutorial.train.encoder_file import save_encoder

for name in (*onnx_file.WRITERS, onnx_file.CHECKER):
    pytest.importorskip(name, reason=f"{name}, which writes or runs ONNX files, is not installed")

MEAN, STD = (0.2, 0.5, 0.7), (0.1, 0.25, 0.4)
KINDS = [{}, *(pytest.param(fields, marks=pytest.mark.slow)
               for fields in ({"norm": "gn_ws"}, {"encoder": "vit_nano"}, {"encoder": "resnet18"}))]  # fmt: skip


def encoder_of(size: int = 32, **fields) -> torch.nn.Module:
    """An encoder whose BatchNorm averages are not those of its construction."""
    encoder = build_encoder(bt.Config(**{"width": 4, **fields}), size, MEAN, STD)
    encoder.train()
    with torch.no_grad():
        encoder(torch.randn(8, 3, size, size, generator=torch.Generator().manual_seed(1)) + 1)
    return encoder


def pictures(n: int, size: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, size, size), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)


def run(file, images: torch.Tensor) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return session.run(["y"], {"images": (images.float() / 255).numpy()})[0]


@pytest.fixture(scope="module")
def small() -> torch.nn.Module:
    return encoder_of()


@pytest.fixture(scope="module")
def graph(small) -> bytes:
    """The file of `small`, made once: to export takes seconds."""
    return onnx_file._model(onnx_file.Normalised(copy.deepcopy(small)).eval(), torch.zeros(2, 3, 32, 32))


@pytest.fixture
def exported(monkeypatch, small, graph) -> torch.nn.Module:
    """The encoder `small`, whose graph is made already."""
    monkeypatch.setattr(onnx_file, "_model", lambda *_: graph)
    return small


@pytest.mark.parametrize("fields", KINDS, ids=lambda f: "-".join(f.values()) or "small")
def test_onnxruntime_computes_the_features_of_any_number_of_images(tmp_path, fields):
    encoder = encoder_of(**fields)
    difference = bt.export_onnx(tmp_path / "f.onnx", encoder)
    assert encoder.training  # it is not changed
    assert 0 <= difference < 1e-4
    for n in (1, 7):
        wanted = bt.features(encoder, pictures(n)).numpy()
        np.testing.assert_allclose(run(tmp_path / "f.onnx", pictures(n)), wanted, rtol=1e-3, atol=1e-4)
    assert [file.name for file in tmp_path.iterdir()] == ["f.onnx"]  # the weights are inside


def test_the_file_says_how_it_is_used(tmp_path):
    import onnx

    bt.export_onnx(tmp_path / "f.onnx", encoder_of(16))
    model = onnx.load(tmp_path / "f.onnx")
    onnx.checker.check_model(model)
    (images,) = model.graph.input
    shape = [axis.dim_value or axis.dim_param for axis in images.type.tensor_type.shape.dim]
    assert (images.name, shape) == ("images", ["batch", 3, 16, 16])
    about = {p.key: p.value for p in model.metadata_props}
    assert (
        about
        | {
            "view_size": "16",
            "pixel_mean": "[0.2, 0.5, 0.7]",
            "pixel_std": "[0.1, 0.25, 0.4]",
        }
        == about
    )


@pytest.mark.parametrize("wrong", [0.1, float("nan")])
def test_a_file_that_computes_something_else_is_not_written(tmp_path, monkeypatch, exported, wrong):
    import onnxruntime

    whole = onnxruntime.InferenceSession.run
    monkeypatch.setattr(onnxruntime.InferenceSession, "run", lambda *given: [whole(*given)[0] + wrong])
    (tmp_path / "f.onnx").write_bytes(b"before")
    with pytest.raises(ExportError, match="computes another y"):
        bt.export_onnx(tmp_path / "f.onnx", exported)
    assert (tmp_path / "f.onnx").read_bytes() == b"before"


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, exported):
    (tmp_path / "f.onnx").write_bytes(b"before")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        bt.export_onnx(tmp_path / "f.onnx", exported)
    assert (tmp_path / "f.onnx").read_bytes() == b"before"
    assert len(list(tmp_path.iterdir())) == 1


class Counting(torch.nn.Module):
    """An encoder of which a graph cannot be made, because Python decides by the values of a picture."""

    view_size, pixel_mean, pixel_std = 8, torch.tensor(MEAN), torch.tensor(STD)

    def forward(self, x):
        return x.mean((2, 3)) if float(x.sum()) > 0 else x.amax((2, 3))


class OneByOne(nn.Module):
    """An encoder whose code turns the number of images into a number of Python, so that a file fixes it."""

    def __init__(self):
        super().__init__()
        self.register_buffer("pixel_mean", torch.zeros(3))
        self.register_buffer("pixel_std", torch.ones(3))
        self.view_size = 8

    def forward(self, x):
        return torch.stack([x[i].mean((1, 2)) for i in range(int(x.shape[0]))])


@pytest.mark.parametrize("checked", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_network_for_one_number_of_images_is_refused(tmp_path, monkeypatch, capfd, checked):
    """Also where nothing compares the file with PyTorch."""
    if not checked:
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == onnx_file.CHECKER else find(name))
    with pytest.raises(ExportError, match=r"for batches of 2 alone|cannot export this encoder"):
        bt.export_onnx(tmp_path / "encoder.onnx", OneByOne())
    assert not (tmp_path / "encoder.onnx").exists()
    assert "".join(capfd.readouterr()) == ""  # PyTorch's own words are in the error


def test_what_onnxruntime_cannot_run_is_an_error_in_words(tmp_path, monkeypatch, exported):
    onnxruntime = pytest.importorskip("onnxruntime")

    def broken(*_, **__):
        raise RuntimeError("no kernel for this operation")

    monkeypatch.setattr(onnxruntime, "InferenceSession", broken)
    with pytest.raises(ExportError, match=r"onnxruntime cannot run this encoder with 1 images, .* no kernel"):
        bt.export_onnx(tmp_path / "encoder.onnx", exported)
    assert not (tmp_path / "encoder.onnx").exists()


def test_an_encoder_that_cannot_be_exported_is_an_error_in_words(tmp_path):
    with pytest.raises(ExportError, match="PyTorch cannot export this encoder"):
        bt.export_onnx(tmp_path / "f.onnx", Counting())
    assert list(tmp_path.iterdir()) == []


# --- the command --------------------------------------------------------------------------------


@pytest.fixture
def run_folder(tmp_path, small):
    (tmp_path / "run").mkdir()
    save_encoder(tmp_path / "run" / "encoder.safetensors", small, bt.Config(width=4), 32)
    return tmp_path / "run"


@pytest.mark.parametrize("source", [".", pytest.param("encoder.safetensors", marks=pytest.mark.slow)])
def test_export_writes_the_encoder_of_a_run(request, run_folder, tmp_path, capsys, source):
    if source == ".":
        request.getfixturevalue("exported")  # the slow one makes its graph itself
    out = tmp_path / "new" / "f.onnx"
    assert main("export", run_folder / source, "--out", out) == 0
    wanted = bt.features(bt.load_encoder(run_folder / "encoder.safetensors"), pictures(3)).numpy()
    np.testing.assert_allclose(run(out, pictures(3)), wanted, rtol=1e-3, atol=1e-4)
    said = capsys.readouterr().out
    assert "images float32 (batch, 3, 32, 32) in [0, 1] -> y float32 (batch, 16)" in said
    assert "checked: onnxruntime computes the same y" in said


@pytest.mark.usefixtures("exported")
def test_export_says_what_is_missing(run_folder, monkeypatch, capsys):
    find = importlib.util.find_spec
    for missing in onnx_file.WRITERS:
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, gone=missing: None if name == gone else find(name)
        )
        assert main("export", run_folder) == 1
        assert capsys.readouterr().err == f"error: ONNX files need {missing}, not installed here: {onnx_file.INSTALL}\n"
    assert [file.name for file in run_folder.iterdir()] == ["encoder.safetensors"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else find(name))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # an import of it would fail
    assert main("export", run_folder) == 0
    assert "not checked, because onnxruntime is not installed" in capsys.readouterr().out
    assert (run_folder / "encoder.onnx").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere",), "does not exist"),
        ((".", "--out", "f.pt"), "ends in .onnx"),
        (("damaged.safetensors",), "is damaged"),
    ],
)
def test_export_names_what_cannot_be_read_or_written(run_folder, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(run_folder)
    (run_folder / "damaged.safetensors").write_bytes(b"no encoder")
    assert main("export", *arguments) == 1
    assert words in capsys.readouterr().err
