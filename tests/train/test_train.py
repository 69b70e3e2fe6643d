"""The trainer: determinism, live changes, faults, resuming; and that BYOL learns."""

import copy
import math
import multiprocessing
import os
import re
import signal
import threading
from functools import partial
from pathlib import Path

import pytest
import torch

import byol_tutorial as bt
from byol_tutorial.config.config import FIELDS, LIVE
from byol_tutorial.config.errors import TrainingError
from byol_tutorial.config.fields import METHODS
from byol_tutorial.data import streaming
from byol_tutorial.evaluate.diagnose import judged_with
from byol_tutorial.runtime import device as hardware
from byol_tutorial.train import checkpoint
from byol_tutorial.train.optim import build_optimizer, lr_factor_at, set_hyperparameters

TINY = {"width": 4, "hidden_dim": 16, "projection_dim": 8, "batch_size": 8, "epochs": 3, "warmup_epochs": 1.0}


@pytest.fixture(scope="module")
def train():
    return bt.load("shapes", limit=44)


@pytest.fixture(scope="module")
def test_set():
    return bt.load("shapes", "test", limit=40)


def tiny(train, test=None, **changes) -> bt.Trainer:
    return bt.Trainer(bt.Config(**(TINY | changes)), train, test, device="cpu")


@pytest.fixture(scope="module")
def usual_losses(train):
    """The losses of a run that nothing changes or stops."""
    return tiny(train).run(progress=False).history.loss


def weights(trainer):
    return [p.detach().clone() for p in trainer.model.parameters()]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# --- determinism --------------------------------------------------------------------------------


def test_same_seed_same_run_bit_for_bit(train):
    one, two = tiny(train).run(progress=False), tiny(train).run(progress=False)
    assert one.history.loss == two.history.loss
    assert same(weights(one), weights(two))
    assert tiny(train, seed=1).run(progress=False).history.loss != one.history.loss


def test_a_run_ignores_and_leaves_alone_the_global_random_state(train):
    torch.manual_seed(1)
    expected = tiny(train).run(progress=False).history.loss
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert tiny(train).run(progress=False).history.loss == expected
    assert torch.equal(torch.get_rng_state(), state)


def test_two_trainers_in_turns_do_not_disturb_each_other(train):
    alone = tiny(train).run(progress=False).history.loss
    one, two = tiny(train), tiny(train, seed=9)
    for _ in range(one.total_steps):
        one.step()
        two.step()
    assert one.history.loss == alone


def test_knn_checks_do_not_change_the_run(train, test_set):
    checked, unchecked = tiny(train, test_set, knn_every=1), tiny(train, test_set, knn_every=0)
    assert checked.run(progress=False).history.loss == unchecked.run(progress=False).history.loss
    assert [step for step, _ in checked.history.knn] == [5, 10, 15]
    assert unchecked.history.knn == []


def test_resumed_equals_uncut_bit_for_bit(train, tmp_path):
    uncut = tiny(train, optimizer="adamw", lr=0.03).run(progress=False)
    cut = tiny(train, optimizer="adamw", lr=0.03)
    for _ in range(7):  # in the middle of the second epoch
        cut.step()
    cut.save(tmp_path / "c.pt")
    resumed = bt.Trainer.resume(tmp_path / "c.pt", train, device="cpu").run(progress=False)
    assert resumed.history.loss == uncut.history.loss
    assert resumed.history.std == uncut.history.std
    assert same(weights(resumed), weights(uncut))
    assert all(
        torch.equal(a, b)
        for a, b in zip(resumed.model.state_dict().values(), uncut.model.state_dict().values(), strict=True)
    )


# --- batches ------------------------------------------------------------------------------------


def test_each_epoch_visits_images_once_in_a_new_order(train):
    trainer = tiny(train)
    seen = [trainer.feed.batch(k) for k in range(10)]
    index = {image.numpy().tobytes(): i for i, image in enumerate(train.images)}
    first, second = (
        [index[image.numpy().tobytes()] for batch in part for image in batch] for part in (seen[:5], seen[5:])
    )
    assert len(set(first)) == len(set(second)) == 40  # 5 batches of 8; 4 of the 44 wait for another epoch
    assert first != second
    assert set(first) != set(second)


