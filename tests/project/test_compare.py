"""The page that compares: speeds are those of bench/results, and every other project is linked."""

import json
import re
import statistics
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "book/compare.md").read_text("utf-8")
RESULTS = {
    "Intel Xeon": "intel-xeon-2-cores/peers_cpu",
    "AMD EPYC": "amd-epyc-2-cores/peers_cpu",
    "NVIDIA H200": "nvidia-h200/peers_cuda",
}


def test_every_speed_is_one_that_was_measured():
    rows = re.findall(r"^\| ((?:Intel|AMD|NVIDIA)[^|,]*), [^|]*\| (.+) \|$", PAGE, re.M)
    assert [name for name, _ in rows] == list(RESULTS)
    for name, row in rows:
        training = json.loads((ROOT / f"bench/results/{RESULTS[name]}.json").read_text("utf-8"))["training"]
        speed, ratio = training["images_per_second"], training["ours_times_as_fast_as"]
        values = [
            speed["ours"],
            speed["lightly"],
            ratio["lightly"],
            speed.get("byol-pytorch"),
            ratio.get("byol-pytorch"),
        ]
        assert row.split(" | ") == ["–" if value is None else str(value) for value in values]


def test_a_ratio_is_the_median_of_the_ratios_of_rounds():
    for file in RESULTS.values():
        training = json.loads((ROOT / f"bench/results/{file}.json").read_text("utf-8"))["training"]
        rounds = training["rounds"]
        for name in rounds.keys() - {"ours", "ours, compiled"}:
            ratios = [ours / other for ours, other in zip(rounds["ours"], rounds[name], strict=True)]
            assert abs(statistics.median(ratios) - training["ours_times_as_fast_as"][name]) < 0.01


def test_every_project_is_linked_and_described():
    linked = dict(re.findall(r"\[([^]]+)\]\((https://github\.com/[^)]+)\)", PAGE))
    assert len(linked) == 6
    for name in linked:
        assert re.search(rf"^\*\*{re.escape(name)}\*\* ", PAGE, re.M), name


def test_our_own_claims_hold():
    """The page names every method, and there is no result of CIFAR-10 to the end of a recipe, as it says."""
    from byol_tutorial.methods.registry import TITLES

    assert f"we have {', '.join([*TITLES.values()][:-1])} and {[*TITLES.values()][-1]}." in PAGE
    assert not [p for p in (ROOT / "bench/results").rglob("*.json") if "cifar" in p.stem]
