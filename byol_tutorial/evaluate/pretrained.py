"""Guests: encoders that others trained, brought in to be judged beside one's own.

A guest is a classifier of torchvision or timm (DINOv2 is one) without its last layer. It takes what every encoder here
takes, normalised images (N, 3, H, W), and gives y, (N, feature_dim); so features, compare, nearest, umap_embedding and
the protocols need not know that it is one. Nothing is fetched unless that is asked for.
"""

import inspect
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from difflib import get_close_matches
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config.errors import GuestError, UserError
from ..runtime.seeding import OwnGenerator
from .weight_files import adopt, read_weights

AT_ONCE = 32 * 224 * 224  # pixels of a batch that are computed together where no gradient is wanted
FILTERS = (
    "checkpoint_filter_fn",
    "_filter_fn",
    "_filter_torchvision_pretrained",
)  # timm's, from authors' names to its own
PORTED = {
    "transform_input": True,
    "aux_logits": False,
    "init_weights": True,
}  # as torchvision loads TensorFlow's weights


class Guest(nn.Module):
    """Someone else's encoder: images normalised by its pixel_mean and pixel_std, (N, 3, H, W) -> (N, feature_dim).

    Images of another size are resized to its own: bicubic, antialiased. A small image grows and gains nothing.
    """

    def __init__(self, name: str, body: nn.Module, size: tuple[int, int], mean, std):
        super().__init__()
        self.name, self.body, self.size = name, body, tuple(size)
        self.register_buffer("pixel_mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("pixel_std", torch.tensor(std, dtype=torch.float32))
        self.eval()
        with torch.no_grad():
            self.feature_dim = self(torch.zeros(1, 3, *self.size)).shape[1]

    def forward(self, x: Tensor) -> Tensor:
        at_once = len(x) if torch.is_grad_enabled() else AT_ONCE // (self.size[0] * self.size[1])
        return torch.cat([self.body(self.resized(part)).flatten(1) for part in x.split(max(1, at_once))])

    def resized(self, x: Tensor) -> Tensor:
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
    """An encoder of torchvision or timm, in evaluation mode, on the CPU.

    >>> dino = bt.guest("timm:vit_small_patch14_dinov2.lvd142m", weights="dinov2_vits14_pretrain.pth", size=224)
    >>> print(bt.compare({"BYOL": trainer.model.encoder, "DINOv2": dino}, train, test))

    Args:
        name: "resnet50" or "torchvision:resnet50"; or timm's name as "timm:vit_small_patch14_dinov2.lvd142m".
        weights: a .safetensors or .pth file of its state dict, bare or in a training checkpoint, with the names of
            torchvision, timm or the authors. Classifiers in it are left out; code in it is refused, not run.
        download: fetch the weights that torchvision or timm publish, or take them from their cache.
        random: none: weights drawn from `seed`, the floor beneath all others.
        size: pixels a side that it sees images at, instead of its own: fewer are faster (DINOv2's own are 518).

    Raises:
        GuestError: an unknown name; not exactly one of weights, download and random; a size it cannot take; weights
            that cannot be fetched.
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
        except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:  # from within the network
            raise GuestError(f"guest {name!r} cannot be built with size={size} ({error}): give another size") from error


def _find(name: str):
    """What builds it, and its name there; or GuestError, with the names most like it."""
    import timm
    from torchvision import models

    library, _, model = name.rpartition(":")
    known = {"torchvision": models.list_models(module=models), "timm": timm.list_models() + timm.list_pretrained()}
    if model in known.get(library or "torchvision", ()):
        return (_timm if library == "timm" else _torchvision), model
    everywhere = [*known["torchvision"], *(f"timm:{each}" for each in known["timm"])]
    near = [f"timm:{model}"] if model in known["timm"] else get_close_matches(name, everywhere)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "timm.list_models('*vit*') lists some"
    raise GuestError(f"unknown guest {name!r}: give a name of torchvision, or 'timm:NAME'; {hint}")


def _torchvision(name: str, model: str, size: int | None, state: dict | None, file, download: bool) -> Guest:
    from torchvision import models

    published = models.get_model_weights(model).DEFAULT
    usual = published.transforms()
    side = size or usual.crop_size[0]
    options = PORTED if model in ("googlenet", "inception_v3") else {}
    options = {"image_size": side} if model.startswith("vit_") else options
    options = {"input_size": (side, side)} if model.startswith("maxvit") else options
    body = models.get_model(model, weights=None, **options)
    classifier = [n for n, m in body.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))][-1]
    body.set_submodule(classifier, nn.Identity())
    if download:
        file = published.url
        with _fetching(name):
            state = torch.hub.load_state_dict_from_url(file, map_location="cpu", check_hash=True, weights_only=True)

    def convert(state: dict) -> dict:
        if model.startswith("vit_"):  # to the positions of this size
            return models.vision_transformer.interpolate_embeddings(side, body.patch_size, state)
        # DenseNet's files are older than the names of its layers.
        return {re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", key): v for key, v in state.items()}

    if state is not None:
        adopt(body, state, convert, name, file)
    return Guest(name, body, (side, side), usual.mean, usual.std)


def _timm(name: str, model: str, size: int | None, state: dict | None, file, download: bool) -> Guest:
    import timm

    published = timm.get_pretrained_cfg(model)
    if download and not published.has_weights:
        raise GuestError(
            f"timm publishes no weights of {name!r}: give weights=FILE, or a name of timm.list_pretrained()"
        )
    options = {"img_size": size} if size and published.fixed_input_size else {}
    with _fetching(name) if download else nullcontext():
        body = timm.create_model(model, pretrained=download, num_classes=0, **options)
    room = vars(sys.modules[timm.model_entrypoint(model).__module__])

    def convert(state: dict) -> dict:
        renamed = next((room[each] for each in FILTERS if each in room), dict)
        takes = inspect.signature(renamed).parameters if renamed is not dict else {}
        scale = {"adapt_layer_scale": True} if "adapt_layer_scale" in takes else {}  # DeiT III's
        return renamed(state, *([body] if "model" in takes else []), **scale)

    if state is not None:
        adopt(body, state, convert, name, file)
    return Guest(name, body, (size, size) if size else published.input_size[1:], published.mean, published.std)


@contextmanager
def _fetching(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # of whichever client is at work
        raise GuestError(
            f"guest {name!r} could not be downloaded ({type(error).__name__}): no network was reachable, or the weights "
            f"are not there; fetch them elsewhere and give weights=FILE. {error}"
        ) from error