def test_a_batch_larger_than_the_set_is_refused(train):
    with pytest.raises(bt.ConfigError, match="batch_size=45: the set has 44 images; give at most that"):
        tiny(train, batch_size=45)


# --- schedules ----------------------------------------------------------------------------------


def test_schedules_over_a_run(train):
    trainer = tiny(train, lr=0.32, tau_base=0.9).run(progress=False)
    h = trainer.history
    assert len(h.loss) == len(h.std) == len(h.lr) == len(h.tau) == 15
    peak = 0.32 * 8 / 256
    warm = [peak * k / 5 for k in range(5)]
    cosine = [peak * (1 + math.cos(math.pi * k / 10)) / 2 for k in range(10)]
    assert h.lr == pytest.approx(warm + cosine)
    assert h.tau == pytest.approx([1 - 0.1 * (1 + math.cos(math.pi * k / 15)) / 2 for k in range(15)])
    assert (h.lr[0], h.tau[0]) == (0, 0.9)
    assert 0.99 < h.tau[-1] < 1
    trainer.step()  # after the schedule
    assert (h.lr[-1], h.tau[-1]) == (0, 1)


@pytest.mark.parametrize(
    ("changes", "tau"),
    [
        ({"target": "online"}, 0.0),
        ({"stop_gradient": False}, 0.0),
        ({"target": "random"}, 1.0),
        ({"tau_schedule": "constant", "tau_base": 0.7}, 0.7),
    ],
)
def test_tau_of_other_targets(train, changes, tau):
    trainer = tiny(train, **changes)
    trainer.step()
    assert trainer.history.tau == [tau]


def test_learning_rate_factor_without_warmup_starts_at_one():
    assert lr_factor_at(0, 10, 0) == 1
    assert lr_factor_at(10, 10, 0) == pytest.approx(0)


def test_weight_decay_and_multiplier_reach_the_right_parameters(train):
    trainer = tiny(train, predictor_lr_multiplier=10.0, weight_decay=0.01)
    lr = set_hyperparameters(trainer.optimizer, trainer.config, 0.5)
    names = {id(p): name for name, p in trainer.model.named_parameters()}
    seen = set()
    for group in trainer.optimizer.param_groups:
        for p in group["params"]:
            name = names[id(p)]
            seen.add(name)
            assert group["weight_decay"] == (0.01 if p.ndim > 1 else 0), name
            assert group["lr"] == pytest.approx(lr * (10 if name.startswith("predictors") else 1)), name
    # everything is trained but the target, which only ever moves by averaging, and the predictor that stays fixed
    assert seen == {name for name in names.values() if not name.startswith(("target", "predictors.fixed"))}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_one_step_is_torchs_own_optimiser_on_a_separate_model(train, optimizer):
    """Θ after a step, against the update formula in float64."""
    trainer = tiny(train, optimizer=optimizer, lr=0.32, weight_decay=0.1, warmup_epochs=0)
    p = trainer.model.encoder[0].weight
    before = p.detach().double().clone()
    trainer.step()
    g, lr, decay = p.grad.double(), 0.01, 0.1
    if optimizer == "sgd":
        expected = before - lr * (g + decay * before)
    else:
        expected = before * (1 - lr * decay) - lr * g / (g.abs() + 1e-8)
    torch.testing.assert_close(p.detach().double(), expected, rtol=1e-5, atol=1e-7)


def test_the_target_moves_after_the_optimiser(train):
    trainer = tiny(train, tau_base=0.9, warmup_epochs=0)
    before = trainer.model.target.encoder[0].weight.detach().clone()
    trainer.step()
    expected = 0.9 * before + 0.1 * trainer.model.encoder[0].weight
    assert not torch.equal(before, trainer.model.encoder[0].weight)
    torch.testing.assert_close(trainer.model.target.encoder[0].weight, expected)


