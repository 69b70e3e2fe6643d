"""Encoders from elsewhere: networks of timm and torchvision by name, and modules that a user has written.

Each becomes an encoder like any other: float32 images (N, C, H, W), normalised by the run -> y, float32 (N, D). It is
examined before a run begins, because a wrong network would otherwise fail, or silently not learn, within a step.
"""

import copy
from difflib import get_close_matches
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from ..config.errors import ConfigError

LIBRARIES = ("timm", "torchvision")
ADVICE = "give another view_size, or an encoder that takes them"
SET_HERE = ("feature_dim", "view_size", "fixed_size", "pixel_mean", "pixel_std")  # what every encoder gets


# --- networks by name ---------------------------------------------------------------------------


def find(name: str, default: str = "") -> tuple[str, str]:
    """Return the library and the name in it of "timm:NAME" or "torchvision:NAME".

    default: the library of a name without one.

    Raises:
        LookupError: the library does not have this network. The message names similar ones, or says what to install.
    """
    library, _, model = name.rpartition(":")
    library = library or default
    from torchvision import models  # here, because both libraries take long to import

    known = {"torchvision": models.list_models(module=models)}
    if library == "torchvision" and model in known["torchvision"]:
        return library, model
    try:
        import timm
    except ImportError as error:
        raise LookupError("timm is not installed: pip install timm") from error
    known["timm"] = timm.list_models() + timm.list_pretrained()
    if model in known.get(library, ()):
        return library, model
    start = {other: "" if other == default else f"{other}:" for other in known}
    others = [start[other] + model for other in known if model in known[other]]
    near = others or get_close_matches(name, [start[other] + each for other in known for each in known[other]])
    raise LookupError(
        f"did you mean {' or '.join(map(repr, near))}?" if near else "timm.list_models('*vit*') lists some"
    )


def check_name(encoder: str) -> None:
    """Raise ConfigError if Config.encoder names a library that does not have this network, or is not installed."""
    if ":" in encoder:
        try:
            find(encoder)
        except LookupError as error:
            raise ConfigError(
                f"encoder={encoder!r}: give timm:NAME or torchvision:NAME, with a name of that library; {error}"
            ) from error


