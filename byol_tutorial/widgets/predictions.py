"""Questions that a learner answers before a run, and the answers that the run gives."""

from ..evaluate.diagnose import collapse_verdict
from ..live.snapshot import Snapshot

LATE = 25  # steps; an outcome is the average over the last of them, compared with the first
KNN_MARGIN = 0.05  # a kNN accuracy that differs less from the untrained encoder's is near it

QUESTIONS = {  # name: (how the question begins, the answers that complete it)
    "loss": ("The loss", ("goes to zero", "falls, but not to zero", "does not fall")),
    "spread": ("The spread √d·std", ("stays up", "shrinks", "vanishes")),
    "knn": ("The kNN accuracy", ("rises above the untrained encoder's", "stays near it", "falls below it")),
}
SPREAD_ANSWER = {"healthy": 0, "partial collapse": 1, "collapse": 2}  # verdict: index of the right answer


def questions(method: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the questions for a method. That on the loss is for BYOL only: other losses have other least values."""
    return {name: question for name, question in QUESTIONS.items() if name != "loss" or method == "byol"}


def outcomes(s: Snapshot) -> dict[str, str]:
    """Return the answers to QUESTIONS that hold for the run so far. An answer that cannot be given yet is missing."""
    right: dict[str, int] = {}
    loss, std = s.series("loss"), s.series("std")
    if s.step >= 2 * LATE:
        first, last = sum(loss[:LATE]) / LATE, sum(loss[-LATE:]) / LATE
        right["loss"] = 0 if last < 0.1 else 1 if last < 0.9 * first else 2
        right["spread"] = SPREAD_ANSWER[collapse_verdict(sum(std[-LATE:]) / LATE)]
    if s.knn and s.start_knn is not None:
        gain = s.knn[-1][1] - s.start_knn
        right["knn"] = 0 if gain > KNN_MARGIN else 1 if gain > -KNN_MARGIN else 2
    return {name: QUESTIONS[name][1][index] for name, index in right.items()}


def answers(s: Snapshot, prediction: dict[str, str], asked: dict[str, tuple[str, tuple[str, ...]]]) -> dict[str, dict]:
    """Return the learner's answers to the questions `asked` beside those that hold for the run so far."""
    right = outcomes(s)
    return {
        name: {"guess": guess, "seen": right.get(name), "text": asked[name][0]} for name, guess in prediction.items()
    }