def test_target_parameters_move_only_by_averaging(train):
    trainer = tiny(train, target="random", weight_decay=0.5)
    before = [p.detach().clone() for p in trainer.model.target.parameters()]
    trainer.run(progress=False)
    assert same(before, trainer.model.target.parameters())


# --- live changes -------------------------------------------------------------------------------


def test_changes_are_recorded_and_take_effect_at_the_next_step(train):
    trainer = tiny(train)
    trainer.step()
    trainer.change(lr=0.8, tau_schedule="constant", tau_base=0.5)
    trainer.step()
    assert trainer.history.changes == [(1, {"lr": 0.8, "tau_schedule": "constant", "tau_base": 0.5})]
    assert trainer.history.lr[1] == pytest.approx(0.8 * 8 / 256 / 5)
    assert trainer.history.tau[1] == 0.5


@pytest.mark.parametrize(
    "changes",
    [{"predictor": "identity"}, {"predictor": "linear"}, {"stop_gradient": False}, {"target": "online"}, {"symmetric": False},
     {"hue": 0.0, "jitter_p": 0.0}, {"weight_decay": 0.5}, {"predictor_lr_multiplier": 10.0}],
)  # fmt: skip
def test_a_change_before_the_first_step_equals_a_run_configured_so(train, usual_losses, changes):
    changed = tiny(train)
    changed.change(**changes)
    changed.run(epochs=2, progress=False)
    assert changed.history.loss == tiny(train, **changes).run(epochs=2, progress=False).history.loss
    assert changed.history.loss != usual_losses[:10]


def test_structural_and_bad_changes_are_refused_and_leave_the_run_alone(train):
    trainer = tiny(train)
    config = trainer.config
    with pytest.raises(bt.ConfigError, match="'batch_size' cannot change while training: build a new Trainer"):
        trainer.change(lr=0.1, batch_size=4)
    with pytest.raises(bt.ConfigError, match="tau_base=2"):
        trainer.change(lr=0.1, tau_base=2.0)
    with pytest.raises(bt.ConfigError, match="did you mean 'tau_base'"):
        trainer.change(tau_bas=0.5)
    assert trainer.config is config
    assert trainer.history.changes == []


def test_every_live_field_can_change(train):
    for method in METHODS:
        trainer = tiny(train, method=method)
        for name in sorted(LIVE):
            value = {name: getattr(trainer.config, name)}
            if method in FIELDS[name].metadata["of"]:
                trainer.change(**value)
            else:
                with pytest.raises(
                    bt.ConfigError, match=f"'{name}' has no effect in method '{method}'; it belongs to "
                ):
                    trainer.change(**value)
        assert math.isfinite(trainer.step())


# --- faults -------------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_stops_before_the_step(train):
    trainer = tiny(train)
    trainer.step()
    with torch.no_grad():
        trainer.model.predictor[3].weight[0, 0] = float("nan")
    before = weights(trainer)
    with pytest.raises(TrainingError, match=r"the loss is nan at step 1, with lr .*: lower lr"):
        trainer.step()
    assert trainer.steps_done == len(trainer.history.loss) == 1
    assert all(torch.equal(a, b) or a.isnan().any() for a, b in zip(before, weights(trainer), strict=True))


def test_interrupt_ends_the_run_after_a_whole_step(train, usual_losses):
    trainer = tiny(train)
    before = signal.getsignal(signal.SIGINT)

    def interrupt(t):
        if t.steps_done == 4:
            signal.raise_signal(signal.SIGINT)

    trainer.run(progress=False, on_step=interrupt)
    assert trainer.interrupted
    assert trainer.steps_done == len(trainer.history.loss) == 4
    assert signal.getsignal(signal.SIGINT) is before
    trainer.run(progress=False)  # and it can go on
    assert not trainer.interrupted
    assert trainer.history.loss == usual_losses


