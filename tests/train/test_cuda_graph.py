"""When a step is recorded, replayed and recorded again, with a pretended CUDA graph. With a real one: tests/train/test_gpu.py."""

import gc
import threading
import warnings
import weakref
from contextlib import contextmanager, nullcontext
from typing import ClassVar

import pytest
import torch

import byol_tutorial as bt
from byol_tutorial.train import cuda_graph
from byol_tutorial.train.cuda_graph import WARM_UP, StepGraph


class Pretended:
    """A graph that is replayed by running the work again on the images it was recorded with."""

    made: ClassVar[list] = []

    def __init__(self):
        self.replays, self.registered = 0, []
        Pretended.made.append(self)

    def register_generator_state(self, generator):
        self.registered.append(generator)

    def replay(self):
        self.replays += 1


@pytest.fixture
def pretended(monkeypatch):
    """Counts the calls of the work, by what they were for."""
    calls = {"run": 0, "recorded": 0, "fails": False}
    recording = []
    weight, generator = torch.nn.Parameter(torch.zeros(3)), torch.Generator()

    @contextmanager
    def graph(graph, stream, capture_error_mode):
        recording.append(graph)
        try:
            yield
        finally:
            recording.pop()

    def work(images):
        if recording and calls["fails"]:
            raise RuntimeError("operation not permitted when stream is capturing")
        calls["recorded" if recording else "run"] += 1
        weight.grad = torch.full((3,), float(calls["recorded"]))
        return images.float().sum()[None]

    Pretended.made = []
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Pretended)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: "a stream of its own")
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: "the stream")
    monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: calls.update(stream=stream))
    monkeypatch.setattr(torch.cuda, "default_generators", {None: torch.Generator()})
    monkeypatch.setattr(
        cuda_graph, "_renew", lambda generator, state: calls.setdefault("renewed", []).append(generator)
    )
    graph = StepGraph(generator, [weight])
    return lambda images: graph(work, images), graph, calls, weight, generator


def images(value: int = 1, n: int = 4) -> torch.Tensor:
    return torch.full((n, 3, 2, 2), value, dtype=torch.uint8)


def test_steps_warm_up_then_one_is_recorded_and_the_others_are_replayed(pretended):
    step, graph, calls, _, generator = pretended
    for _ in range(WARM_UP):
        assert step(images()).item() == 48
    assert (calls["run"], graph.recorded) == (WARM_UP, False)
    for k in range(3):
        step(images(k))
        assert torch.equal(graph._images, images(k))  # what is replayed reads the new images
    assert (calls["run"], calls["recorded"], Pretended.made[0].replays) == (WARM_UP, 1, 3)
    assert Pretended.made[0].registered == [generator]
    assert calls["stream"] == "the stream"


@pytest.mark.parametrize("change", ["drop", "shape", "moved"])
def test_what_a_recording_holds_changes_and_it_is_made_anew(pretended, change):
    step, graph, calls, weight, _ = pretended
    for _ in range(WARM_UP + 2):
        step(images())
    if change == "drop":
        graph.drop()
    elif change == "moved":
        weight.data = weight.data.clone()
    n = 5 if change == "shape" else 4
    for _ in range(WARM_UP):
        step(images(n=n))
        assert not graph.recorded
    step(images(n=n))
    assert graph.recorded
    assert (calls["run"], calls["recorded"], len(Pretended.made)) == (2 * WARM_UP, 2, 2)


def test_a_replay_gives_the_parameters_the_gradients_that_it_writes(pretended):
    step, graph, _, weight, _ = pretended
    for _ in range(WARM_UP + 1):
        step(images())
    written = weight.grad
    weight.grad = None  # as zero_grad() does
    step(images())
    assert graph.recorded
    assert weight.grad is written


def test_a_trainer_is_freed_as_soon_as_nothing_names_it():
    """With its recording, which on a GPU holds the memory of a whole step: no circle keeps it for the garbage collector."""
    trainer = bt.Trainer(bt.Config(batch_size=8, width=4, hidden_dim=16), bt.load("shapes", limit=40), device="cpu")
    trainer.step()
    gone = weakref.ref(trainer)
    gc.disable()
    try:
        del trainer
        assert gone() is None
    finally:
        gc.enable()


def test_a_thread_warms_up_for_itself_but_replays_what_another_has_recorded(pretended):
    step, graph, calls, *_ = pretended

    def elsewhere(n):
        thread = threading.Thread(target=lambda: [step(images()) for _ in range(n)])
        thread.start()
        thread.join()

    for _ in range(WARM_UP):
        step(images())
    elsewhere(WARM_UP)  # cuDNN's choices are another thread's
    assert not graph.recorded
    elsewhere(0)
    for _ in range(WARM_UP + 1):
        step(images())
    assert graph.recorded
    elsewhere(2)
    assert (calls["recorded"], Pretended.made[0].replays) == (1, 3)


def test_a_recording_that_fails_is_not_tried_again(pretended):
    step, graph, calls, _, generator = pretended
    calls["fails"] = True
    for _ in range(WARM_UP):
        step(images())
    with pytest.warns(UserWarning, match="cannot be recorded: operation not permitted"):
        assert step(images(2)).item() == 96
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            assert step(images()).item() == 48
    assert (len(Pretended.made), graph.recorded, calls["stream"]) == (1, False, "the stream")
    assert generator in calls["renewed"]
    assert len(calls["renewed"]) == 2  # torch's own generator as well


def test_each_live_field_is_either_outside_of_the_recording_or_drops_it():
    """Those outside are read by the optimiser, the moving average or the kNN check, and by nothing that is recorded."""
    images = bt.load("shapes", limit=40)
    dropped = []
    for name in sorted(bt.config.LIVE):
        field = bt.config.FIELDS[name]
        trainer = bt.Trainer(
            bt.Config(method=field.metadata["of"][0], batch_size=8, prototypes=12), images, device="cpu"
        )
        drops = []
        trainer.computation.graph.drop = lambda drops=drops: drops.append(1)
        trainer.change(**{name: getattr(trainer.config, name)})
        dropped += [name] * bool(drops)
    assert set(bt.config.LIVE) - set(dropped) == set(cuda_graph.OUTSIDE)
