"""Guests against the networks they come from, run by hand; files of weights in every wrapping, and every bad one."""

import argparse
import os
import pickle
import re
import urllib.request
from contextlib import suppress

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torchvision.transforms.functional import InterpolationMode, normalize, resize

import byol_tutorial as bt
from byol_tutorial.config.errors import GuestError, UserError, WeightsError
from byol_tutorial.evaluate.knn import nearest
from byol_tutorial.evaluate.pretrained import AT_ONCE
from byol_tutorial.evaluate.protocols import PROTOCOLS
from byol_tutorial.evaluate.weight_files import read_weights, unwrap, watch_loading
from byol_tutorial.networks.encoders import build_encoder
from byol_tutorial.train.encoder_file import save_encoder

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
VIT = "timm:vit_tiny_patch16_224.augreg_in21k"  # its own mean and deviation are 0.5
DINO = "timm:vit_small_patch14_dinov2.lvd142m"


def built(make, *arguments, seed=7, **options):
    """A network whose every number is random, also the statistics and scales that begin at 0 and 1."""
    torch.manual_seed(seed)
    net = make(*arguments, **options).eval()
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if value.is_floating_point():
                value.add_(0.1 * torch.rand_like(value)) if "var" in name else value.add_(
                    0.02 * torch.randn_like(value)
                )
    return net


@pytest.fixture(scope="module")
def resnet():
    return built(torchvision.models.resnet18)


@pytest.fixture(scope="module")
def vit():
    return built(timm.create_model, "vit_tiny_patch16_224", img_size=32)


SMALL = {"torchvision": "shufflenet_v2_x0_5", "timm": "timm:test_vit"}  # the smallest networks of the two libraries


@pytest.fixture(scope="module")
def small():
    """The networks of SMALL: the time of a test is that of writing and reading their weights."""
    nets = (
        built(torchvision.models.get_model, SMALL["torchvision"], weights=None),
        built(timm.create_model, "test_vit", img_size=32),
    )
    return dict(zip(SMALL, nets, strict=True))


@pytest.fixture(scope="module")
def dino():
    return built(timm.create_model, "vit_small_patch14_dinov2", img_size=28)


