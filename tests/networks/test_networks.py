"""Networks: normalisations, weight standardisation, stems; against torchvision and formulas."""

import copy

import pytest
import torch
from torch import nn

import byol_tutorial as bt
from byol_tutorial.methods.registry import build_model
from byol_tutorial.networks.normalization import StandardisedConv2d, StandardisedLinear, build_norm, standardise
from byol_tutorial.train.encoder_file import save_encoder

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


# --- residual blocks as in the authors' code ----------------------------------------------------


def haiku_resnet(state: dict[str, torch.Tensor], blocks: list[int], bottleneck: bool, x: torch.Tensor) -> torch.Tensor:
    """ResNetTorso of the authors' networks.py with Haiku's BlockV1, written from these, in training mode, 3×3 stem.

    The first block of every group has a projection in its shortcut; nothing else decides whether there is one.
    """

    def norm(name, x):
        mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), correction=0, keepdim=True)
        scale, offset = (state[f"{name}.{part}"][:, None, None] for part in ("weight", "bias"))
        return (x - mean) / (var + 1e-5).sqrt() * scale + offset

    def conv(name, x, stride, padding):
        return nn.functional.conv2d(x, state[f"{name}.weight"], stride=stride, padding=padding)

    x = norm("bn1", conv("conv1", x, 1, 1)).relu()
    for group, number in enumerate(blocks, 1):
        for block in range(number):
            at, stride = f"layer{group}.{block}", 2 if group > 1 and block == 0 else 1
            shortcut, y = x, x
            if block == 0:
                shortcut = norm(f"{at}.downsample.1", conv(f"{at}.downsample.0", x, stride, 0))
            layers = [(1, 1, 0), (3, stride, 1), (1, 1, 0)] if bottleneck else [(3, stride, 1), (3, 1, 1)]
            for k, (_, step, padding) in enumerate(layers, 1):
                y = norm(f"{at}.bn{k}", conv(f"{at}.conv{k}", y, step, padding))
                y = y if k == len(layers) else y.relu()
            x = (y + shortcut).relu()
    return x.mean((2, 3))


@pytest.mark.parametrize(
    ("encoder", "blocks", "bottleneck"),
    [
        ("resnet18", [2, 2, 2, 2], False),
        pytest.param("resnet34", [3, 4, 6, 3], False, marks=pytest.mark.slow),
        ("resnet50", [3, 4, 6, 3], True),
    ],
)
def test_with_projection_shortcut_resnets_compute_what_the_authors_do(encoder, blocks, bottleneck):
    torch.manual_seed(0)
    config = bt.Config(encoder=encoder, projection_shortcut=True)
    ours = bt.networks.build_encoder(config, 16).double().train()
    x = torch.randn(3, 3, 16, 16, dtype=torch.float64)
    expected = haiku_resnet(ours.state_dict(), blocks, bottleneck, x)
    torch.testing.assert_close(ours(x), expected, rtol=1e-9, atol=1e-9)
    plain = bt.networks.build_encoder(bt.Config(encoder=encoder), 16)
    more = sum(p.numel() for p in ours.parameters()) - sum(p.numel() for p in plain.parameters())
    assert more == (0 if bottleneck else 64 * 64 + 2 * 64)  # a 1×1 convolution, a scale and an offset
    if not bottleneck:
        bound = 6 * (2 / 64) ** 0.5  # six standard deviations of He's initialisation
        weight = ours.layer1[0].downsample[0].weight
        assert 0.9 < weight.std() / (2 / 64) ** 0.5 < 1.1
        assert weight.abs().max() < bound


DEEP = [pytest.param(name, marks=pytest.mark.slow) for name in ("resnet34", "resnet50")]


@pytest.mark.parametrize("norm", ["bn", "gn_ws"])
@pytest.mark.parametrize("encoder", ["resnet18", *DEEP])
def test_with_zero_init_residual_every_block_begins_as_its_shortcut(encoder, norm):
    torch.manual_seed(0)
    net = bt.networks.build_encoder(bt.Config(encoder=encoder, norm=norm, zero_init_residual=True), 16).train()
    seen = []
    for group in (net.layer1, net.layer2, net.layer3, net.layer4):
        for block in group:
            block.register_forward_hook(lambda block, given, came: seen.append((block, given[0], came)))
    net(torch.randn(4, 3, 16, 16)).square().sum().backward()
    assert len(seen) == {"resnet18": 8, "resnet34": 16, "resnet50": 16}[encoder]
    for block, x, came in seen:
        torch.testing.assert_close(came, (x if block.downsample is None else block.downsample(x)).relu())
        last = [m for name, m in block.named_children() if name.startswith("bn")][-1]
        assert last.weight.grad.abs().max() > 0  # it learns, and the rest of the block after it
    zeros = [name for name, p in net.named_parameters() if name.endswith("weight") and not p.any()]
    assert len(zeros) == len(seen)


def test_without_these_fields_a_resnet_is_as_before():
    """Torchvision's own, drawn from the same numbers: weights of runs and their seeds keep their meaning."""
    from torchvision.models import resnet18

    torch.manual_seed(3)
    ours = bt.networks.build_encoder(bt.Config(encoder="resnet18"), 224).state_dict()
    torch.manual_seed(3)
    theirs = resnet18().state_dict()
    assert {name for name in theirs if name not in ours} == {"fc.weight", "fc.bias"}
    assert all(torch.equal(ours[name], value) for name, value in theirs.items() if name in ours)


