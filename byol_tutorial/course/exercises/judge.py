"""How an answer is judged.

A check makes an *observation* of the answer (what the function returns in each case) and compares it with the observation
of the reference. If they differ, it compares it with those of the mistakes that people usually make, and names the one
that fits. For a loss it compares the gradients too.
"""

from typing import Any

import torch

from .gradients import gradient_problem
from .observed import Observed, in_words, is_function
from .questions import guesses
from .record import Exercise, Mistake, UnusableError, Verdict
from .stubs import is_stub, unfilled
from .values import ASKS_FOR, difference, differs, kind, same, sort, tensor


def verdict_on(exercise: Exercise, answer: Any) -> Verdict:
    """Check an answer. Torch's random state on the CPU stays as it was, whatever the answer does."""
    with torch.random.fork_rng(devices=[]):
        if _untouched(exercise, answer):
            return Verdict(exercise, False, "not attempted yet.", attempted=False)
        if exercise.kind == "predict":
            return _verdict_on_guesses(exercise, answer)
        return _verdict_on(exercise, answer)


def _untouched(exercise: Exercise, answer: Any) -> bool:
    if is_function(answer):
        return is_stub(answer)
    if isinstance(answer, dict) and answer:
        return all(map(unfilled, answer.values()))
    return unfilled(answer)


def _verdict_on_guesses(exercise: Exercise, answer: Any) -> Verdict:
    if is_function(answer):
        return Verdict(exercise, False, "give the guesses themselves, not a function.", mistake="form")
    made, problem = guesses(exercise, answer)
    if problem:
        return Verdict(exercise, False, problem, mistake="form")
    left = [name for name in exercise.questions if name not in made]
    if left:
        return Verdict(exercise, False, f"not answered yet: {', '.join(left)}.", attempted=False, mistake="open")
    if exercise.accept is not None:
        problem = exercise.accept(made)
    else:
        problem = None if same(made, exercise.reference, exercise.tolerance) else _wrong_guess(exercise, made)
    if problem is None:
        return Verdict(exercise, True, exercise.praise or "right.")
    mistake = remark(exercise, made)
    if mistake is not None:
        return Verdict(exercise, False, mistake.message, mistake=mistake.name)
    return Verdict(exercise, False, problem, mistake="property" if exercise.accept is not None else None)


def remark(exercise: Exercise, made: dict[str, Any]) -> Mistake | None:
    """Return the first usual mistake that these guesses make, or None."""
    for mistake in exercise.mistakes:
        if mistake.when is not None:
            complete = len(made) == len(exercise.questions)
            fits = complete and mistake.when([made], [exercise.reference])
        else:
            fits = all(name in made and same(made[name], guess, 0.1) for name, guess in mistake.example.items())
        if fits:
            return mistake
    return None


def _wrong_guess(exercise: Exercise, made: dict[str, Any]) -> str:
    return f"not yet: {differs(made, exercise.reference, exercise.tolerance)}"


def _verdict_on(exercise: Exercise, answer: Any) -> Verdict:
    form = _wrong_form(exercise, answer)
    if form:
        return Verdict(exercise, False, form, mistake="form")
    seen, wanted = Observed(exercise, answer), Observed(exercise, exercise.reference)
    assert wanted.error is None, f"the reference of {exercise.id!r} fails: {wanted.error}"
    error = seen.error_beside(wanted)
    if error is not None:
        return Verdict(exercise, False, error, mistake=seen.fault)
    if exercise.accept is not None:
        problem = _unaccepted(exercise, seen.answer)
    elif same(seen.values, wanted.values, exercise.tolerance):
        problem = gradient_problem(exercise, answer)
        if problem:
            return Verdict(exercise, False, problem, mistake="gradient")
    else:
        problem = difference(seen.values, wanted.values, exercise.tolerance)
    if problem is None:
        return Verdict(exercise, True, exercise.praise or "right.")
    for mistake in exercise.mistakes:
        if _makes(exercise, mistake, seen, wanted):
            return Verdict(exercise, False, mistake.message, mistake=mistake.name)
    named = "property" if exercise.accept is not None else "form" if ASKS_FOR in problem else None
    return Verdict(exercise, False, problem, mistake=named)


def _unaccepted(exercise: Exercise, answer: Any) -> str | None:
    assert exercise.accept is not None
    try:
        return exercise.accept(answer)
    except UnusableError as error:
        return str(error)
    except Exception as error:  # a learner's function may fail on what `accept` gives it
        return in_words(error, answer)


def _wrong_form(exercise: Exercise, answer: Any) -> str | None:
    """Return in words why the answer is not of the form that is asked for: a function, or a value."""
    if is_function(exercise.reference):
        if is_function(answer):
            return None
        return f"give the function itself, without brackets and arguments; you gave {kind(answer)}."
    is_number = tensor(exercise.reference) is not None
    if tensor(answer) is None if is_number else not isinstance(answer, type(exercise.reference)):
        wanted = "a number" if is_number else sort(exercise.reference)
        return f"give {wanted}; you gave {kind(answer)}."
    return None


def _makes(exercise: Exercise, mistake: Mistake, seen: "Observed", wanted: "Observed") -> bool:
    if mistake.when is not None:
        try:
            return bool(mistake.when(seen.values, wanted.values))
        except Exception:  # the answer's values are of another kind than the predicate expects
            return False
    example = Observed(exercise, mistake.example)
    return example.error is None and same(seen.values, example.values, exercise.tolerance)
