"""The views' Triton kernel without a GPU: run by Triton's interpreter, and compiled for a GPU that is not there.

On a card: tests/train/test_gpu.py.
"""

import importlib.util
import json
import os
import subprocess
import sys

import pytest
import torch

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed: torch brings it with CUDA, on Linux"
)
CASES = [
    (32, 32, "torchvision", 3),
    (32, 24, "authors", 3),
    (20, 32, "torchvision", 3),
    (33, 16, "authors", 3),
    (32, 40, "torchvision", 3),
    (20, 16, "torchvision", 1),
    (20, 16, "torchvision", 5),
    (20, 16, "authors", 5),
    (16, 16, "authors", 12),
    (32, 40, "authors", 3),
    (24, 40, "authors", 4),
]
# The interpreter must be asked for before Triton is imported, so in a process of its own.
INTERPRETED = """
import json, sys, torch
import byol_tutorial as bt
from byol_tutorial import augment
from byol_tutorial.augment import triton_kernels
from triton.runtime import interpreter

# Each function that a kernel calls would change Triton's language for the interpreter again, which takes most of the
# time. The launch of a kernel does it for the kernel's module, and once is enough for the others. These parts of Triton
# are private: in a version that lacks one of them the interpreter is as slow as it is by itself.
changed, patch = {triton_kernels.__name__}, getattr(interpreter, "_patch_lang", None)
Interpreted, Error = (getattr(interpreter, name, None) for name in ("InterpretedFunction", "InterpreterError"))

def call(function, *args, **named):
    if function.fn.__module__ not in changed:
        changed.add(function.fn.__module__)
        patch(function.fn)
    rewritten = function.rewrite()
    try:
        return rewritten(*args, **named)
    except Exception as error:
        raise Error(repr(error)) from error

known = [*((Interpreted, name) for name in ("__call__", "rewrite")), (triton_kernels._view, "fn")]
if patch and Interpreted and Error and all(hasattr(*part) for part in known):
    Interpreted.__call__ = call
augment.Views.compiled = False  # the batched form is the reference
torch.set_num_threads(1)
found = []
for source, size, form, channels in json.loads(sys.argv[1]):
    images = bt.load("shapes", limit=8, size=source).images.repeat(1, 4, 1, 1)[:, :channels]
    images = torch.stack([images.roll(c, 0)[:, c] for c in range(channels)], 1)  # every channel is another picture
    config = bt.Config(view_size=size, colour_form=form, crop_area=(0.08, 1.0), jitter_p=0.8, hue=0.5, grayscale_p=0.3,
                       blur_p=0.5, solarize_p=0.5, vertical_flip_p=0.5, quarter_turn_p=0.75).for_channels(channels)
    mean, std = ([scale * (1 + c / 7) for c in range(channels)] for scale in (0.1, 0.2))
    views = augment.Views(config, mean, std, torch.Generator().manual_seed(0))
    drawn = views.draw(len(images), source, source)
    drawn.top[0], drawn.left[0], drawn.height[0], drawn.width[0] = 0, 0, 1.5, 1.5  # a crop of hardly a pixel
    expected = torch.cat(views.carry_out(images, drawn))
    args = drawn, size, form, views.mean, views.std
    ours, half = triton_kernels.views(images, *args), triton_kernels.views(images, *args, torch.bfloat16)
    as_float = triton_kernels.views(images.float() / 255, *args)
    deep = triton_kernels.views((images.int() * 257).to(torch.uint16), *args)
    found.append({
        "float32": (ours - expected).abs().max().item(), "float images": (as_float - expected).abs().max().item(), "uint16": (deep - expected).abs().max().item(),
        "bfloat16": ((half.float() - ours).abs() / ours.abs().clamp(min=1e-6)).max().item(), "shape": list(ours.shape),
        "channels last": ours.is_contiguous(memory_format=torch.channels_last),
    })
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def interpreted() -> list[dict]:
    env = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", INTERPRETED, json.dumps(CASES)]
    end = subprocess.run(command, env=env, capture_output=True, text=True)
    assert end.returncode == 0, end.stderr[-3000:]
    return json.loads(end.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("case", range(len(CASES)), ids=[str(c) for c in CASES])
def test_the_kernel_makes_the_views_that_the_batched_form_makes(interpreted, case):
    found, (_, size, _, channels) = interpreted[case], CASES[case]
    assert found["float32"] < 1e-5
    assert found["float images"] < 1e-5
    assert found["uint16"] < 1e-5
    assert found["bfloat16"] < 2**-7  # rounded once, at the end; the interpreter cuts off instead, so not 2**-8
    assert found["channels last"]
    assert found["shape"] == [16, channels, size, size]


COMPILED = [(32, False, 3), (32, True, 3), (64, False, 3), (64, False, 5), (32, False, 12)]


@pytest.mark.parametrize(
    ("size", "authors", "channels"),
    [(32, True, 1), *(pytest.param(*case, marks=pytest.mark.slow) for case in COMPILED)],
)
def test_the_kernel_compiles_for_a_gpu(size, authors, channels, tmp_path, monkeypatch):
    """For Hopper, by Triton's own compiler, which needs no card for it."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from byol_tutorial.augment import triton_kernels

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel = triton_kernels._view if channels == 3 else triton_kernels._view_by_channel
    names = kernel.arg_names
    types = {
        "images": "*u8" if channels == 3 else "*u16", "out": "*bf16", "place": "*fp32", "flags": "*u8", "factors": "*fp32", "order": "*i64",
        "statistics": "*fp32", "n": "i32",
    }  # fmt: skip
    power = triton_kernels._power(size)
    constants = {"UNIT": 1 / 255, "AUTHORS": authors, "H": size, "W": size, "S": size, "RADIUS": size // 20,
                 "HP": power, "WP": power, "P": power} | ({} if channels == 3 else {"C": channels})  # fmt: skip
    source = ASTSource(
        kernel,
        {name: types.get(name, "constexpr") for name in names},
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={},
    )
    options = {"num_warps": triton_kernels.WARPS[power], "enable_fp_fusion": True}
    try:
        kernel = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    except FileNotFoundError as error:  # a Triton built without NVIDIA's assembler
        pytest.skip(str(error))
    assert kernel.asm["cubin"]
    assert kernel.metadata.shared <= 100_000  # bytes; an A100 has 164 KB a multiprocessor, smaller cards 100


@pytest.mark.parametrize(
    ("images", "size", "words"),
    [
        (torch.zeros(4, 3, 32, 32, dtype=torch.uint8), 32, "cpu"),
        (torch.zeros(4, 0, 32, 32, dtype=torch.uint8), 32, r"\(4, 0, 32, 32\)"),
        (torch.zeros(4, 3, 32, 32, dtype=torch.uint8), 65, "views of 65 px"),
        (torch.zeros(3, 3, 32, 32, dtype=torch.uint8), 32, "8 draws"),
        (torch.zeros(4, 3, 32, 32, dtype=torch.float64), 32, "float64"),
    ],
)
def test_images_that_the_kernel_cannot_read_are_refused(images, size, words):
    import byol_tutorial as bt
    from byol_tutorial.augment import triton_kernels

    drawn = bt.augment.Views(bt.Config()).draw(4, 32, 32)
    with pytest.raises(ValueError, match=words):
        triton_kernels.views(images, drawn, size, "torchvision", (0.5,) * 3, (0.25,) * 3)
