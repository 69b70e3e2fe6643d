"""The laboratory: the paper's tables, runs that take turns, the processes, and the panel without a browser."""

import gc
import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import Future

import psutil
import pytest
import torch
from ipywidgets.widgets import widget as registry
from leftovers import wait_until_no_more

import byol_tutorial as bt
from byol_tutorial.config import paper_tables as ablations
from byol_tutorial.config.errors import ConfigError, LaboratoryError, UserError
from byol_tutorial.config.paper_tables import Row, own_rows, tables
from byol_tutorial.live import laboratory as laboratory_module
from byol_tutorial.live import round_robin, worker_process
from byol_tutorial.live.findings import LEVELS, Finding, Findings, level, remark
from byol_tutorial.live.laboratory import Laboratory
from byol_tutorial.live.laboratory_runs import FRAME
from byol_tutorial.widgets.laboratory import laboratory
from byol_tutorial.widgets.laboratory.frames import POINTS, curves_of

TINY = {"width": 4, "hidden_dim": 16, "projection_dim": 8, "batch_size": 8, "epochs": 4, "warmup_epochs": 1.0}
BASE = bt.Config(**TINY)
WAIT = 120  # seconds after which a test gives up


@pytest.fixture(scope="module")
def images():
    return bt.load("shapes", limit=64), bt.load("shapes", "test", limit=40)


