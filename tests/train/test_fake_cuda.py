"""The way of a CUDA step without a GPU: torch's fake tensors have a device, shape and dtype, and no numbers.

What mixes devices raises, and so does what asks for a number, for which a GPU would have to be waited for. Backward
passes need a real device: tests/train/test_gpu.py.
"""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

import byol_tutorial as bt
from byol_tutorial import augment as A
from byol_tutorial.config.fields import METHODS
from byol_tutorial.evaluate.diagnose import cosines, spread
from byol_tutorial.evaluate.features import features
from byol_tutorial.methods.registry import build_model
from byol_tutorial.train.optim import build_optimizer, set_hyperparameters

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="tests/train/test_gpu.py does it with real tensors")
CUDA = torch.device("cuda", 0)
N = 8
TINY = {"width": 4, "hidden_dim": 16, "projection_dim": 8, "batch_size": N}
VIT = {"encoder": "vit_nano", "patch_size": 8}
DINO = VIT | {"method": "dino", "prototypes": 12, "local_crops": 2}
VARIANTS = [{"method": method, "prototypes": 12, "local_crops": 2} for method in METHODS] + [
    {"predictor": "linear"}, {"predictor": "identity"}, {"predictor": "fixed"}, {"target": "online"}, {"target": "random"},
    {"stop_gradient": False}, {"symmetric": False}, {"negatives_weight": 1.0}, {"norm": "gn_ws"}, {"norm": "none"},
    {"loss_normalization": "layernorm"}, {"loss_normalization": "batchnorm"}, {"loss_normalization": "none"},
    {"optimizer": "sgd"}, {"optimizer": "adamw"}, {"optimizer": "lars"}, {"optimizer": "lars", "trust_clip": True},
    {"encoder": "resnet18"}, {"encoder": "timm:test_resnet"}, {"encoder": "timm:test_vit"}, VIT, DINO | {"ibot_weight": 1.0, "koleo_weight": 0.1}, DINO | {"centering": "sinkhorn"},
]  # fmt: skip


class Copies(TorchDispatchMode):
    """Counts what is copied from the host to the GPU: each copy waits for it."""

    def __init__(self):
        super().__init__()
        self.n = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        devices = [x.device.type for x in (*args, result) if isinstance(x, torch.Tensor)]
        self.n += function.overloadpacket.__name__ in ("_to_copy", "copy_") and {*devices} == {"cpu", "cuda"}
        return result


def model_on_cuda(config: bt.Config, size: int = 32):
    """Built on the CPU, then every tensor exchanged for a fake one on the GPU."""
    model = build_model(config, size).to(memory_format=torch.channels_last)
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        for module in model.modules():
            for name, p in module._parameters.items():
                if p is not None:
                    there = torch.empty_strided(p.shape, p.stride(), device=CUDA)
                    module._parameters[name] = torch.nn.Parameter(there, p.requires_grad)
            for name, b in module._buffers.items():
                module._buffers[name] = None if b is None else torch.empty(b.shape, dtype=b.dtype, device=CUDA)
    return model, fake


@pytest.mark.parametrize(
    "precision",
    [torch.bfloat16, *(pytest.param(other, marks=pytest.mark.slow) for other in (torch.float32, torch.float16))],
    ids=str,
)
@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_a_step_stays_on_the_gpu_and_asks_for_no_number(changes, precision):
    config = bt.Config(**(TINY | changes))
    model, fake = model_on_cuda(config)
    half = precision != torch.float32
    with fake, Copies() as copies:
        model.train().begin_step()
        sizes = [32, 32] + [config.local_size(32)] * (config.local_crops if config.method == "dino" else 0)
        views = [torch.empty(N, 3, size, size, device=CUDA) for size in sizes]
        masked = config.method == "dino" and config.ibot_weight > 0
        extra = {"drawn": torch.empty(N, 2, model.patches, dtype=torch.bool, device=CUDA)} if masked else {}
        torch.set_autocast_enabled("cuda", half)  # torch.autocast itself asks whether there is CUDA
        torch.set_autocast_dtype("cuda", precision if half else torch.float16)
        try:
            output = model(*views, **extra)
        finally:
            torch.set_autocast_enabled("cuda", False)
            torch.clear_autocast_cache()
        optimizer = build_optimizer(model, config)
        set_hyperparameters(optimizer, config, 0.5)
        gradients = []
        for p in (p for group in optimizer.param_groups for p in group["params"]):
            p.grad = torch.zeros_like(p)
            gradients.append(p.grad)
        norm = torch.nn.utils.get_total_norm(gradients)
        learned = [p for group in optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grads_with_norm_(learned, 1.0, norm)
        measures = torch.stack(
            (output.loss.detach().float(), spread(output.z), *cosines(output.p, output.target), norm)
        )
        optimizer.step()
        optimizer.step()  # with its state
        model.update_target(0.99)
    assert output.loss.dtype == torch.float32
    assert measures.device == CUDA
    assert all(p.device == CUDA for p in model.parameters())
    assert copies.n == 0


@pytest.mark.parametrize("form", ["torchvision", "authors"])
def test_views_are_made_on_the_gpu_without_waiting_for_it(form, monkeypatch):
    monkeypatch.setattr(A.Views, "triton", False)  # a kernel cannot run on what has no numbers
    config = bt.Config(**DINO, colour_form=form, blur_p=0.5, solarize_p=0.5)
    with FakeTensorMode(allow_non_fake_inputs=True):
        images = torch.empty(N, 3, 40, 40, dtype=torch.uint8, device=CUDA)
        for kind in (A.Views(config, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)), A.LocalCrops(config, 32)):
            for name, value in vars(kind).items():
                if isinstance(value, torch.Tensor):
                    setattr(kind, name, value.to(CUDA))  # as with a generator on the GPU
            A.constant.cache_clear()
            kind(images)
            with Copies() as copies:
                views = kind(images)
            assert copies.n == 0
            assert [v.device for v in views] == [CUDA] * kind.per_image
    A.constant.cache_clear()


def test_features_come_back_to_the_cpu():
    model, fake = model_on_cuda(bt.Config(**TINY))
    with fake:
        assert features(model.encoder, torch.zeros(40, 3, 32, 32, dtype=torch.uint8)).device.type == "cpu"
