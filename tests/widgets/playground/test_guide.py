"""The playground's verdict and its answers to predictions beside those of the cockpit and of the library."""

import itertools
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
from javascript import run

import byol_tutorial as bt
from byol_tutorial.evaluate.diagnose import THRESHOLDS, VERDICTS, collapse_verdict
from byol_tutorial.widgets.assets import script, source
from byol_tutorial.widgets.predictions import outcomes

PARTS = "\n".join(
    (
        source("plots", "js"),
        script("playground/guide.js"),
        script("diagram.js"),
        script("playground/curves.js"),
        script("share.js"),
    )
)


@pytest.fixture(scope="module")
def about():
    panel = bt.widgets.playground()
    yield panel.about
    panel.close()


RNG = np.random.default_rng(0)
LOSSES = [(4, 0.01), (4, 1.5), (2, 1.95)]  # first and last: it goes to zero, it falls, it stays


def test_predictions_are_judged_as_in_the_cockpit(about):
    runs = []
    for loss, spread, gain, steps in itertools.product(LOSSES, (0.02, 0.3, 0.8), (0.3, 0.0, -0.2), (10, 49, 50, 200)):
        curves = {"loss": np.linspace(*loss, steps) + 0.001 * RNG.random(steps), "std": np.linspace(0.8, spread, steps)}
        seen = [{"step": 0, "shape": 0.3}, {"step": steps, "shape": 0.3 + gain}]
        runs.append({name: y.tolist() for name, y in curves.items()} | {"seen": seen})
    ours = run(PARTS, "return a.runs.map((curves) => outcomesOf(a.about, curves));", about=about, runs=runs)
    for curves, found in zip(runs, ours, strict=True):
        first, last = curves["seen"]
        snapshot = SimpleNamespace(
            step=last["step"], series=curves.get, knn=[(last["step"], last["shape"])], start_knn=first["shape"]
        )
        assert found == outcomes(snapshot)


def test_the_verdict_is_the_librarys(about):
    cases = list(itertools.product((0.005, 0.099, 0.101, 0.3, 0.499, 0.501, 0.9), (0.5, 1.19, 1.21, 8)))
    body = """return a.cases.map(([spread, rank]) => verdictOf(a.about, {frame: {step: 60, failed: false}, curves: {loss: [],
        std: Array(60).fill(spread), seen: [{shape: 0.2, hue: 0.5, rank}, {shape: 0.6, hue: 0.2, rank}]}}));"""
    for (spread, rank), found in zip(cases, run(PARTS, body, about=about, cases=cases), strict=True):
        kind = collapse_verdict(spread, rank)
        assert found["kind"] == kind
        assert found["text"].startswith(f"{kind}: {VERDICTS[kind]}")
        assert "the shape of 60 % of the pictures (untrained 20 %)" in found["text"]


def test_a_shortcut_and_a_divergence_have_words_of_their_own(about):
    body = "return [false, true].map((failed) => verdictOf(a.about, {frame: {step: 9, failed}, curves: {loss: [], std: [0.8], seen: [{shape: 0.2, hue: 0.5, rank: 9}, {shape: 0.1, hue: 0.97, rank: 9}]}}).text);"
    shortcut, diverged = run(PARTS, body, about=about)
    assert "learned the hue, not the shape: a shortcut" in shortcut
    assert diverged.startswith(f"not finite: {VERDICTS['not finite']}")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "a predictor of two layers, the gradient stops at the target, the target is a moving average, τ 0.9, no negatives"),
        ({"predictor": "identity", "target": "random"}, "no predictor, the gradient stops at the target, the target is random and stays as it is, no negatives"),
        ({"stop_gradient": False}, "the gradient also passes through the target, both branches are the same network"),
        ({"method": "simclr"}, "no predictor, the gradient passes through both branches, both branches are the same network, other pictures are pushed away"),
        ({"predictor": "fixed"}, "a random predictor that never learns, the gradient stops"),
        ({"predictor": "optimal"}, "a linear predictor that is set, not trained, the gradient stops"),
        ({"method": "simclr", "predictor": "optimal"}, "no predictor, the gradient passes through both branches"),
        ({"method": "simsiam", "predictor": "linear"}, "a linear predictor, the gradient stops at the target, both branches are the same network"),
    ],
)  # fmt: skip
def test_the_diagram_says_what_the_settings_are(about, changes, words):
    assert words in run(PARTS, "return networkOf(a.settings).words;", settings=about["settings"] | changes)


