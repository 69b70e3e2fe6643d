"""A moment of a run: a copy of its state in memory, on the run's device, to which the run can go back."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..config.config import Config
from .history import History

if TYPE_CHECKING:
    from .trainer import Trainer

PER_STEP = ("loss", "std", "lr", "tau", "gradient_norm", "positive", "negative")  # lists of History, one entry a step


@dataclass(frozen=True)
class Moment:
    """The state of a run after `step` steps and so many entries of history.changes. Its tensors are copies.

    Random numbers of a step follow from (seed, step) and need not be kept; see Trainer.
    """

    step: int
    changes: int
    config: Config
    model: dict[str, Any]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]

    @property
    def bytes(self) -> int:
        """The memory that its tensors take."""
        return sum(t.numel() * t.element_size() for t in _tensors([self.model, self.optimizer]))


def bytes_of(trainer: "Trainer") -> int:
    """Return the memory that a moment of this run takes now, without making one."""
    return sum(
        t.numel() * t.element_size() for t in _tensors([trainer.model.state_dict(), trainer.optimizer.state_dict()])
    )


def moment_of(trainer: "Trainer") -> Moment:
    """Copy the state of the run as it is now. Nothing waits for the device."""
    return Moment(
        trainer.steps_done,
        len(trainer.history.changes),
        trainer.config,
        _copy(dict(trainer.model.state_dict())),
        _copy(trainer.optimizer.state_dict()),
        _copy(trainer.computation.scaler.state_dict()),
    )


def put_back(trainer: "Trainer", moment: Moment, history: History | None) -> None:
    """Put weights, optimiser and history of the run into the state of this moment; see Trainer.go_back."""
    trainer.feed.close()
    trainer.computation.passed = None
    trainer.model.load_state_dict(moment.model)
    trainer.optimizer.load_state_dict(_copy(moment.optimizer))  # it may keep the tensors that it is given
    trainer.computation.scaler.load_state_dict(moment.scaler)
    trainer.history = history or history_until(trainer.history, moment)
    trainer.steps_done = moment.step


def history_until(history: History, moment: Moment) -> History:
    """Return a copy of the history as it was at this moment of the same run."""
    cut = {name: getattr(history, name)[: moment.step] for name in PER_STEP}
    knn, balanced = (
        [check for check in checks if check[0] <= moment.step] for checks in (history.knn, history.knn_balanced)
    )
    threads = [(step, number) for step, number in history.threads if step < max(moment.step, 1)]
    return History(
        **cut,
        knn=knn,
        knn_balanced=balanced,
        changes=history.changes[: moment.changes],
        threads=threads,
        seconds=history.seconds,
    )


def _copy(value: Any) -> Any:
    """Copy nested dicts and lists, and the tensors in them: in a state there are only numbers and texts besides."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested dicts and lists."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
