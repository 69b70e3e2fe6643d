"""Numbers of threads: what was set is kept, small work takes one, and the same number gives the same bits on any machine."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import byol_tutorial as bt
from byol_tutorial.config.errors import TrainingError
from byol_tutorial.networks.encoders import build_encoder
from byol_tutorial.runtime import threads

ROOT = Path(__file__).parents[2]
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


# --- what was set -------------------------------------------------------------------------------

IMPORT = "import os, torch; {before}; import byol_tutorial as bt; from byol_tutorial.runtime.threads import chosen; {after}; "
SHOW = "print(chosen(), torch.get_num_threads())"


# Variables of the environment, what is done before and after the import of the library, and what is printed. A process each,
# because torch reads the variables when it is imported; two of them are in the quick check.
NUMBERS = [
    ({"OMP_NUM_THREADS": "1"}, "0", f"{SHOW}; bt.set_threads(2); {SHOW}", "1 1\n2 2"),
    ({}, "0", f"bt.set_threads(2); import byol_tutorial.course; {SHOW}; bt.set_threads(None); {SHOW}", "2 2\nNone 1"),
    ({}, "0", "n = torch.get_num_threads(); a = chosen(); torch.set_num_threads(n); b = chosen(); bt.set_threads(None); "
     "print(a, b == n, chosen(), torch.get_num_threads() == n)", "None True None True"),
    ({}, "torch.set_num_threads(97)", f"from byol_tutorial.runtime.threads import available; {SHOW}; "
     "print(available() <= (os.cpu_count() or 1))", "None 97\nTrue"),
    ({}, "torch.set_num_threads(1)", "from byol_tutorial.runtime.threads import available; print(available())", "1"),
    ({"OMP_NUM_THREADS": "97"}, "0", "import byol_tutorial.course; print(chosen())", "97"),
    ({"MKL_NUM_THREADS": "2", "OMP_NUM_THREADS": "1"}, "0", "print(chosen())", "2"),
    ({"OMP_NUM_THREADS": "3,2"}, "0", "print(chosen())", "3"),
    ({"OMP_NUM_THREADS": "0"}, "0", "print(chosen())", "None"),
    ({}, "0", f"os.environ['OMP_NUM_THREADS'] = '5'; {SHOW.split(',')[0]})", "None"),
    ({}, "0", f"import byol_tutorial.course; {SHOW}", "None 1"),
    ({}, "0", f"import byol_tutorial.course; bt.set_threads(2); {SHOW}; bt.set_threads(None); {SHOW}", "2 2\nNone 1"),
    ({"OMP_NUM_THREADS": "2"}, "0", f"import byol_tutorial.course; bt.set_threads(None); {SHOW}", "None 1"),
]  # fmt: skip


@pytest.mark.slow  # a process each
@pytest.mark.parametrize(("variables", "before", "after", "expected"), NUMBERS)
def test_a_number_that_was_set_is_known_and_kept(variables, before, after, expected):
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    code = IMPORT.format(before=before, after="0") + after
    printed = subprocess.run(
        [sys.executable, "-c", code], env=environment | variables, capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == expected


@pytest.mark.parametrize(
    ("at_import", "cores"),
    [(4, 8), (8, 8), (4, 4), (2, 4), (1, 2)],
    ids=["fast cores of an Apple chip", "all", "physical", "sibling hyperthreads", "one"],
)
def test_the_default_of_no_machine_is_taken_for_a_number_that_was_set(monkeypatch, at_import, cores):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "_set_later", None)
    monkeypatch.setattr(threads, "AT_IMPORT", at_import)
    monkeypatch.setattr(threads, "cores", lambda: cores)
    monkeypatch.setattr("joblib.cpu_count", lambda only_physical_cores=False: 8)  # it counts the slow cores, too
    monkeypatch.setattr(threads, "_set_before", threads._set_before.__wrapped__)
    assert threads.chosen() is None
    assert threads.threads_for(0) == 1
    assert threads.threads_for(1e15) == at_import


PAGES = ["README.md", *(str(page.relative_to(ROOT)) for page in sorted(ROOT.glob("book/**/*.md")) if "_build" not in page.parts)]  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_no_page_advises_a_variable_that_brings_slow_busy_machines_back(page):
    words = r"OMP_NUM_THREADS`? *(?:=|\|) *`?([^|`]*)"
    assert {value.strip() for value in re.findall(words, (ROOT / page).read_text("utf-8"))} <= {"1"}


@pytest.mark.parametrize("count", [0, -1, 2.0, True, "2"])
def test_a_number_that_is_none_is_refused(count):
    with pytest.raises(TrainingError, match="give a whole number of at least 1"):
        bt.set_threads(count)


# --- a context ----------------------------------------------------------------------------------


def test_a_context_holds_on_its_own_thread_and_ends_with_an_error_too(no_number_set):
    threads._torch_sets(2)
    torch.get_num_threads()
    inside, outside, entered, seen = [], [], threading.Event(), threading.Event()

    def other():
        entered.wait(30)
        outside.append(threads.chosen())
        seen.set()

    @threads.on_threads(1)
    def compute():
        with threads.on_threads(3):
            inside.append((torch.get_num_threads(), threads.chosen(), threads.threads_for(1e15)))
        entered.set()
        assert seen.wait(30)
        inside.append((torch.get_num_threads(), threads.chosen()))
        raise KeyError

    thread = threading.Thread(target=other)
    thread.start()
    with pytest.raises(KeyError):
        compute()
    thread.join()
    assert inside == [(3, 3, 3), (1, 1)]
    assert outside == [None]
    assert (torch.get_num_threads(), threads.chosen()) == (2, None)


def test_large_work_takes_all_cores_and_a_number_that_was_set_holds_for_both(no_number_set):
    assert [threads.threads_for(work) for work in (0, threads.LARGE * 0.99, threads.LARGE)] == [1, 1, 2]
    torch.set_num_threads(5)
    assert [threads.threads_for(work) for work in (0, threads.LARGE)] == [5, 5]


class Noting(nn.Module):
    """An encoder that notes with how many threads it is computed on, and multiplies 12 numbers for each image."""

    def __init__(self):
        super().__init__()
        self.layer, self.seen = nn.Linear(12, 1), []

    def forward(self, x):
        self.seen.append((len(x), torch.get_num_threads()))
        return self.layer(x.flatten(1)[:, :12])


@pytest.mark.parametrize(("work_that_is_large", "expected"), [(12 * 20, 2), (12 * 20 + 1, 1)])
def test_features_of_a_large_encoder_take_all_cores(no_number_set, monkeypatch, work_that_is_large, expected):
    threads._torch_sets(7)
    monkeypatch.setattr(threads, "LARGE", work_that_is_large)
    encoder = Noting()
    bt.features(encoder, torch.zeros(40, 3, 8, 8, dtype=torch.uint8), batch_size=20)
    assert encoder.seen == [(2, 1), (20, expected), (20, expected)]
    assert torch.get_num_threads() == 7


def test_the_work_of_an_encoder_is_counted_where_it_decides_and_the_mode_is_restored(no_number_set):
    from byol_tutorial.evaluate.features import work_of

    images, encoder = torch.zeros(5, 3, 8, 8, dtype=torch.uint8), Noting()
    for mode in (True, False):
        assert work_of(encoder.train(mode), images) == 12
        assert encoder.training is mode
    assert work_of(Noting().to("meta"), images) == 0  # as on a GPU, while the images are in the host's memory
    bt.set_threads(1)
    assert work_of(Noting(), images) == 0


def test_neighbours_and_votes_of_many_vectors_take_all_cores(no_number_set, monkeypatch):
    from byol_tutorial.evaluate import embed, knn

    seen = []
    for module in (embed, knn):
        real = module.computing
        monkeypatch.setattr(module, "computing", lambda work=0, real=real: (seen.append(work), real(work))[1])
    x, labels = torch.randn(30, 4), torch.zeros(30, dtype=torch.int64)
    embed._neighbours(x, 3)
    knn.nearest(x[:10], x, 3)
    knn.knn_accuracy(x, labels, x[:10], labels[:10])
    assert seen == [30 * 30 * 4, 10 * 30 * 4, 10 * 30 * 4]


# --- multiplications ----------------------------------------------------------------------------


def test_multiplications_by_hand():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, stride=2), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(128, 5))
    images = torch.zeros(7, 3, 8, 8)
    assert threads.multiplications(network.eval(), images) == 3 * 9 * 8 * 4 * 4 + 128 * 5
    assert threads.multiplications(nn.Sequential(nn.Linear(6, 2)), torch.zeros(2, 10, 6)) == 10 * 12


@pytest.mark.parametrize("fields", [{}, {"encoder": "resnet18"}, {"encoder": "timm:mobilenetv3_small_050"}])
def test_multiplications_are_those_that_torch_counts(fields):
    config = bt.Config(view_size=32, **fields)
    encoder, x = build_encoder(config, 32, (0.0,) * 3, (1.0,) * 3).eval(), torch.zeros(2, 3, 32, 32)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        encoder(x)
    assert threads.multiplications(encoder, x) == pytest.approx(counter.get_total_flops() / 4, rel=0.01)
    assert not any(layer._forward_hooks for layer in encoder.modules())


# --- the same bits on other machines ------------------------------------------------------------

DIGESTS = """
import os, sys
os.sched_setaffinity(0, [int(core) for core in sys.argv[1].split(",")])
import hashlib, torch
import byol_tutorial as bt
from byol_tutorial.evaluate.embed import _neighbours, pca_embedding
from byol_tutorial.evaluate.knn import nearest
show = lambda name, x: print(name, hashlib.sha256(x.contiguous().numpy().tobytes()).hexdigest()[:16])
train, test = bt.load("shapes", limit=384), bt.load("shapes", "test", limit=128)
for count in (None, 2):
    bt.set_threads(count)
    trainer = bt.Trainer(bt.preset("shapes", epochs=1, warmup_epochs=0.0, knn_every=0, batch_size=64), train, test)
    show("views", torch.cat(trainer.computation.views_of(0)[0]))
    trainer.run(progress=False)
    show("losses", torch.tensor(trainer.history.loss))
    show("weights", torch.cat([p.detach().flatten() for p in trainer.model.parameters()]))
    y, y_test = bt.features(trainer.model.encoder, train), bt.features(trainer.model.encoder, test)
    show("features", y)
    show("nearest", nearest(y_test, y, 20))
    show("neighbours", torch.from_numpy(_neighbours(y, 15)[1]))
    show("map", pca_embedding(y))
    print("knn", bt.knn_accuracy(y, train.labels, y_test, test.labels))
    print("probe", bt.linear_probe(y, train.labels, y_test, test.labels).held_out_accuracy)
    print("report", trainer.report(), trainer.diagnosis())
    print("threads", trainer.history.threads)
"""


@pytest.mark.training
@pytest.mark.skipif(len(CORES) < 2, reason="one core is not two")
def test_one_core_and_two_give_the_same_bits():
    """Without a number, which is one thread for this small network, and with two."""
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    alone, both = (
        subprocess.run(
            [sys.executable, "-c", DIGESTS, ",".join(map(str, cores))],
            env=environment, capture_output=True, text=True, check=True,
        ).stdout
        for cores in (CORES[:1], CORES[:2])
    )  # fmt: skip
    assert alone == both
    assert [line for line in alone.splitlines() if line.startswith("threads")] == [
        "threads [(0, 1)]",
        "threads [(0, 2)]",
    ]
