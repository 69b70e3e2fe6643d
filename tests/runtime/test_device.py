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
        ([100.0, 0.0, 0.0], {1, 2, 3}, 2),  # core 0 is switched off, and the list is of cores 1, 2 and 3
        ([90.0, 90.0, 90.0, 90.0], {4, 5, 6, 7}, 1),
        ([0.0, 0.0], {6, 7}, 2),
        ([74.0, 0.0, 0.0], {0, 1, 2}, 3),
        ([75.0, 0.0, 0.0], {0, 1, 2}, 2),
        ([75.0, 99.0, 0.0], {0, 1, 2}, 2),
        ([75.0, 99.0, 1.0], {0, 1, 2}, 1),
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


@pytest.mark.parametrize("error", [OSError("no /proc/stat"), NotImplementedError(), RuntimeError(), IndexError()])
def test_where_psutil_fails_all_cores_count_as_free(error, monkeypatch):
    told = SimpleNamespace(cpu_percent=lambda *_, **__: (_ for _ in ()).throw(error))
    monkeypatch.setitem(sys.modules, "psutil", told)
    monkeypatch.setattr(device, "is_installed", lambda _: True)
    monkeypatch.setattr(device, "cores", lambda: 4)
    assert device.free_cores() == 4


@pytest.mark.parametrize("told", [None, []])
def test_where_psutil_tells_nothing_all_cores_count_as_free(told, monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", SimpleNamespace(cpu_percent=lambda *_, **__: told))
    monkeypatch.setattr(device, "is_installed", lambda _: True)
    monkeypatch.setattr(device, "cores", lambda: 4)
    assert device.free_cores() == 4


@pytest.mark.parametrize(
    ("used", "ours", "free"), [([100.0, 100.0, 0.0], 1, 2), ([100.0, 100.0, 0.0], 2, 3), ([10.0, 0.0, 0.0], 2, 3)]
)
def test_what_processes_of_ours_keep_busy_counts_as_free(used, ours, free, monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", SimpleNamespace(cpu_percent=lambda *_, **__: used))
    monkeypatch.setattr(device, "is_installed", lambda _: True)
    monkeypatch.setattr(device, "_allowed", lambda: {0, 1, 2})
    assert device.free_cores(ours) == free


# what the files of a control group hold, and the cores that this is; None where nothing limits them
QUOTAS = [
    ({}, None),
    ({"cpu.max": "max 100000"}, None),
    ({"cpu.max": "400000 100000"}, 4),
    ({"cpu.max": "150000 100000"}, 2),
    ({"cpu.max": "1000 100000"}, 1),
    ({"cpu.max": "6400000 100000"}, None),  # more than there are
    ({"cpu.max": "nonsense"}, None),
    ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
    ({"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"}, 3),
    ({"cpu/cpu.cfs_quota_us": "250000"}, None),
]


@pytest.mark.parametrize(("files", "most"), QUOTAS)
def test_a_quota_of_time_limits_the_cores(files, most, tmp_path, monkeypatch):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    monkeypatch.setattr(device, "CGROUP", tmp_path)
    monkeypatch.setattr(device, "_allowed", lambda: set(range(8)))
    assert device.cores() == (8 if most is None else most)


def test_cores_are_those_that_another_library_counts():
    from joblib.externals.loky import cpu_count

    assert device.cores() == cpu_count()


def test_with_a_quota_cores_that_others_use_leave_the_rest_of_the_machine(monkeypatch):
    """A container may use two of eight cores, and other containers use four."""
    monkeypatch.setitem(sys.modules, "psutil", SimpleNamespace(cpu_percent=lambda *_, **__: [100.0] * 4 + [0.0] * 4))
    monkeypatch.setattr(device, "is_installed", lambda _: True)
    monkeypatch.setattr(device, "_allowed", lambda: set(range(8)))
    monkeypatch.setattr(device, "_quota", lambda: 1.5)
    assert device.free_cores() == 2


def test_a_single_core_is_not_measured(monkeypatch):
    monkeypatch.setattr(device, "is_installed", lambda _: pytest.fail("not needed"))
    monkeypatch.setattr(device, "cores", lambda: 1)
    assert device.free_cores() == 1