def test_the_curves_are_a_table_with_a_row_for_each_step():
    curves = {
        "step": [1, 2],
        "loss": [3.0, 2.5],
        "std": [0.8, 0.7],
        "seen": [{"step": 0, "shape": 0.1, "hue": 0.9, "rank": 5}, {"step": 2, "shape": 0.2, "hue": 0.8, "rank": 4}],
    }
    text = run(PARTS, "return curvesAsCsv({A: columnsOf(a.curves)});", curves=curves)
    assert text == "run,step,loss,std,rank,knn_shape,knn_hue\nA,0,,,5,0.1,0.9\nA,1,3,0.8,,,\nA,2,2.5,0.7,4,0.2,0.8\n"


@pytest.mark.parametrize(
    ("page", "address"),
    [
        ("/course/notebooks/live_controls.html", "https://a.example/course/book/play.html#playground&lr=1"),
        ("/book/index.html", "https://a.example/book/play.html#playground&lr=1"),
        ("/lab/tree/live_controls.ipynb", "book/play.html#playground&lr=1"),
        ("/notebooks/live_controls.ipynb", "book/play.html#playground&lr=1"),
    ],
)
def test_a_page_of_the_book_links_to_the_books_playground_and_others_give_the_end_of_an_address(page, address):
    located = PARTS.replace("location.", "there.") + "\nconst there = {};"
    body = 'Object.assign(there, {pathname: a.page, href: "https://a.example" + a.page}); return btBookLink("#playground&lr=1");'
    assert run(located, body, page=page) == address


def test_a_long_run_keeps_its_first_and_last_values_and_one_map():
    """Frames of 37 steps, whose loss is the step itself, with a look at the pictures every second frame."""
    body = """
    const curves = noCurves(), longest = {loss: 0, seen: 0};
    for (let step = 37; step <= 370_000; step += 37) {
      const values = Array.from({length: 37}, (_, i) => step - 36 + i);
      extend(curves, {step, loss: values, std: values.map((v) => -v), seen: step % 2 ? null : {step, shape: 0.5, maps: {}, near: []}});
      for (const name of ["loss", "seen"]) longest[name] = Math.max(longest[name], curves[name].length);
    }
    return {longest, curves, maps: curves.seen.filter((s) => s.maps).length, csv: curvesAsCsv({A: columnsOf(curves)}).split("\\n").length};"""
    found = run(PARTS, body)
    steps, kept = found["curves"]["step"], found["longest"]
    assert kept["loss"] <= 8192
    assert kept["seen"] <= 8192
    assert steps[:128] == list(range(1, 129))
    assert steps[-4096:] == list(range(370_000 - 4095, 370_001))
    assert steps == sorted(set(steps)) == found["curves"]["loss"] == [-v for v in found["curves"]["std"]]
    assert found["maps"] == 1
    assert found["csv"] >= len(steps) + 2


def test_the_words_in_an_empty_plot_cross_no_line():
    body = """
    const seen = {texts: [], lines: []};
    const context = new Proxy({fillText: (text, x, y) => seen.texts.push([text, y]), measureText: () => ({width: 20}), lineTo: (x, y) => seen.lines.push(y)}, {get: (o, k) => o[k] ?? (() => {}), set: () => true});
    globalThis.drawn = () => {};
    btPlot("loss", () => ({now: {x: [], y: []}, before: null, frame: {step: 1, epoch: 100, total: 1, changes: []}, base: null, beforeEnd: 0}), a.options);
    drawn(context, 300, 140, {font: "", line: "", quiet: ""});
    return seen;"""
    stubs = "function h() { return {}; } function btCanvas(height, title, draw) { globalThis.drawn = draw; return {}; }"
    for options in (
        {"low": 0, "empty": "press train"},
        {"low": 0, "high": 1.05, "empty": "press train"},
        {"low": 0, "high": 1, "dots": True},
    ):
        seen = run(PARTS + stubs, body.replace("globalThis.drawn = () => {};", ""), options=options)
        ((words, y),) = [t for t in seen["texts"] if t[0].startswith("press")]
        assert words == options.get("empty", "press play")
        assert len(seen["lines"]) >= 2
        assert all(abs(y - line) > 8 for line in seen["lines"])


def test_the_thresholds_are_handed_to_the_page(about):
    assert about["thresholds"] == asdict(THRESHOLDS)
    assert about["verdicts"] == VERDICTS
