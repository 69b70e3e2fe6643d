"""The figures of lesson 4's first half: spheres, ladder, answers. What is drawn is what was given."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib.colors import to_hex

from byol_tutorial.course.best_prediction import REACH, answers, best_predictor, conditional_variance, lines, views
from byol_tutorial.course.figures.answers import show_answers
from byol_tutorial.course.figures.ladder import Rung, show_ladder
from byol_tutorial.course.figures.maps import by_class
from byol_tutorial.course.figures.spheres import facing, show_spheres
from byol_tutorial.evaluate.diagnose import spread
from byol_tutorial.figures import GREEN

LABELS = torch.arange(40) % 10
RANDOM = F.normalize(torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(0)), dim=-1)


def test_a_sphere_is_turned_towards_the_reader_without_changing_it():
    around = F.normalize(torch.tensor([0.3, -0.8, 0.5]) + 0.2 * RANDOM[0], dim=1)
    turn = facing(around)
    assert torch.allclose(turn @ turn.T, torch.eye(3), atol=1e-5)
    assert float(torch.linalg.det(turn)) == pytest.approx(1, abs=1e-5)
    seen = around @ turn.T
    assert torch.allclose(seen.mean(0)[:2], torch.zeros(2), atol=1e-5)
    assert float(seen.mean(0)[2]) > 0.8
    x, y = seen[:, 0].std(), seen[:, 1].std()
    assert x > y
    assert float((seen[:, 0] * seen[:, 1]).mean()) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("points", [torch.tensor([[1.0, 0, 0]] * 5), torch.tensor([[1.0, 0, 0], [-1.0, 0, 0]])])
def test_a_point_and_two_opposite_points_are_turned_too(points):
    assert torch.isfinite(facing(points)).all()


def test_all_points_are_drawn_on_the_near_or_the_far_side_with_the_spread_below():
    picture = show_spheres({"one": RANDOM, "two": RANDOM.flip(0)}, ["start", "end"], by_class(LABELS), alt="two runs")
    assert len(picture.axes) == 4
    for axes, frame in zip(picture.axes, (*RANDOM, *RANDOM.flip(0)), strict=True):
        far, near = axes.collections
        assert len(far.get_offsets()) + len(near.get_offsets()) == 40
        assert far.get_alpha() < near.get_alpha()
        assert np.linalg.norm(np.concatenate((far.get_offsets(), near.get_offsets())), axis=1).max() <= 1 + 1e-6
        assert axes.texts[0].get_text() == f"{float(spread(frame)):.2f}"
    assert [axes.get_title() for axes in picture.axes] == ["start", "end", "", ""]
    assert [axes.get_ylabel() for axes in picture.axes] == ["one", "", "two", ""]
    assert picture.alt.startswith("two runs. one: spread ")
    assert f"{float(spread(RANDOM[0])):.2f}" in picture.alt
    assert len(picture.png()) > 1000


def test_the_near_side_is_what_faces_the_reader():
    point = torch.tensor([[[0.0, 1.0, 0.0]] * 9 + [[0.0, -1.0, 0.0]]])
    far, near = show_spheres({"run": point}, ["end"], by_class(LABELS[:10])).axes[0].collections
    assert (len(far.get_offsets()), len(near.get_offsets())) == (1, 9)


def a_rung(accuracy, right):
    """A rung whose pictures have a grey level of their own: 10 for query 0, 20 for query 1; 100 and more for what is found."""
    q, k = right.shape

    def level(*at):
        grey = 100 + 10 * at[0] + at[1] if len(at) > 1 else 10 * (at[0] + 1)
        return torch.full((3, 8, 8), grey, dtype=torch.uint8)

    queries = torch.stack([level(i) for i in range(q)])
    return Rung(accuracy, queries, torch.stack([torch.stack([level(i, j) for j in range(k)]) for i in range(q)]), right)


def test_rungs_stand_as_high_as_their_accuracy_and_show_what_they_find():
    right = torch.tensor([[True, False, True], [False, False, True]])
    picture = show_ladder({"random": a_rung(0.27, right), "rung 1": a_rung(0.61, ~right)}, chance=0.1)
    axes, *shown = picture.axes
    planks = [line for line in axes.lines if line.get_linewidth() == 5]
    assert [set(np.round(line.get_ydata(), 2)) for line in planks] == [{0.27}, {0.61}]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["random", "rung 1"]
    assert {"0.27", "0.61", "chance", "is predicted by"} <= {t.get_text() for t in axes.texts}
    picture.draw_without_rendering()
    for part, marks, accuracy in zip(shown, (right, ~right), (0.27, 0.61), strict=True):
        pixels = part.images[0].get_array()
        assert pixels[4, 4, 0] == 10
        assert pixels[12, 4, 0] == 20
        assert [pixels[12, x, 0] for x in (15, 23, 31)] == [110, 111, 112]
        frames = [to_hex(box.get_edgecolor()).upper() == GREEN for box in part.patches]
        assert frames == marks.flatten().tolist()
        assert part.bbox.width / part.bbox.height == pytest.approx(4 / 2, rel=0.01)
        above = axes.transData.inverted().transform((0, part.bbox.y0))[1]
        assert above == pytest.approx(accuracy + 0.02, abs=0.01)
    assert "random 0.27 with 3 of 6 found pictures right, rung 1 0.61 with 3 of 6" in picture.alt
    assert len(picture._layers("png", 60)) == 2  # photographs stay as they are on a dark page


def test_a_ladder_of_five_queries_fits_at_every_accuracy():
    right = torch.zeros(5, 4, dtype=torch.bool)
    picture = show_ladder({"a": a_rung(1.0, right), "b": a_rung(0.0, right)})
    picture.draw_without_rendering()
    axes, *shown = picture.axes
    assert all(axes.bbox.y0 <= part.bbox.y0 < part.bbox.y1 <= axes.bbox.y1 + 1 for part in shown)
    assert all(axes.bbox.x0 <= part.bbox.x0 < part.bbox.x1 <= axes.bbox.x1 for part in shown)


def test_answers_are_drawn_with_their_best_predictions():
    v, target = views(500)
    picture = show_answers(v, target, (0, 0.5, 1))
    for axes, collapse in zip(picture.axes, (0, 0.5, 1), strict=True):
        z = answers(v, lines(collapse))
        variance = conditional_variance(z, target)
        n = len(z.unique())
        assert axes.get_title() == f"{n} answer{'s' if n > 1 else ''}, variance {variance:.2f}"
        assert f"collapse {collapse:g}: answers {n}, conditional variance {variance:.2f}" in picture.alt
        dots = axes.collections[-1].get_offsets()
        assert np.allclose(dots, best_predictor(z, target)[z.unique()], atol=1e-6)
        drawn = sum(len(c.get_offsets()) for c in axes.collections[:-1])
        assert drawn == 220
        dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
        assert len(dashed) == 2 * int((lines(collapse) < REACH).sum())
    assert len(picture.png()) > 1000
