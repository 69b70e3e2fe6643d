"""Exercise 04-rungs, “What a rung stands on”."""

from ..record import Exercise, Mistake
from .shared import LEARNS

RUNGS = Exercise(
    id="04-rungs",
    title="What a rung stands on",
    kind="predict",
    difficulty=2,
    minutes=3,
    core=False,
    hints=(
        "What does the next network get from its target: the target's accuracy, or the differences between its answers?",
        (
            "The best prediction is a mean of the target's answers. If these differ from picture to picture, the mean has to "
            "know the picture. If they do not, what must it know?"
        ),
        (
            "# do the answers of random weights differ between pictures? Their √d·std:\n"
            "z = bt.BYOL(config, 32).target(bt.augment.Views(config)(test.images)[0])\n"
            "print(bt.diagnose.spread(z))  # that of the collapsed one ends the first row of spheres"
        ),
    ),
    questions={"random": LEARNS, "collapsed": LEARNS},
    reference={"random": "learns", "collapsed": "learns nothing"},
    mistakes=(
        Mistake(
            "a trained target is better",
            {"random": "learns nothing", "collapsed": "learns"},
            "the other way round. The collapsed network was trained, but its answers hardly differ any more, and those of the "
            "random one do.",
        ),
        Mistake(
            "nothing comes of nothing",
            {"random": "learns nothing"},
            "random: its answers were learned from nothing, but they differ from picture to picture, and to predict them from "
            "another view one has to know the picture.",
        ),
        Mistake(
            "any target is enough",
            {"collapsed": "learns"},
            "collapsed: its answers are nearly the same for all pictures, so a constant predicts them, and nothing about the "
            "picture has to be known.",
        ),
    ),
    praise="right: a rung stands on the differences between the target's answers.",
)