def test_runs_in_a_thread(train):
    trainer = tiny(train)
    thread = threading.Thread(target=trainer.run, kwargs={"progress": False})
    thread.start()
    thread.join()
    assert trainer.steps_done == trainer.total_steps


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_without_cuda(train):
    with pytest.raises(TrainingError, match="device 'cuda' is not available here: choose auto, cpu"):
        bt.Trainer(bt.Config(**TINY), train, device="cuda")


def test_unknown_device(train):
    with pytest.raises(TrainingError, match="device 'gpu9'"):
        bt.Trainer(bt.Config(**TINY), train, device="gpu9")


def folder_of(images, path):
    """The same images as files."""
    from PIL import Image

    for i, image in enumerate(images.images):
        (path / f"{i % 2}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path / f"{i % 2}" / f"{i:02}.png")
    return f"folder:{path}"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_outlives_an_image_that_disappears(train, tmp_path, monkeypatch, workers):
    """The error names it; the steps before it are kept and can be saved; once it is back the run goes on as if uncut."""
    monkeypatch.setattr(streaming, "_workers", workers)
    images = bt.load(folder_of(train, tmp_path / "images"), stream=True)
    uncut = tiny(images).run(progress=False).history.loss
    trainer = tiny(images)
    last = trainer.total_steps - 1  # read long after the file is gone, however far ahead the worker is
    gone = Path(os.fsdecode(images.files[trainer.feed.positions(last, 0)[0]]))
    content = gone.read_bytes()
    gone.unlink()
    for k in range(trainer.total_steps):
        if gone.name in {Path(os.fsdecode(images.files[i])).name for i in trainer.feed.positions(k, 0)}:
            break
        trainer.step()
    with pytest.raises(bt.DataError, match=re.escape(str(gone))):
        trainer.step()
    assert trainer.steps_done == len(trainer.history.loss) == k
    trainer.save(tmp_path / "c.pt")
    gone.write_bytes(content)
    resumed = bt.Trainer.resume(tmp_path / "c.pt", images, device="cpu").run(progress=False)
    assert resumed.history.loss == uncut
    assert trainer.run(progress=False).history.loss == uncut  # and so does the one that failed


def test_a_run_outlives_a_worker_that_is_killed(train, tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "_workers", 1)
    images = bt.load(folder_of(train, tmp_path / "images"), stream=True)
    uncut = tiny(images).run(progress=False).history.loss
    trainer = tiny(images)
    trainer.step()
    (worker,) = multiprocessing.active_children()
    worker.kill()
    worker.join()
    with pytest.raises(bt.DataError, match="worker"):
        trainer.run(progress=False)  # a few steps more, with what it had read ahead
    assert 0 < trainer.steps_done == len(trainer.history.loss) < trainer.total_steps
    assert trainer.run(progress=False).history.loss == uncut


# --- runs ---------------------------------------------------------------------------------------


def test_run_stops_and_goes_on(train):
    trainer = tiny(train)
    trainer.run(epochs=1, progress=False)
    assert trainer.steps_done == 5
    trainer.run(progress=False)
    assert trainer.steps_done == trainer.total_steps == 15
    assert trainer.epoch == 3


def test_progress_bar_shows_the_measures(train, test_set, capsys):
    tiny(train, test_set).run(epochs=1)
    shown = capsys.readouterr().err
    for part in ("loss", "√d·std", "kNN", "images/s", "5/5"):
        assert part in shown


def test_initial_encoder_is_the_one_before_training(train):
    trainer = tiny(train)
    before = [p.detach().clone() for p in trainer.model.encoder.parameters()]
    trainer.run(progress=False)
    assert same(before, trainer.initial_encoder().parameters())
    assert not same(before, trainer.model.encoder.parameters())


def test_images_without_labels_train(train, usual_losses):
    from dataclasses import replace

    unlabelled = replace(train, labels=None, classes=())
    trainer = tiny(unlabelled, unlabelled).run(progress=False)
    assert trainer.history.knn == []
    assert trainer.history.loss == usual_losses


def test_views_of_another_size_than_the_images(train):
    trainer = tiny(train, view_size=24)
    assert trainer.computation.views_of(0)[0][0].shape == (8, 3, 24, 24)
    assert math.isfinite(trainer.step())


@pytest.mark.training
def test_a_compiled_run_is_the_plain_one_through_live_changes_and_a_checkpoint(train, tmp_path, monkeypatch):
    """With the compiler's front end alone, which is what could go wrong; its C++ takes long and may be missing."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    monkeypatch.setattr(hardware.shutil, "which", lambda name: f"/usr/bin/{name}")
    plain, compiled = tiny(train), tiny(train, compile=True)
    assert isinstance(compiled.computation.forward, torch._dynamo.OptimizedModule)
    for predictor in ("mlp", "identity", "optimal"):
        for trainer in (plain, compiled):
            trainer.change(predictor=predictor)
        assert compiled.step() == pytest.approx(plain.step(), rel=1e-4)
    compiled.save(tmp_path / "c.pt")
    plain.step()
    assert bt.Trainer.resume(tmp_path / "c.pt", train, device="cpu").step() == pytest.approx(
        plain.history.loss[-1], rel=1e-4
    )


# --- checkpoints --------------------------------------------------------------------------------


def test_a_failed_save_keeps_the_old_file(train, tmp_path, monkeypatch):
    trainer = tiny(train)
    path = tmp_path / "c.pt"
    trainer.save(path)
    before = path.read_bytes()

    def half_written(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", half_written)
    with pytest.raises(checkpoint.CheckpointError, match=r"c.pt' could not be written \(No space left on device\)"):
        trainer.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


class Hostile:
    def __reduce__(self):
        return (exec, ("open('executed', 'w')",))


def test_damaged_foreign_and_hostile_files_are_refused(train, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "c.pt"
    tiny(train).save(path)
    content = path.read_bytes()
    cases = {
        "missing": None,
        "empty": b"",
        "truncated": content[: len(content) // 2],
        "text": b"not a checkpoint",
    }
    for name, data in cases.items():
        file = tmp_path / name
        if data is not None:
            file.write_bytes(data)
        with pytest.raises(checkpoint.CheckpointError, match=name):
            bt.Trainer.resume(file, train)
    torch.save({"weights": torch.ones(2)}, tmp_path / "foreign")
    with pytest.raises(checkpoint.CheckpointError, match="is not a checkpoint of byol_tutorial"):
        bt.Trainer.resume(tmp_path / "foreign", train)
    for version in (1, 99, None):
        torch.save({"format": checkpoint.FORMAT, "version": version}, tmp_path / "other")
        with pytest.raises(checkpoint.CheckpointError, match=f"has version {version}, this library reads 2: use the"):
            bt.Trainer.resume(tmp_path / "other", train)
    torch.save({"format": checkpoint.FORMAT, "version": 2, "config": Hostile()}, tmp_path / "hostile")
    with pytest.raises(checkpoint.CheckpointError, match="cannot be read"):
        bt.Trainer.resume(tmp_path / "hostile", train)
    assert not (tmp_path / "executed").exists()


# --- it learns ----------------------------------------------------------------------------------


@pytest.mark.training
def test_no_predictor_collapses_and_the_optimizer_groups_hold_everything(train):
    """Collapse shows within 150 steps of the recipe: √d·std of 64 dimensions under 0.1, over 3 seeds."""
    images = bt.load("shapes", limit=512)
    for seed in range(3):
        config = bt.preset("shapes", seed=seed, predictor="identity", epochs=10, knn_every=0)
        trainer = bt.Trainer(config, images, device="cpu")
        while trainer.steps_done < 150:
            trainer.step()
        assert trainer.history.std[-1] < 0.1
        assert trainer.report().verdict == "collapse"
        assert trainer.history.loss[-1] < 0.05


@pytest.mark.training
def test_the_alarm_follows_a_live_change_that_makes_a_healthy_run_collapse():
    """Over 3 seeds: none in 128 healthy steps; then after 3 or 4, and 16 are allowed."""
    images = bt.load("shapes", limit=1024)
    for seed in range(3):
        trainer = bt.Trainer(bt.preset("shapes", seed=seed, epochs=8, knn_every=0), images, device="cpu")
        trainer.run(epochs=4, progress=False)
        assert trainer.diagnosis().alarm_step is None
        trainer.change(stop_gradient=False)
        trainer.run(epochs=1, progress=False)
        assert 0 <= trainer.diagnosis().alarm_step - 128 < 16


def test_adamw_and_sgd_are_what_config_names(train):
    model = tiny(train).model
    assert isinstance(build_optimizer(model, bt.Config(optimizer="sgd")), torch.optim.SGD)
    assert isinstance(build_optimizer(model, bt.Config(optimizer="adamw")), torch.optim.AdamW)


def test_initial_weights_are_those_of_the_seed_and_use_no_global_random_numbers(train):
    from byol_tutorial.methods.byol import BYOL

    torch.manual_seed(5)
    expected = BYOL(bt.Config(**TINY, seed=5), 32).state_dict()
    state = torch.get_rng_state()
    model = tiny(train, seed=5).model.state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in expected.items():
        assert "pixel" in name or torch.equal(model[name], value), name


@pytest.mark.parametrize(("value", "shown"), [("", True), ("0", True), ("1", False)])
def test_the_environment_hides_progress_bars_in_notebooks_too(train, monkeypatch, value, shown):
    """tqdm's own look at TQDM_DISABLE misses a bar that is asked for explicitly."""
    import tqdm.auto

    monkeypatch.setenv("TQDM_DISABLE", value)
    asked, bar = [], tqdm.auto.tqdm
    monkeypatch.setattr(tqdm.auto, "tqdm", lambda *a, disable, **k: asked.append(disable) or bar(*a, disable=True, **k))
    tiny(train).run(epochs=1)
    assert asked == [not shown]


# --- how a step is computed -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "needed"), [("cpu", r"C\+\+ compiler such as g\+\+"), ("cuda", "C compiler such as gcc")]
)
def test_compiling_without_a_compiler_is_refused_at_once(monkeypatch, device, needed):
    monkeypatch.setattr(hardware.shutil, "which", lambda name: None)
    with pytest.raises(TrainingError, match=f"compile='on' needs a {needed}, .*leave compile"):
        hardware.resolve_compile("on", torch.device(device), 10)
    assert not hardware.resolve_compile("auto", torch.device(device), 10**6)
    assert not hardware.resolve_compile("off", torch.device(device), 10)