@pytest.fixture
def one_thread():
    """Let torch compute with one thread, as in a worker."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def until(lab, condition):
    """Wait until the condition is true of the laboratory."""
    seen = threading.Event()
    unsubscribe = lab.subscribe(lambda lab: seen.set() if condition(lab) else None)
    try:
        assert condition(lab) or seen.wait(WAIT), f"never seen; now {lab.cells}"
    finally:
        unsubscribe()


def steps(lab, name):
    return lab.cells[name].snapshot.step


def losses(lab, name):
    return lab.cells[name].snapshot.series("loss")


def settled(box):
    """Wait until all commands are carried out: they are carried out in order, so one more waits for all before it."""
    box.lab._queue.submit(lambda: None).result(WAIT)


def alone(config, images):
    """Return the same run, made by a Trainer: the independent truth."""
    return bt.Trainer(config, *images, device="cpu").run(progress=False)


@pytest.mark.parametrize(("threads", "processes"), [(None, 4), (1, 4), (2, 2), (3, 1), (9, 1)])
def test_processes_times_threads_are_no_more_than_there_are_cores(threads, processes, images, monkeypatch):
    monkeypatch.setattr(laboratory_module, "cores", lambda: 4)
    monkeypatch.setattr(laboratory_module, "chosen", lambda: threads)
    assert Laboratory(tables("5b"), BASE, *images).workers == processes


# --- the tables ---------------------------------------------------------------------------------

PAPER = {  # Grill et al. 2020: tables 5a and 5b
    "5a": {"τ = 1": 18.8, "τ = 0.999": 69.8, "τ = 0.99": 72.5, "τ = 0.9": 68.4, "τ = 0": 0.3},
    # (predictor, target network, β): top-1
    "5b": {(1, 1, 0): 72.5, (1, 1, 1): 70.9, (0, 1, 1): 70.7, (0, 0, 1): 69.4,
           (1, 0, 1): 69.1, (1, 0, 0): 0.3, (0, 1, 0): 0.2, (0, 0, 0): 0.1},
}  # fmt: skip


def test_table_5a_has_the_papers_rows():
    rows = tables("5a")
    assert {name: row.paper for name, row in rows.items()} == PAPER["5a"]
    for name, row in rows.items():
        tau, config = float(name.removeprefix("τ = ")), row.config(BASE)
        trainer = bt.Trainer(config, bt.load("shapes", limit=16), device="cpu")
        trainer.step()
        assert trainer.history.tau[0] == tau  # the rate of the first update
        assert config.stop_gradient


def test_table_5b_has_the_papers_rows():
    rows = tables("5b").values()
    found = {}
    for row in rows:
        c = row.config(BASE)
        found[c.predictor == "mlp", c.target == "ema", int(c.negatives_weight)] = row.paper
        assert c.stop_gradient == (c.target == "ema")
    assert found == PAPER["5b"]
    assert len(tables("5a", "5b")) == 13


def test_rows_by_name_and_rows_of_other_configs():
    assert list(tables("τ = 0", "5b"))[:2] == ["τ = 0", "BYOL"]
    with pytest.raises(ConfigError, match="'5c': choose tables or rows of 5a, 5b"):
        tables("5c")
    config = bt.Config(**TINY, seed=3)
    assert own_rows({"mine": config})["mine"].config(bt.preset("digits")) == config


@pytest.mark.parametrize(
    ("linear", "expected"), [(0.2, 0), (0.31, 0), (0.36, 0), (0.38, 1), (0.8, 1), (0.85, 2), (0.99, 2)]
)
def test_levels_lie_between_the_untrained_encoder_and_the_best(linear, expected):
    assert level(linear, 0.3, 0.95) == expected


def test_the_papers_numbers_get_levels_by_the_same_rule():
    levels = {name: level(paper, ablations.PAPER_RANDOM, ablations.PAPER_BEST) for name, paper in PAPER["5a"].items()}
    assert levels == {"τ = 1": 1, "τ = 0.999": 2, "τ = 0.99": 2, "τ = 0.9": 2, "τ = 0": 0}
    assert {level(x, ablations.PAPER_RANDOM, ablations.PAPER_BEST) for x in (0.3, 0.2, 0.1)} == {0}


def finding(name, linear, **more) -> Finding:
    return Finding(tables(name)[name], "healthy: spread out", linear=linear, random_linear=0.3, **more)


def test_a_remark_gives_the_difference_from_the_paper_and_its_reason():
    words, agrees = remark(finding("τ = 0", 0.94), 0.95)
    assert agrees is False
    assert words.startswith(f"Not as in the paper: {LEVELS[2]} here, learned nothing there.")
    assert "SimSiam" in words
    words, agrees = remark(finding("no predictor", 0.22), 0.95)
    assert (words, agrees) == ("As in the paper: learns nothing.", True)
    assert remark(finding("no predictor", 0.22), 0.35)[1] is None  # no run has learned enough
    assert remark(Finding(tables("τ = 0")["τ = 0"], "", linear=None), 0.95) == ("", None)
    assert remark(Finding(Row("mine", "", "", {}), "", linear=0.9, random_linear=0.3), 0.95) == ("", None)


def test_findings_are_a_table_that_can_be_saved():
    found = Findings(
        {"BYOL": finding("BYOL", 0.95, knn=0.9, std=0.8), "τ = 0": finding("τ = 0", 0.94, error="<it> died")}
    )
    found.caption = "few images"
    text, page = str(found), found._repr_html_()
    for part in ("72.5", "95.0", "30.0", "90.0", "0.800", "few images", "Not as in the paper"):
        assert part in text
        assert part in page
    assert "&lt;it&gt; died" in page
    again = Findings.from_dict(json.loads(json.dumps(found.to_dict())))
    assert (again, str(again)) == (found, text)
    with pytest.raises(UserError, match="no findings"):
        Findings.from_dict({"a": 1})


def test_what_differs_is_taken_from_the_config():
    same, other = ablations.differences(BASE, "64 images", 32)
    assert "rises along a cosine to 1" in " ".join(same)
    assert "batches of 8 and SGD" in " ".join(other)
    same, _ = ablations.differences(BASE.replace(tau_schedule="constant"), "64 images", 32)
    assert "it stays as it is. In the paper it rises to 1" in " ".join(same)


# --- turns, without processes -------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ["small", "resnet18", "vit_nano"])
def test_every_field_that_changes_the_untrained_encoder_decides_which_baseline_a_run_has(encoder):
    base = bt.Config(encoder=encoder)

    def untrained(config):
        torch.manual_seed(0)
        return bt.networks.build_encoder(config, 32).state_dict()

    def same(a, b):
        return a.keys() == b.keys() and all(
            a[name].shape == b[name].shape and torch.equal(a[name], b[name]) for name in a
        )

    plain, found = untrained(base), set()
    for name, field in bt.config.FIELDS.items():
        if field.metadata["group"] != bt.config.NETWORK or name == "encoder":
            continue
        now = getattr(base, name)
        values = field.metadata["choices"] or ([not now] if field.type is bool else [2 * now or 8])
        for value in values:
            try:
                changed = base.replace(**{name: value})
            except ConfigError:
                continue  # not for this encoder
            if not same(untrained(changed), plain):
                found.add(name)
    assert found <= set(round_robin.ENCODER)
    assert found == {
        "small": {"width"}, "resnet18": {"zero_init_residual", "projection_shortcut"}, "vit_nano": {"patch_size"},
    }[encoder] | ({"norm"} if encoder != "vit_nano" else set())  # fmt: skip


def take_turns(images, commands, answer=lambda message, command: None):
    """Return what a worker sends when it gets these commands. `answer` gets each message and may add commands."""
    sent, waiting = [], queue.SimpleQueue()

    def command(**what):
        waiting.put({"n": len(sent), **what})

    def send(**message):
        sent.append(message)
        answer(message, command)

    for what in commands:
        command(**what)
    round_robin.RoundRobin(waiting, send, *images).work()
    return sent


def begin(configs, folder, resume=False):
    runs = [
        {"run": name, "config": c.to_dict(), "file": str(folder / f"{name}.pt"), "resume": resume}
        for name, c in configs.items()
    ]
    return {"do": "begin", "runs": runs}


CONFIGS = {"a": BASE, "b": BASE.replace(seed=1), "c": BASE.replace(predictor="identity")}


def test_runs_advance_together_and_as_if_alone(images, tmp_path, one_thread):
    done = set()

    def answer(message, command):
        if "result" in message:
            done.add(message["run"])
            if done == {"a", "b", "c"}:
                command(do="quit")

    sent = take_turns(images, [begin(CONFIGS, tmp_path), {"do": "go", "runs": list(CONFIGS), "rate": None}], answer)
    at = dict.fromkeys(CONFIGS, 0)
    for message in sent:
        if "step" in message:
            at[message["run"]] = message["step"]
            assert max(at.values()) - min(at.values()) <= round_robin.STEPS
    for name, config in CONFIGS.items():
        reports = [m for m in sent if m.get("run") == name]
        truth = alone(config, images)
        assert [x for m in reports for x in m.get("loss", ())] == truth.history.loss
        assert [x for m in reports for x in m.get("std", ())] == truth.history.std
        assert [tuple(x) for m in reports for x in m.get("knn", ())] == truth.history.knn
        result = next(m["result"] for m in reports if "result" in m)
        for key, encoder in (("", truth.model.encoder), ("random_", truth.initial_encoder())):
            y = [bt.features(encoder, part) for part in images]
            known = y[0], images[0].labels, y[1], images[1].labels
            assert result[f"{key}linear"] == bt.linear_probe(*known).accuracy
            assert result[f"{key}knn"] == bt.knn_accuracy(*known)
        report = truth.report()
        assert (result["std"], result["rank"]) == (report.std, report.rank)


def test_a_run_that_fails_reports_the_reason_and_the_others_go_on(images, tmp_path):
    bad = BASE.replace(lr=1e30, warmup_epochs=0.0, loss_normalization="none")

    def answer(message, command):
        if "result" in message:
            command(do="quit")

    sent = take_turns(
        images,
        [begin({"bad": bad, "a": BASE}, tmp_path), {"do": "go", "runs": ["bad", "a"], "rate": None}],
        answer,
    )
    assert "lower lr" in next(m["failed"] for m in sent if "failed" in m)
    assert [m["run"] for m in sent if "result" in m] == ["a"]


def test_a_worker_that_quits_saves_its_runs_and_another_goes_on_with_them(images, tmp_path, one_thread):
    def quit_at(step):
        return lambda message, command: command(do="quit") if message.get("step", 0) >= step else None

    first = take_turns(images, [begin({"a": BASE}, tmp_path), {"do": "go", "runs": ["a"], "rate": None}], quit_at(12))
    assert first[-1].keys() == {"answer"}
    second = take_turns(
        images, [begin({"a": BASE}, tmp_path, resume=True), {"do": "go", "runs": ["a"], "rate": None}], quit_at(32)
    )
    stopped_at = max(m.get("step", 0) for m in first)
    assert 12 <= stopped_at < 32
    assert next(m["built"]["step"] for m in second if "built" in m) == stopped_at
    both = [x for m in first + second for x in m.get("loss", ())]
    assert both == alone(BASE, images).history.loss


def test_a_run_that_is_not_named_pauses_and_the_rate_is_a_limit(images, tmp_path):
    sent, started = [], []

    def answer(message, command):
        sent.append(message)
        if "step" in message:
            started.append(time.perf_counter())
        if message.get("step") == 5:
            command(do="quit")

    take_turns(images, [begin(CONFIGS, tmp_path), {"do": "go", "runs": ["b"], "rate": 20.0}], answer)
    assert {m["run"] for m in sent if "run" in m} == {"b"}
    assert [m["step"] for m in sent if "step" in m] == [1, 2, 3, 4, 5]
    # three rounds begin 1/20 s apart; building the run falls into the first, a step's own time is subtracted
    assert started[-1] - started[1] >= 2 / 20


# --- processes ----------------------------------------------------------------------------------


def gone(pid: int) -> bool:
    """Whether this process has ended. It may end between two looks at it, and so one look has to tell."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_process_that_ends_between_two_looks_is_gone(monkeypatch):
    def ended(self):
        raise psutil.NoSuchProcess(self.pid)

    assert not gone(os.getpid())
    monkeypatch.setattr(psutil.Process, "status", ended)
    assert gone(os.getpid())


