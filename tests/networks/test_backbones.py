"""Encoders from elsewhere: networks of timm and torchvision by name, and modules of the user; all can be copied and saved."""

import copy
import io
import pickle
import sys

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

import byol_tutorial as bt
from byol_tutorial.config.config import FIELDS
from byol_tutorial.methods.registry import build_model
from byol_tutorial.networks.backbones import own_encoder
from byol_tutorial.networks.encoders import build_encoder

LIBRARY = ["timm:test_resnet", "timm:test_vit", "torchvision:mobilenet_v3_small"]
EVERY = [name for name in FIELDS["encoder"].metadata["choices"] if name != "own" and ":" not in name] + LIBRARY


def config(encoder, **fields):
    return bt.Config(**{"encoder": encoder, "width": 4, "hidden_dim": 8, "projection_dim": 4, "patch_size": 8} | fields)


def x(n=2, channels=3, size=32):
    return torch.randn(n, channels, size, size, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """Any module: float (N, 3, H, W) -> (N, 5)."""

    def __init__(self, channels=3):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, 5, 3, bias=False), nn.BatchNorm2d(5)

    def forward(self, x):
        return self.norm(self.conv(x)).relu().mean((2, 3))


# --- by name --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LIBRARY)
def test_a_network_by_name_is_the_librarys_own_without_its_last_layer(name):
    library, model = name.split(":")
    encoder = build_encoder(config(name), 32).eval()
    if library == "timm":
        fixed = {"img_size": 32} if "vit" in model else {}
        source = timm.create_model(model, num_classes=0, **fixed).eval()
    else:
        source = torchvision.models.get_model(model, weights=None).eval()
        source.classifier[3] = nn.Identity()
    state = {k: v for k, v in encoder.state_dict().items() if not k.startswith("pixel_")}
    source.load_state_dict(state)  # strict: the same names and shapes
    source.to(memory_format=torch.channels_last)  # as the encoder, so that both round alike
    with torch.no_grad():
        wanted = source(x())
        assert torch.equal(encoder(x()), wanted)
    assert encoder.feature_dim == wanted.shape[1]
    assert encoder.training is False
    assert wanted.std(0).max() > 0  # the pictures differ in them


@pytest.mark.parametrize(
    ("name", "channels"), [("timm:test_resnet", 1), ("timm:test_vit", 4), ("torchvision:alexnet", 2)]
)
def test_the_first_layer_has_a_channel_for_each_statistic(name, channels):
    encoder = build_encoder(config(name), 64, [0.5] * channels, [0.25] * channels).eval()
    with torch.no_grad():
        assert encoder(x(channels=channels, size=64)).isfinite().all()


def test_the_pixels_of_a_library_network_are_those_that_features_shows_it():
    """`features` equals the source's own output on images that were normalised by hand."""
    encoder = build_encoder(config("timm:test_resnet"), 32, (0.2, 0.3, 0.4), (0.5, 0.6, 0.7)).eval()
    images = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    by_hand = (images.double() / 255 - torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)) / torch.tensor(
        [0.5, 0.6, 0.7]
    ).view(3, 1, 1)
    with torch.no_grad():
        wanted = encoder(by_hand.float())
    torch.testing.assert_close(bt.features(encoder, images), wanted, rtol=1e-4, atol=1e-5)


def test_a_network_of_one_size_sees_other_images_at_that_size():
    encoder = build_encoder(config("timm:test_vit"), 32)
    assert encoder.fixed_size is True
    assert build_encoder(config("timm:test_resnet"), 32).fixed_size is False
    images = torch.randint(0, 256, (3, 3, 50, 50), dtype=torch.uint8)
    small = F.interpolate(images.float() / 255, (32, 32), mode="bilinear", antialias=True)
    with torch.no_grad():
        wanted = encoder.eval()((small - 0.5) / 0.25)
    torch.testing.assert_close(bt.features(encoder, images), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm:convnext_tinny", "did you mean 'timm:convnext_tiny"),
        ("timm:mobilenet_v3_small", "did you mean 'torchvision:mobilenet_v3_small'"),
        ("torchvision:vit_tiny_patch16_224", "did you mean 'timm:vit_tiny_patch16_224'"),
        ("torchvision:NAME", "give timm:NAME or torchvision:NAME, with a name of that library"),
    ],
)
def test_an_unknown_name_is_refused_with_similar_ones(name, words):
    with pytest.raises(bt.ConfigError, match=words):
        build_encoder(config(name), 32)


