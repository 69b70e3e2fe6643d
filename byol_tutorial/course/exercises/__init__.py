"""Exercises that check themselves, as `bt.exercises`.

    bt.exercises.check("03-loss", my_loss)          says what is right, or which mistake it recognises
    bt.exercises.hint("03-loss")                    gives a nudge; called again, the method, then the core's code
    loss = bt.exercises.use("03-loss", my_loss)     my_loss where it passes, else the reference, so that a lesson goes on
    bt.exercises.predict("04-no-predictor", loss="lower", probe="near random")     records a guess before the run
    bt.exercises.outcome("04-no-predictor", loss="lower", probe="near random")     shows the measurement beside it
    bt.exercises.overview("03")                     lists the lesson's exercises, core and optional, easy ones first

An exercise stands in a notebook as three cells: a stub, which runs unfilled; a check; and the solution, folded away with
what it prints (tags solution and hide-cell; jupyter.source_hidden and jupyter.outputs_hidden true). JupyterLab shows the
first line of a folded cell, so a solution begins with `# Solution of ID`; it ends with `check(..., strict=True)`.

For authors: each exercise is an `Exercise` record in a file of its own, such as lesson03/loss.py; lesson03.EXERCISES is
the tuple of those of lesson 03. tests/course/test_exercises.py checks for every record that a stub is "not attempted
yet", that each declared mistake is recognised by its own name, and that the reference passes. tests/course/answers/lesson03.py holds answers as people write them, at least three
right ones and four wrong ones for each exercise.
"""

from .answers import check, use
from .catalogue import find, lessons, overview
from .hints import hint
from .predictions import outcome, predict
from .record import Exercise, Mistake, Verdict

__all__ = [
    "Exercise",
    "Mistake",
    "Verdict",
    "check",
    "find",
    "hint",
    "lessons",
    "outcome",
    "overview",
    "predict",
    "use",
]
