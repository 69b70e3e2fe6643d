"""Runs that are kept: keyed by what decides them, whole or not at all, the same whichever process trained them."""

import errno
import io
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import byol_tutorial as bt
from byol_tutorial import course
from byol_tutorial.config.errors import UserError
from byol_tutorial.course import bugs, cache, cached, measures, parallel, run, run_all, supervised
from byol_tutorial.course.jobs import Job
from byol_tutorial.course.measures import TRACKS
from byol_tutorial.runtime import locks

SMALL = {"width": 4, "hidden_dim": 16, "projection_dim": 8, "epochs": 2, "warmup_epochs": 1, "batch_size": 16}


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BYOL_CACHE", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def images():
    return bt.load("shapes", limit=64), bt.load("shapes", split="test", limit=48)


@pytest.fixture
def config():
    return bt.preset("shapes", **SMALL)


@pytest.fixture(scope="module")
def kept_once(images, tmp_path_factory) -> Path:
    """A folder in which the run of `config` is kept."""
    folder = tmp_path_factory.mktemp("kept") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BYOL_CACHE", str(folder))
        run(bt.preset("shapes", **SMALL), *images, progress=False)
    return folder


@pytest.fixture
def kept(kept_once, own_folder) -> Path:
    """The same in the test's own folder."""
    shutil.copytree(kept_once, own_folder)
    return own_folder


def trained(monkeypatch) -> list:
    """A list that grows by one with every run that is really trained, in this process."""
    seen, real = [], parallel.train_and_judge
    monkeypatch.setattr(parallel, "train_and_judge", lambda *a: (seen.append(a[0]), real(*a))[1])
    return seen


# --- scale --------------------------------------------------------------------------------------


def test_scales_decide_images_and_recipe_and_gpu_says_what_is_missing(monkeypatch):
    monkeypatch.setenv("BYOL_SCALE", "smoke")
    assert (len(course.images()), len(course.images("test")), course.recipe().epochs) == (512, 256, 1)
    monkeypatch.delenv("BYOL_SCALE")
    assert (len(course.images()), course.recipe(tau_base=0.9)) == (4096, bt.preset("shapes", tau_base=0.9))
    assert course.pick(1, 2, 3) == 2
    monkeypatch.setenv("BYOL_SCALE", "gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="no CUDA device was found"):
        course.pick(1, 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert course.pick(1, 2) == 2
    assert course.pick(1, 2, 3) == 3
    assert (course.recipe().encoder, course.recipe().precision) == ("resnet18", "mixed")
    monkeypatch.setenv("BYOL_SCALE", "large")
    with pytest.raises(UserError, match="choose one of smoke, laptop, gpu"):
        course.pick(1, 2)


# --- one run ------------------------------------------------------------------------------------


def test_at_gpu_scale_the_encoder_is_a_copy_on_the_gpu(config, images, monkeypatch):
    """Features of 60,000 images would take minutes on a CPU. The GPU is torch's device without numbers here."""
    found = run(config, *images, epochs=1, probe=False, progress=False)
    here = found.encoder
    monkeypatch.setattr(course.runs, "scale", lambda: "gpu")
    monkeypatch.setattr(course.runs, "resolve_device", lambda name: torch.device("meta"))
    there = found.encoder
    assert there is found.encoder
    assert {p.device.type for p in there.parameters()} == {"meta"}
    assert {p.device.type for p in found.network.parameters()} == {"cpu"}
    assert {p.device.type for p in found.random_encoder().parameters()} == {"meta"}
    assert not there.training
    monkeypatch.undo()
    assert found.encoder is here


def test_a_run_is_what_the_trainer_gives(config, images):
    """Independent truth: the same made by hand."""
    result = run(config, *images, progress=False)
    trainer = bt.Trainer(config, *images).run(progress=False)
    assert result.history.loss == trainer.history.loss
    assert result.history.knn == trainer.history.knn
    y = [bt.features(trainer.model.encoder, part) for part in images]
    assert torch.equal(bt.features(result.encoder, images[1]), y[1])
    assert result.knn == bt.knn_accuracy(y[0], images[0].labels, y[1], images[1].labels)
    assert result.linear == bt.linear_probe(y[0], images[0].labels, y[1], images[1].labels).accuracy
    report = trainer.report()
    assert (result.std, result.rank, result.verdict) == (report.std, report.rank, report.verdict)
    random = bt.features(trainer.initial_encoder(), images[1])
    assert torch.equal(bt.features(result.random_encoder(), images[1]), random)


def test_the_second_time_it_is_read(config, images, monkeypatch):
    seen = trained(monkeypatch)
    first, second = run(config, *images, progress=False), run(config, *images, name="again", progress=False)
    assert (len(seen), first.from_cache, second.from_cache, second.name) == (1, False, True, "again")
    assert first.history == second.history
    assert (first.knn, first.linear, first.std, first.seconds) == (
        second.knn,
        second.linear,
        second.std,
        second.seconds,
    )
    assert torch.equal(bt.features(first.encoder, images[1]), bt.features(second.encoder, images[1]))


@pytest.mark.parametrize(
    "what", ["seed", "config", "epochs", "images", "test images", "probe", "changes", "track", "scale"]
)
def test_whatever_decides_a_run_is_in_its_key(what, config, images, kept, monkeypatch):
    seen = trained(monkeypatch)
    assert run(config, *images, progress=False).from_cache
    train, test, options = *images, {}
    match what:
        case "seed":
            config = config.replace(seed=1)
        case "config":
            config = config.replace(tau_base=0.8)
        case "images":
            train = bt.load("shapes", limit=64, seed=1)
        case "test images":
            test = bt.load("shapes", split="test", limit=48, seed=1)
        case "scale":
            monkeypatch.setenv("BYOL_SCALE", "laptop")
        case _:
            options = {"epochs": {"epochs": 1}, "probe": {"probe": False}, "changes": {"changes": {1: {"lr": 0.1}}}, "track": {"track": ("rank",)}}[what]  # fmt: skip
    run(config, train, test, progress=False, **options)
    assert len(seen) == 1


DECIDING = ["course/bugs.py", "course/supervised.py", "course/measures.py", "train/trainer.py", "augment/views.py"]


def test_other_code_makes_other_keys_but_comments_do_not(monkeypatch, tmp_path):
    """In a copy of the package: a changed number moves the key, changed comments and docstrings do not."""
    package = tmp_path / "byol_tutorial"
    shutil.copytree(cache.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "measured"))
    monkeypatch.setattr(cache, "PACKAGE", package)
    digest = cache.library.__wrapped__
    before, texts = digest(), {name: (package / name).read_text() for name in DECIDING}
    for name, text in texts.items():
        said_otherwise = "# a comment\n" + text.replace('"""', '"""Said otherwise. ', 1) + "\n# another\n"
        assert said_otherwise != text
        (package / name).write_text(said_otherwise)
    assert digest() == before
    for name, text in texts.items():
        (package / name).write_text(text + "\nMORE = 1\n")
        assert digest() != before, name
        (package / name).write_text(text)


def test_what_only_shows_results_moves_no_key(monkeypatch, tmp_path):
    package = tmp_path / "byol_tutorial"
    shutil.copytree(cache.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "measured"))
    monkeypatch.setattr(cache, "PACKAGE", package)
    before = cache.library.__wrapped__()
    for name in ("widgets/cockpit/cockpit.py", "cli/main.py", "figures/graphs.py", "course/exercises/lesson03/loss.py",
                 "course/figures/maps.py", "course/ledger/claims.py"):  # fmt: skip
        (package / name).write_text("CHANGED = 1\n")
    assert cache.library.__wrapped__() == before
    (package / "train" / "new.py").write_text("X = 1\n")  # a module that is new counts by itself
    assert cache.library.__wrapped__() != before


