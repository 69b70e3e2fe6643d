"""The five bugs of lesson 07: each does what it says, and nothing else is changed."""

import pytest
import torch

import byol_tutorial as bt
from byol_tutorial.course import bugs
from byol_tutorial.runtime.seeding import OwnGenerator, seed_at

TINY = bt.Config(width=4, hidden_dim=16, projection_dim=8, batch_size=8, epochs=2, warmup_epochs=1.0, lr=0.2)


@pytest.fixture(scope="module")
def data():
    return bt.load("shapes", limit=40), bt.load("shapes", "test", limit=20)


@pytest.fixture(scope="module")
def runs(data):
    return {bug: bugs.loop(bug, TINY, *data) for bug in (None, *bugs.BUGS)}


def test_histories_have_an_entry_a_step_and_runs_repeat(data, runs):
    for _, history in runs.values():
        assert all(len(history[name]) == 10 for name in ("loss", "std", "target_std", "tau"))
        assert [step for step, _ in history["knn"]] == [5, 10]
    assert bugs.loop(None, TINY, *data)[1] == runs[None][1]


def untrained(data) -> bt.BYOL:
    with OwnGenerator(TINY.seed):
        return bt.BYOL(TINY, 32, *data[0].statistics())


def test_the_healthy_loop_is_byol(data, runs):
    """Its first loss is that of the library's model on the same views, and τ follows the paper."""
    history = runs[None][1]
    generator = torch.Generator().manual_seed(seed_at(TINY, 0))
    order = torch.randperm(40, generator=generator)
    views = bt.augment.Views(TINY, *data[0].statistics(), generator)
    assert history["loss"][0] == pytest.approx(untrained(data)(*views(data[0].images[order[:8]])).loss.item(), rel=1e-5)
    assert history["tau"] == [bt.tau_at(k, 10, TINY.tau_base) for k in range(10)]
    assert history["tau"][0] == TINY.tau_base


def test_averaged_loss_is_half(runs):
    assert runs[bugs.AVERAGED][1]["loss"][0] == pytest.approx(runs[None][1]["loss"][0] / 2)


def test_constant_tau_stays(runs):
    assert runs[bugs.CONSTANT][1]["tau"] == [TINY.tau_base] * 10
    assert runs[bugs.CONSTANT][1]["loss"][0] == runs[None][1]["loss"][0]


def test_only_one_target_learns_by_gradient(runs):
    gradients = {bug: any(p.grad is not None for p in model.target.parameters()) for bug, (model, _) in runs.items()}
    assert gradients == {None: False} | {bug: bug == bugs.TARGET for bug in bugs.BUGS}


@pytest.mark.parametrize("bug", [None, bugs.SHARED])
def test_shared_views_have_one_draw_for_each_side(data, bug, monkeypatch):
    seen = []
    carry_out = bt.augment.Views.carry_out

    def spied(self, images, drawn):
        seen.append(drawn)
        return carry_out(self, images, drawn)

    monkeypatch.setattr(bt.augment.Views, "carry_out", spied)
    bugs.loop(bug, TINY.replace(epochs=1), *data)
    factors = seen[0].factors  # (16, 4): the strengths of the colour jitter
    sides = [len(side.unique(dim=0)) for side in (factors[:8], factors[8:])]
    assert sides == ([1, 1] if bug else [8, 8])
    assert not torch.equal(factors[0], factors[8])


def test_adam_moves_the_weights_far(data, runs):
    start = torch.cat([p.flatten() for p in untrained(data).encoder.parameters()])
    moved = {
        bug: (torch.cat([p.flatten() for p in runs[bug][0].encoder.parameters()]) - start).norm().item()
        for bug in (None, bugs.ADAM)
    }
    assert moved[bugs.ADAM] > 4 * moved[None] > 0


def test_what_is_kept_is_the_run(data, tmp_path, monkeypatch):
    monkeypatch.setenv("BYOL_CACHE", str(tmp_path))
    first, again = (bugs.train_with(bugs.TARGET, TINY, *data) for _ in range(2))
    assert len(list(tmp_path.iterdir())) == 1
    assert first.history == again.history
    assert (first.knn, first.linear, first.steps_per_epoch) == (again.knn, again.linear, 5)
    y, y_again = (bt.features(r.encoder, data[1]) for r in (first, again))
    assert torch.equal(y, y_again)
    known = bt.features(first.encoder, data[0]), data[0].labels, y, data[1].labels
    assert bt.knn_accuracy(*known) == first.knn


def test_an_unknown_bug_is_named(data):
    with pytest.raises(bt.config.errors.UserError, match="'typo': choose None or one of"):
        bugs.train_with("typo", TINY, *data)
