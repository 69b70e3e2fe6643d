"""The number of threads of a run: by the seconds of its steps, which a model of a machine gives here."""

from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import byol_tutorial as bt
from byol_tutorial.config.errors import TrainingError
from byol_tutorial.course import jobs
from byol_tutorial.runtime import threads
from byol_tutorial.train import thread_choice
from byol_tutorial.train.thread_choice import AGAIN, TRIAL, WINDOW, ThreadChoice


def make(choice: ThreadChoice, seconds, steps: int) -> list[int]:
    """Let a run make so many steps that take seconds(count); return the count of each."""
    counts = []
    for _ in range(steps):
        counts.append(choice.count)
        choice.add(seconds(choice.count))
    return counts


@pytest.mark.parametrize("most", [1, 2, 3, 6, 8, 16])
@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        (lambda n: 1 / n, lambda most: most),  # twice as fast by twice as many
        (lambda n: 0.95 + 0.05 / n, lambda most: 1),  # the gain of a small network
        (lambda n: n, lambda most: 1),  # a machine that is busy from the start
    ],
    ids=["scales", "small gain", "busy"],
)
def test_the_number_that_pays_is_found_within_a_few_steps(most, seconds, best):
    choice = ThreadChoice(most)
    make(choice, seconds, TRIAL * (most.bit_length() + 1))
    assert set(make(choice, seconds, 5 * WINDOW)) == {best(most)}


def test_work_that_four_threads_share_well_and_more_do_not_gets_four():
    choice = ThreadChoice(16)
    make(choice, lambda n: 1 / min(n, 4), 30)
    assert choice.count == 4


def test_a_machine_that_becomes_busy_and_free_again():
    idle, busy = (lambda n: 0.2 / n), (lambda n: 0.25 if n == 1 else 2.0)
    choice = ThreadChoice(2)
    make(choice, idle, 40)
    assert choice.count == 2
    counts = make(choice, busy, 2 * WINDOW + TRIAL)
    assert counts[-1] == 1
    assert counts.count(2) <= 2 * WINDOW
    with_two = make(choice, busy, 1000).count(2)
    assert with_two <= TRIAL * (1000 * 0.25 / AGAIN + 1)  # it looks again once a minute
    make(choice, idle, int(AGAIN / 0.2) + 2 * WINDOW + TRIAL)
    assert choice.count == 2


def test_single_slow_steps_change_nothing():
    choice = ThreadChoice(4)
    make(choice, lambda n: 1e-3 / n, 20)
    for k in range(300):
        assert choice.count == 4
        choice.add(5e-3 if k % 4 == 0 else 0.25e-3)


def test_after_a_busy_time_in_which_fewer_were_not_better_the_next_busy_time_is_noticed():
    choice = ThreadChoice(2)
    make(choice, lambda n: 0.02 / n, 40)
    busy_for_all = make(choice, lambda n: 0.2 / n, 40)  # each core is slow, and so fewer threads are no better
    assert (1 in busy_for_all, choice.count) == (True, 2)
    make(choice, lambda n: 0.02 / n, 40)
    make(choice, lambda n: 0.02 if n == 1 else 0.1, 2 * WINDOW + TRIAL)  # ten times as slow as usual, as slow as before
    assert choice.count == 1


def test_a_resumed_run_begins_with_its_number_and_tries_nothing_at_first():
    choice = ThreadChoice(8, count=2)
    assert set(make(choice, lambda n: 1 / n, 40)) == {2}


@pytest.mark.parametrize("count", [2, 16])
def test_a_resumed_run_that_had_all_threads_or_more_is_tried_anew(count):
    """Several processes and compiled runs have all without a trial; a smaller machine has fewer than were measured."""
    choice = ThreadChoice(2, count=count)
    assert choice.count == 2
    make(choice, lambda n: 1.0, 2 * TRIAL)
    assert choice.count == 1


# --- in a Trainer -------------------------------------------------------------------------------

TINY = {"width": 4, "hidden_dim": 16, "projection_dim": 8, "epochs": 4, "warmup_epochs": 1, "batch_size": 16}


@pytest.fixture(scope="module")
def train():
    return bt.load("shapes", limit=64)


@pytest.fixture
def two_cores(no_number_set):
    """As `no_number_set`, where torch begins with two threads."""
    threads._torch_sets(2)


def steps_with(trainer: bt.Trainer, steps: int) -> list[int]:
    """Return the number of threads that each step really computes with."""
    seen, real = [], trainer.computation.passes
    trainer.computation.passes = lambda images: (seen.append(torch.get_num_threads()), real(images))[1]
    for _ in range(steps):
        trainer.step()
    return seen


def test_a_small_network_trains_with_one_thread_whatever_the_seconds(two_cores, train):
    trainer = bt.Trainer(bt.Config(**TINY), train, device="cpu")
    assert steps_with(trainer, 3) == [1, 1, 1]
    assert trainer._choice.most == 1
    assert trainer.history.threads == [(0, 1)]
    assert torch.get_num_threads() == 2