@pytest.fixture(scope="module")
def resnet_file(resnet, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(resnet.state_dict(), path)
    return path


@pytest.fixture(autouse=True)
def large_files_go(tmp_path):
    yield
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.unlink()


def images(n=5, size=40, seed=0):
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def by_hand(pictures, size, mean=MEAN, std=STD):
    """As a reader of the model's card would prepare them, by torchvision."""
    small = resize(pictures.float() / 255, [size, size], InterpolationMode.BICUBIC, antialias=True)
    return normalize(small, mean, std)


def penultimate(net, x):
    """What goes into a ResNet's `fc`, caught on the way."""
    seen = []
    handle = net.fc.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    net(x)
    handle.remove()
    return seen[0]


# --- the same numbers as the source -------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet18", "torchvision:resnet18"])
def test_a_torchvision_guest_is_its_source_without_classifier(resnet, resnet_file, name):
    g = bt.guest(name, resnet_file, size=48)
    assert (g.feature_dim, g.size, g.training) == (512, (48, 48), False)
    wanted = penultimate(resnet, by_hand(images(), 48))
    torch.testing.assert_close(bt.features(g, images()), wanted, rtol=1e-4, atol=1e-4)
    assert (wanted - wanted.mean(0)).abs().max() > 1e-2  # the images do differ in them


def test_images_of_the_guests_own_size_are_not_touched(resnet, resnet_file):
    x = by_hand(images(2, 224), 224)
    with torch.no_grad():
        torch.testing.assert_close(bt.guest("resnet18", resnet_file)(x), penultimate(resnet, x), rtol=1e-4, atol=1e-4)


def test_a_timm_guest_is_pooled_forward_features_at_the_models_own_mean_and_std(vit, tmp_path):
    save_file(vit.state_dict(), tmp_path / "vit.safetensors")
    g = bt.guest(VIT, tmp_path / "vit.safetensors", size=32)
    assert g.pixel_mean.tolist() == g.pixel_std.tolist() == [0.5] * 3
    with torch.no_grad():
        wanted = vit.forward_features(by_hand(images(), 32, (0.5,) * 3, (0.5,) * 3))[:, 0]  # the class token
    torch.testing.assert_close(bt.features(g, images()), wanted, rtol=1e-4, atol=1e-4)


def test_the_size_of_its_own_is_the_models():
    assert bt.guest("timm:test_vit", random=True).size == (160, 160)
    assert bt.guest("torchvision:efficientnet_b1", random=True).size == (240, 240)


def test_positions_learned_at_one_size_serve_another(tmp_path):
    """A file for 64 px, a guest at 32 px: as timm brings its own weights to another size."""
    source = built(timm.create_model, "vit_tiny_patch16_224", img_size=64)
    torch.save(source.state_dict(), tmp_path / "vit.pth")
    g = bt.guest(VIT, tmp_path / "vit.pth", size=32)
    source.set_input_size(img_size=32)
    with torch.no_grad():
        wanted = source.forward_features(by_hand(images(), 32, (0.5,) * 3, (0.5,) * 3))[:, 0]
    torch.testing.assert_close(bt.features(g, images()), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.slow  # torchvision has no smaller one
def test_positions_of_a_vision_transformer_of_torchvision_serve_another_size(tmp_path):
    source = built(torchvision.models.vit_b_32, image_size=96)
    torch.save({f"module.{k}": v for k, v in source.state_dict().items()}, tmp_path / "b32.pth")
    assert bt.features(bt.guest("vit_b_32", tmp_path / "b32.pth", size=64), images()).shape == (5, 768)


@pytest.mark.parametrize(
    "name",
    [
        "squeezenet1_1",
        "mnasnet0_5",
        *(
            pytest.param(large, marks=pytest.mark.slow)
            for large in ("googlenet", "inception_v3", "densenet121", "maxvit_t")
        ),
    ],
)
def test_torchvisions_odd_ones(name, tmp_path):
    """Built in other ways, or with another last layer: their features explain what the whole network says."""
    own = (
        {"transform_input": True, "aux_logits": True, "init_weights": True}
        if name in ("googlenet", "inception_v3")
        else {}
    )
    source = built(torchvision.models.get_model, name, weights=None, **own)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    g = bt.guest(name, tmp_path / "w.pth", size=None if name == "maxvit_t" else 96)
    last = [m for m in source.modules() if isinstance(m, (torch.nn.Linear, torch.nn.Conv2d))][-1]
    seen = []
    last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    x = by_hand(images(2), g.size[0])
    with torch.no_grad():
        source(x)
        y = g(x)
    caught = seen[0] if seen[0].ndim == 2 else seen[0].relu().mean((2, 3))  # SqueezeNet's last is a convolution
    torch.testing.assert_close(y, caught, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_densenets_old_names(tmp_path):
    """torchvision's published DenseNets have names that its network no longer has."""
    source = built(torchvision.models.densenet121)
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12]\.)", r"\1.\2", k): v for k, v in source.state_dict().items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "old.pth")
    torch.save(source.state_dict(), tmp_path / "new.pth")
    a, b = (bt.guest("densenet121", tmp_path / f"{which}.pth", size=64) for which in ("old", "new"))
    assert torch.equal(bt.features(a, images()), bt.features(b, images()))


def test_a_large_batch_is_computed_in_parts(resnet, resnet_file):
    g = bt.guest("resnet18", resnet_file, size=32)
    sizes, body = [], g.body.forward
    g.body.forward = lambda x: sizes.append(len(x)) or body(x)
    g.size, n = (1024, 1024), AT_ONCE // 1024**2 + 1
    g.resized = lambda x: x
    with torch.no_grad():
        parts = g(by_hand(images(n), 32))
    whole = g(by_hand(images(n), 32))  # with a gradient, and BatchNorm in training, a batch is one
    assert sizes == [n - 1, 1, n]
    torch.testing.assert_close(parts, whole.detach(), rtol=1e-4, atol=1e-4)


# --- files --------------------------------------------------------------------------------------

WRAPPED = {
    "state_dict": lambda s: {"state_dict": s, "epoch": 3, "optimizer": {"lr": 0.1}},
    "model": lambda s: {"model": s},
    "ema before model": lambda s: {"model": {k: torch.zeros_like(v) for k, v in s.items()}, "model_ema": s},
    "teacher before student": lambda s: {"student": {k: torch.zeros_like(v) for k, v in s.items()}, "teacher": s},
    "student": lambda s: {"student": s},
    "teacher in model": lambda s: {
        "model": {f"student.backbone.{k}": torch.zeros_like(v) for k, v in s.items()}
        | {f"teacher.backbone.{k}": v for k, v in s.items()}
    },
    "module.": lambda s: {f"module.{k}": v for k, v in s.items()},
    "backbone. and a head": lambda s: {f"backbone.{k}": v for k, v in s.items()} | {"head.mlp.weight": torch.zeros(2)},
    "module.encoder.": lambda s: {"state_dict": {f"module.encoder.{k}": v for k, v in s.items()}},
    "options": lambda s: {"state_dict": s, "args": argparse.Namespace(lr=0.1)},
    "no classifier": lambda s: {k: v for k, v in s.items() if not k.startswith(("fc.", "head."))},
    "other classifier": lambda s: {k: v[:7] if k.startswith(("fc.", "head.")) else v for k, v in s.items()},
    "half": lambda s: {k: v.half() if v.is_floating_point() else v for k, v in s.items()},
    "no count of batches": lambda s: {k: v for k, v in s.items() if "num_batches" not in k},
}


@pytest.mark.parametrize("wrapping", WRAPPED)
@pytest.mark.parametrize("library", SMALL)
def test_weights_are_found_in_what_wraps_them(small, tmp_path, wrapping, library):
    source = small[library].state_dict()
    torch.save(WRAPPED[wrapping](source), tmp_path / "w.pth")
    found = bt.guest(SMALL[library], tmp_path / "w.pth", size=32).body.state_dict()
    within = 2e-3 if wrapping == "half" else 0
    for key, value in found.items():
        if not key.endswith("num_batches_tracked"):
            torch.testing.assert_close(value, source[key], rtol=within, atol=within)


@pytest.mark.parametrize("prefix", ["", "module.", "teacher.backbone."])
def test_an_encoder_within_the_network_is_no_wrapping(prefix):
    """torchvision's vision transformer keeps its blocks under "encoder."."""
    own = {"conv_proj.bias": 1, "encoder.pos_embedding": 2, "encoder.layers.0.ln_1.bias": 3}
    assert unwrap({prefix + name: value for name, value in own.items()}, set(own)) == own


@pytest.mark.parametrize(
    ("registers", "prefix"),
    [
        (True, "teacher.backbone."),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in ((False, ""), (False, "teacher.backbone."), (True, ""))
        ),
    ],
)
def test_dinov2s_own_file_loads(dino, tmp_path, registers, prefix):
    """The authors' names: a mask token; with registers, positions that include the class token's."""
    if registers:
        source = built(timm.create_model, "vit_small_patch14_reg4_dinov2", img_size=28)
        theirs = dict(source.state_dict())
        first = torch.randn(1, 1, 384)
        theirs["register_tokens"] = theirs.pop("reg_token")
        theirs["pos_embed"] = torch.cat([first, theirs["pos_embed"]], 1)
        theirs["cls_token"] = theirs["cls_token"] - first
    else:
        source, theirs = dino, dict(dino.state_dict())
    theirs["mask_token"] = torch.zeros(1, 384)
    theirs = {prefix + k: v for k, v in theirs.items()} | (
        {"teacher.dino_head.mlp.0.bias": torch.ones(3)} if prefix else {}
    )
    torch.save(theirs, tmp_path / "dino.pth")
    name = "timm:vit_small_patch14_reg4_dinov2.lvd142m" if registers else DINO
    y = bt.features(bt.guest(name, tmp_path / "dino.pth", size=28), images())
    with torch.no_grad():
        wanted = source.forward_features(by_hand(images(), 28))[:, 0]
    torch.testing.assert_close(y, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_deit3s_own_file_loads(tmp_path):
    """Its authors write the scales of a block as gamma_1 and gamma_2."""
    source = built(timm.create_model, "deit3_small_patch16_224", img_size=32)
    theirs = {re.sub(r"ls([12])\.gamma", r"gamma_\1", k): v for k, v in source.state_dict().items()}
    assert "blocks.0.gamma_1" in theirs
    torch.save({"model": theirs}, tmp_path / "deit.pth")
    body = bt.guest("timm:deit3_small_patch16_224", tmp_path / "deit.pth", size=32).body
    assert torch.equal(body.blocks[3].ls2.gamma, source.blocks[3].ls2.gamma)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet10t", 64),
        pytest.param("flexivit_small", 96, marks=pytest.mark.slow),
        pytest.param("crossvit_tiny_240", None, marks=pytest.mark.slow),
        pytest.param("swin_tiny_patch4_window7_224", None, marks=pytest.mark.slow),
    ],
)
def test_a_timm_guest_is_what_timm_loads_from_the_file(tmp_path, name, size):
    """Also where timm converts in a way of its own: FlexiViT's positions are resized bilinearly, other ViTs' bicubically."""
    torch.save(built(timm.create_model, name).state_dict(), tmp_path / "w.pth")
    g = bt.guest(f"timm:{name}", tmp_path / "w.pth", size=size)
    options = {"img_size": size} if "flexivit" in name else {}
    overlay = {"file": str(tmp_path / "w.pth")}
    theirs = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0, **options).eval()
    x = by_hand(images(2), g.size[0])
    with torch.no_grad():
        assert torch.equal(g(x), theirs(x))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layer3.0.conv1.weight": None}, ["lacks 1 of", "values (layer3.0.conv1.weight)"]),
        ({"layer1.2.conv1.weight": torch.zeros(64, 64, 3, 3)}, ["has others (layer1.2.conv1.weight)"]),
        ({"layer4.0.bn2.bias": torch.full((512,), torch.nan)}, ["not finite (layer4.0.bn2.bias)"]),
        ({"layer4.0.bn2.running_var": torch.full((512,), -1.0)}, ["variances below 0 (layer4.0.bn2.running_var)"]),
        (
            {"layer1.0.conv1.weight": torch.zeros(64, 64, 1, 1)},
            ["layer1.0.conv1.weight", "64, 64, 1, 1", "64, 64, 3, 3"],
        ),
        ({"head.mlp.weight": torch.zeros(2)}, None),  # a head of another kind is left out
    ],
)
def test_timms_weights_are_complete_or_refused(tmp_path, change, words):
    """timm itself loads what fits and says nothing."""
    state = {**built(timm.create_model, "resnet10t").state_dict(), **change}
    torch.save({k: v for k, v in state.items() if v is not None}, tmp_path / "w.pth")
    load = lambda: bt.guest("timm:resnet10t", tmp_path / "w.pth", size=32)  # noqa: E731
    if words is None:
        assert torch.equal(load().body.layer4[0].conv1.weight, state["layer4.0.conv1.weight"])
    else:
        refused(WeightsError, [*words, "'timm:resnet10t'", "architecture"], load)


