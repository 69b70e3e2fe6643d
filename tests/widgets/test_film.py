"""The film's buffers hold the recording's numbers, and its pictures are where the browser looks for them."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.distance import pdist

from byol_tutorial.config.errors import UserError
from byol_tutorial.data import shapes
from byol_tutorial.live.recording import Recording
from byol_tutorial.widgets.atlas import make_atlas
from byol_tutorial.widgets.film import FULL, film, lie_down
from byol_tutorial.widgets.static import static_html


def recording(n=7, frames=3, labels=True, factors=True, kind="pca") -> Recording:
    g = torch.Generator().manual_seed(0)
    flat = lambda *shape: torch.randint(0, 256, (*shape, 1, 1), generator=g, dtype=torch.uint8)  # noqa: E731
    return Recording(
        "seven", kind, "y", torch.arange(frames).float(), torch.randn(frames, n, 2, generator=g),
        torch.randint(0, n, (frames, n, 5), generator=g).short(), torch.rand(frames, generator=g),
        torch.rand(frames, generator=g) if labels else torch.full((frames,), float("nan")),
        flat(n, 3).expand(n, 3, 16, 16), flat(n, 2, 3).expand(n, 2, 3, 16, 16),
        torch.arange(n) % 2 if labels else None, ("a", "b") if labels else (),
        {"shape": torch.zeros(n), "hue": torch.rand(n, generator=g)} if factors else {},
    )  # fmt: skip


def test_one_buffer_holds_maps_neighbours_labels_and_factors():
    r = recording()
    panel = film(r)
    numbers = np.frombuffer(panel.data, "<i2")
    maps, near, labels, hue = np.split(numbers, np.cumsum([3 * 7 * 2, 3 * 7 * 5, 7]))
    maps = maps.reshape(3, 7, 2).astype(float)
    assert np.abs(maps).max() == FULL
    theirs, ours = pdist(r.maps.reshape(-1, 2)), pdist(maps.reshape(-1, 2))  # however the film turns them
    np.testing.assert_allclose(ours / ours.max(), theirs / theirs.max(), atol=1e-4)
    assert (near.reshape(3, 7, 5) == r.neighbours.numpy()).all()
    assert labels.tolist() == [0, 1, 0, 1, 0, 1, 0]
    low, high = panel.about["factors"]["hue"]
    assert low + hue / FULL * (high - low) == pytest.approx(r.factors["hue"].numpy(), abs=1e-4)
    assert list(panel.about["factors"]) == ["hue"]  # the shape is the class
    panel.close()


def test_a_map_that_shrinks_is_seen_to_shrink():
    r = recording()
    shrunk = torch.stack((r.maps[0], 0.01 * r.maps[0], torch.zeros(7, 2)))
    panel = film(Recording(**{**vars(r), "maps": shrunk}))
    maps = np.frombuffer(panel.data, "<i2")[: 3 * 7 * 2].reshape(3, 7, 2).astype(float)
    spread = maps.std(axis=1).mean(axis=1)
    assert spread[1] == pytest.approx(0.01 * spread[0], rel=0.05)
    assert spread[2] == 0
    panel.close()


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_every_picture_lies_where_the_browser_looks_for_it(n):
    r = recording(n)
    data, columns = make_atlas(torch.cat((r.images[:, None], r.views), 1))
    atlas = np.array(Image.open(io.BytesIO(data))).astype(int)
    for m in range(n):
        for which, picture in enumerate((r.images[m], r.views[m, 0], r.views[m, 1])):
            x, y = ((m % columns) * 3 + which) * 16, m // columns * 16
            centre = atlas[y + 5 : y + 11, x + 5 : x + 11].mean((0, 1))  # away from neighbours that WebP mixes in
            assert centre == pytest.approx(picture[:, 0, 0].numpy(), abs=12)


def test_without_labels_and_factors():
    panel = film(recording(labels=False, factors=False))
    assert panel.about["classes"] == []
    assert panel.about["knn"] is None
    assert panel.about["factors"] == {}
    assert np.frombuffer(panel.data, "<i2")[-7:].tolist() == [-1] * 7
    panel.close()


def test_it_goes_into_a_page_as_it_is():
    panel = film(recording())
    page = static_html(panel)
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert page == static_html(panel)
    panel.close()


def test_something_else_than_a_recording_is_refused():
    with pytest.raises(UserError, match="recording=list"):
        film([1, 2])


def test_a_hue_has_its_own_colour():
    """The colour of each bin has the direction of colour (chroma) of a picture drawn with that hue."""
    circle = film(recording()).about["circles"]["hue"]
    n = len(circle)
    hue = (torch.arange(n) + 0.5) / n
    same = torch.zeros(n)
    factors = shapes.Factors(same.long(), hue, same, same, same + 0.7, same)
    pictures = shapes.draw(factors).float()
    line = pictures.flatten(2).gather(2, pictures.sum(1).flatten(1).argmax(1)[:, None, None].expand(n, 3, 1))[..., 0]
    ours = torch.tensor([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in circle]).float()
    luma = torch.tensor([0.2989, 0.5870, 0.1140])
    for colours in (line, ours):
        colours -= (colours @ luma)[:, None]
    assert torch.cosine_similarity(line, ours).min() > 0.995


def test_all_frames_are_rotated_together_to_be_wider_than_tall():
    """Distances within and between frames keep their ratios, and the widest direction is across."""
    g = torch.Generator().manual_seed(1)
    tall = torch.randn(4, 30, 2, generator=g) * torch.tensor([0.2, 3.0]) + torch.tensor([5.0, -40.0])
    flat = lie_down(tall.numpy())
    before, after = pdist(tall.reshape(-1, 2)), pdist(flat.reshape(-1, 2))
    np.testing.assert_allclose(after / after.max(), before / before.max(), atol=1e-6)
    assert flat[..., 0].std() > 5 * flat[..., 1].std()
    assert np.abs(flat).max() == pytest.approx(FULL)
