"""The phase plane in a page without kernel: its dynamics against SciPy and closed forms, its controls by hand."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect
from scipy.integrate import solve_ivp

from byol_tutorial.widgets.phase import PhasePlane, phase_plane
from byol_tutorial.widgets.static import save_html

RNG = np.random.default_rng(0)
MODELS = [
    {"tau": 1.0, "eta": 0.05, "alpha": 1.0, "noise": 0.1},
    {"tau": 1.0, "eta": 0.1, "alpha": 0.1, "noise": 0.1},
    {"tau": 1.0, "eta": 0.15, "alpha": 5.0, "noise": 0.1},
    {"tau": 0.5, "eta": 0.05, "alpha": 1.0, "noise": 0.1},  # near the limit, 0.0568
    {"tau": 1.0, "eta": 0.02, "alpha": 10.0, "noise": 2.0},  # stiff
    {"tau": 0.8, "eta": 0.0, "alpha": 0.7, "noise": 0.3},
    {"tau": 1.0, "eta": 0.3, "alpha": 1.0, "noise": 0.1},  # no healthy point
]


def velocity(m, p, s):
    """Return the velocity of Tian et al. 2021, written a second time."""
    error = m["tau"] - (1 + m["noise"]) * p
    return np.array([m["alpha"] * s * error - m["eta"] * p, 2 * p * s * error - 2 * m["eta"] * s])


def solve(m, p, s, end, **options):
    return solve_ivp(lambda _, y: velocity(m, *y), (0, end), (p, s), method="LSODA", rtol=1e-10, atol=1e-13, **options)


def collapses(m, p, s):
    """Return whether s vanishes in the end; solved in p and ln s, because s may nearly vanish and grow again."""

    def f(_, y):
        s = np.exp(max(y[1], -600))
        dp, ds = velocity(m, y[0], s)
        return dp, ds / s

    end = solve_ivp(f, (0, 20_000), (p, np.log(s)), method="LSODA", rtol=1e-9, atol=1e-9).y[1, -1]
    return end < np.log(1e-3 * min(1, s))


@pytest.fixture
def dynamics(page):
    """Call a function of the panel's module, by name, with JSON arguments."""
    page.goto("about:blank")
    code = "async (js) => { window.D = await import(URL.createObjectURL(new Blob([js], {type: 'text/javascript'}))); }"
    page.evaluate(code, PhasePlane._esm)
    return lambda name, *arguments: page.evaluate("([name, a]) => D[name](...a)", [name, list(arguments)])


@pytest.mark.parametrize("m", MODELS)
def test_trajectories_are_scipys(dynamics, m):
    for p, s in [(0.05, 0.15), (-0.3, 0.8), (1.3, 0.05), (0.6, 2.0)]:
        path = dynamics("phaseTrajectory", m, p, s, {"end": 40})
        t = np.array(path["t"])
        assert t[0] == 0
        assert t[-1] == 40
        assert (np.diff(t) > 0).all()
        theirs = solve(m, p, s, 40, t_eval=t).y
        np.testing.assert_allclose([path["p"], path["s"]], theirs, atol=2e-5, rtol=0)


def test_the_distance_from_the_parabola_decays_at_twice_the_weight_decay(dynamics):
    for m in MODELS:
        path = dynamics("phaseTrajectory", m, -0.2, 0.9, {"end": 20})
        t, p, s = (np.array(path[name]) for name in "tps")
        u = s - p**2 / m["alpha"]
        np.testing.assert_allclose(u, u[0] * np.exp(-2 * m["eta"] * t), atol=2e-5 / m["alpha"])


@pytest.mark.parametrize("m", MODELS)
def test_fixed_points_are_the_roots_and_their_stability_is_the_jacobians(dynamics, m):
    points = dynamics("phaseFixedPoints", m)
    expected = []
    if m["eta"] > 0:
        roots = np.sort(np.roots([1 + m["noise"], -m["tau"], m["eta"]]))
        expected = [] if np.iscomplex(roots).any() else [(p, p**2 / m["alpha"]) for p in roots.real]
    assert [f["name"] for f in points] == ["collapse", "saddle", "healthy"][: 1 + len(expected)]
    np.testing.assert_allclose([(f["p"], f["s"]) for f in points], [(0, 0), *expected], atol=1e-12)
    for f in points:
        at, h = np.array([f["p"], f["s"]]), 1e-6
        np.testing.assert_allclose(velocity(m, *at), 0, atol=1e-12)
        columns = [(velocity(m, *(at + h * e)) - velocity(m, *(at - h * e))) / (2 * h) for e in np.eye(2)]
        assert f["stable"] == bool((np.linalg.eigvals(np.transpose(columns)).real < -1e-9).all())


@pytest.mark.parametrize("m", MODELS)
def test_the_same_starts_collapse_as_under_scipy(dynamics, m):
    starts = np.column_stack((RNG.uniform(-0.4, 1.4, 60), RNG.uniform(0, 1, 60) ** 2 * 2))
    ours = [dynamics("phaseCollapses", m, *start) for start in starts.tolist()]
    theirs = [collapses(m, *start) for start in starts]
    for (p, s), a, b in zip(starts, ours, theirs, strict=True):
        border = collapses(m, p, s * 0.99) != collapses(m, p, s * 1.01) if a != b else False
        assert a == b or border, (p, s)
    assert np.mean(np.array(ours) == theirs) > 0.95


