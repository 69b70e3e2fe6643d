"""How many operations a step starts. A GPU needs some microseconds for each, so their number is what a small step costs.

Counted on a CPU, where views are one call of compiled code; on CUDA they are one kernel and the drawing of its numbers.
"""

from collections import Counter

import pytest
from torch.utils._python_dispatch import TorchDispatchMode

import byol_tutorial as bt

# what looks at the same memory in another way, or only takes memory, starts nothing
FREE = frozenset(
    [
        "view",
        "_unsafe_view",
        "reshape",
        "permute",
        "transpose",
        "t",
        "expand",
        "slice",
        "select",
        "unsqueeze",
        "squeeze",
        "detach",
        "alias",
        "as_strided",
        "unbind",
        "split",
        "split_with_sizes",
        "unfold",
        "empty",
        "empty_like",
        "empty_strided",
        "new_empty",
        "new_empty_strided",
        "_reshape_alias",
        "lift_fresh",
        "is_same_size",
        "_local_scalar_dense",
        "diagonal",
    ]
)


class Operations(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.count = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        self.count[name] += name not in FREE
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("changes", "most"),
    [  # measured with torch 2.15, and a twentieth for other versions
        ({}, 350),  # 334
        ({"encoder": "resnet18"}, 800),  # 764
        ({"encoder": "resnet18", "precision": "bfloat16"}, 920),  # 875
    ],
    ids=str,
)
def test_a_step_keeps_to_its_budget_of_operations(changes, most):
    config = bt.Config(batch_size=8, epochs=100, knn_every=0, **changes)
    trainer = bt.Trainer(config, bt.load("shapes", limit=64), device="cpu")
    trainer.step()  # the optimiser makes its buffers
    with Operations() as operations:
        trainer.step()
    assert operations.count.total() <= most, operations.count.most_common(12)
    assert operations.count["convolution_backward"] > 0  # the backward pass is counted too
