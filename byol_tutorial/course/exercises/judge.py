"""How an answer is judged.

A check makes an *observation* of the answer (what the function returns in each case) and compares it with the observation
of the reference. If they differ, it compares it with those of the mistakes that people usually make, and names the one
that fits. For a loss it compares the gradients too.
"""

import copy
import traceback
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .questions import guesses
from .record import Exercise, Mistake, UnusableError, Verdict
from .stubs import is_stub, last_name, misfit, unfilled
from .values import ASKS_FOR, difference, differs, kind, plain, same, tensor


def verdict_on(exercise: Exercise, answer: Any) -> Verdict:
    """Check an answer. Torch's random state stays as it was, whatever the answer does."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if _untouched(exercise, answer):
            return Verdict(exercise, False, "not attempted yet.", attempted=False)
        if exercise.kind == "predict":
            return _verdict_on_guesses(exercise, answer)
        return _verdict_on(exercise, answer)


def _untouched(exercise: Exercise, answer: Any) -> bool:
    if _is_function(answer):
        return is_stub(answer)
    if isinstance(answer, dict) and answer:
        return all(map(unfilled, answer.values()))
    return unfilled(answer)


def _is_function(answer: Any) -> bool:
    return callable(answer) and not isinstance(answer, type)


def _verdict_on_guesses(exercise: Exercise, answer: Any) -> Verdict:
    if _is_function(answer):
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
    if seen.unreadable and wanted.given:  # what the function returned could not be observed
        seen.error = f"your function returns {kind(seen.given[0])}; the exercise asks for {kind(wanted.given[0])}."
    if seen.error is not None:
        return Verdict(exercise, False, seen.error, mistake=seen.fault)
    if exercise.accept is not None:
        problem = exercise.accept(seen.answer)
    elif same(seen.values, wanted.values, exercise.tolerance):
        problem = _gradient_problem(exercise, answer)
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


def _wrong_form(exercise: Exercise, answer: Any) -> str | None:
    """Return in words why the answer is not of the form that is asked for: a function, or a value."""
    if _is_function(exercise.reference):
        if _is_function(answer):
            return None
        return f"give the function itself, without brackets and arguments; you gave {kind(answer)}."
    is_number = tensor(exercise.reference) is not None
    if tensor(answer) is None if is_number else not isinstance(answer, type(exercise.reference)):
        wanted = "a number" if is_number else kind(exercise.reference)
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


class Observed:
    """The observations of an answer, or its error in words.

    answer      the answer; a function is wrapped so that NumPy's arrays and numbers come out as torch's and Python's
    values      the observation of each case
    given       what the function returned, call by call
    error       what went wrong, in words, or None; `fault` names its kind
    unreadable  the function returned something that cannot be observed
    """

    def __init__(self, exercise: Exercise, answer: Any) -> None:
        torch.manual_seed(0)  # the answer and the reference draw the same numbers
        self.values: list = []
        self.given: list = []
        self.error: str | None = None
        self.fault: str | None = None
        self.unreadable = False
        self._own_errors: list[Exception] = []
        self.answer = self._recorded(answer) if _is_function(answer) else plain(answer)
        try:
            self.values = [copy.deepcopy(plain(_observe(exercise, self.answer, case))) for case in exercise.cases()]
        except UnusableError as error:
            self.error, self.fault = str(error), "form"
        except Exception as error:  # a learner's code may raise anything; the message shows it
            self.error, self.fault = _in_words(error, answer), "error"
            self.unreadable = bool(self.given) and not self._own_errors
        nothing = None if self._own_errors else self._returns_nothing(exercise, answer)
        if nothing:
            self.error, self.fault, self.unreadable = nothing, "no return", False

    def _recorded(self, answer: Callable) -> Callable:
        def recorded(*args: Any, **kwargs: Any) -> Any:
            refused = None if kwargs else misfit(answer, args)
            if refused:
                raise UnusableError(refused)
            try:
                value = answer(*args, **kwargs)
            except Exception as error:
                self._own_errors.append(error)
                raise
            self.given.append(value)
            return value if isinstance(value, Tensor) else _numbers(value)

        return recorded

    def _returns_nothing(self, exercise: Exercise, answer: Any) -> str | None:
        open_values = [v for v in self.given if unfilled(v)]
        if exercise.in_place:
            open_values = [v for v in open_values if v is not None]
        if open_values and open_values[0] is None:
            name = last_name(answer)
            end = f", perhaps `return {name}`" if name else ""
            if len(open_values) < len(self.given):
                return f"your function does not always return something: one of its ways ends without a `return`{end}."
            return f"your function computes, but returns nothing: its last line must be a `return`{end}."
        parts = [part for v in self.given if isinstance(v, (list, tuple)) for part in v if unfilled(part)]
        if open_values or (parts and not exercise.in_place):
            return f"a part of what your function returns is still `{(open_values or parts)[0]!r}`."
        return None


def _observe(exercise: Exercise, answer: Any, case: tuple) -> Any:
    if exercise.observe is not None:
        return exercise.observe(answer, *case)
    return answer(*case) if _is_function(answer) else answer


def _numbers(value: Any) -> Any:
    """Convert NumPy's arrays and numbers, also within lists and tuples; leave tensors with their gradients."""
    if type(value) in (list, tuple):
        return type(value)(v if isinstance(v, Tensor) else _numbers(v) for v in value)
    return plain(value) if type(value).__module__ == "numpy" else value