def torchvision_body(model: str, size: int, channels: int = 3, **options: Any) -> nn.Module:
    """Build torchvision's network for images of `size` pixels, without its last layer: (N, C, H, W) -> (N, D, ...).

    options: more arguments of the network's own.
    """
    from torchvision import models

    if model in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": True} | options
    options |= {"image_size": size} if model.startswith("vit_") else {}
    options |= {"input_size": (size, size)} if model.startswith("maxvit") else {}
    body: nn.Module = models.get_model(model, weights=None, **options)
    layers = [name for name, m in body.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    body.set_submodule(layers[-1], nn.Identity())
    first = body.get_submodule(next(n for n in layers if isinstance(body.get_submodule(n), nn.Conv2d)))
    if channels != 3:
        assert isinstance(first, nn.Conv2d)
        first.in_channels = channels
        first.weight = nn.Parameter(first.weight.new_empty(len(first.weight), channels, *first.kernel_size))
        first.reset_parameters()
    return body


def timm_body(model: str, size: int, channels: int = 3) -> nn.Module:
    """Build timm's network for images of `size` pixels, without classifier: (N, C, H, W) -> (N, D).

    A network with positions gets those of this size. Where it can interpolate them for other images, it does.
    """
    import timm

    options: dict[str, Any] = {"num_classes": 0, "in_chans": channels}
    published = timm.get_pretrained_cfg(model)
    if published is None or not published.fixed_input_size:
        return timm.create_model(model, **options)
    options |= {"img_size": size}
    try:
        return timm.create_model(model, **options, dynamic_img_size=True)
    except TypeError:  # it has no such argument
        return timm.create_model(model, **options)


def library_encoder(name: str, view_size: int, channels: int) -> nn.Module:
    """Build the encoder "timm:NAME" or "torchvision:NAME" with random weights; set `feature_dim` and `fixed_size`.

    Raises:
        ConfigError: an unknown name, or a network that cannot take views of this size.
    """
    check_name(name)
    library, model = find(name)
    who = f"encoder={name!r}"
    try:
        net = (timm_body if library == "timm" else torchvision_body)(model, view_size, channels)
    except Exception as error:  # the libraries check sizes in many ways
        raise ConfigError(
            f"{who} cannot be built for views of {view_size} px ({_line(error)}): give another view_size or encoder"
        ) from error
    _measure(net, who, _pictures(view_size, channels))
    return net


# --- a module of the user -----------------------------------------------------------------------


def own_encoder(module: object, view_size: int, channels: int) -> nn.Module:
    """Return a deep copy of a user's module, on the CPU; set `feature_dim` and `fixed_size`.

    Two images of the views' size go through copies of it, in evaluation and in training mode. The module itself is not
    changed.

    Raises:
        ConfigError: it is no module, or cannot be an encoder: it does not map float32 (N, C, H, W) to finite float32
            (N, D); changes its input; has no parameters that learn; a deep copy of it does not stand on its own, as the
            target network must; an attribute has the name of one that the run sets.
    """
    if not isinstance(module, nn.Module):
        raise ConfigError(f"encoder={module!r}: give a torch.nn.Module, as in Trainer(config, images, encoder=Net())")
    who = f"encoder={type(module).__name__}"
    if any(
        isinstance(p, (UninitializedBuffer, UninitializedParameter)) for p in [*module.parameters(), *module.buffers()]
    ):
        raise ConfigError(f"{who} has lazy layers without a shape yet: call it once on images, then give it")
    if not any(p.requires_grad for p in module.parameters()):
        raise ConfigError(f"{who} has no parameter with requires_grad=True, so it cannot learn: give one that has")
    if other := [name for name, value in module.state_dict().items() if not isinstance(value, Tensor)]:
        raise ConfigError(
            f"{who} has state that is no tensor ({other[0]}), which files of a run cannot hold: remove it"
        )
    if not all(hasattr(module, name) for name in SET_HERE):  # an encoder of this library has them all
        for name in (*SET_HERE, "bits", "value_range"):  # the last two, where it is loaded from a file
            if hasattr(module, name):
                raise ConfigError(f"{who} has an attribute {name!r}, which the run sets for every encoder: rename it")
    encoder, target, x = _copied(module, who), _copied(module, who), _pictures(view_size, channels)
    with torch.random.fork_rng(devices=[]):
        y = _measure(encoder, who, x)
        _refuse_dependent(module, target, who, x, y)
    _copied(target, who)  # a forward pass may have left a tensor in it that cannot be copied
    return encoder


def _copied(module: nn.Module, who: str) -> nn.Module:
    """Return a deep copy on the CPU, or raise ConfigError."""
    try:
        return copy.deepcopy(module).cpu()
    except Exception as error:  # what a module may hold has no end
        raise ConfigError(
            f"{who} cannot be copied ({_line(error)}): copy.deepcopy(module) must work, also after a forward pass, "
            "because the target network begins as a copy; keep no results in self"
        ) from error


def _refuse_dependent(module: nn.Module, copied: nn.Module, who: str, x: Tensor, y: Tensor) -> None:
    """Raise ConfigError unless a copy computes y from x as well, and learns by parameters of its own.

    A layer that calls the module through a closure, such as `lambda x: self.conv(x)`, still calls the original in a copy.
    """
    if not torch.allclose(_run(copied.eval(), who, x), y, rtol=1e-4, atol=1e-5):
        raise ConfigError(
            f"{who}: a copy of it gives other features of the same images in evaluation mode; it must be "
            "deterministic there, and keep all that it computes with in parameters and buffers"
        )
    originals, own = list(module.parameters()), [p for p in copied.parameters() if p.requires_grad]
    with torch.enable_grad():
        learned = _run(copied.train(), who, x)
        if not learned.requires_grad:
            raise ConfigError(f"{who}: no gradient reaches its parameters; remove no_grad or detach from its forward")
        everything = [*own, *(p for p in originals if p.requires_grad)]
        gradients = torch.autograd.grad(learned.sum(), everything, allow_unused=True)
    if all(g is None for g in gradients[: len(own)]) or any(g is not None for g in gradients[len(own) :]):
        raise ConfigError(
            f"{who}: a copy of it computes with the parameters of the original; let it reach its layers as self.NAME in "
            "forward, not through a closure or a global variable"
        )


# --- what comes out -----------------------------------------------------------------------------


def _pictures(size: int, channels: int) -> Tensor:
    """Draw two normalised pictures, float32 (2, C, size, size), in the layout in which a step makes its views."""
    x = torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(0))
    return x.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def _measure(net: nn.Module, who: str, x: Tensor) -> Tensor:
    """Return what the network makes of x in evaluation mode; set `feature_dim`, and `fixed_size`: one size alone fits.

    The network is in training mode afterwards, as when it was built.
    """
    encoder = cast(Any, net.eval())
    y = _run(net, who, x)
    encoder.feature_dim = y.shape[1]
    try:
        net(_pictures(x.shape[2] + 1, x.shape[1]))
        encoder.fixed_size = False
    except Exception:  # the reason does not matter
        encoder.fixed_size = True
    net.train()
    return y


def _run(net: nn.Module, who: str, x: Tensor) -> Tensor:
    """Return net(x) if it is finite float32 (2, D), and x is as before; else raise ConfigError."""
    net.to(memory_format=torch.channels_last)  # as in a run
    before, given = x.clone(), f"two images, float32 {tuple(x.shape)}"
    try:
        y: object = net(x)
    except Exception as error:
        raise ConfigError(f"{who} cannot take {given} ({type(error).__name__}: {_line(error)}): {ADVICE}") from error
    if not isinstance(y, Tensor):
        came = f"a {type(y).__name__}"
    elif y.dtype != torch.float32 or y.ndim != 2 or len(y) != len(x) or y.shape[1] < 1:
        came = f"{str(y.dtype).removeprefix('torch.')} {tuple(y.shape)}"
    elif not y.isfinite().all():
        came = "numbers that are not finite"
    elif not torch.equal(x, before):
        raise ConfigError(
            f"{who} changes its input in place: compute with a new tensor, such as x + 1 and not x.add_(1)"
        )
    else:
        return y
    raise ConfigError(
        f"{who} makes {came} of {given}: it must return float32 (2, D), a finite vector of each image, such as by "
        "pooling and nn.Flatten at its end"
    )


def takes(encoder: nn.Module, size: int, channels: int) -> str:
    """Return why the encoder cannot take pictures of this size, or an empty text if it can. It is not changed."""
    net = copy.deepcopy(encoder).eval()
    try:
        with torch.no_grad():
            _run(net, "it", _pictures(size, channels))
    except ConfigError as error:
        return str(error)
    return ""


def _line(error: Exception) -> str:
    """Return the message of an error as one line of at most 200 characters."""
    return " ".join(str(error).split())[:200]