def test_every_name_of_what_only_shows_is_there():
    assert all((cache.PACKAGE / name).exists() for name in cache.SHOWS)


@pytest.mark.parametrize("harm", ["cut", "bit", "empty", "pickle", "other key"])
def test_a_damaged_file_is_made_anew(harm, config, images, kept, monkeypatch):
    seen = trained(monkeypatch)
    first = run(config, *images, progress=False)
    (path,) = kept.glob("*.pt")
    content = path.read_bytes()
    if harm == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif harm == "bit":
        path.write_bytes(content[:5000] + bytes([content[5000] ^ 1]) + content[5001:])
    elif harm == "empty":
        path.write_bytes(b"")
    elif harm == "pickle":
        torch.save({"key": first.key, "x": print}, path)  # a global, which loading must refuse
    else:
        run(config.replace(seed=1), *images, progress=False)
        (other,) = set(kept.glob("*.pt")) - {path}
        path.write_bytes(other.read_bytes())
        seen.pop()
    second = run(config, *images, progress=False)
    assert (len(seen), first.from_cache, second.from_cache) == (1, True, False)
    assert first.history.loss == second.history.loss
    assert run(config, *images, progress=False).from_cache


def test_a_stopped_run_is_not_kept_and_leaves_no_half_file(config, images, own_folder, monkeypatch):
    real = bt.Trainer.step

    def interrupted(self):
        if self.steps_done == 3:
            raise KeyboardInterrupt
        return real(self)

    monkeypatch.setattr(bt.Trainer, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(config, *images, progress=False)
    assert not [*own_folder.iterdir()]


def test_a_folder_that_cannot_be_written_costs_time_only(config, images, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("BYOL_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="set BYOL_CACHE"):
        assert run(config, *images, progress=False).history.loss
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once, not for every run
        assert run(config.replace(seed=1), *images, progress=False).history.loss


# Keeps ever other content under one key, until its input ends.
KEEPER = """
import sys, threading, torch
from byol_tutorial.course import cache
threading.Thread(target=sys.stdin.read, daemon=True).start()
for k in range(300):
    cache.keep("x", "a" * 64, {"k": k, "big": torch.full((50_000,), float(k))})
"""


@pytest.mark.slow
def test_two_processes_that_keep_the_same_entry_never_show_half_of_it(own_folder):
    keepers = [subprocess.Popen([sys.executable, "-c", KEEPER], stdin=subprocess.PIPE) for _ in range(2)]
    seen = set()
    try:
        while any(keeper.poll() is None for keeper in keepers):
            entry = cache.kept("a" * 64)
            if entry is not None:
                assert torch.equal(entry["big"], torch.full((50_000,), float(entry["k"])))
            seen.add(None if entry is None else entry["k"])
            assert not (seen - {None} and entry is None)  # once it is there it is always there
    finally:
        for keeper in keepers:
            keeper.kill()
            keeper.communicate()
    assert len(seen) > 5
    assert [file.suffix for file in own_folder.iterdir()] == [".pt"]


# Another user, who may read the folder: gets what is kept there, and goes on with one warning without keeping its own.
OTHER_USER = """
import os, sys, warnings
from byol_tutorial.course import cache
shared, os.environ["BYOL_CACHE"] = os.environ["BYOL_CACHE"], sys.argv[1]
cache.cached("w", lambda: {"v": 2})  # loads what the other user may not be able to read
assert cache.kept(cache.key_of(name="w", source="", depends_on={})) is not None
os.environ["BYOL_CACHE"] = shared
os.setgid(65534), os.setuid(65534)
warnings.simplefilter("always")
assert cache.kept("a" * 64)["k"] == 1
for name in ("x", "y"):
    assert cache.cached(name, lambda: {"v": 2}) == {"v": 2}
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "setuid") or os.getuid() != 0, reason="only root can become another user")
def test_another_user_reads_what_is_kept_and_may_not_write(monkeypatch, tmp_path):
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        monkeypatch.setenv("BYOL_CACHE", name)
        cache.keep("x", "a" * 64, {"k": 1})
        done = subprocess.run([sys.executable, "-c", OTHER_USER, tmp_path / "own"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("UserWarning: results are not kept in") == 1
        assert "Permission denied" in done.stderr
        assert len([*Path(name).iterdir()]) == 1


@pytest.fixture
def asked(monkeypatch) -> list:
    """A list of (workers, names of the runs) for each time that runs would be done; none is done."""
    seen: list = []

    def side_by_side(begun, runs):
        begun = list(begun)
        workers = len(begun)
        while more := runs.begin(1):
            begun += more
        note(workers, begun, runs)

    def note(workers, begun, runs):
        seen.append((workers, [name for name, _ in begun]))
        for _, job in begun:
            runs.states[job.key] = {}
            runs.unlock(job)

    monkeypatch.setattr(parallel, "WORTH", 0)
    monkeypatch.setattr(parallel, "_side_by_side", side_by_side)
    monkeypatch.setattr(parallel, "_here", lambda name, job, runs: note(1, [(name, job)], runs))
    return seen


def jobs_of(config, count: int) -> list:
    options = {"epochs": 1, "probe": False, "changes": {}, "track": [], "track_every": 1.0}
    return [(f"run {k}", Job(f"{k:032d}", config, options)) for k in range(count)]


@pytest.mark.parametrize(("threads", "workers"), [(None, 4), (1, 4), (2, 2), (3, 1), (9, 1)])
def test_runs_side_by_side_have_as_many_threads_as_were_set_and_no_more_than_there_are_cores(
    threads, workers, images, config, monkeypatch, asked
):
    monkeypatch.setattr(parallel, "free_cores", lambda *_: 4)
    monkeypatch.setattr(parallel, "chosen", lambda: threads)
    parallel.carry_out(jobs_of(config, 6), *images, None, progress=False)
    names = [f"run {k}" for k in range(6)]
    assert asked == ([(workers, names)] if workers > 1 else [(1, [name]) for name in names])


def test_runs_begin_here_where_cores_are_busy_and_go_on_side_by_side_when_one_is_free(
    images, config, monkeypatch, asked
):
    free = iter([1, 1, 2])
    monkeypatch.setattr(parallel, "free_cores", lambda *_: next(free))
    parallel.carry_out(jobs_of(config, 5), *images, None, progress=False)
    assert asked == [(1, ["run 0"]), (1, ["run 1"]), (2, ["run 2", "run 3", "run 4"])]


def test_one_run_does_not_wait_to_see_whether_a_core_is_free(images, config, monkeypatch, asked):
    monkeypatch.setattr(parallel, "free_cores", lambda *_: pytest.fail("this takes a moment"))
    parallel.carry_out(jobs_of(config, 1), *images, None, progress=False)
    assert asked == [(1, ["run 0"])]


class Pool:
    """Instead of joblib's pool: starts no process. Of the jobs at work, `wait` ends the first."""

    def __init__(self, log: list) -> None:
        self.log, self.working = log, []

    def __call__(self, workers: int, **_) -> "Pool":
        self.log.append(f"{workers} processes")
        return self

    def submit(self, _work, job) -> Future:
        self.working.append((future := Future(), job))
        self.log.append(f"begin {int(job.key)}")
        return future

    def wait(self, working, **_) -> tuple[set, set]:
        assert len(working) == len(self.working)
        future, job = self.working.pop(0)
        self.log.append(f"end {int(job.key)}")
        if job.key in self.bad:
            future.set_exception(UserError("it is bad"))
        else:
            future.set_result({"of": job.key})
        return {future}, set()

    def shutdown(self, **_) -> None:
        assert not self.working

    bad: tuple[str, ...] = ()


@pytest.fixture
def pool(monkeypatch) -> Pool:
    import concurrent.futures

    from joblib.externals import loky

    pool = Pool([])
    monkeypatch.setattr(parallel, "WORTH", 0)
    monkeypatch.setattr(parallel, "free_cores", lambda *_: 2)
    monkeypatch.setattr(loky, "ProcessPoolExecutor", pool)
    monkeypatch.setattr(concurrent.futures, "wait", pool.wait)
    return pool


def free(key: str) -> bool:
    with cache.alone(key) as mine:
        return mine


def test_a_run_is_locked_from_its_beginning_to_its_end_only(images, config, pool, own_folder):
    """So another notebook that needs the last run of many can train it at once."""
    jobs, locked = jobs_of(config, 5), []
    real = pool.wait

    def look(working, **_):
        locked.append([int(job.key) for _, job in jobs if not free(job.key)])
        return real(working)

    import concurrent.futures

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(concurrent.futures, "wait", look)
        states, read = parallel.carry_out(jobs, *images, None, progress=False)
    assert locked == [[0, 1], [1, 2], [2, 3], [3, 4], [4]]
    assert pool.log == ["2 processes", "begin 0", "begin 1", "end 0", "begin 2", "end 1", "begin 3", "end 2", "begin 4",
                        "end 3", "end 4"]  # fmt: skip
    assert (list(states), read) == ([job.key for _, job in jobs], set())
    assert {file.suffix for file in own_folder.iterdir()} == {".pt"}


def test_a_run_that_another_notebook_did_meanwhile_is_read_between_those_side_by_side(images, config, pool):
    jobs = jobs_of(config, 4)

    class Working(list):
        def append(self, item):  # as soon as run 1 begins here, another notebook has done run 2
            super().append(item)
            if int(item[1].key) == 1:
                cache.keep("x", jobs[2][1].key, {"of": "another"})

    pool.working = Working()
    states, read = parallel.carry_out(jobs, *images, None, progress=False)
    assert [line for line in pool.log if line.startswith("begin")] == ["begin 0", "begin 1", "begin 3"]
    assert (read, states[jobs[2][1].key]["of"]) == ({jobs[2][1].key}, "another")


def test_runs_side_by_side_become_fewer_where_another_program_begins_and_more_where_it_ends(
    images, config, pool, monkeypatch
):
    """What the runs that go on keep busy counts as free: 2 in processes of one thread, after one of 3 has ended."""
    free, asked = iter([3, 1, 1, 3, 3, 3, 3]), []
    monkeypatch.setattr(parallel, "free_cores", lambda *ours: (asked.append(*ours or [None]), next(free))[1])
    parallel.carry_out(jobs_of(config, 6), *images, None, progress=False)
    assert pool.log == ["3 processes", "begin 0", "begin 1", "begin 2", "end 0", "end 1", "end 2", "begin 3", "begin 4",
                        "begin 5", "end 3", "end 4", "end 5"]  # fmt: skip
    assert asked == [None, 2, 1, 0]


def test_after_a_failure_no_other_run_begins_and_all_locks_are_given_back(images, config, pool):
    jobs = jobs_of(config, 5)
    pool.bad = (jobs[0][1].key,)
    with pytest.raises(UserError, match="run 0: it is bad"):
        parallel.carry_out(jobs, *images, None, progress=False)
    assert pool.log == ["2 processes", "begin 0", "begin 1", "end 0", "end 1"]
    assert cache.kept(jobs[1][1].key)["of"] == jobs[1][1].key  # the one beside it is kept
    assert all(free(job.key) for _, job in jobs)


# --- what another process is computing ------------------------------------------------------------


@pytest.fixture
def elsewhere(monkeypatch):
    """Return `elsewhere(key, state)`: another holds this key until it is waited for; then it keeps the state, or none, and
    ends. A lock that is taken through another `open` counts as another process's."""
    waited: list[str] = []
    moments: dict = {}

    def begin(key: str, state: dict | None) -> list[str]:
        held = ExitStack()
        assert held.enter_context(cache.alone(key))
        moments[key] = held, state
        return waited

    def moment(_seconds: float) -> None:
        key, (held, state) = moments.popitem()
        waited.append(key)
        if state is not None:
            cache.keep("x", key, state)
        held.close()

    for module in (cache, parallel):
        monkeypatch.setattr(module, "time", SimpleNamespace(sleep=moment))
    return begin


@pytest.mark.parametrize("ends", ["kept", "killed"])
def test_a_run_that_another_notebook_trains_is_waited_for(ends, config, images, own_folder, monkeypatch, elsewhere):
    """And the other runs come first. One that stops without a result is trained here."""
    configs = {"theirs": config, "mine": config.replace(seed=1)}
    first = run_all(configs, *images, progress=False)
    key = first["theirs"].key
    state = cache.kept(key)
    for file in own_folder.iterdir():
        file.unlink()
    seen = trained(monkeypatch)
    waited = elsewhere(key, state if ends == "kept" else None)
    again = run_all(configs, *images, progress=False)
    mine = [job.config.seed for job in seen]
    assert (waited, mine) == ([key], [1] if ends == "kept" else [1, 0])
    assert [r.from_cache for r in again.values()] == [ends == "kept", False]
    assert [r.history.loss for r in again.values()] == [r.history.loss for r in first.values()]
    assert {file.suffix for file in own_folder.iterdir()} == {".pt"}


@pytest.mark.parametrize("kind", ["cached", "supervised", "bug"])
def test_what_another_notebook_computes_is_not_computed_again(kind, config, images, own_folder, monkeypatch, elsewhere):
    compute = {
        "cached": lambda: cached("it", lambda: {"v": 1}),
        "supervised": lambda: supervised(config, *images, progress=False).loss,
        "bug": lambda: bugs.train_with(None, config, *images).history["loss"],
    }[kind]
    first = compute()
    (file,) = own_folder.iterdir()
    key = torch.load(io.BytesIO(file.read_bytes()[32:]))["key"]
    state = cache.kept(key)
    file.unlink()
    waited = elsewhere(key, state)
    kept = []
    real = cache.keep
    monkeypatch.setattr(cache, "keep", lambda name, *a: (kept.append(name), real(name, *a)))
    assert compute() == first
    assert (waited, kept) == ([key], ["x"])


def test_the_bar_says_who_trains_a_run_and_then_that_runs_train_here(images, config, pool, monkeypatch):
    jobs, made, said, real = jobs_of(config, 2), [], [], parallel._Runs
    monkeypatch.setattr(parallel, "_Runs", lambda *a: made.append(real(*a)) or made[0])
    end = pool.wait
    monkeypatch.setattr("concurrent.futures.wait", lambda *a, **k: (said.append(made[0].bar.desc), end(*a, **k))[1])
    with ExitStack() as held:
        for _, job in jobs:
            held.enter_context(cache.alone(job.key))
        moment = lambda _: (said.append(made[0].bar.desc), held.close())  # noqa: E731
        monkeypatch.setattr(parallel, "time", SimpleNamespace(sleep=moment))
        parallel.carry_out(jobs, *images, None, progress=False)
    me = rf"process {os.getpid()} on {re.escape(platform.node())} since \d{{4}}-.*"
    assert re.fullmatch(
        rf"run 0: another notebook or program \({me}\) trains it; if that stops, this one does", said[0]
    )
    assert said[1:] == ["2 runs side by side", "1 run side by side"]


@pytest.mark.parametrize("progress", [True, False])
def test_who_is_waited_for_is_said_unless_progress_is_off(progress, capsys, elsewhere, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    elsewhere("a" * 64, {"v": 1})
    assert cache.kept_or_computed("maps", "a" * 64, lambda: pytest.fail("not here"), progress)[0]["v"] == 1
    said = capsys.readouterr().err
    assert (f"maps: another notebook or program (process {os.getpid()} on {platform.node()} since" in said) == progress
    assert bool(said) == progress


@pytest.mark.parametrize("looks", [1, 2, 5])
@pytest.mark.parametrize("kind", ["cached", "run"])
def test_a_wait_can_take_many_looks_and_is_said_once(kind, looks, config, images, own_folder, monkeypatch, capsys):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    compute = {"cached": lambda: cached("it", lambda: {"v": 1}), "run": lambda: run(config, *images, epochs=0.25).knn}[
        kind
    ]
    first = compute()
    (file,) = own_folder.iterdir()
    key = torch.load(io.BytesIO(file.read_bytes()[32:]))["key"]
    file.unlink()
    seen = []
    with ExitStack() as held:
        held.enter_context(cache.alone(key))
        moment = lambda _: (seen.append(1), len(seen) < looks or held.close())  # noqa: E731
        for module in (cache, parallel):
            monkeypatch.setattr(module, "time", SimpleNamespace(sleep=moment))
        capsys.readouterr()
        assert compute() == first  # computed here, because the other stopped without a result
    assert (len(seen), capsys.readouterr().err.count("another notebook or program")) == (looks, 1)


@pytest.mark.parametrize("kind", ["supervised", "run"])
def test_without_progress_nothing_is_said_while_another_trains(
    kind, config, images, own_folder, elsewhere, capsys, monkeypatch
):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    compute = {"supervised": supervised, "run": run}[kind]
    compute(config, *images, progress=False)
    (file,) = own_folder.iterdir()
    key = torch.load(io.BytesIO(file.read_bytes()[32:]))["key"]
    state = cache.kept(key)
    file.unlink()
    waited = elsewhere(key, state)
    capsys.readouterr()
    compute(config, *images, progress=False)
    assert (waited, capsys.readouterr().err) == ([key], "")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_while_another_computes_is_shown_alone(error, monkeypatch):
    """Without "During handling of the above exception, another exception occurred"."""

    def fail():
        with cache.alone("a" * 64) as mine:
            assert not mine
            raise error

    with cache.alone("a" * 64):
        with pytest.raises(error) as raised:
            fail()
        assert raised.value.__context__ is None
        monkeypatch.setattr(cache, "time", SimpleNamespace(sleep=lambda _: (_ for _ in ()).throw(error)))
        with pytest.raises(error) as raised:
            cache.kept_or_computed("x", "a" * 64, dict)
        assert raised.value.__context__ is None


def test_lock_files_of_killed_processes_are_removed_when_a_result_is_kept(own_folder, tmp_path):
    with cache.alone("b" * 64):
        left = own_folder / f"{'c' * 32}.lock"
        left.write_text('{"pid": 1}')
        (own_folder / "link.lock").symlink_to(tmp_path / "elsewhere.lock")
        (tmp_path / "elsewhere.lock").touch()
        cache.keep("x", "a" * 64, {"v": 1})
        assert {file.name for file in own_folder.iterdir()} == {f"{'a' * 32}.pt", f"{'b' * 32}.lock", "link.lock"}
        with cache.alone("b" * 64) as mine:
            assert not mine
    assert (tmp_path / "elsewhere.lock").exists()


@pytest.mark.parametrize("readable", [True, False])
def test_a_lock_of_another_user_is_seen_where_its_file_may_be_read(readable, monkeypatch):
    """Root, as who tests often run, may write everywhere, so the system's refusal is made up."""
    with cache.alone("a" * 64):
        real = os.open

        def refused(path, flags, *more, **named):
            if str(path).endswith(".lock") and (flags & os.O_RDWR or not readable):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return real(path, flags, *more, **named)

        monkeypatch.setattr(os, "open", refused)
        with cache.alone("a" * 64) as mine:
            assert mine == (not readable)
        with cache.alone("b" * 64) as mine:
            assert mine


@pytest.mark.parametrize("kind", ["cached", "compare", "run", "keep"])
def test_the_warning_that_nothing_can_be_kept_names_the_line_of_its_caller(
    kind, config, images, tmp_path, monkeypatch, request
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BYOL_CACHE", str(tmp_path / "file"))
    call = {
        "cached": lambda: cached("it", lambda: {"v": 1}),
        "compare": lambda: course.compare({}, *images),
        "run": lambda: run(config, *images, epochs=0.25, probe=False, progress=False),
        "keep": lambda: cache.keep("it", "a" * 64, {}),
    }[kind]
    with pytest.warns(UserWarning, match="results are not kept in") as warned:
        call()
    line = call.__code__.co_firstlineno
    assert [(w.filename, w.lineno) for w in warned] == [(__file__, line)]


HOLDER = """
import sys
from byol_tutorial.course import cache
with cache.alone("a" * 64) as mine:
    print(mine, flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_a_process_that_is_killed_holds_nothing_back(own_folder):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "True\n"
        with cache.alone("a" * 64) as mine, cache.alone("b" * 64) as other:
            assert (mine, other) == (False, True)
        holder.kill()
        holder.wait()
    with cache.alone("a" * 64) as mine:
        assert mine
    assert not [*own_folder.iterdir()]


@pytest.mark.parametrize("why", ["no locks", "a file in its place", "a folder of this name"])
def test_where_there_can_be_no_lock_everything_is_computed(why, tmp_path, monkeypatch):
    place = tmp_path / "runs"
    lock = place / f"{'a' * 32}.lock"
    if why == "no locks":  # and a process of another machine, which may have ended, is named in the file

        def try_lock(_):
            raise locks.NoLocksError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(locks, "try_lock", try_lock)
        place.mkdir()
        lock.write_text('{"pid": 1, "host": "elsewhere", "since": "long ago"}')
    elif why == "a file in its place":
        place.write_text("no folder")
    else:
        lock.mkdir(parents=True)
    with cache.alone("a" * 64) as mine:
        assert mine
    assert lock.exists() == (why != "a file in its place")


# Another user, who may write into the folder, but not read what is kept there, since its umask allows that to no other user.
PRIVATE = """
import os, sys, warnings
from byol_tutorial.course import cache
shared, os.environ["BYOL_CACHE"] = os.environ["BYOL_CACHE"], sys.argv[1]
cache.cached("w", lambda: {"v": 2})
os.environ["BYOL_CACHE"] = shared
os.setgid(65534), os.setuid(65534), os.umask(0o077)
warnings.simplefilter("always")
assert cache.kept("a" * 64) is None
cache.keep("x", "a" * 64, {"k": 1})
assert (cache.kept("a" * 64) is None) == (sys.argv[2] == "sticky")
for name in ("y", "z"):
    assert cache.cached(name, lambda: {"v": 2}) == {"v": 2}
    assert cache.cached(name, lambda: {"v": 2}) == {"v": 2}
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "setuid") or os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(("kind", "mode"), [("sticky", 0o1777), ("open", 0o777)])
def test_users_whose_files_are_private_share_a_folder_without_harm(monkeypatch, tmp_path, kind, mode):
    """In a sticky folder, as /tmp is one, one user cannot replace what another keeps: it stays, and a line says so."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(mode)
        monkeypatch.setenv("BYOL_CACHE", name)
        before = os.umask(0o077)
        try:
            cache.keep("x", "a" * 64, {"k": 1})
        finally:
            os.umask(before)
        done = subprocess.run([sys.executable, "-c", PRIVATE, tmp_path / "own", kind], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("UserWarning: results are not kept in") == (kind == "sticky")
        assert cache.kept("a" * 64)["k"] == 1
        assert {file.suffix for file in Path(name).iterdir()} == {".pt"}
        assert len([*Path(name).iterdir()]) == 3


def test_images_without_labels_have_no_accuracies(config, images):
    from dataclasses import replace

    result = run(config, replace(images[0], labels=None), progress=False)
    assert (result.knn, result.linear) == (None, None)
    assert result.history.loss


def test_changes_happen_at_their_epochs(config, images, kept):
    result = run(config, *images, changes={1: {"predictor": "identity"}}, progress=False)
    assert result.history.changes == [(4, {"predictor": "identity"})]
    plain = run(config, *images, progress=False)
    assert result.history.loss[:4] == plain.history.loss[:4]
    assert result.history.loss[4:] != plain.history.loss[4:]


def test_the_target_can_be_another_runs_network(config, images):
    """Iterated by hand: the second network predicts the first one's trained projections."""
    fixed = config.replace(target="random")
    first = run(fixed, *images, progress=False)
    second = run(fixed.replace(seed=1), *images, target=first, progress=False)
    for mine, theirs in zip(second.network.target.parameters(), first.network.online.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert second.key != run(fixed.replace(seed=1), *images, progress=False).key
    with pytest.raises(UserError, match="target='random'"):
        run(config, *images, target=first, progress=False)


def test_tracking_measures_and_does_not_disturb(config, images, kept):
    plain = run(config, *images, progress=False)
    result = run(config, *images, track=tuple(TRACKS), track_every=0.5, progress=False)
    assert result.history.loss == plain.history.loss
    assert torch.equal(bt.features(result.encoder, images[1]), bt.features(plain.encoder, images[1]))
    assert result.tracked["epoch"].tolist() == [0, 0.5, 1, 1.5, 2]
    shapes = {name: tuple(rows.shape[1:]) for name, rows in result.tracked.items()}
    many = {"spectrum": (8,), "modes": (2, 8), "features": (48, 16), "projections": (48, 8)}
    assert shapes == {"epoch": (), "alignment": (), "rank": ()} | many
    z = result.tracked["projections"]
    assert torch.allclose(z.norm(dim=-1), torch.ones(5, 48), atol=1e-5)
    assert float(bt.diagnose.spread(z[-1])) == pytest.approx(result.std, rel=1e-3)  # the report's images and mode
    assert torch.equal(result.tracked["features"][-1], bt.features(result.encoder, images[1].sample(512)))
    with pytest.raises(UserError, match="track='colour'"):
        run(config, *images, track="colour")


def test_the_rank_of_a_run_that_diverged_is_not_a_number(config, images):
    trainer = bt.Trainer(config, *images)
    with torch.no_grad():
        next(trainer.model.encoder.parameters()).fill_(torch.inf)
    assert torch.isnan(measures.measure(trainer, ("rank",))["rank"])


def test_several_measures_look_at_the_images_once(config, images, monkeypatch):
    trainer, seen = bt.Trainer(config, *images), []
    real = bt.Trainer.represent
    monkeypatch.setattr(bt.Trainer, "represent", lambda self, x: (seen.append(len(x)), real(self, x))[1])
    monkeypatch.setattr(measures, "Views", lambda *_: pytest.fail("none of these measures needs views"))
    found = measures.measure(trainer, ("rank", "spectrum", "features", "projections"))
    assert seen == [len(images[1])]
    assert float(found["rank"]) == pytest.approx(trainer.report().rank, rel=1e-6)
    assert torch.equal(found["features"], bt.features(trainer.model.encoder, images[1]))


def test_modes_of_a_symmetric_linear_predictor_are_its_eigenvalues(config, images):
    """Truth by construction: W = U diag(p) Uᵀ in the eigenbasis of E[z zᵀ]."""
    from byol_tutorial.course.measures import Looked, modes

    g = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(6, 6, generator=g))[0]
    z = torch.randn(4000, 6, generator=g) * torch.tensor([3.0, 2.0, 1.5, 1.0, 0.7, 0.4]) @ basis.T
    s, u = torch.linalg.eigh(z.T @ z / len(z))
    wanted = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    w = u @ torch.diag(wanted) @ u.T
    looked = Looked(None)
    looked.batch = z, z @ w.T
    found = modes(looked)
    assert torch.allclose(found, torch.stack((s, wanted)).flip(1), atol=1e-4)


# --- several ------------------------------------------------------------------------------------


@pytest.mark.training
def test_side_by_side_gives_what_one_by_one_gives(config, images, monkeypatch, own_folder):
    configs = {"a": config, "b": config.replace(predictor="identity"), "c": config.replace(seed=1)}
    monkeypatch.setattr(parallel, "free_cores", lambda *_: 2)
    one = run_all(configs, *images, track=("rank",), progress=False)
    for file in own_folder.glob("*.pt"):
        file.unlink()
    monkeypatch.setattr(parallel, "WORTH", 0)
    seen = trained(monkeypatch)
    two = run_all(configs, *images, track=("rank",), progress=False)
    assert (seen, list(two)) == ([], ["a", "b", "c"])
    for name in configs:
        assert two[name].history.loss == one[name].history.loss  # to the last bit
        assert (two[name].knn, two[name].linear) == (one[name].knn, one[name].linear)
        assert torch.equal(two[name].tracked["rank"], one[name].tracked["rank"])
        assert not two[name].from_cache
    again = run_all({"d": config.replace(seed=2)} | configs, *images, track=("rank",), progress=False)
    assert [r.from_cache for r in again.values()] == [False, True, True, True]


@pytest.mark.training
def test_a_failure_in_a_worker_is_told_and_the_others_are_kept(config, images, monkeypatch):
    monkeypatch.setattr(parallel, "WORTH", 0)
    monkeypatch.setattr(parallel, "free_cores", lambda *_: 2)
    wild = config.replace(lr=1e30, optimizer="sgd", loss_normalization="none", norm="none")
    with pytest.raises(UserError, match="wild: the loss is"):
        run_all({"wild": wild, "tame": config}, *images, progress=False)
    assert run(config, *images, progress=False).from_cache


@pytest.mark.training
def test_workers_need_no_guard_in_a_script(tmp_path, own_folder):
    """With multiprocessing's spawn, a script without `if __name__ == "__main__"` would start itself again and again."""
    script = tmp_path / "script.py"
    script.write_text(
        "import byol_tutorial as bt\n"
        "from byol_tutorial.course import parallel, run_all\n"
        "parallel.WORTH, parallel.free_cores = 0, lambda *_: 2\n"
        f"c = bt.preset('shapes', **{SMALL!r})\n"
        "r = run_all({'a': c, 'b': c.replace(seed=1)}, bt.load('shapes', limit=64), bt.load('shapes', 'test', limit=48))\n"
        "print('once', list(r))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=True,
    )
    assert done.stdout == "once ['a', 'b']\n"
    assert "16/16" in done.stderr  # also the steps after the last that is a multiple of SHOWN_EVERY
    assert "leaked" not in done.stderr
    assert "2 of 2 runs" in done.stderr


@pytest.mark.training
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_the_end_of_a_notebook_ends_its_workers(tmp_path, own_folder, number):
    """Its process is interrupted, as by the stop button, or killed, as when memory runs out, while its workers train."""
    script = tmp_path / "script.py"
    script.write_text(
        "import byol_tutorial as bt\n"
        "from joblib.externals.loky.backend.process import LokyProcess\n"
        "from byol_tutorial.course import parallel, run_all\n"
        "parallel.WORTH, parallel.free_cores = 0, lambda *_: 2\n"
        "start = LokyProcess.start\n"
        "LokyProcess.start = lambda self: (start(self), print(self.pid, flush=True))\n"
        f"c = bt.preset('shapes', **{SMALL | {'epochs': 100000}!r})\n"
        "try:\n"
        "    run_all({'a': c, 'b': c.replace(seed=1)}, bt.load('shapes', limit=64))\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as process:
        pids = [int(process.stdout.readline()) for _ in range(2)]
        seen = ""
        while not re.search(r"[1-9]\d*/\d+ \[", seen):  # the bar has moved, so the workers train
            seen += process.stderr.read(1)
        process.send_signal(number)
        said = process.stdout.read()  # the workers hold this pipe too, so it ends when all of them have ended
        if number == signal.SIGKILL:
            assert (said, process.wait(60)) == ("", -number)
            return
        assert (said, process.wait(60)) == ("interrupted\n", 0)
        assert "leaked" not in process.stderr.read()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not list(own_folder.glob("*"))


@pytest.mark.slow
def test_an_unforeseen_error_in_a_worker_is_told_with_its_run(config, images, monkeypatch):
    monkeypatch.setattr(parallel, "WORTH", 0)
    monkeypatch.setattr(parallel, "free_cores", lambda *_: 2)
    monkeypatch.setattr(parallel, "_work", lambda job: 1 / (job.config.seed - 1))
    with pytest.raises(UserError, match=r"[ab]: ZeroDivisionError: division by zero"):
        run_all({"b": config.replace(seed=1), "a": config.replace(seed=1, lr=0.1)}, *images, progress=False)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_worker_that_is_killed_is_reported_with_what_is_not_finished(config, images, monkeypatch):
    monkeypatch.setattr(parallel, "WORTH", 0)
    monkeypatch.setattr(parallel, "free_cores", lambda *_: 2)
    killing = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
    monkeypatch.setattr(parallel, "_work", killing)
    with pytest.raises(UserError, match=r"process ended unexpectedly, .* not finished: a, b\. .* call again") as raised:
        run_all({"a": config, "b": config.replace(seed=1)}, *images, progress=False)
    assert "SIGKILL" in str(raised.value.__cause__)


def test_the_same_config_twice_is_trained_once(config, images, monkeypatch):
    seen = trained(monkeypatch)
    results = run_all({"a": config, "b": config}, *images, progress=False)
    assert len(seen) == 1
    assert results["a"].history == results["b"].history


def test_a_table_and_a_picture(config, images):
    results = run_all({"BYOL": config, "<no> predictor": config.replace(predictor="identity")}, *images, progress=False)
    text, html = str(results), results._repr_html_()
    assert f"{results['BYOL'].linear:.3f}" in text
    assert "&lt;no&gt; predictor" in html
    assert "BYOL" in results.curves().alt
    with_another_batch = run_all({"16": config, "32": config.replace(batch_size=32)}, *images, progress=False)
    panels = with_another_batch.curves().get_axes()
    assert {axes.get_xlabel() for axes in panels} == {"step"}
    assert {axes.get_xlabel() for axes in results.curves().get_axes()} == {"epoch"}


# --- with labels --------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_supervised_baseline_learns_from_labels_and_is_kept(images):
    """On two of the ten shapes, chance is a half. Seen over four seeds: accuracy 0.85 to 0.95, linear 0.98 to 1."""
    train, test = bt.load("shapes", limit=1200), bt.load("shapes", split="test", limit=600)
    train, test = (s[(s.labels == 0) | (s.labels == 5)] for s in (train, test))
    config = bt.preset("shapes", width=8, epochs=12, batch_size=16)
    first = supervised(config, train, test, progress=False)
    assert first.loss[0] > 1
    assert sum(first.loss[-10:]) / 10 < 0.3
    assert first.accuracy > 0.7
    assert first.linear > 0.9
    again = supervised(config, train, test, progress=False)
    assert (first.from_cache, again.from_cache) == (False, True)
    assert torch.equal(bt.features(first.encoder, test), bt.features(again.encoder, test))
    assert bt.features(first.encoder, test).shape == (len(test), 32)


def test_its_encoder_starts_as_byols_does(config, images):
    """At learning rate ~0 what comes out is what BYOL's online encoder is before training."""
    still = config.replace(lr=1e-30, weight_decay=0.0)
    encoder = supervised(still, *images, progress=False).encoder
    for a, b in zip(
        encoder.parameters(), bt.Trainer(config, images[0], device="cpu").model.encoder.parameters(), strict=True
    ):
        assert torch.allclose(a, b, rtol=0, atol=1e-20)


def test_a_supervised_baseline_needs_labels(config, images):
    from dataclasses import replace

    with pytest.raises(bt.DataError, match="needs them"):
        supervised(config, replace(images[0], labels=None), images[1])


# --- anything else ------------------------------------------------------------------------------


def test_cached_computes_once_for_the_same_text_and_inputs():
    calls = []

    def compute():
        calls.append(1)
        return {"x": torch.arange(3), "n": 2.5}

    first, second = cached("it", compute, seed=0), cached("it", compute, seed=0)
    assert torch.equal(first["x"], second["x"])
    assert len(calls) == 1
    cached("it", compute, seed=1)
    cached("it", compute, seed=0, images=bt.load("shapes", limit=8))
    cached("other", compute, seed=0)
    assert len(calls) == 4
    with pytest.raises(TypeError, match="cannot decide a cache key"):
        cached("it", compute, seed=object())


def test_the_digest_covers_the_algorithm_and_the_lessons_code():
    assert {"augment/views.py", "methods/byol.py", "evaluate/linear.py", "train/batches.py", "networks/encoders.py",
            "course/bugs.py", "course/supervised.py", "course/measures.py"} <= set(cache.deciding())  # fmt: skip
    assert not [name for name in cache.deciding() if name.startswith(("cli", "widgets", "figures"))]
    assert cache.library().startswith(bt.__version__ + "+")
