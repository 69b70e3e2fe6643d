"""Guests: encoders that others trained, to be judged beside your own.

A guest is a classifier of torchvision or timm, such as DINOv2, without its last layer. Like every encoder here it maps
normalised images (N, 3, H, W) to y, (N, feature_dim), so `features`, `compare`, `nearest`, `umap_embedding` and the
protocols treat it as any other. Nothing is downloaded without `download=True`.
"""

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config.errors import GuestError, UserError
from ..networks.backbones import find, torchvision_body
from ..runtime.seeding import OwnGenerator
from .weight_files import load_complete, other_network, read_weights, refuse_incomplete, unwrap, watch_loading

State = dict[str, Tensor]  # name -> value

AT_ONCE = 32 * 224 * 224  # pixels of a batch that are computed together where no gradient is needed


class Guest(nn.Module):
    """An encoder that others trained: float images (N, 3, H, W) -> y, (N, feature_dim).

    The images are normalised by its `pixel_mean` and `pixel_std`, as `features` does. Images of another size are resized to
    its own, bicubic and antialiased; a small image only becomes larger and gains no detail.
    """

    def __init__(
        self, name: str, body: nn.Module, size: tuple[int, int], mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.name, self.body, self.size = name, body, tuple(size)
        self.register_buffer("pixel_mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("pixel_std", torch.tensor(std, dtype=torch.float32))
        self.eval()
        with torch.no_grad():
            self.feature_dim = self(torch.zeros(1, 3, *self.size)).shape[1]

    def forward(self, x: Tensor) -> Tensor:
        """Compute y, without gradient in parts of the batch, so that large images need little memory."""
        at_once = len(x) if torch.is_grad_enabled() else AT_ONCE // (self.size[0] * self.size[1])
        return torch.cat([self.body(self.resized(part)).flatten(1) for part in x.split(max(1, at_once))])

    def resized(self, x: Tensor) -> Tensor:
        """Bring images (N, 3, H, W) to the guest's own size."""
        return x if x.shape[2:] == self.size else F.interpolate(x, self.size, mode="bicubic", antialias=True)


def guest(
    name: str,
    weights: str | Path | None = None,
    *,
    download: bool = False,
    random: bool = False,
    size: int | None = None,
    seed: int = 0,
) -> Guest:
    """Build an encoder of torchvision or timm, in evaluation mode, on the CPU.

    >>> dino = bt.guest("timm:vit_small_patch14_dinov2.lvd142m", weights="dinov2_vits14_pretrain.pth", size=224)
    >>> print(bt.compare({"BYOL": trainer.model.encoder, "DINOv2": dino}, train, test))

    Args:
        name: "resnet50" or "torchvision:resnet50"; or timm's name as "timm:vit_small_patch14_dinov2.lvd142m".
        weights: a .safetensors or .pth file of its state dict, alone or in a training checkpoint, with the names of
            torchvision, timm or the authors. Classifiers in it are left out; code in it is refused and not run.
        download: fetch the weights that torchvision or timm publish, or take them from their cache.
        random: draw random weights from `seed`; their accuracy is the floor for all others.
        size: the side in pixels to which images are resized, instead of its own. Smaller is faster (DINOv2's own is 518).

    Raises:
        GuestError: an unknown name; not exactly one of weights, download and random; a size that the network does not
            allow; weights that cannot be fetched.
        WeightsError: a file that cannot be read, or does not fit.
    """
    if (weights is not None) + bool(download) + bool(random) != 1:
        raise GuestError(f"guest {name!r}: give one of weights=FILE, download=True (asks the network) or random=True")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 8):
        raise GuestError(f"size={size!r}: give pixels a side, a whole number from 8, or leave it out for its own")
    library, model = _find(name)
    state = None if weights is None else read_weights(weights)
    with warnings.catch_warnings(), OwnGenerator(seed):
        warnings.simplefilter("ignore", FutureWarning)
        try:
            return library(name, model, size, state, weights, download)
        except UserError:
            raise
        except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:  # the network raises these
            raise GuestError(f"guest {name!r} cannot be built with size={size} ({error}): give another size") from error


def _find(name: str) -> tuple[Callable[..., Guest], str]:
    """Return the function that builds the guest, and its name in its library; or raise GuestError with similar names."""
    try:
        library, model = find(name, "torchvision")
    except LookupError as error:
        raise GuestError(f"unknown guest {name!r}: give a name of torchvision, or 'timm:NAME'; {error}") from error
    return (_timm if library == "timm" else _torchvision), model


def _torchvision(
    name: str, model: str, size: int | None, state: State | None, file: str | Path | None, download: bool
) -> Guest:
    """Build a guest of torchvision: random, with the state that was read from a file, or with published weights."""
    from torchvision import models

    published = models.get_model_weights(model).DEFAULT
    usual = published.transforms()
    side = size or usual.crop_size[0]
    # this is how torchvision loads weights of TensorFlow
    options = {"transform_input": True} if model in ("googlenet", "inception_v3") else {}
    body = torchvision_body(model, side, **options)
    if download:
        url = file = str(published.url)
        with _fetching(name):
            state = torch.hub.load_state_dict_from_url(url, map_location="cpu", check_hash=True, weights_only=True)

    def convert(state: State) -> State:
        if model.startswith("vit_"):  # resize the learned positions to this size
            return models.vision_transformer.interpolate_embeddings(side, body.patch_size, state)
        # DenseNet's files are older than the names of its layers.
        return {re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", key): v for key, v in state.items()}

    if state is not None:
        load_complete(body, state, convert, name, file)
    return Guest(name, body, (side, side), usual.mean, usual.std)


def _timm(
    name: str, model: str, size: int | None, state: State | None, file: str | Path | None, download: bool
) -> Guest:
    """Build a guest of timm: random, with the state that was read from a file, or with published weights."""
    import timm

    published = timm.get_pretrained_cfg(model)
    if published is None:  # a network that was registered without it
        raise GuestError(
            f"guest {name!r}: timm has no record of the images that it takes; register it with a pretrained_cfg"
        )
    if download and not published.has_weights:
        raise GuestError(
            f"timm publishes no weights of {name!r}: give weights=FILE, or a name of timm.list_pretrained()"
        )
    options: dict[str, Any] = {"num_classes": 0}
    if size and published.fixed_input_size:
        options["img_size"] = size
    with _fetching(name) if download else nullcontext():
        body = timm.create_model(model, pretrained=download, **options)
    if state is not None:
        body = _timm_with(unwrap(state, body.state_dict().keys()), model, options, name, file)
    return Guest(name, body, (size, size) if size else published.input_size[1:], published.mean, published.std)


def _timm_with(state: State, model: str, options: dict[str, Any], name: str, file: str | Path | None) -> nn.Module:
    """Build a model of timm with these weights, which timm converts from the authors' names and sizes itself.

    timm loads what fits and leaves the rest random. What was missing, or was too much, is therefore checked here.
    """
    import timm

    # A number of classes that differs from the 0 of `options` makes timm leave out a classifier in the file.
    overlay = {"state_dict": state, "num_classes": 1}
    with watch_loading() as loads:
        try:
            body = timm.create_model(model, pretrained=True, pretrained_cfg_overlay=overlay, **options)
        except Exception as error:  # timm has looked for names that are not there, or shapes differ
            raise other_network(error, name, file) from error
    missing, unexpected = loads[-1]
    refuse_incomplete(body, missing, unexpected, name, file)
    return body


@contextmanager
def _fetching(name: str) -> Iterator[None]:
    """Turn what goes wrong in a download into a GuestError."""
    try:
        yield
    except Exception as error:  # torch.hub, huggingface_hub and timm raise different kinds
        raise GuestError(
            f"guest {name!r} could not be downloaded ({type(error).__name__}): no network was reachable, or the weights "
            f"are not there; fetch them elsewhere and give weights=FILE. {error}"
        ) from error