def wait_until_gone(pids, seconds=60):
    end = time.monotonic() + seconds
    while not all(map(gone, pids)):
        assert time.monotonic() < end, f"still there: {[p for p in pids if not gone(p)]}"
        time.sleep(0.05)


@pytest.mark.parametrize(("cuda", "expected"), [(True, 1), (False, 2)])
def test_on_a_gpu_one_process_trains_all_runs(images, monkeypatch, cuda, expected):
    """Processes that share a GPU wait for each other."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr("byol_tutorial.live.laboratory.cores", lambda: 2)
    with Laboratory(tables("5b"), BASE, *images) as lab:
        assert lab.workers == expected


def test_workers_read_the_same_images(images, tmp_path):
    worker_process.write_images(tmp_path / "x.pt", train=images[0], test=None)
    read = worker_process.read_images(tmp_path / "x.pt")
    assert read["test"] is None
    assert torch.equal(read["train"].images, images[0].images)
    assert torch.equal(read["train"].labels, images[0].labels)
    assert (read["train"].name, read["train"].classes) == ("shapes", images[0].classes)


@pytest.mark.slow
def test_a_worker_that_cannot_start_gives_the_reason_in_words(tmp_path):
    received = queue.SimpleQueue()
    worker = worker_process.Worker("byol_tutorial.no_such_room", tmp_path, lambda *report: received.put(report))
    assert received.get(timeout=WAIT) == (worker, None)
    assert "No module named 'byol_tutorial.no_such_room'" in worker.exit_reason
    worker.send(do="go")  # the worker has ended, and the message is lost
    worker.kill()


@pytest.mark.training
def test_the_whole_life_of_a_laboratory(images, one_thread):
    """Play, pause, a copy as a session, a worker that is killed, the end. One test, because starting takes seconds."""
    box = laboratory(*images, BASE, cells=["τ = 0", "BYOL", "no predictor", "no target"], workers=2)
    lab, panel, rows, frames = box.lab, box.panel, box.lab.rows, []
    # when the laboratory begins to call its subscribers; to make a frame takes a time of its own
    panel.observe(lambda change: frames.append((lab._runs._notified_at, change["new"])), names="frame")
    lab.limit(2.0).result(WAIT)  # so that no run is over before all have begun
    panel.command({"do": "play"})
    until(lab, lambda lab: min(steps(lab, name) for name in rows) >= 2)
    assert lab.state == "running"
    pids = lab.processes
    assert len(pids) == 2

    box.pause()  # returns when the last step has been made
    before = {name: losses(lab, name) for name in rows}
    assert {c.state for c in lab.cells.values()} == {"paused"}

    random, own = torch.get_rng_state(), lab.session("BYOL")
    assert torch.equal(torch.get_rng_state(), random)
    assert (own.state, own.snapshot().series("loss")) == ("paused", before["BYOL"])
    assert own.snapshot().start_knn == lab.cells["BYOL"].snapshot.start_knn
    own.run()  # goes on from its step
    assert own.snapshot().series("loss") == alone(rows["BYOL"].config(BASE), images).history.loss
    assert {name: losses(lab, name) for name in rows} == before

    box.play()
    os.kill(pids[0], signal.SIGKILL)
    until(lab, lambda lab: any(c.state == "failed" for c in lab.cells.values()))
    failed = [name for name, c in lab.cells.items() if c.state == "failed"]
    assert failed == ["τ = 0", "no target"]  # the tables' order, dealt to two
    for name in failed:
        assert "ended from outside (SIGKILL" in lab.cells[name].snapshot.verdict
    lab.limit(None)
    found = box.run()
    assert lab.state == "done"
    assert {name: bool(f.error) for name, f in found.items()} == {n: n in failed for n in rows}
    assert "SIGKILL" in str(found)
    for name in ("BYOL", "no predictor"):
        truth = alone(rows[name].config(BASE), images).history
        assert losses(lab, name) == truth.loss
        assert list(lab.cells[name].snapshot.knn) == truth.knn
    wait_until_gone(pids)
    with lab.session("BYOL") as own:
        assert (own.state, own.snapshot().series("loss")) == ("done", losses(lab, "BYOL"))

    until(lab, lambda lab: frames[-1][1]["state"] == "done")
    for cell, name in zip(panel.frame["cells"], rows, strict=True):
        assert cell["curves"]["loss"] == [float(f"{x:.4g}") for x in losses(lab, name)]
        assert cell["linear"] == found[name].linear
        assert ("SIGKILL" in cell["verdict"]) == (name in failed)
    assert {frame["state"] for _, frame in frames} >= {"starting", "running", "paused", "done"}
    drawn = [at for (at, frame), (_, last) in zip(frames[1:], frames, strict=False) if frame != last]
    assert min(b - a for a, b in itertools.pairwise(drawn)) >= FRAME - 1e-9  # of rounding

    panel.command({"do": "play"})
    settled(box)
    assert "every run is over" in panel.problem
    panel.command({"do": "reset"})
    settled(box)
    assert (lab.state, {c.snapshot.step for c in lab.cells.values()}) == ("idle", {0})
    box.close()
    box.close()  # twice does no harm
    assert not [t for t in threading.enumerate() if t.name.startswith("byol ") and t.is_alive()]
    with pytest.raises(LaboratoryError, match="closed"):
        lab.start().result(WAIT)


SCRIPT = textwrap.dedent("""
    import os, sys
    import byol_tutorial as bt
    from byol_tutorial.config.paper_tables import tables
    from byol_tutorial.live.laboratory import Laboratory
    print("script", flush=True)    # no guard: a child that executed this again would print it again
    images = bt.load("shapes", limit=64), bt.load("shapes", "test", limit=40)
    lab = Laboratory(tables("BYOL"), bt.Config(**{config}), *images)
    lab.limit(20.0)
    printed = []
    def print_once(lab):
        if lab.cells["BYOL"].snapshot.step and not printed:
            printed.append(True)
            print(*lab.processes, lab._runs.pool.folder, flush=True)
    lab.subscribe(print_once)
    try:
        lab.run()
    except KeyboardInterrupt:
        lab.suspend().result()
        print("interrupted", lab.state, lab.processes, flush=True)
        lab.limit(None)
        lab.run()
        print("losses", lab.cells["BYOL"].snapshot.series("loss"), flush=True)