LARGE = [{"encoder": "resnet18", "batch_size": 16}, {"width": 256}, {"batch_size": 1500}]
LARGE_HEADS = [  # beside the small encoder
    {"hidden_dim": 4096, "projection_dim": 4096},
    {"predictor_hidden_dim": 60_000},
    {"method": "dino", "prototypes": 100_000},
    {"method": "simclr", "hidden_dim": 4096, "projection_dim": 1024},
]


@pytest.mark.parametrize("fields", LARGE + LARGE_HEADS)
def test_larger_ones_are_measured(two_cores, fields):
    images = bt.images_from(torch.zeros(1500, 3, 32, 32, dtype=torch.uint8))
    trainer = bt.Trainer(bt.Config(view_size=32, **{"batch_size": 32, **fields}), images, device="cpu")
    thread_choice.threads(trainer)
    assert trainer._choice.most == 2


def test_the_lessons_recipes_are_small(two_cores):
    images = bt.load("shapes", limit=128)
    for name in ("shapes", "digits", "simclr", "simsiam", "dino"):
        trainer = bt.Trainer(bt.preset(name), images, device="cpu")
        assert (name, thread_choice.threads(trainer), trainer._choice.most) == (name, 1, 1)


def test_a_large_network_takes_the_number_that_was_measured_and_keeps_it(two_cores, train, monkeypatch, tmp_path):
    monkeypatch.setattr(thread_choice, "LARGE_STEP", 1.0)
    trainer = bt.Trainer(bt.Config(**TINY), train, device="cpu")
    trainer._choice = thread_choice.choice(trainer)
    monkeypatch.setattr(trainer._choice, "add", lambda _: setattr(trainer._choice, "count", 3 - trainer._choice.count))
    assert steps_with(trainer, 3) == [2, 1, 2]
    assert trainer.history.threads == [(0, 2), (1, 1), (2, 2)]
    trainer.save(tmp_path / "run.pt")
    resumed = bt.Trainer.resume(tmp_path / "run.pt", train, device="cpu")
    assert steps_with(resumed, 1) == [2]
    assert resumed.history.threads == trainer.history.threads


def test_the_work_of_a_step_is_that_of_the_layers_that_a_view_goes_through(two_cores, train):
    trainer = bt.Trainer(bt.Config(**TINY, view_size=16), train, device="cpu")
    x = torch.zeros(2, 3, 16, 16)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        trainer.model.predictor(trainer.model.online(x))
    exchangeable = trainer.model.predictors["linear"].weight.numel()  # not in use, and learned once it is
    assert thread_choice.learned_multiplications(trainer) == counter.get_total_flops() / 4 + exchangeable
    assert all(part.training for part in trainer.model.online.modules())


def test_memory_that_does_not_suffice_to_count_is_said_and_every_part_keeps_its_mode(two_cores, train, monkeypatch):
    trainer = bt.Trainer(bt.Config(**TINY), train, device="cpu")
    frozen = next(part for part in trainer.model.encoder.modules() if isinstance(part, torch.nn.BatchNorm2d)).eval()

    def fail(*_):
        assert not trainer.model.encoder.training
        raise torch.OutOfMemoryError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(thread_choice, "multiplications", fail)
        with pytest.raises(TrainingError, match="lower batch_size"):
            trainer.step()
    modes = {part: part.training for part in trainer.model.modules()}
    assert modes.pop(frozen) is False
    assert all(modes.values())
    trainer.step()
    assert trainer.steps_done == 1


def test_steps_on_another_device_say_nothing_about_threads_and_a_run_from_there_is_tried_anew(
    two_cores, train, monkeypatch
):
    monkeypatch.setattr(thread_choice, "LARGE_STEP", 1.0)
    trainer = bt.Trainer(bt.Config(**TINY), train, device="cpu")
    with monkeypatch.context() as patch:
        patch.setitem(vars(trainer), "device", SimpleNamespace(type="cuda"))
        trainer.step()
    assert trainer.history.threads == []
    seen = steps_with(trainer, TRIAL + 1)
    assert seen == [2] * TRIAL + [1]


def test_a_number_that_was_set_is_never_changed(two_cores, train, monkeypatch):
    monkeypatch.setattr(thread_choice, "LARGE_STEP", 1.0)
    trainer = bt.Trainer(bt.Config(**TINY), train, device="cpu")
    torch.set_num_threads(3)
    assert steps_with(trainer, 20) == [3] * 20
    bt.set_threads(1)
    assert steps_with(trainer, 2) == [1, 1]
    assert trainer.history.threads == [(0, 3), (20, 1)]


def test_it_holds_for_a_session_that_has_begun(two_cores, train):
    with bt.Session(bt.Config(**TINY), train, device="cpu") as session:
        session.run(steps=2)
        bt.set_threads(2)
        session.run(steps=2)
        assert session.trainer.history.threads == [(0, 1), (2, 2)]


def test_lessons_train_large_networks_with_one_thread_too(two_cores, train, monkeypatch):
    monkeypatch.setattr(thread_choice, "LARGE_STEP", 1.0)
    options = {"epochs": 1, "changes": {}, "track": [], "track_every": 1.0, "probe": False}
    state = jobs.train_and_judge(jobs.Job("key", bt.Config(**TINY), options), train, None, None, lambda _: None)
    assert state["history"]["threads"] == [(0, 1)]