def _in_words(error: Exception, answer: Any) -> str:
    """Describe an error, with the line of the learner's own code that failed where there is one."""
    code = getattr(answer, "__code__", None)
    lines = [f for f in traceback.extract_tb(error.__traceback__) if code and f.filename == code.co_filename]
    where = f" in line {lines[-1].lineno}: {lines[-1].line}" if lines and lines[-1].line else ""
    return f"it fails{where}\n{type(error).__name__}: {error}"


# --- gradients ----------------------------------------------------------------------------------


def _gradient_problem(exercise: Exercise, answer: Callable) -> str | None:
    """Return in words how the gradient of a loss differs from the reference's, or None.

    A value that is right can still train nothing: float(), .item(), .detach(), torch.no_grad() and NumPy cut the gradient.
    """
    for mine, right in zip(exercise.cases() if exercise.trains else [], exercise.cases(), strict=False):
        wanted = _gradients(exercise, exercise.reference, right)
        try:
            found = _gradients(exercise, answer, mine)
        except Exception as error:  # NumPy refuses tensors that need a gradient
            return f"the value is right, but not with tensors that need a gradient. {type(error).__name__}: {error}"
        for name, right_ones in wanted.items():
            gradients = found[name]
            if gradients is None or not any(map(torch.any, gradients)):
                return (
                    f"the value is right, but no gradient reaches {name}, so this loss trains nothing: float(), .item(), "
                    ".detach(), torch.no_grad(), NumPy and a new torch.tensor(...) cut the gradient. Use torch's operations "
                    "from end to end."
                )
            if not same(gradients, right_ones, max(exercise.tolerance, 1e-3)):
                return (
                    f"the value is right, but its gradient with respect to {name} is not: a part of the computation is "
                    "detached, or under torch.no_grad()."
                )
    return None


def _gradients(exercise: Exercise, loss: Callable, case: tuple) -> dict[str, list[Tensor] | None]:
    """Return name -> the gradients of one number with respect to that argument, a tensor or a list of tensors."""
    arguments, leaves = list(case), {}
    for name, position in exercise.trains.items():
        given = arguments[position]
        tensors = [given] if isinstance(given, Tensor) else list(given)
        leaves[name] = [t.detach().clone().requires_grad_() for t in tensors]
        made = [exercise.as_trained(leaf) for leaf in leaves[name]]  # a clone may be changed in place, a leaf may not
        arguments[position] = made[0] if isinstance(given, Tensor) else made
    value = loss(*arguments)
    if not isinstance(value, Tensor) or not value.requires_grad:
        return dict.fromkeys(leaves)
    flat = [leaf for group in leaves.values() for leaf in group]
    found = iter(torch.autograd.grad(value.sum(), flat, allow_unused=True))
    filled = {name: [(next(found), leaf) for leaf in group] for name, group in leaves.items()}
    return {n: [torch.zeros_like(leaf) if g is None else g for g, leaf in pairs] for n, pairs in filled.items()}