@pytest.mark.parametrize("name", ["timm:", "tim:resnet18", "hub:resnet18", "resnet19", "timm", ""])
def test_a_value_that_names_no_library_is_refused_by_config(name):
    with pytest.raises(bt.ConfigError, match=r"choose one of small, .*, timm:NAME, torchvision:NAME, own"):
        bt.Config(encoder=name)


def test_without_timm_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(bt.ConfigError, match="timm is not installed: pip install timm"):
        build_encoder(config("timm:test_resnet"), 32)
    assert build_encoder(config("torchvision:mobilenet_v3_small"), 32).feature_dim == 1024


@pytest.mark.parametrize("name", ["timm:eva02_tiny_patch14_224", "torchvision:vit_b_16", "torchvision:alexnet"])
def test_views_that_a_network_cannot_take_are_refused_with_their_size(name):
    with pytest.raises(bt.ConfigError, match=rf"encoder='{name}' cannot .*20.*another view_size"):
        build_encoder(config(name), 20)


def test_ibot_needs_patches():
    with pytest.raises(bt.ConfigError, match=r"ibot_weight=1: encoder='timm:test_vit' has no patches to hide"):
        config("timm:test_vit", method="dino", ibot_weight=1)


def test_local_crops_need_an_encoder_that_takes_them():
    local = {"method": "dino", "local_crops": 2, "prototypes": 16}
    model = build_model(config("timm:test_vit", **local, local_view_size=16), 32)  # its positions are interpolated
    assert model.online(x(size=16)).shape == (2, 4)
    with pytest.raises(bt.ConfigError, match=r"local_crops=2: encoder='timm:mixer_s32_224' takes views of one size"):
        build_model(config("timm:mixer_s32_224", **local), 64)


# --- copies and files -----------------------------------------------------------------------------


def through_torch_save(module):
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


LARGE = {"resnet34", "resnet50", "vit_small"}  # their code is that of smaller ones


@pytest.mark.parametrize(
    ("name", "norm"),
    [
        *(pytest.param(name, "bn", marks=[pytest.mark.slow] * (name in LARGE)) for name in EVERY),
        ("small", "gn_ws"),
        ("resnet18", "gn_ws"),
    ],
)
def test_every_encoder_can_be_copied_pickled_and_saved(name, norm):
    encoder = build_encoder(config(name, norm=norm), 32).eval()
    copies = [copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder)), through_torch_save(encoder)]
    with torch.no_grad():
        wanted = encoder(x())
        assert torch.equal(copies[0](x()), wanted)
        next(encoder.parameters()).zero_()  # the copies have weights of their own
        for other in copies:
            assert torch.equal(other(x()), wanted)
            assert (other.feature_dim, other.view_size) == (encoder.feature_dim, 32)
            assert torch.equal(other.pixel_mean, encoder.pixel_mean)


@pytest.mark.parametrize("method", ["byol", "simclr", "simsiam", "dino"])
@pytest.mark.parametrize("name", ["resnet18", "vit_nano", "timm:test_vit"])
def test_a_whole_model_can_be_pickled(method, name):
    model = build_model(config(name, method=method, prototypes=8), 32)
    other = pickle.loads(pickle.dumps(model))
    assert other.state_dict().keys() == model.state_dict().keys()
    with torch.no_grad():
        assert torch.equal(other.eval()(x(), x(4)[2:]).loss, model.eval()(x(), x(4)[2:]).loss)


# --- a module of the user -------------------------------------------------------------------------


def test_a_users_module_becomes_an_encoder_and_stays_as_it_was():
    net = Net().eval()
    before, states = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    encoder = build_encoder(config("own"), 32, own=net)
    assert encoder.training
    assert type(encoder) is Net
    assert (encoder.feature_dim, encoder.view_size, encoder.fixed_size) == (5, 32, False)
    assert torch.equal(torch.get_rng_state(), states)
    assert not net.training
    assert not hasattr(net, "feature_dim")
    assert net.state_dict().keys() == before.keys()
    for name, value in before.items():
        assert torch.equal(net.state_dict()[name], value)
        assert torch.equal(encoder.state_dict()[name], value)
    assert not {id(p) for p in encoder.parameters()} & {id(p) for p in net.parameters()}


class Kept(Net):
    def forward(self, x):
        self.last = super().forward(x)
        return self.last


class Closure(Net):
    def __init__(self):
        super().__init__()
        self.call = lambda x: self.conv(x)

    def forward(self, x):
        return self.call(x).mean((2, 3))


class HalfClosure(Closure):
    """One layer of its own, and one of the original."""

    def forward(self, x):
        return self.norm(self.call(x)).mean((2, 3))