""")


@pytest.fixture
def script(tmp_path):
    """A script without a guard that has begun to train, in a separate group of processes: process, pid, folder."""
    (tmp_path / "script.py").write_text(SCRIPT.format(config=TINY))
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py")], stdout=subprocess.PIPE, text=True, start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdout.readline() == "script\n"
    pid, folder = process.stdout.readline().split()
    yield process, int(pid), folder
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.training
def test_a_parent_that_is_killed_leaves_no_process_and_no_file(script):
    process, pid, folder = script
    assert not gone(pid)
    os.killpg(process.pid, signal.SIGKILL)  # with all of its group, as a notebook's kernel is killed
    process.wait()
    wait_until_gone([pid])
    assert not os.path.exists(folder)


@pytest.mark.training
def test_an_interrupt_ends_the_processes_and_saves_the_runs(script, images, one_thread):
    """Ctrl-C reaches the whole group, and may reach a worker."""
    process, pid, _ = script
    os.kill(pid, signal.SIGINT)
    os.killpg(process.pid, signal.SIGINT)
    rest = process.stdout.read().splitlines()
    assert process.wait(WAIT) == 0
    wait_until_gone([pid])
    assert "script" not in rest
    assert "interrupted paused []" in rest
    seen = json.loads(next(line for line in rest if line.startswith("losses")).removeprefix("losses "))
    assert seen == alone(BASE, images).history.loss


def test_a_laboratory_closed_at_once_leaves_nothing(images):
    before = set(psutil.Process().children())
    with Laboratory(tables("5a"), BASE, *images) as lab:
        lab.start().result(WAIT)
        pids, folder = lab.processes, lab._runs.pool.folder
        assert pids
    wait_until_gone({child.pid for child in set(psutil.Process().children()) - before} | set(pids))
    assert not os.path.exists(folder)


def test_nonsense_from_a_worker_fails_the_runs_with_a_reason_and_no_call_waits_for_ever(images):
    with Laboratory(tables("5a"), BASE, *images) as lab:
        lab.start().result(WAIT)
        worker = next(iter(lab._runs.pool.workers))
        pids = lab.processes
        lab._queue.post(lambda: lab._runs.receive(worker, {"run": "τ = 0", "step": 1}))
        with pytest.raises(LaboratoryError, match="every run has failed: 'loss'"):
            lab.run()
        assert all(map(gone, pids))


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"rows": {}}, LaboratoryError, "no runs"),
        ({"workers": 0}, LaboratoryError, "workers=0: give a whole number, at least 1"),
        ({"workers": True}, LaboratoryError, "workers=True"),
        ({"base": bt.Config(**TINY | {"batch_size": 65})}, ConfigError, "batch_size=65.*64 images"),
        ({"train": "shapes"}, LaboratoryError, "'shapes' is not in memory"),
        ({"base": bt.Config(**TINY, loss_normalization="none")}, ConfigError, "negatives compare cosines"),
    ],
)
def test_what_cannot_work_is_refused_at_once(images, change, error, words):
    values = {"rows": tables("5a", "5b"), "base": BASE, "train": images[0], "test": images[1]} | change
    with pytest.raises(error, match=words):
        Laboratory(**values)


def test_unknown_runs_and_rates_are_refused(images):
    lab = Laboratory(tables("5a"), BASE, *images)
    for command in (lambda: lab.session("τ = 2"), lambda: lab.experiment("τ = 2"), lambda: lab.choose(["τ = 2"])):
        with pytest.raises(LaboratoryError, match="'τ = 2' is not a run of this laboratory: choose one of τ = 1"):
            command()
    with pytest.raises(LaboratoryError, match="no runs chosen"):
        lab.choose([])
    with pytest.raises(LaboratoryError, match="rate=0"):
        lab.limit(0)


# --- the panel ----------------------------------------------------------------------------------


@pytest.fixture
def box(images):
    box = laboratory(*images, BASE, workers=1)
    yield box
    box.close()


def test_the_panel_shows_the_rows_and_the_state(box, images):
    setup, frame = box.panel.setup, box.panel.frame
    assert [c["name"] for c in setup["cells"]] == list(tables("5a", "5b"))
    assert {c["name"]: c["paper"] for c in setup["cells"] if c["table"] == "5a"} == PAPER["5a"]
    assert (frame["state"], frame["chosen"]) == ("idle", list(box.lab.rows))
    assert len(frame["cells"]) == 13
    assert json.dumps([setup, frame])  # as it goes to the browser
    for cell in setup["cells"]:
        scope = {"bt": bt, "train": images[0]}
        code = cell["code"][0] + "3" + cell["code"][1]
        exec(code.replace("')", "', train)"), scope)
        session = scope["session"]
        assert (session.snapshot().step, session.config) == (3, box.lab.rows[cell["name"]].config(BASE))
        session.close()


def test_curves_are_short_and_keep_the_mean():
    values = [float(x) for x in range(1000)]
    curves = curves_of(values, values)
    assert len(curves["loss"]) <= POINTS
    assert curves["block"] == 7
    assert curves["loss"][0] == 3.0
    assert curves["std"][-1] == pytest.approx(sum(values[994:]) / 6, rel=1e-3)
    assert curves_of([], []) == {"block": 1, "loss": [], "std": []}
    assert curves_of([float("nan")], [1.0])["loss"] == [None]


def test_choosing_a_table_pauses_the_runs_of_the_other(box):
    box.panel.command({"do": "choose", "tables": ["5b"]})
    settled(box)
    assert box.lab.chosen == list(tables("5b"))
    box.panel.command({"do": "choose", "tables": []})
    assert "no runs chosen" in box.panel.problem


def test_errors_are_shown_in_the_panel(box):
    box.panel.command({"do": "open", "cell": "τ = 2"})
    assert "'τ = 2' is not a run" in box.panel.problem
    box.panel.command({"do": "speed", "rate": -1})
    assert "rate=-1: give" in box.panel.problem
    box.panel.command({"do": "choose", "tables": ["5a"]})
    assert box.panel.problem == ""


def test_a_run_opens_in_a_cockpit_beneath_and_in_python(box):
    box.panel.command({"do": "open", "cell": "no predictor"})
    assert box.panel.problem == ""
    assert box.panel.frame["opened"] == ["no predictor", 1]
    _, first = box.bench.children
    assert first.session.config == box.lab.rows["no predictor"].config(BASE)
    assert first.frame["name"] == "no predictor"
    box.panel.command({"do": "open", "cell": "τ = 0"})
    head, second = box.bench.children
    assert first.comm is None  # closed
    assert second.session.config.target == "online"
    own = box.open("BYOL")
    assert own not in box.bench.children
    own.session.run(steps=2)
    own.close()
    head.children[1].click()
    assert box.bench.children == ()


def test_opening_a_run_measures_the_untrained_encoder_no_second_time(box, monkeypatch):
    """The laboratory knows its accuracy, and measuring takes seconds."""
    snapshot = box.lab.cells["BYOL"].snapshot
    box.lab._runs._replace("BYOL", box.lab.cells["BYOL"].but(start_knn=0.125))
    trainer = bt.Trainer(snapshot.config, box.lab.train, box.lab.test, "cpu")
    trainer.step()
    monkeypatch.setattr("byol_tutorial.live.laboratory.Trainer", lambda *given: trainer)
    monkeypatch.setattr("byol_tutorial.live.laboratory.restore", lambda *given: None)
    monkeypatch.setattr("byol_tutorial.live.laboratory.checkpoint.load", lambda file: {})
    monkeypatch.setattr(box.lab._runs, "file", lambda name: __file__)
    monkeypatch.setattr(bt.Trainer, "check_knn", lambda self: pytest.fail("measured"))
    with box.lab.session("BYOL") as session:
        assert session.snapshot().start_knn == 0.125
        assert session.snapshot().step == 1


def test_interrupted_or_abandoned_it_ends_its_processes(box, monkeypatch):
    box.play()
    pids = box.lab.processes
    box.panel.interrupted()
    wait_until_gone(pids)
    settled(box)
    assert box.lab.state == "idle"
    assert "interrupted" in box.panel.note
    monkeypatch.setattr(type(box.panel), "abandoned", True)
    box.play()
    until(box.lab, lambda lab: not lab.processes)
    assert "no page" in box.panel.note
    monkeypatch.setattr(type(box.panel), "abandoned", False)
    box.panel.returned()  # the page was only cut off
    until(box.lab, lambda lab: lab.state in ("running", "done"))
    assert box.panel.note == ""
    box.panel.do_pause()
    settled(box)
    box.panel.returned()  # paused by hand
    settled(box)
    assert box.lab.state not in ("starting", "running")
    box.panel._unwatched = True
    box.panel.interrupted()
    box.panel.returned()  # it had been paused because no page showed it, and then the user stopped it
    settled(box)
    assert box.lab.state not in ("starting", "running")
    assert "interrupted" in box.panel.note


def test_runs_are_not_paused_by_an_absence_that_is_over_or_while_a_cell_waits_for_them(box, monkeypatch):
    panel, states = box.panel, iter([True, False])
    monkeypatch.setattr(type(box.lab), "state", "running")
    monkeypatch.setattr(type(panel), "abandoned", property(lambda _: next(states)))
    asked = []
    monkeypatch.setattr(box.lab, "suspend", asked.append)
    panel._on_change(box.lab)
    (only_if,) = asked
    assert not only_if()  # a page is back when the command's turn has come
    assert (panel._unwatched, panel.note) == (False, "")
    monkeypatch.setattr(type(panel), "abandoned", True)
    box.lab._runs._stopping.append(Future())
    panel._on_change(box.lab)
    assert (len(asked), only_if()) == (1, False)
    box.lab._runs._stopping.clear()
    assert only_if()
    assert panel._unwatched


def test_at_smoke_scale_the_whole_of_it_takes_seconds(monkeypatch):
    monkeypatch.setenv("BYOL_SCALE", "smoke")
    box = bt.widgets.laboratory(cells="5a")
    assert sum(c.snapshot.total_steps for c in box.lab.cells.values()) <= 150
    box.close()
    monkeypatch.setenv("BYOL_SCALE", "laptop")
    box = bt.widgets.laboratory(cells={"mine": bt.preset("shapes")})
    assert (len(box.lab.train), box.panel.setup["tables"]) == (4096, {})
    box.close()


def test_made_and_closed_many_times_nothing_stays(images):
    def count():
        gc.collect()
        return threading.active_count(), len(registry._instances), len(psutil.Process().children())

    laboratory(*images, BASE).close()
    before = count()
    for _ in range(100):
        laboratory(*images, BASE).close()
    wait_until_no_more(count, before, WAIT)
