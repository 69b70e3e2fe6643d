"""The optimisers without torch's compiler against torch's own, step by step."""

import pytest
import torch

from byol_tutorial.runtime import optimizers

WAYS = {"SGD": {"lr": 0.1, "momentum": 0.9, "nesterov": True}, "AdamW": {"lr": 0.1, "weight_decay": 0.01}, "LBFGS": {}}


def trained(optimizer, name, after=lambda optimizer: None):
    """Return weights after six steps of a least-squares problem; `after` is called with the optimiser after the third."""
    x, y = torch.randn(2, 20, 5, generator=torch.Generator().manual_seed(0))
    w = torch.zeros(5, 5, requires_grad=True)
    made = optimizer([w], **WAYS[name])

    def loss():
        made.zero_grad()
        value = (x @ w - y).square().mean()
        value.backward()
        return value

    for k in range(6):
        made.step(loss)
        if k == 2:
            after(made)
    return w.detach()


@pytest.mark.parametrize("name", WAYS)
def test_they_are_torchs_bit_for_bit_also_after_their_state_was_restored(name):
    there = trained(getattr(torch.optim, name), name)
    assert there.abs().max() > 0.01
    assert torch.equal(trained(getattr(optimizers, name), name), there)

    def restore(optimizer):
        optimizer.load_state_dict(optimizer.state_dict())

    assert torch.equal(trained(getattr(optimizers, name), name, restore), there)


@pytest.mark.parametrize("name", WAYS)
def test_torchs_own_classes_stay_as_they_are(name):
    ours, theirs = getattr(optimizers, name), getattr(torch.optim, name)
    assert issubclass(ours, theirs)
    assert ours.step is not theirs.step
    assert theirs.zero_grad is torch.optim.Optimizer.zero_grad
    assert hasattr(theirs.zero_grad, "__wrapped__")  # its guard


def test_no_gradient_flows_through_a_step():
    w = torch.ones(2, requires_grad=True)
    optimizer = optimizers.SGD([w], lr=0.1)
    (w**2).sum().backward()
    optimizer.step()
    assert w.is_leaf
    assert w.grad_fn is None