def test_watching_what_is_loaded_leaves_no_hook_behind():
    with watch_loading() as loads:
        net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Sequential(torch.nn.Linear(3, 4)))
        net.load_state_dict({"0.weight": torch.zeros(3, 2), "x": torch.zeros(1)}, strict=False)
    assert loads[-1] == (["0.bias", "1.0.weight", "1.0.bias"], ["x"])
    seen = len(loads)
    net.load_state_dict({}, strict=False)
    torch.nn.Sequential(torch.nn.Linear(1, 1)).load_state_dict({}, strict=False)
    assert len(loads) == seen


# --- in the tools -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sets():
    return bt.load("shapes", limit=60, seed=0), bt.load("shapes", split="test", limit=40, seed=0)


@pytest.mark.slow
def test_a_guest_in_every_tool(sets, resnet_file):
    train, test = sets
    visitor, floor = bt.guest("resnet18", resnet_file, size=32), bt.guest("resnet18", random=True, size=32)
    table = bt.compare({VIT: visitor}, train, test)
    assert list(table.rows) == ["raw pixels", VIT]
    assert len({len(line) for line in str(table).splitlines()[:-1]}) == 1  # a long name keeps the columns
    a, b = bt.features(visitor, train), bt.features(visitor, test)
    assert table.rows[VIT] == (
        bt.knn_accuracy(a, train.labels, b, test.labels),
        bt.linear_probe(a, train.labels, b, test.labels).accuracy,
    )
    assert nearest(a[:3], a, 1).flatten().tolist() == [0, 1, 2]
    points = bt.umap_embedding(a)
    assert points.shape == (60, 2)
    assert points.isfinite().all()
    for name in ("knn", "factors"):
        result = PROTOCOLS[name](visitor, floor, train, test)
        assert 0 <= result.accuracy <= 1


