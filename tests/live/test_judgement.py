"""Verdicts on a run in progress: they say what was measured, and are given only when steps and measures allow it."""

import math

import pytest

from byol_tutorial.live.judgement import KINDS, Measured, judge

UP, GONE = [0.8] * 300, [0.8] * 40 + [0.02] * 260


def run(std, rank=5.0, knn=0.8, start=0.4, total=1000, warmup=100, reported=None):
    return judge(Measured(len(std), total, warmup, std, rank, 64, reported, knn, start))


@pytest.mark.parametrize(
    ("measured", "kind", "words"),
    [
        (run(UP), "healthy", "spread kept (√d·std 0.80, rank 5.0 of 64); kNN 0.80, above the untrained encoder's 0.40"),
        (run(UP, knn=0.42), "nothing learned", "kNN 0.42, near the untrained encoder's 0.40"),
        (run(UP, knn=0.3), "worse than untrained", "kNN 0.30, below the untrained encoder's 0.40"),
        # at a learning rate of 10: the spread alone looks well
        (
            run(UP, rank=0.54, knn=0.3),
            "partial collapse",
            "spread kept, but at most one direction is left (√d·std 0.80, rank 0.5 of 64); kNN 0.30, below",
        ),
        (run(UP, knn=None), "spread kept", "what was learned is not measured"),
        (run(UP, start=None), "spread kept", "what was learned is not measured"),
        (run(UP, rank=math.inf), "healthy", "spread kept (√d·std 0.80); kNN"),
        (run(GONE, rank=0.0), "collapse", "every image gets nearly the same direction; the loss means nothing (√d·std 0.020"),
        (run([0.3] * 300), "partial collapse", "few directions are left (√d·std 0.30"),
        (run([math.nan] * 300), "not finite", "diverged"),
        (run(UP, reported=(0.8, "no content")), "no content", "the images themselves hardly differ"),
    ],
)  # fmt: skip
def test_a_verdict_names_what_was_measured(measured, kind, words):
    assert measured.kind == kind in KINDS
    assert words in measured.words


@pytest.mark.parametrize("std", [0.9, 0.4, 0.05])
def test_before_the_end_of_the_warm_up_a_run_is_not_judged_by_where_it_began(std):
    """SimCLR's random encoder begins with a small spread, which says nothing of a collapse."""
    early = run([std] * 99, rank=1.0)
    assert early.kind == "too early"
    assert "judged from step 100 on" in early.words
    assert f"√d·std {std:.2f}"[:10] in early.words
    assert run([std] * 100, rank=5.0).kind != "too early"


def test_a_low_rank_alone_is_judged_from_a_quarter_of_the_schedule_on():
    """Healthy runs may pass through one direction early on: bench/shapes.py found it at steps 256 and 320 of 1,920."""
    passing = run([0.8] * 320, rank=1.1, total=1920, warmup=256)
    assert passing.kind == "too early"
    assert "spread kept; the rank is judged from step 480 on (√d·std 0.80, rank 1.1 of 64)" in passing.words
    assert run([0.8] * 479, rank=1.1, total=1920, warmup=256).kind == "too early"
    assert run([0.8] * 480, rank=1.1, total=1920, warmup=256).kind == "partial collapse"
    assert run([0.4] * 320, rank=1.1, total=1920, warmup=256).kind == "partial collapse"  # the spread is low as well
    assert run([0.8] * 300, rank=1.1, total=300, warmup=300).kind == "partial collapse"


def test_without_a_warm_up_the_first_steps_are_not_judged_either_but_the_last_of_a_short_run_is():
    assert run([0.4] * 49, warmup=0).kind == "too early"
    assert run([0.4] * 50, warmup=0).kind == "partial collapse"
    assert run([0.8] * 20, total=30, warmup=0).kind == "too early"
    assert run([0.8] * 30, total=30, warmup=0).kind == "healthy"


@pytest.mark.parametrize("last", [0.3, 0.02])
def test_a_spread_that_falls_is_reported_at_once(last):
    fallen = run([0.8] * 10 + [last] * 5)
    assert fallen.kind == ("collapse" if last < 0.1 else "partial collapse")
    assert run([0.3] * 15).kind == "too early"  # the same spread, but it was never higher
