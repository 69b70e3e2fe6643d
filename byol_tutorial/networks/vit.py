"""A small vision transformer as encoder, built by timm: masked patches for iBOT, and where its class token looks.

    picture → patches of P × P pixels → one vector each, plus its place → [class token, patches] → blocks → y

vit_tiny and vit_small are those of DeiT and DINO. Their parameters have timm's names, so a saved encoder can be loaded
into timm's own model. A plain transformer learns slowly from some thousand pictures. Therefore vit_nano, which is ours,
makes its patches by convolutions (Xiao et al. 2021, arXiv 2106.14881), which reach a little beyond a patch's border.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..config.errors import ConfigError

SIZES = {"vit_nano": (96, 4, 3), "vit_tiny": (192, 12, 3), "vit_small": (384, 12, 6)}  # dimension, blocks, heads
CONVOLUTIONAL = {"vit_nano"}  # these make their patches by convolutions


def vit(name: str, view_size: int, patch_size: int, channels: int = 3) -> nn.Module:
    """Build timm's VisionTransformer without classifier: (N, C, H, W) -> y, the class token, (N, dim).

    For views of another size than `view_size`, such as DINO's local crops, the position embedding is interpolated.

    Raises:
        ConfigError: patches do not tile the view, or convolutions cannot make them.
    """
    from timm.layers import HybridEmbed  # here, because timm takes long to import
    from timm.models.vision_transformer import VisionTransformer
    from timm.models.vision_transformer_hybrid import ConvStem

    check_patches(view_size, patch_size)
    if name in CONVOLUTIONAL and (patch_size < 2 or patch_size & (patch_size - 1)):
        raise ConfigError(
            f"patch_size={patch_size}: {name}'s patches are made by convolutions that halve; give 2, 4, 8 or another "
            "power of 2"
        )
    dim, depth, heads = SIZES[name]
    stem: dict[str, Any] = {}
    if name in CONVOLUTIONAL:
        halvings = patch_size.bit_length() - 1
        convolutions = ConvStem(in_chans=channels, depth=halvings, channels=dim, stride=(2,) * halvings, padding=1)
        stem = {"embed_layer": partial(HybridEmbed, convolutions, proj=False)}
        patch_size = 1  # in pixels of what the convolutions leave
    net: Any = VisionTransformer(
        img_size=view_size,
        patch_size=patch_size,
        in_chans=channels,
        embed_dim=dim,
        depth=depth,
        num_heads=heads,
        num_classes=0,
        dynamic_img_size=True,
        **stem,
    )
    net.feature_dim = dim
    return net


def check_patches(view_size: int, patch_size: int) -> None:
    """Raise ConfigError unless patches tile the view, at least two a side."""
    if view_size % patch_size or view_size < 2 * patch_size:
        raise ConfigError(
            f"patch_size={patch_size}: views of {view_size} px are not tiled by it, two a side at least; give a "
            "divisor, or another view_size or local_view_size"
        )


def synchronise_batchnorm(model: nn.Module) -> None:
    """Make BatchNorm layers use the batches of all processes, in place.

    The stems of timm have BatchNorm and ReLU in one layer, and torch's converter would remove the ReLU.
    """
    convert: Callable[[nn.Module], nn.Module]
    if any(type(m).__module__.startswith("timm.") for m in model.modules()):
        from timm.layers import convert_sync_batchnorm

        convert = convert_sync_batchnorm
    else:
        convert = nn.SyncBatchNorm.convert_sync_batchnorm
    convert(model)


def tokens(encoder: nn.Module, v: Tensor, mask: Tensor | None = None, mask_token: Tensor | None = None) -> Tensor:
    """Return class token and patches after the last block: (N, 1 + patches, dim).

    encoder: one that `vit` has built. mask: bool (N, patches), the patches whose content is replaced by mask_token,
    (dim,); their position embedding stays.
    """
    net: Any = encoder  # timm's VisionTransformer
    if mask is None:
        return net.forward_features(v)
    assert mask_token is not None
    # These are the lines of forward_features, with the mask after the first. A hook would stop torch.compile.
    patches = net.patch_embed(v)  # (N, h, w, dim)
    patches = torch.where(mask.view(*patches.shape[:3], 1), mask_token.to(patches.dtype), patches)
    x = net.norm_pre(net._pos_embed(patches))
    return net.norm(net.blocks(x))


@torch.no_grad()
def attention(encoder: nn.Module, v: Tensor) -> Tensor:
    """Return how much the class token takes from each patch in the last block: (N, heads, h, w).

    The sum of a head is at most 1; the class token takes the rest from itself. v: normalised pictures (N, 3, H, W).
    """
    net: Any = encoder  # timm's VisionTransformer
    last = net.blocks[-1].attn
    seen: list[Tensor] = []
    fused, last.fused_attn = last.fused_attn, False  # the fused kernel never stores the matrix
    handle = last.attn_drop.register_forward_hook(lambda module, args, weights: seen.append(weights))
    try:
        net.forward_features(v)
    finally:
        handle.remove()
        last.fused_attn = fused
    return seen[0][:, :, 0, 1:].unflatten(2, net.patch_embed.dynamic_feat_size(v.shape[2:]))