@pytest.mark.parametrize(
    ("choice", "device", "steps", "compiler", "expected"),
    [
        ("on", "cpu", 1, True, True), ("off", "cuda", 10**6, True, False),
        ("auto", "cuda", 10_000, True, True), ("auto", "cuda", 9_999, True, False), ("auto", "cuda", 10**6, False, False),
        ("auto", "cpu", 10**6, True, False),
    ],
)  # fmt: skip
def test_auto_compiles_long_runs_on_cuda_where_there_is_a_compiler(
    monkeypatch, choice, device, steps, compiler, expected
):
    monkeypatch.setattr(
        hardware.shutil, "which", lambda name: "/usr/bin/cc" if compiler and name in ("cc", "c++") else None
    )
    monkeypatch.setattr(hardware, "is_installed", lambda name: name == "triton")
    monkeypatch.delenv("CC", raising=False)
    assert hardware.resolve_compile(choice, torch.device(device), steps) == expected


def test_compile_may_be_given_as_it_was_before(train):
    assert (bt.Config(compile=True).compile, bt.Config(compile=False).compile) == ("on", "off")
    old = bt.Config().to_dict()
    assert bt.Config.from_dict(old | {"compile": True}).compile == "on"
    assert bt.Config.from_dict(old | {"compile": False}) == bt.Config()  # it was the default
    assert not tiny(train).compiled


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_how_weights_are_updated_belongs_to_the_device_and_not_to_the_checkpoint(train, tmp_path, optimizer):
    """On CUDA in one kernel; a run that comes from there goes on here as if it had been here."""
    here = tiny(train, optimizer=optimizer)
    here.step()
    here.save(tmp_path / "c.pt")
    state = bt.train.checkpoint.load(tmp_path / "c.pt")
    for group in state["optimizer"]["param_groups"]:
        group |= {"fused": True, "foreach": False}
    bt.train.checkpoint.save(tmp_path / "d.pt", state)
    resumed = [bt.Trainer.resume(tmp_path / name, train, device="cpu") for name in ("c.pt", "d.pt")]
    for t in resumed:
        assert all((g["fused"], g["foreach"]) == (False, True) for g in t.optimizer.param_groups)
    assert resumed[0].step() == resumed[1].step()
    assert all(map(torch.equal, weights(resumed[0]), weights(resumed[1])))


