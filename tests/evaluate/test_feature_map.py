"""The feature map is the one that an encoder pools, for every architecture."""

import pytest
import torch
from torch import nn

import byol_tutorial as bt
from byol_tutorial.evaluate.feature_map import feature_maps
from byol_tutorial.evaluate.features import network_input
from byol_tutorial.networks.vit import tokens

IMAGES = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LARGE = IMAGES.repeat(1, 1, 3, 2)  # 96 × 64 px


def encoder(name: str) -> nn.Module:
    torch.manual_seed(0)
    return bt.networks.build_encoder(bt.Config(encoder=name, width=4, patch_size=8), 32)


def whole_map(net: nn.Module, images: torch.Tensor = IMAGES) -> torch.Tensor:
    return torch.cat(list(feature_maps(net, images, batch_size=2)))


def entering(net: nn.Module) -> torch.Tensor:
    return network_input(net, IMAGES.float() / 255)


@pytest.mark.parametrize("name", ["small", "resnet18", "torchvision:mobilenet_v2", "timm:resnet10t"])
def test_the_mean_of_the_map_is_y_where_an_encoder_pools_by_the_mean(name):
    net = encoder(name)
    found = whole_map(net, LARGE)
    assert 3 * found.shape[3] == 2 * found.shape[2] > 2
    torch.testing.assert_close(found.mean((2, 3)), bt.features(net, LARGE), rtol=1e-4, atol=1e-5)


def test_the_map_of_a_resnet_is_the_output_of_its_last_group():
    net = encoder("resnet18").eval()
    with torch.no_grad():
        x = net.relu(net.bn1(net.conv1(entering(net))))
        expected = net.layer4(net.layer3(net.layer2(net.layer1(x))))
    torch.testing.assert_close(whole_map(net), expected, rtol=1e-4, atol=1e-5)


def test_the_map_of_a_transformer_is_its_patches_row_by_row():
    net = encoder("vit_nano").eval()
    with torch.no_grad():
        patches = tokens(net, entering(net))[:, 1:]  # without the class token
    expected = patches.view(5, 4, 4, -1).permute(0, 3, 1, 2)
    torch.testing.assert_close(whole_map(net), expected, rtol=1e-4, atol=1e-5)


class Stub(nn.Module):
    """An encoder of ours: a part `last` computes the map in a layout, then y is its mean."""

    def __init__(self, layout: str = "NDhw", pieces: int = 5, registers: int = 0, uses: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1)))
        self.layout, self.pieces, self.registers, self.uses = layout, pieces, registers, uses
        self.last = nn.Identity()

    def the_map(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(x, self.weight, stride=8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.pooled(part) for part in x.split(self.pieces)])

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        found = self.the_map(x)
        for use in range(self.uses):
            shown = found if use == self.uses - 1 else -found  # what is used before is another map
            if self.layout == "NhwD":
                self.last(shown.permute(0, 2, 3, 1))
            elif self.layout == "tokens":
                patches = shown.flatten(2).transpose(1, 2)
                self.last(torch.cat((patches[:, : self.registers], patches), dim=1))
            else:
                self.last(shown)
        return found.mean((2, 3))


@pytest.mark.parametrize("layout", ["NDhw", "NhwD", "tokens"])
@pytest.mark.parametrize(("pieces", "uses"), [(5, 1), (1, 1), (5, 3), (1, 2)])
def test_layouts_pieces_and_parts_that_are_used_again(layout, pieces, uses):
    net = Stub(layout, pieces, registers=5 if layout == "tokens" else 0, uses=uses)
    torch.testing.assert_close(whole_map(net), net.the_map((IMAGES.float() / 255 - 0.5) / 0.25).detach())


def test_modes_gradients_and_hooks_are_as_before():
    net = encoder("small").train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert not whole_map(net).requires_grad
    assert all(part.training and not part._forward_hooks for part in net.modules())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_a_map_with_one_place_is_none():
    """Pooled outputs are no maps, and an earlier map of other channels is better than nothing."""
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    flat = nn.Sequential(pool, nn.Linear(3, 8))
    with pytest.raises(bt.DataError, match=r"^Sequential has no feature map: none of its parts.*\(N, D, h, w\)"):
        whole_map(flat)
    deep = nn.Sequential(nn.Conv2d(3, 5, 8, stride=8), nn.Conv2d(5, 7, 4), nn.Flatten())
    assert whole_map(deep).shape == (5, 5, 4, 4)
