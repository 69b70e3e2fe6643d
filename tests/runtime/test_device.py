"""How many cores are free, by what they do in a moment."""

import sys
from types import SimpleNamespace

import pytest

from byol_tutorial.runtime import device


@pytest.mark.parametrize(
    ("used", "mine", "free"),
    [
        ([0.0, 0.0], {0, 1}, 2),
        ([100.0, 0.0], {0, 1}, 1),
        ([52.0, 50.0], {0, 1}, 1),  # one program, moved from core to core
        ([20.0, 30.0], {0, 1}, 2),  # a browser
        ([100.0, 100.0], {0, 1}, 1),
        ([100.0, 0.0, 0.0, 100.0], {1, 2}, 2),  # the busy ones are not ours
        ([100.0, 95.0, 10.0, 0.0, 0.0, 0.0, 0.0, 0.0], set(range(8)), 6),
        ([0.0], {0, 1}, 2),  # a core that came after the measurement began
    ],
)
def test_free_cores_are_those_that_others_leave(used, mine, free, monkeypatch):
    asked = []
    told = SimpleNamespace(cpu_percent=lambda moment, percpu: (asked.append((moment, percpu)), used)[1])
    monkeypatch.setitem(sys.modules, "psutil", told)
    monkeypatch.setattr(device, "is_installed", lambda name: name == "psutil")
    monkeypatch.setattr(device.os, "sched_getaffinity", lambda _: mine, raising=False)
    assert device.free_cores() == free
    assert asked == [(0.2, True)]


def test_without_psutil_all_cores_count_as_free(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)  # importing it fails
    monkeypatch.setattr(device, "is_installed", lambda _: False)
    monkeypatch.setattr(device, "cores", lambda: 4)
    assert device.free_cores() == 4


def test_a_single_core_is_not_measured(monkeypatch):
    monkeypatch.setattr(device, "is_installed", lambda _: pytest.fail("not needed"))
    monkeypatch.setattr(device, "cores", lambda: 1)
    assert device.free_cores() == 1