@pytest.mark.parametrize("encoder", ["resnet18", DEEP[0]])
def test_the_file_of_an_encoder_with_projections_is_read_back_and_fits_a_plain_resnet(encoder, tmp_path):
    import safetensors.torch
    import torchvision

    config = bt.Config(encoder=encoder, projection_shortcut=True)
    ours = bt.networks.build_encoder(config, 224).eval()
    save_encoder(tmp_path / "e.safetensors", ours, config, 224)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(bt.load_encoder(tmp_path / "e.safetensors")(x), ours(x))
        plain = getattr(torchvision.models, encoder)()
        plain.layer1[0].downsample = nn.Sequential(
            nn.Conv2d(64, 64, 1, bias=False), nn.BatchNorm2d(64)
        )  # as README says
        keys = plain.load_state_dict(safetensors.torch.load_file(tmp_path / "e.safetensors"), strict=False)
        plain.fc = nn.Identity()
        torch.testing.assert_close(plain.eval()(x), ours(x))
    assert (keys.missing_keys, keys.unexpected_keys) == (["fc.weight", "fc.bias"], [])


# --- heads --------------------------------------------------------------------------------------


def simsiam_by_its_authors(
    dim: int, hidden: int, out: int, predictor_hidden: int
) -> tuple[nn.Sequential, nn.Sequential]:
    """Projector and predictor as simsiam/builder.py of facebookresearch/simsiam makes them."""
    projector = nn.Sequential(
        nn.Linear(dim, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(),
        nn.Linear(hidden, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(),
        nn.Linear(hidden, out), nn.BatchNorm1d(out, affine=False),
    )  # fmt: skip
    projector[6].bias.requires_grad = False  # "hack: not use bias as it is followed by BN"
    predictor = nn.Sequential(
        nn.Linear(out, predictor_hidden, bias=False), nn.BatchNorm1d(predictor_hidden), nn.ReLU(),
        nn.Linear(predictor_hidden, out),
    )  # fmt: skip
    return projector, predictor


def learned_shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(p.shape) for name, p in module.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("make", [bt.preset, lambda _: bt.preset("shapes", method="simsiam")], ids=["preset", "method"])
def test_simsiams_heads_are_its_authors(make):
    torch.manual_seed(0)
    config = make("simsiam").replace(width=8, hidden_dim=24, projection_dim=12, predictor_hidden_dim=6)
    model = build_model(config, 16).double().train()
    projector, predictor = (head.double() for head in simsiam_by_its_authors(32, 24, 12, 6))
    for ours, theirs in ((model.projector, projector), (model.predictor, predictor)):
        assert learned_shapes(ours) == learned_shapes(theirs)
        left = theirs.load_state_dict(ours.state_dict(), strict=False)
        assert left.unexpected_keys == []
        assert left.missing_keys == (["6.bias"] if theirs is projector else [])  # theirs is random and stays so
    optimizers = [torch.optim.SGD([p for m in heads for p in m.parameters() if p.requires_grad], 0.1)
                  for heads in ((model.projector, model.predictor), (projector, predictor))]  # fmt: skip
    for seed in range(3):
        y = torch.randn(10, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        outputs = [q(g(y)) for g, q in ((model.projector, model.predictor), (projector, predictor))]
        torch.testing.assert_close(*outputs, rtol=1e-10, atol=1e-10)
        for p, optimizer in zip(outputs, optimizers, strict=True):
            optimizer.zero_grad()
            p.sin().sum().backward()
            optimizer.step()
    for part in (model, projector, predictor):
        part.eval()
    # of their mean, which their bias moves, the running average begins at 0: after three batches 0.9³ of it is missing
    projector[7].running_mean += 0.9**3 * projector[6].bias
    torch.testing.assert_close(model.predictor(model.projector(y)), predictor(projector(y)), rtol=1e-6, atol=1e-6)


def test_byols_heads_are_its_authors():
    """MLP of the authors' networks.py: hk.Linear(with_bias=True), BatchNorm, ReLU, hk.Linear(with_bias=False)."""
    model = build_model(bt.Config(width=8, hidden_dim=24, projection_dim=12, projector_depth=2), 16)
    for head, dim in ((model.projector, 32), (model.predictor, 12)):
        theirs = nn.Sequential(nn.Linear(dim, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 12, bias=False))
        assert learned_shapes(head) == learned_shapes(theirs)


@pytest.mark.parametrize("norm", ["bn", "gn_ws"])
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_simsiams_heads_at_any_depth(depth, norm):
    changes = {
        "heads": "simsiam",
        "output_norm": True,
        "norm": norm,
        "projector_depth": depth,
        "predictor_depth": depth,
    }
    model = build_model(bt.Config(**SMALL, **changes), 16)
    linear = [m for m in (*model.projector, *model.predictor) if isinstance(m, nn.Linear)]
    assert [m.bias is not None for m in linear] == [False] * (2 * depth - 1) + [True]
    assert list(model.projector[-1].parameters()) == []
    assert all(
        len(list(m.parameters())) == 2
        for m in list(model.projector)[:-1]
        if isinstance(m, (nn.BatchNorm1d, nn.GroupNorm))
    )


def test_authors_batchnorm():
    """Decay 0.9 and eps 1e-5 are PyTorch's momentum 0.1 and eps 1e-5."""
    norms = [m for m in bt.BYOL(bt.Config(**SMALL), 16).modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert {(m.momentum, m.eps) for m in norms} == {(0.1, 1e-5)}