def test_buffers_of_a_moved_module_are_put_back_too(train):
    trainer = tiny(train)
    trainer.step()
    trainer.model.encoder.double().float()  # new tensors in place of the old ones
    before = {name: b.clone() for name, b in trainer.model.named_buffers() if name != "epoch"}
    sound = trainer.computation.accumulate

    def damaged(*args):
        sound(*args)
        raise RuntimeError("lost")

    trainer.computation.accumulate = damaged
    with pytest.raises(RuntimeError, match="lost"):
        trainer.step()
    assert all(torch.equal(before[name], b) for name, b in trainer.model.named_buffers() if name != "epoch")


def test_a_target_that_is_exchanged_is_followed(train):
    trainer = tiny(train)
    trainer.step()
    trainer.model.target = copy.deepcopy(trainer.model.online).requires_grad_(False)
    before = [p.clone() for p in trainer.model.target.parameters()]
    trainer.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, trainer.model.target.parameters(), strict=True))


# --- images without content ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["black", "nearly constant", "copies of one picture"])
def test_a_run_on_images_without_content_is_not_called_a_collapse(kind):
    images = torch.zeros(64, 3, 32, 32, dtype=torch.uint8)
    if kind == "nearly constant":
        images += torch.randint(0, 255, (64, 1, 1, 1), dtype=torch.uint8)
        images[:, :, ::2] += (images[:, :, ::2] < 250).to(torch.uint8)
    elif kind == "copies of one picture":
        images += torch.randint(0, 255, (1, 3, 32, 32), dtype=torch.uint8)
    config = bt.Config(epochs=2, warmup_epochs=0.5, batch_size=32, width=4, hidden_dim=16, projection_dim=8)
    plain = config.replace(jitter_p=0.0, grayscale_p=0.0, crop_area=(1.0, 1.0), blur_p=0.0, flip_p=0.0, solarize_p=0.0)
    trainer = bt.Trainer(plain, bt.ImageSet("photos", "train", images), device="cpu").run(progress=False)
    assert trainer.diagnosis().verdict not in ("collapse", "partial collapse")
    with bt.Session.of(trainer) as session:
        assert "collapse" not in session.snapshot().verdict
    if trainer.report().std < 0.5:
        assert trainer.report().verdict == trainer.diagnosis().verdict == "no content"
        assert "look at the images" in str(trainer.report())


def test_a_collapse_on_images_with_content_stays_a_collapse(train):
    z = torch.ones(40, 8) + 1e-4 * torch.randn(40, 8)
    report = bt.collapse_report(z)
    assert judged_with(report, train.images[:40]) == report
    assert judged_with(report, train.images[:1].repeat(40, 1, 1, 1)).verdict == "no content"
    assert (
        judged_with(bt.collapse_report(torch.randn(40, 8)), train.images[:1].repeat(40, 1, 1, 1)).verdict == "healthy"
    )


def test_knn_without_test_images_says_what_is_missing(train):
    with pytest.raises(bt.DataError, match="no test images"):
        tiny(train).knn()
