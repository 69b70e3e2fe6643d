"""byol-tutorial export: write the encoder of a run as an ONNX file, to use it without PyTorch."""

from pathlib import Path
from typing import Any

import rich_click as click

from ..config.errors import UserError
from ..train.encoder_file import load_encoder
from ..train.onnx_file import CHECKER, export_onnx, require_writers
from .console import console
from .options import UserPath
from .run_lock import own_place_of, own_until_the_end


@click.command()
@click.argument("run", type=UserPath())
@click.option("--out", type=UserPath(), help="file to write, .onnx [encoder.onnx beside the encoder]")
def export(run: Path, out: Path | None) -> None:
    """Write the encoder of run folder RUN as an ONNX file, which onnxruntime and others read without PyTorch.

    RUN may also be the encoder file itself, such as RUN/encoder.safetensors. The file takes images as float32 (batch,
    channels, size, size) in [0, 1], of the size of the run's views, and normalises them as in training. Its output is
    the representation y, float32 (batch, D). Where onnxruntime is installed, it must compute the same y as PyTorch;
    otherwise nothing is written.

    This needs the packages onnx and onnxscript.
    """
    if out is not None and out.suffix.lower() != ".onnx":
        raise UserError(f"--out {out}: give a file that ends in .onnx")
    require_writers()
    file = run if run.is_file() else run / "encoder.safetensors"
    owned = None
    if out is None and (file.parent / "settings.json").is_file():  # then it is written into the folder of a run
        owned = file.parent
        own_until_the_end(owned)
    out = out or file.with_suffix(".onnx")
    own_place_of(out, owned)
    encoder: Any = load_encoder(file)
    out.parent.mkdir(parents=True, exist_ok=True)
    difference = export_onnx(out, encoder)
    size, channels = encoder.view_size, len(encoder.pixel_mean)
    console.print(
        f"{out}: images float32 (batch, {channels}, {size}, {size}) in [0, 1] -> y float32 (batch, {encoder.feature_dim})"
    )
    if difference is None:
        console.print(f"not checked, because {CHECKER} is not installed: python -m pip install {CHECKER}")
    else:
        console.print(f"checked: {CHECKER} computes the same y as PyTorch, up to {difference:.0e} of the largest")
