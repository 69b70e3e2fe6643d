"""Exercise 02-other-question, “Views for another question”."""

from ....augment.shared_cues import shares
from ....config.config import Config
from ....config.presets import preset
from ....data.loading import load
from ..record import Exercise, Mistake


def _hue_not_shape(config: Config) -> str | None:
    found = shares(load("shapes", limit=256), config)
    hue, shape = found["hue"].same, found["shape"].same
    if hue < 0.9:
        return f"two views share {hue:.2f} of the hue: at least 0.9 is asked for"
    if shape > 0.5:
        return f"two views share {shape:.2f} of the shape: at most 0.5 is asked for"
    return None


COLOUR_CLASS = Exercise(
    id="02-other-question",
    title="Views for another question",
    kind="extend",
    difficulty=2,
    minutes=10,
    core=False,
    hints=(
        'Which operations change the hue? Which hide the shape? Start from bt.preset("shapes", ...).',
        (
            "Leave alone what must be kept: jitter_p=0, grayscale_p=0. And destroy the shape: what does a small "
            "crop show of it?"
        ),
        (
            'bt.preset("shapes", jitter_p=0.0, grayscale_p=0.0, crop_area=(low, high))\n'
            "# low and high: which share of the picture does a view show? 1.0 is all of it"
        ),
    ),
    reference=preset("shapes", jitter_p=0.0, grayscale_p=0.0, crop_area=(0.05, 0.2)),
    accept=_hue_not_shape,
    mistakes=(
        Mistake(
            "colours still change",
            preset("shapes", crop_area=(0.05, 0.2)),
            "the colours still change, so the hue is not shared. It is the class now: leave it alone in both views.",
            when=lambda seen, wanted: max(seen[0].jitter_p) > 0 and max(seen[0].hue) > 0,
        ),
        Mistake(
            "grey views",
            preset("shapes", jitter_p=0.0, grayscale_p=1.0, crop_area=(0.05, 0.2)),
            "some views are grey: they show no hue. Which field makes them grey?",
            when=lambda seen, wanted: max(seen[0].grayscale_p) > 0,
        ),
        Mistake(
            "the shape is still there",
            preset("shapes", jitter_p=0.0, grayscale_p=0.0),
            "the hue is shared now, but so is the shape. Which operation hides the shape, and how strong must it be?",
            when=lambda seen, wanted: seen[0].crop_area[1] > 0.4,
        ),
    ),
    praise="right: T and T′ are where you say what counts. Nothing in BYOL itself says that it is the shape.",
)
