"""Options that several commands share, and those that are the fields of Config: its help, ranges and defaults."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import rich_click as click
import torch

from ..config.config import FIELDS
from ..config.errors import UserError
from ..config.fields import Pair
from ..evaluate.pretrained import Guest, guest

DATA_HELP = "shapes, digits, a torchvision set (cifar10, stl10, ...), or folder:PATH"
DEVICE = {"default": "auto", "help": "auto, cpu, cuda, cuda:1, mps [auto]"}
WORKERS = {
    "type": click.IntRange(min=0),
    "help": "processes that decode a folder which is streamed; 0 none [one less than cores, from 1 to 8]",
}


# --- the fields of Config -----------------------------------------------------------------------


class PairType(click.ParamType):
    """One number for both view distributions, or two with a comma between them: for T and for T′."""

    name = "number[,number]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) not in (1, 2):
            self.fail(f"{value!r}: give one number, or two for T and T′, such as 1.0,0.1", param, ctx)
        return (numbers[0], numbers[-1])


def config_options(command: Callable) -> Callable:
    """Give a command one option for every field of Config; those not typed are None, and left to the preset."""
    for name, field in reversed(FIELDS.items()):
        meta = field.metadata
        flag = f"--{name.replace('_', '-')}"
        kind = {bool: click.BOOL, Pair: PairType()}.get(field.type, field.type)
        if meta["choices"]:
            kind = click.STRING  # Config checks it, and says what is allowed
        names = f"{flag}/--no-{flag[2:]}" if field.type is bool else flag
        metavar = "|".join(meta["choices"] or ()) or None
        if metavar and len(metavar) > 30:
            metavar = metavar.replace("|", " | ")  # so that a line breaks between two of them
        text = f"{meta['help']} [{_shown(field.default)}]"
        kwargs = {} if field.type is bool else {"type": kind, "metavar": metavar}
        if meta["alone"]:
            kwargs |= {"is_flag": False, "flag_value": meta["alone"]}
        command = click.option(names, name, default=None, help=text, panel=meta["group"], **kwargs)(command)
    return command


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(f"{v:g}" for v in (value[:1] if value[0] == value[1] else value))
    return f"{value:g}" if isinstance(value, float) else str(value)


# --- guests -------------------------------------------------------------------------------------


def guest_options(command: Callable) -> Callable:
    """Give a command --guest and --guest-size; `invite` makes guests of what they were given."""
    command = click.option(
        "--guest-size", type=click.IntRange(min=8), help="pixels a side that guests see images at [each guest's own]"
    )(command)
    return click.option(
        "--guest",
        "guests",
        multiple=True,
        metavar="NAME=FILE",
        help="an encoder of torchvision (resnet50) or timm (timm:vit_small_patch14_dinov2.lvd142m) with weights from "
        "FILE, or NAME=download, or NAME=random; several are possible",
    )(command)


def invite(asked: tuple[str, ...], size: int | None, device: torch.device) -> dict[str, Guest]:
    """Guests asked for as NAME=FILE, NAME=download or NAME=random, by name; of one name twice, with the file's too."""
    if size and not asked:
        raise UserError(f"--guest-size {size}: it is for guests; name one with --guest")
    pairs = [each.partition("=")[::2] for each in asked]
    found: dict[str, Guest] = {}
    for name, source in pairs:
        if not name or not source:
            raise UserError(f"--guest {name}: write NAME=FILE, NAME=download (asks the network) or NAME=random")
        who = name if sum(name == other for other, _ in pairs) == 1 else f"{name} ({Path(source).name})"
        if who in found:
            raise UserError(f"--guest {name}={source}: there is another of this name and file name; leave one out")
        how = {source: True} if source in ("download", "random") else {"weights": source}
        found[who] = guest(name, size=size, **how).to(device)
    return found