@pytest.mark.parametrize("m", [*MODELS[:4], MODELS[5]])
def test_the_drawn_border_divides_the_fates(dynamics, m):
    view = {"p": [-0.4, 1.4], "s": [0, 2]}
    least = 0.003 if m["eta"] > 0 else 0.1  # without weight decay a start near s = 0 takes very long
    tested = 0
    for curve in dynamics("phaseSeparatrix", m, view):
        seen = [(p, s) for p, s in zip(curve["p"], curve["s"], strict=True) if -0.4 <= p <= 1.4 and least < s < 2]
        for p, s in seen[:: max(1, len(seen) // 4)]:
            assert collapses(m, p, s * 0.97)
            assert not collapses(m, p, s * 1.03)
            tested += 1
    assert tested >= 3


def test_the_basin_is_made_of_single_answers(dynamics):
    m, view = MODELS[1], {"p": [-0.4, 1.4], "s": [0, 2]}
    basin = dynamics("phaseBasin", m, view, 12, 8)
    cells = np.array([*basin["cells"]]).reshape(8, 12)
    for row, column in [(0, 0), (0, 6), (3, 2), (7, 0), (7, 11), (2, 4)]:
        p, s = -0.4 + (column + 0.5) / 12 * 1.8, (row + 0.5) / 8 * 2
        assert cells[row, column] == collapses(m, p, s)
    assert 0 < cells.mean() < 1


@pytest.mark.parametrize("m", MODELS[:4])
def test_the_end_and_the_time_of_an_outcome(dynamics, m):
    outcome = dynamics("phaseOutcome", m, 0.3, 0.6)
    end = np.array([outcome["p"], outcome["s"]])
    np.testing.assert_allclose(solve(m, 0.3, 0.6, 3000).y[:, -1], end, atol=1e-6)
    left = np.linalg.norm(solve(m, 0.3, 0.6, outcome["time"]).y[:, -1] - end)
    assert left == pytest.approx(0.01 * np.linalg.norm(np.array([0.3, 0.6]) - end), rel=0.2)


# --- by hand ------------------------------------------------------------------------------------


@pytest.fixture
def plane(page, tmp_path):
    save_html(phase_plane(), tmp_path / "plane.html")
    page.goto(f"file://{tmp_path / 'plane.html'}")
    return page.get_by_role("region", name="Phase plane")


def words(plane):
    return plane.locator(".bt-phase-words")


def test_presets_change_the_fate_of_the_same_start(plane):
    expect(words(plane)).to_contain_text("survives: p → 0.856, s → 0.733")  # p₊ and p₊²/α
    for name, fate in [
        ("slow predictor", "collapses"),
        ("fast predictor", "survives"),
        ("strong weight decay", "collapses"),
    ]:
        plane.get_by_role("button", name=name).click()
        expect(words(plane)).to_contain_text(fate)
        expect(plane.get_by_role("button", name=name)).to_have_attribute("aria-pressed", "true")
    expect(plane.get_by_text("is above τ̂²/(4(1+σ²)) = 0.227")).to_be_visible()
    expect(plane.get_by_role("slider", name="η, weight decay")).to_have_value("0.3")


def test_sliders_are_reached_and_moved_by_keys(page, plane):
    eta = plane.get_by_role("slider", name="η, weight decay")
    eta.focus()
    for _ in range(40):
        page.keyboard.press("ArrowRight")
    expect(eta).to_have_value("0.25")
    expect(words(plane)).to_contain_text("collapses")
    expect(plane.get_by_text("Settings of your own")).to_be_visible()


def start(plane):
    text = plane.get_by_role("slider", name="start point").get_attribute("aria-valuetext")
    return [float(x) for x in re.findall(r"-?[\d.]+", text)[:2]]


def test_the_start_is_moved_by_keys_and_by_the_mouse(page, plane):
    handle = plane.get_by_role("slider", name="start point")
    assert start(plane) == [0.05, 0.15]
    handle.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "Shift+ArrowUp"):
        page.keyboard.press(key)
    assert start(plane) == pytest.approx([0.07, 0.26], abs=0.006)  # shown with two digits
    before = handle.bounding_box()
    x, y = before["x"] + before["width"] / 2, before["y"] + before["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 100, y + 20, steps=4)
    page.mouse.up()
    after = handle.bounding_box()
    assert (after["x"] - before["x"], after["y"] - before["y"]) == pytest.approx((-100, 20), abs=2)
    assert start(plane)[0] < 0
    page.mouse.move(x + 200, y)  # the button is up, so nothing moves
    assert handle.bounding_box() == after


def test_the_alt_text_says_what_is_drawn(plane):
    picture = plane.get_by_role("img", name="Phase plane, p from")
    expect(picture).to_have_attribute("aria-label", re.compile("healthy point p 0.856, s 0.733.*survives"))
    plane.get_by_role("button", name="strong weight decay").click()
    expect(picture).to_have_attribute(
        "aria-label", re.compile("100 % of it collapses.*collapses: p and s both go to 0")
    )


def test_kept_trajectories_and_time_are_drawn(page, plane):
    picture = plane.get_by_role("img", name="Phase plane, p from")
    handle = plane.get_by_role("slider", name="start point")
    handle.focus()
    page.keyboard.press("Shift+ArrowRight")
    without = picture.screenshot()
    plane.get_by_role("button", name="keep this trajectory").click()
    for _ in range(3):
        handle.press("Shift+ArrowUp")
    both = picture.screenshot()
    plane.get_by_role("button", name="clear the kept").click()
    expect(plane.get_by_role("button", name="clear the kept")).to_be_disabled()
    assert picture.screenshot() != both != without
    alone = picture.screenshot()
    plane.get_by_role("slider", name="time t").focus()
    for _ in range(10):
        page.keyboard.press("PageUp")
    assert picture.screenshot() != alone
