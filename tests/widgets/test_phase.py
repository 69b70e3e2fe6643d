"""The phase plane in Python: its arguments, and that it works without a front end. For the dynamics see browser/."""

import pytest

from byol_tutorial.config.errors import UserError
from byol_tutorial.widgets.phase import PhasePlane, phase_plane


def test_it_works_without_a_front_end_and_keeps_its_arguments():
    panel = phase_plane(tau=0.9, eta=0, alpha=2, noise=0.5, start=(0.2, 0.4))
    assert isinstance(panel, PhasePlane)
    assert panel.values == {"tau": 0.9, "eta": 0, "alpha": 2, "noise": 0.5}
    assert panel.start == [0.2, 0.4]
    panel.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tau": 0}, "tau=0: give a number from 0.05 to 1"),
        ({"eta": -0.1}, "eta=-0.1: give a number from 0 to 0.4"),
        ({"alpha": float("nan")}, "alpha=nan: give a number from 0.1 to 10"),
        ({"noise": "much"}, "noise='much': give a number from 0 to 2"),
        ({"start": (2, 0.1)}, "p=2: give a number from -0.4 to 1.4"),
        ({"start": (0.1, -1)}, "s=-1: give a number from 0 to 10"),
        ({"start": 0.3}, "start=0.3: give two numbers, p and s"),
        ({"start": (0.1, 0.1, 0.1)}, "give two numbers, p and s"),
    ],
)
def test_bad_arguments_are_refused(arguments, words):
    with pytest.raises(UserError) as error:
        phase_plane(**arguments)
    assert words in str(error.value)