class Itself(Net):
    def __deepcopy__(self, memo):
        return self


class Reserved(Net):
    def __init__(self):
        super().__init__()
        self.view_size = (3, 3)


class Extra(Net):
    def get_extra_state(self):
        return {"calls": 3}

    def set_extra_state(self, state):
        pass


def changed(what):
    """A Net whose output is `what` of the usual one and of the input."""

    class Changed(Net):
        def forward(self, x):
            return what(super().forward(x), x)

    return Changed()


NO_VECTOR = r"must return float32 \(2, D\)"
REFUSED = {
    "a map": (nn.Sequential(nn.Conv2d(3, 4, 3)), r"Sequential makes float32 \(2, 4, 14, 14\).*" + NO_VECTOR),
    "one vector": (changed(lambda y, x: y.mean(0)), r"makes float32 \(5,\).*" + NO_VECTOR),
    "no dimension": (changed(lambda y, x: y[:, :0]), r"makes float32 \(2, 0\).*" + NO_VECTOR),
    "one row": (changed(lambda y, x: y[:1]), r"makes float32 \(1, 5\).*" + NO_VECTOR),
    "a tuple": (changed(lambda y, x: (y, y)), "makes a tuple of two images.*" + NO_VECTOR),
    "a dict": (changed(lambda y, x: {"y": y}), "makes a dict of two images.*" + NO_VECTOR),
    "double": (changed(lambda y, x: y.double()), r"makes float64 \(2, 5\).*" + NO_VECTOR),
    "integers": (changed(lambda y, x: y.long()), r"makes int64 \(2, 5\).*" + NO_VECTOR),
    "NaN": (changed(lambda y, x: y / 0 * 0), "numbers that are not finite"),
    "in place": (changed(lambda y, x: y + x.mul_(2).mean((1, 2, 3))[:, None]), "changes its input in place"),
    "random": (changed(lambda y, x: F.dropout(y, 0.5, True)), "must be deterministic there"),
    "detached": (changed(lambda y, x: y.detach()), "no gradient reaches its parameters"),
    "another number of channels": (Net(channels=1), r"cannot take two images, float32 \(2, 3, 16, 16\).*1 channel"),
    "another size": (nn.Sequential(nn.Flatten(), nn.Linear(12, 4)), r"cannot take two images.*shapes"),
    "double weights": (Net().double(), "cannot take two images.*RuntimeError"),
    "frozen": (Net().requires_grad_(False), "no parameter with requires_grad=True"),
    "no parameters": (nn.Flatten(), "no parameter with requires_grad=True"),
    "lazy": (nn.Sequential(nn.LazyConv2d(3, 3), nn.Flatten()), "call it once on images"),
    "results kept": (Kept(), "cannot be copied .*keep no results in self"),
    "closure": (Closure(), "computes with the parameters of the original"),
    "a closure of one layer": (HalfClosure(), "computes with the parameters of the original"),
    "a copy that is none": (Itself(), "computes with the parameters of the original"),
    "a name that is taken": (
        Reserved(),
        "has an attribute 'view_size', which the run sets for every encoder: rename it",
    ),
    "state that is no tensor": (Extra(), "has state that is no tensor"),
    "a class": (Net, "give a torch.nn.Module"),
    "a function": (torch.relu, "give a torch.nn.Module"),
    "a name": ("resnet18", "give a torch.nn.Module"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_module_that_cannot_be_an_encoder_is_refused_in_words(case):
    module, words = REFUSED[case]
    with pytest.raises(bt.ConfigError, match=words) as caught:
        own_encoder(module, 16, 3)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("encoder=")


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 1)),
        nn.Sequential(nn.Conv2d(3, 4, 3).requires_grad_(False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)),
        nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.utils.parametrizations.weight_norm(nn.Linear(768, 2))),
        timm.create_model("test_resnet", num_classes=0),
        build_encoder(config("small"), 32),
    ],
    ids=["linear, D = 1", "partly frozen", "dropout and weight norm", "timm", "an encoder of this library"],
)
def test_modules_of_many_kinds_are_encoders(module):
    encoder = own_encoder(module, 16, 3)
    assert encoder(x(size=16)).shape == (2, encoder.feature_dim)


def test_own_and_a_module_belong_together():
    with pytest.raises(bt.ConfigError, match=r"encoder='own': a module of your own must be given as encoder="):
        build_encoder(config("own"), 32)
    with pytest.raises(bt.ConfigError, match=r"encoder='resnet18' in the config, and a module too"):
        build_encoder(config("resnet18"), 32, own=Net())
