"""Encoders as ONNX files, which run without PyTorch: onnxruntime, TensorRT, OpenVINO, browsers and phones read them."""

import copy
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..augment.operations import normalise
from ..config.errors import ExportError
from ..config.installed import is_installed
from .checkpoint import write_or_explain

WRITERS, CHECKER = ("onnx", "onnxscript"), "onnxruntime"
INSTALL = "python -m pip install onnx onnxscript onnxruntime"
TOLERANCE = 1e-3  # largest difference from PyTorch's y, relative to the largest |y|; float32 gives about 1e-6
CHECKED = (1, 3)  # batch sizes at which the file is compared with the encoder


class Normalised(nn.Module):
    """An encoder with the normalisation of its input: images in [0, 1] -> y = f((images − mean) / std)."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Tensor) -> Tensor:
        """Return y, (N, D), of images (N, C, H, W) in [0, 1]."""
        encoder: Any = self.encoder
        return encoder(normalise(images, encoder.pixel_mean, encoder.pixel_std))


def export_onnx(path: str | Path, encoder: nn.Module) -> float | None:
    """Write an encoder of this library as an ONNX file, with the normalisation of its pixels.

    The input `images` is float32 (batch, C, s, s) in [0, 1], where s is the side of the views of its training; the
    output `y` is float32 (batch, D), as `bt.features` returns it. The batch may have any size. The file holds the
    encoder in evaluation mode; the encoder itself is not changed.

    >>> bt.export_onnx("encoder.onnx", bt.load_encoder("RUN/encoder.safetensors"))
    >>> onnxruntime.InferenceSession("encoder.onnx").run(["y"], {"images": images})

    Returns:
        the largest difference between onnxruntime's y and PyTorch's, relative to the largest |y|, on random images in
        batches of 1 and 3; None where onnxruntime is not installed, and the file is not checked.

    Raises:
        ExportError: onnx or onnxscript is not installed, PyTorch cannot export the encoder, or onnxruntime computes
            another y. Nothing is written.
        CheckpointError: the file cannot be written; a file that was there is as before.
    """
    require_writers()
    network = Normalised(copy.deepcopy(encoder)).cpu().float().eval()
    about: Any = network.encoder
    channels, size = len(about.pixel_mean), int(about.view_size)
    content = _model(network, torch.zeros(2, channels, size, size))
    found = is_installed(CHECKER)
    difference = max(_difference(content, network, n, channels, size) for n in CHECKED) if found else None
    if difference is not None and not difference <= TOLERANCE:
        raise ExportError(
            f"{str(path)!r} was not written: {CHECKER} computes another y than PyTorch (relative difference "
            f"{difference:.1g}, allowed {TOLERANCE:g}); upgrade both: {INSTALL} --upgrade"
        )
    write_or_explain(path, lambda file: file.write(content))
    return difference


def require_writers() -> None:
    """Raise ExportError where a package that writes ONNX files is not installed."""
    missing = [name for name in WRITERS if not is_installed(name)]
    if missing:
        raise ExportError(f"ONNX files need {' and '.join(missing)}, not installed here: {INSTALL}")


def _model(network: Normalised, example: Tensor) -> bytes:
    """Return the network as the content of an ONNX file, for batches of any size."""
    import onnx.helper

    batch = torch.export.Dim("batch", min=1)
    names: dict[str, Any] = {"input_names": ["images"], "output_names": ["y"], "dynamic_shapes": {"images": {0: batch}}}
    try:
        with _quiet():
            program = torch.onnx.export(network, (example,), dynamo=True, verbose=False, **names)
    except torch.onnx.OnnxExporterError as error:
        reason = " ".join(str(error.__cause__ or error).split())[:200]
        raise ExportError(f"PyTorch cannot export this encoder to ONNX: {reason}") from error
    assert program is not None
    model: Any = program.model_proto
    if not model.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise ExportError(
            f"PyTorch exports this {type(network.encoder).__name__} for batches of {len(example)} alone: its code must not "
            "turn the number of images into a number of Python, as range(len(x)) does"
        )
    about: Any = network.encoder
    properties = {"pixel_mean": about.pixel_mean.tolist(), "pixel_std": about.pixel_std.tolist()}
    text = {name: str([round(value, 6) for value in values]) for name, values in properties.items()}
    onnx.helper.set_model_props(model, {"view_size": str(about.view_size), **text})
    model.doc_string = "An encoder that byol_tutorial trained. images: float32 in [0, 1], normalised inside."
    return model.SerializeToString()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep PyTorch from printing the whole graph of a network that it cannot export; the error says why it cannot."""
    loggers = [logging.getLogger(name) for name in ("torch.export", "torch.onnx", "torch._dynamo", "torch.fx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _difference(content: bytes, network: Normalised, n: int, channels: int, size: int) -> float:
    """Return the largest difference from PyTorch on n random images, relative to the largest |y|."""
    import onnxruntime

    images = torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(0))
    try:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        there = torch.as_tensor(session.run(["y"], {"images": images.numpy()})[0])
    except Exception as error:  # its errors have no common class
        reason = " ".join(str(error).split())[:200]
        raise ExportError(
            f"{CHECKER} cannot run this encoder with {n} images, so no file was written: {reason}"
        ) from error
    with torch.no_grad():
        here = network(images)
    if there.shape != here.shape:
        return float("inf")
    return float((there - here).abs().max() / here.abs().max().clamp(min=1e-12))