@pytest.mark.slow
def test_a_guest_is_fine_tuned_as_any_encoder(sets, resnet_file):
    from byol_tutorial.evaluate.finetune import few_labels, sgd_linear

    train, test = sets
    visitor, floor = bt.guest("resnet18", resnet_file, size=32), bt.guest("resnet18", random=True, size=32)
    before = {k: v.clone() for k, v in visitor.state_dict().items()}
    few_labels(visitor, floor, train, test, fraction=0.3, rates=(0.01,), epochs=(1,))
    sgd_linear(visitor, floor, train, test, epochs=1)
    assert all(torch.equal(v, before[k]) for k, v in visitor.state_dict().items())
    assert not visitor.training


def test_random_weights_come_from_the_seed_alone():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    a, b, c = (bt.guest("resnet18", random=True, size=32, seed=s).state_dict() for s in (1, 1, 2))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not torch.equal(a["body.conv1.weight"], c["body.conv1.weight"])
    assert torch.equal(torch.get_rng_state(), state)


# --- errors -------------------------------------------------------------------------------------


class Trap:
    """Pickled, it makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def refused(kind, words, call):
    with pytest.raises(kind) as error:
        call()
    assert isinstance(error.value, UserError)
    assert [word for word in words if word not in str(error.value)] == [], str(error.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, ["'resnet18'", "weights=FILE", "download=True", "random=True"]),
        ({"weights": "x", "random": True}, ["one of weights=FILE"]),
        ({"download": True, "random": True}, ["one of weights=FILE"]),
        ({"random": True, "size": 4}, ["size=4", "from 8"]),
        ({"random": True, "size": 32.5}, ["size=32.5", "whole number"]),
        ({"random": True, "size": True}, ["size=True", "whole number"]),
    ],
)
def test_arguments_that_do_not_go_together(arguments, words):
    refused(GuestError, words, lambda: bt.guest("resnet18", **arguments))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet19", ["'resnet19'", "did you mean", "'resnet18'"]),
        ("timm:vit_small_patch14_dinov3.lvd142m", ["did you mean", "'timm:vit_small_patch14_dinov2.lvd142m'"]),
        ("vit_tiny_patch16_224", ["did you mean 'timm:vit_tiny_patch16_224'?"]),
        ("timm:resnet18.nothing", ["unknown guest", "did you mean 'timm:resnet18"]),
        ("hub:resnet18", ["'hub:resnet18'", "torchvision", "timm:NAME"]),
        ("", ["unknown guest ''", "timm:NAME"]),
        ("fcn_resnet50", ["unknown guest"]),  # no classifier of images
    ],
)
def test_unknown_names(name, words):
    refused(GuestError, words, lambda: bt.guest(name, random=True))


def test_a_size_that_the_network_cannot_take():
    refused(GuestError, ["vit_b_32", "size=40", "another size"], lambda: bt.guest("vit_b_32", random=True, size=40))


def broken(path, resnet, kind):
    """A file with one fault."""
    state = dict(resnet.state_dict())
    if kind == "missing":
        return path.parent / "gone.pth"
    if kind == "folder":
        return path.parent
    if kind == "trap":
        torch.save({"state_dict": state, "x": Trap(path.parent / "ran")}, path)
    elif kind == "bare trap":
        path.write_bytes(pickle.dumps(Trap(path.parent / "ran")))
    elif kind == "whole model":
        torch.save(resnet, path)
    elif kind in ("half", "empty"):
        torch.save(state, path)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if kind == "half" else b"")
    elif kind == "half safetensors":
        path = path.with_suffix(".safetensors")
        save_file(state, path)
        path.write_bytes(path.read_bytes()[:-1000])
    elif kind == "text":
        path.write_text("<html>404</html>")
    elif kind == "numpy":
        np.savez(path.with_suffix(".npz"), a=np.ones(3))
        path = path.with_suffix(".npz")
    elif kind == "list":
        torch.save([1, 2], path)
    elif kind == "no tensors":
        torch.save({"epoch": 3, "loss": 0.1}, path)
    else:
        state |= {
            "one less": {},
            "shape": {"layer1.0.conv1.weight": torch.zeros(64, 64, 1, 1)},
            "variance": {"layer1.0.bn1.running_var": torch.tensor([-1.0] + 63 * [1.0])},
            "nan": {"layer4.1.bn2.bias": torch.full((512,), float("nan"))},
            "deeper": {"layer1.2.conv1.weight": torch.zeros(64, 64, 3, 3)},
        }[kind.removesuffix(" in safetensors")]
        if kind == "one less":
            del state["layer3.0.conv1.weight"]
        torch.save(state, path)
    if kind == "variance in safetensors":
        path = path.with_suffix(".safetensors")
        save_file(state, path)
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", ["gone.pth", "do not exist"]),
        ("folder", ["do not exist", ".safetensors or .pth file"]),
        ("trap", ["refused", "could be code", "state_dict()"]),
        ("bare trap", ["refused", "could be code"]),
        ("whole model", ["refused", "state_dict()"]),
        ("half", ["cannot be read", "damaged"]),
        ("empty", ["cannot be read", "damaged"]),
        ("half safetensors", ["cannot be read", "damaged"]),
        ("text", ["damaged"]),
        ("numpy", [".npz", "no .safetensors or .pth file"]),
        ("list", ["no state dict", "no named tensors"]),
        ("no tensors", ["no state dict", "epoch, loss"]),
        ("one less", ["lacks 1 of 120 values (layer3.0.conv1.weight)", "architecture"]),
        ("shape", ["layer1.0.conv1.weight (64, 64, 1, 1) for (64, 64, 3, 3)"]),
        ("nan", ["not finite (layer4.1.bn2.bias)"]),
        ("variance", ["has variances below 0 (layer1.0.bn1.running_var)"]),
        ("variance in safetensors", ["w.safetensors", "has variances below 0 (layer1.0.bn1.running_var)"]),
        ("deeper", ["has others (layer1.2.conv1.weight)"]),
    ],
)
def test_a_bad_file_is_refused_and_nothing_in_it_runs(resnet, tmp_path, kind, words):
    path = broken(tmp_path / "w.pth", resnet, kind)
    refused(WeightsError, words, lambda: bt.guest("resnet18", path, size=32))
    assert not (tmp_path / "ran").exists()


def test_the_trap_would_have_worked(tmp_path):
    pickle.loads(pickle.dumps(Trap(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name",
    [
        "resnet34",
        "timm:convnext_atto",
        *(pytest.param(large, marks=pytest.mark.slow) for large in ("vit_b_32", DINO, "densenet121")),
    ],
)
def test_weights_of_another_architecture(resnet_file, name):
    refused(WeightsError, [repr(str(resnet_file)), repr(name), "architecture"], lambda: bt.guest(name, resnet_file))


def test_a_deeper_networks_weights_do_not_pass_for_a_shallower_ones(tmp_path):
    """resnet34 has everything that resnet18 has, in the same shapes."""
    torch.save(torchvision.models.resnet34().state_dict(), tmp_path / "w.pth")
    refused(WeightsError, ["has others (layer1.2.conv1.weight"], lambda: bt.guest("resnet18", tmp_path / "w.pth"))


def test_cut_anywhere_or_with_a_bit_turned_a_file_is_refused_or_read(resnet, tmp_path):
    small = {k: v for k, v in resnet.state_dict().items() if v.numel() < 200}
    path = tmp_path / "w.pth"
    torch.save(small, path)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for at in rng.integers(0, len(whole), 40):
        path.write_bytes(whole[:at] if at % 2 else whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
        with suppress(WeightsError):
            read_weights(path)


def test_our_own_files_are_shown_the_way(tmp_path):
    config = bt.Config(encoder="resnet18")
    save_encoder(tmp_path / "encoder.safetensors", build_encoder(config, 32), config, 32)
    refused(WeightsError, ["bt.load_encoder"], lambda: bt.guest("resnet18", tmp_path / "encoder.safetensors"))
    trainer = bt.Trainer(bt.Config(width=4, hidden_dim=8, projection_dim=4, batch_size=4), bt.load("shapes", limit=8))
    trainer.save(tmp_path / "checkpoint.pt")
    refused(WeightsError, ["bt.load_encoder", "evaluate"], lambda: bt.guest("resnet18", tmp_path / "checkpoint.pt"))


# --- downloads ----------------------------------------------------------------------------------


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    def unreachable(*_, **__):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    monkeypatch.setattr(torch.hub, "urlopen", unreachable)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))


@pytest.mark.parametrize("name", ["resnet18", "timm:vit_tiny_patch16_224"])
def test_without_a_network_a_download_says_so(no_network, name):
    words = [f"guest {name!r} could not be downloaded", "no network was reachable", "weights=FILE"]
    refused(GuestError, words, lambda: bt.guest(name, download=True))


def test_a_download_is_checked_as_any_file(monkeypatch, resnet):
    asked = []

    def fetch(url, **options):
        asked.append((url, options["weights_only"], options["check_hash"]))
        return resnet.state_dict()

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fetch)
    g = bt.guest("resnet18", download=True, size=48)
    assert asked == [(torchvision.models.ResNet18_Weights.DEFAULT.url, True, True)]
    wanted = penultimate(resnet, by_hand(images(), 48))
    torch.testing.assert_close(bt.features(g, images()), wanted, rtol=1e-4, atol=1e-4)


def test_nothing_is_fetched_unless_asked(monkeypatch, resnet_file):
    def fetch(*_, **__):
        raise AssertionError("asked the network")

    for module, name in ((torch.hub, "load_state_dict_from_url"), (torch.hub, "urlopen"), (urllib.request, "urlopen")):
        monkeypatch.setattr(module, name, fetch)
    monkeypatch.setattr(timm.models._builder, "load_pretrained", fetch)
    bt.guest("resnet18", resnet_file, size=32)
    bt.guest("timm:resnet10t", random=True, size=32)


def test_weights_that_nobody_publishes():
    name = next(n for n in timm.list_models() if not timm.get_pretrained_cfg(n).has_weights)
    words = ["publishes no weights", name, "weights=FILE"]
    refused(GuestError, words, lambda: bt.guest(f"timm:{name}", download=True))


@pytest.mark.parametrize("arguments", [{"random": True}, {"download": True}, {"random": True, "size": 64}])
def test_a_network_that_was_registered_without_what_it_takes_is_refused(monkeypatch, arguments):
    """Every network of timm has such a record; one that a user registers need not."""
    monkeypatch.setitem(timm.models._registry._model_entrypoints, "my_network", timm.models.resnet10t)
    words = ["'timm:my_network'", "no record of the images that it takes", "pretrained_cfg"]
    refused(GuestError, words, lambda: bt.guest("timm:my_network", **arguments))
