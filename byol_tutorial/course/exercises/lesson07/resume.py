"""Exercise 07-resume, “A resumed run that differs”."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from ....methods.byol import byol_loss, tau_at
from ..record import Exercise, Mistake, UnusableError
from ..values import ASKS_FOR, kind


class TinyRun:
    """A run that is small enough to follow: linear networks, SGD with momentum, six steps in all."""

    TOTAL = 6

    def __init__(self, seed: int = 0) -> None:
        g = torch.Generator().manual_seed(seed)
        self.online, self.predictor, self.target = (nn.Linear(4, 3), nn.Linear(3, 3), nn.Linear(4, 3))
        with torch.no_grad():
            for p in (*self.online.parameters(), *self.predictor.parameters(), *self.target.parameters()):
                p.copy_(torch.randn(p.shape, generator=g))
        self.target.requires_grad_(False)
        learned = [*self.online.parameters(), *self.predictor.parameters()]
        self.optimizer = torch.optim.SGD(learned, lr=0.1, momentum=0.9)
        self.steps_done = 0

    def step(self) -> None:
        g = torch.Generator().manual_seed(self.steps_done)  # the step decides batches and views too
        v1, v2 = torch.randn(2, 8, 4, generator=g)
        loss = byol_loss(self.predictor(self.online(v1)), self.target(v2))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        tau = tau_at(self.steps_done, self.TOTAL, 0.5)
        with torch.no_grad():
            for xi, theta in zip(self.target.parameters(), self.online.parameters(), strict=True):
                xi.lerp_(theta, 1 - tau)
        self.steps_done += 1


def _resumed(my_state: Callable) -> dict[str, Any]:
    run = TinyRun()
    for _ in range(3):
        run.step()
    state = my_state(run)
    if not isinstance(state, dict):
        raise UnusableError(f"your function returns {kind(state)}{ASKS_FOR}a dict with the names of attributes of run.")
    for _ in range(3):
        run.step()
    again = TinyRun(seed=1)
    _restore(again, state)
    for _ in range(3):
        again.step()
    flat = lambda network: torch.cat([p.flatten() for p in network.parameters()])  # noqa: E731
    return {
        "what is kept": sorted(state),
        "steps done": again.steps_done,
        "online network": flat(again.online),
        "target network": flat(again.target),
    }


def _restore(run: "TinyRun", state: dict[str, Any]) -> None:
    names = (*PARTS, "steps_done")
    for name, value in state.items():
        if name not in names:
            raise UnusableError(f"{name!r} is not the name of an attribute to keep: they are {', '.join(names)}.")
        if name == "steps_done":
            run.steps_done = int(value)
            continue
        if isinstance(value, (nn.Module, torch.optim.Optimizer)):
            raise UnusableError(
                f"“{name}” holds the object itself, which goes on changing: keep a copy of its state_dict()."
            )
        try:
            getattr(run, name).load_state_dict(value)
        except Exception as error:
            raise UnusableError(
                f"“{name}” cannot be restored from {kind(value)}: {str(error).splitlines()[0]}"
            ) from error


PARTS = ("online", "predictor", "target", "optimizer")


def _state(run: TinyRun, parts: Iterable[str] = PARTS, step: bool = True, copied: bool = True) -> dict:
    state = {name: getattr(run, name).state_dict() for name in parts}
    state |= {"steps_done": run.steps_done} if step else {}
    return copy.deepcopy(state) if copied else state


RESUME = Exercise(
    id="07-resume",
    title="A resumed run that differs",
    kind="find the bug",
    difficulty=2,
    minutes=10,
    hints=(
        "What does a step read that the step before has written? Go through TinyRun.step line by line.",
        (
            "It reads three networks, the optimiser's momentum and steps_done. And state_dict() gives the tensors "
            "themselves, into which training goes on writing."
        ),
        (
            'copy.deepcopy({"online": run.online.state_dict(), "optimizer": run.optimizer.state_dict()})\n'
            "# two networks and the number of steps are still missing"
        ),
    ),
    observe=_resumed,
    reference=_state,
    mistakes=(
        Mistake(
            "unchanged",
            lambda run: _state(run, ("online", "predictor"), copied=False),
            "this is the code as it was given: the resumed run ends elsewhere than the uninterrupted one. What does a step read that "
            "is not kept? And does what is kept stay as it was?",
        ),
        Mistake(
            "two parts missing",
            lambda run: _state(run, ("online", "predictor")),
            "what you keep stays as it was now. But a step reads more than online network, predictor and step.",
        ),
        Mistake(
            "without momentum",
            lambda run: _state(run, ("online", "predictor", "target")),
            "networks and step are right, and yet the weights drift away: SGD remembers past gradients. Where?",
        ),
        Mistake(
            "without the target",
            lambda run: _state(run, ("online", "predictor", "optimizer")),
            "the target is missing. It is not the online network, but an average of what that network was.",
        ),
        Mistake(
            "without the predictor",
            lambda run: _state(run, ("online", "target", "optimizer")),
            "the predictor is missing: the new run has one with other weights.",
        ),
        Mistake(
            "without the online network",
            lambda run: _state(run, ("predictor", "target", "optimizer")),
            "the online network is missing: it is what the run is for.",
        ),
        Mistake(
            "only the target besides",
            lambda run: _state(run, ("online", "target")),
            "predictor and optimiser are missing: both have changed in every step.",
        ),
        Mistake(
            "nothing is kept",
            lambda run: {},
            "nothing is kept, so the new run begins from other weights at step 0.",
        ),
        Mistake(
            "without the step",
            lambda run: _state(run, step=False),
            "everything is there but the step: schedules, also that of τ, start again, and the first batches are repeated.",
        ),
        Mistake(
            "not copied",
            lambda run: _state(run, copied=False),
            "all is there, but state_dict() gives the tensors themselves, and training writes into them: what you kept has "
            "changed with the run. Copy them (torch.save does).",
        ),
    ),
    praise="right. In the library the random state is there as well, though batches and views are decided by seed and step.",
)
