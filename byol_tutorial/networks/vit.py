"""A small vision transformer as encoder, built by timm: masked patches for iBOT, and where its class token looks.

    picture → patches of P × P pixels → one vector each, plus its place → [class token, patches] → blocks → y

vit_tiny and vit_small are DeiT's and DINO's, and their parameters have timm's names, so a saved encoder loads into
timm's own model. From some thousand pictures a plain transformer learns slowly. So vit_nano, ours, makes its patches by
convolutions (Xiao et al. 2021, arXiv 2106.14881), which see a little beyond a patch's border.
"""

from functools import partial

import torch
from torch import Tensor, nn

from ..config.errors import ConfigError

SIZES = {"vit_nano": (96, 4, 3), "vit_tiny": (192, 12, 3), "vit_small": (384, 12, 6)}  # dimension, blocks, heads
CONVOLUTIONAL = {"vit_nano"}  # their patches are made by convolutions


def vit(name: str, view_size: int, patch_size: int) -> nn.Module:
    """timm's VisionTransformer without classifier: (N, 3, H, W) -> y, the class token, (N, dim).

    Views of another size than `view_size` have their places interpolated, as DINO's local crops need it.

    Raises:
        ConfigError: patches do not tile the view, or convolutions cannot make them.
    """
    from timm.layers import HybridEmbed  # here, since timm takes long to import
    from timm.models.vision_transformer import VisionTransformer
    from timm.models.vision_transformer_hybrid import ConvStem

    check_patches(view_size, patch_size)
    if name in CONVOLUTIONAL and (patch_size < 2 or patch_size & (patch_size - 1)):
        raise ConfigError(
            f"patch_size={patch_size}: {name}'s patches are made by convolutions that halve; give 2, 4, 8 or another power of 2"
        )
    dim, depth, heads = SIZES[name]
    stem = {}
    if name in CONVOLUTIONAL:
        halvings = patch_size.bit_length() - 1
        convolutions = ConvStem(depth=halvings, channels=dim, stride=(2,) * halvings, padding=1)
        stem = {"embed_layer": partial(HybridEmbed, convolutions, proj=False)}
        patch_size = 1  # of what the convolutions leave
    net = VisionTransformer(
        img_size=view_size,
        patch_size=patch_size,
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
    if view_size % patch_size or view_size < 2 * patch_size:
        raise ConfigError(
            f"patch_size={patch_size}: views of {view_size} px are not tiled by it, two a side at least; give a "
            "divisor, or another view_size or local_view_size"
        )


def synchronise_batchnorm(model: nn.Module) -> None:
    """Make BatchNorm layers see the batches of all processes, in place.

    timm's stems have BatchNorm and ReLU in one layer, which torch's own converter would rob of its ReLU.
    """
    if any(type(m).__module__.startswith("timm.") for m in model.modules()):
        from timm.layers import convert_sync_batchnorm as convert
    else:
        convert = nn.SyncBatchNorm.convert_sync_batchnorm
    convert(model)


def tokens(encoder: nn.Module, v: Tensor, mask: Tensor | None = None, mask_token: Tensor | None = None) -> Tensor:
    """Class token and patches after the last block: (N, 1 + patches, dim).

    mask: bool (N, patches), those whose content is replaced by mask_token (dim,), their place kept.
    """
    if mask is None:
        return encoder.forward_features(v)
    # forward_features with the mask between its first two lines; a hook would do it too, but torch.compile stops at one
    patches = encoder.patch_embed(v)  # (N, h, w, dim)
    patches = torch.where(mask.view(*patches.shape[:3], 1), mask_token.to(patches.dtype), patches)
    x = encoder.norm_pre(encoder._pos_embed(patches))
    return encoder.norm(encoder.blocks(x))


@torch.no_grad()
def attention(encoder: nn.Module, v: Tensor) -> Tensor:
    """How much the class token takes from each patch in the last block: (N, heads, h, w), each head's sum at most 1.

    What is missing to 1 it takes from itself. v: normalised pictures (N, 3, H, W).
    """
    last, seen = encoder.blocks[-1].attn, []
    fused, last.fused_attn = last.fused_attn, False  # the fused kernel never holds the matrix
    handle = last.attn_drop.register_forward_hook(lambda module, args, weights: seen.append(weights))
    try:
        encoder.forward_features(v)
    finally:
        handle.remove()
        last.fused_attn = fused
    return seen[0][:, :, 0, 1:].unflatten(2, encoder.patch_embed.dynamic_feat_size(v.shape[2:]))
