"""Maps as lessons show them: what they are given is drawn, in a shared unit where asked for."""

import math

import numpy as np
import pytest
import torch

from byol_tutorial.course.figures import maps
from byol_tutorial.data.shapes import tint

LABELS = torch.tensor([0, 0, 0, 1, 1, 1])
POINTS = torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0], [10.0, 1.0], [10.0, 2.0], [10.0, 3.0]])


def test_points_are_drawn_in_the_colours_of_their_classes_and_titles_and_headings_stand_there():
    picture = maps.show_maps(
        [{"a": POINTS, "b": -POINTS}], [maps.by_class(LABELS)], ["x", "y"], ["row"], alt="what is seen"
    )
    first, second = picture.axes
    assert (first.get_title(), second.get_title(), first.get_ylabel()) == ("a", "b", "row")
    assert np.allclose(first.collections[0].get_offsets(), POINTS)
    assert np.allclose(second.collections[0].get_offsets(), -POINTS)
    colours = first.collections[0].get_facecolors()
    assert len({tuple(c) for c in colours[:3]}) == len({tuple(c) for c in colours[3:]}) == 1
    assert tuple(colours[0]) != tuple(colours[3])
    assert [t.get_text() for t in picture.legends[0].get_texts()] == ["x", "y"]
    assert picture.alt == "what is seen"
    assert len(picture.png()) > 1000


@pytest.mark.parametrize("shared", [True, False])
def test_a_row_shares_its_unit_where_it_is_asked_to(shared):
    picture = maps.show_maps([{"large": POINTS, "small": POINTS / 100}], [maps.by_class(LABELS)], same_unit=[shared])
    large, small = (float(np.diff(axes.get_xlim())[0]) for axes in picture.axes)
    assert large == pytest.approx(small if shared else 100 * small, rel=1e-4)
    for axes in picture.axes:  # all points are inside
        (left, right), x = axes.get_xlim(), axes.collections[0].get_offsets()[:, 0]
        assert left < x.min()
        assert x.max() < right


def test_each_row_has_colours_of_its_own_and_empty_panels_are_hidden():
    hue = torch.linspace(0, 0.9, 6)
    picture = maps.show_maps([{"a": POINTS, "b": POINTS}, {"c": POINTS}], [maps.by_class(LABELS), maps.by_hue(hue)])
    assert np.allclose(
        picture.axes[2].collections[0].get_facecolors()[:, :3], tint(hue, luma=0.5).clamp(0, 1), atol=1e-6
    )
    assert [axes.get_visible() for axes in picture.axes] == [True, True, True, False]


def test_centres_and_radii_of_classes():
    assert torch.equal(maps.class_centres(POINTS, LABELS), torch.tensor([[2.0, 0.0], [10.0, 2.0]]))
    assert maps.class_radius(POINTS, LABELS, 0) == 2.0
    assert math.isclose(maps.class_radius(POINTS / 10, LABELS, 1), 0.1, rel_tol=1e-6)
