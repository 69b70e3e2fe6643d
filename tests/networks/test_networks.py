"""Networks: normalisations, weight standardisation, stems; against torchvision and formulas."""

import copy

import pytest
import torch
from torch import nn

import byol_tutorial as bt
from byol_tutorial.networks.normalization import StandardisedConv2d, StandardisedLinear, build_norm, standardise

SMALL = {"width": 8, "hidden_dim": 16, "projection_dim": 8, "batch_size": 4}


def test_standardised_weights_have_mean_zero_and_variance_one_over_inputs():
    w = standardise(torch.randn(6, 3, 5, 5, dtype=torch.float64) * 7 + 2).flatten(1)
    torch.testing.assert_close(w.mean(1), torch.zeros(6, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(w.var(1, correction=0), torch.full((6,), 1 / 75, dtype=torch.float64), rtol=1e-6, atol=0)


def test_standardised_layers_ignore_scale_and_shift_of_their_weights():
    x = torch.randn(2, 3, 8, 8)
    conv = StandardisedConv2d(3, 4, 3)
    expected = conv(x)
    conv.weight.data.mul_(5).add_(3)
    torch.testing.assert_close(conv(x), expected, rtol=1e-4, atol=1e-4)
    linear, v = StandardisedLinear(6, 4), torch.randn(2, 6)
    torch.testing.assert_close(linear(v), v @ standardise(linear.weight).T + linear.bias)


@pytest.mark.parametrize(("channels", "groups"), [(256, 16), (64, 16), (32, 8), (16, 4), (4, 1), (6, 1)])
def test_groups(channels, groups):
    norm = build_norm("gn_ws", channels)
    assert norm.num_groups == groups
    assert norm.num_channels == channels


@pytest.mark.parametrize("encoder", ["small", "resnet18"])
@pytest.mark.parametrize("norm", ["gn_ws", "none"])
def test_without_batchnorm_no_image_sees_another(encoder, norm):
    """Outputs and training are those of each image alone: what gn_ws is for (Richemond et al. 2020)."""
    torch.manual_seed(0)
    model = bt.BYOL(bt.Config(encoder=encoder, norm=norm, **SMALL), view_size=16).train()
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())
    v = torch.randn(4, 3, 16, 16)
    together = model.predictor(model.online(v))
    alone = torch.cat([model.predictor(model.online(v[i : i + 1])) for i in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_batchnorm_sees_the_batch():
    torch.manual_seed(0)
    model = bt.BYOL(bt.Config(**SMALL), view_size=16).train()
    v = torch.randn(4, 3, 16, 16)
    assert (model.online(v)[:2] - model.online(v[:2])).abs().max() > 1e-3


def test_every_convolution_of_a_gn_ws_resnet_is_standardised():
    model = bt.BYOL(bt.Config(encoder="resnet18", norm="gn_ws", **SMALL), view_size=32)
    kinds = {type(m) for m in model.encoder.modules() if isinstance(m, nn.Conv2d)}
    assert kinds == {StandardisedConv2d}
    copied = copy.deepcopy(model)
    assert {type(m) for m in copied.encoder.modules() if isinstance(m, nn.Conv2d)} == {StandardisedConv2d}


def test_resnet50_at_224_is_torchvisions():
    from torchvision.models import resnet50

    torch.manual_seed(0)
    ours = bt.networks.build_encoder(bt.Config(encoder="resnet50"), 224).eval()
    theirs = resnet50()
    theirs.fc = nn.Identity()
    missing = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert missing.missing_keys == []
    assert missing.unexpected_keys == ["pixel_mean", "pixel_std"]
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs.eval()(x))


def test_authors_batchnorm():
    """Decay 0.9 and eps 1e-5 are PyTorch's momentum 0.1 and eps 1e-5."""
    norms = [m for m in bt.BYOL(bt.Config(**SMALL), 16).modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert {(m.momentum, m.eps) for m in norms} == {(0.1, 1e-5)}
