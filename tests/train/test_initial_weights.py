"""A run that starts from existing weights: what is taken, what is not, and that the target follows."""

import pytest
import torch

import byol_tutorial as bt
from byol_tutorial.config.errors import CheckpointError

TINY = {"epochs": 2, "warmup_epochs": 0.5, "batch_size": 16, "width": 4, "hidden_dim": 16, "projection_dim": 8}


@pytest.fixture(scope="module")
def images():
    return bt.load("shapes", limit=64)


@pytest.fixture(scope="module")
def trained(images, tmp_path_factory):
    """A run, its checkpoint in a run folder, its encoder file."""
    run = bt.Trainer(bt.Config(**TINY), images, device="cpu").run(progress=False)
    folder = tmp_path_factory.mktemp("run")
    run.save(folder / "checkpoint.pt")
    run.save_encoder(folder / "encoder.safetensors")
    return run, folder


def same(a, b, but=("pixel_mean", "pixel_std")):
    return all(torch.equal(a.state_dict()[name], value) for name, value in b.state_dict().items() if name not in but)


@pytest.mark.parametrize("source", [".", "checkpoint.pt"])
def test_a_run_goes_on_from_a_finished_one_with_a_schedule_of_its_own(images, trained, source):
    run, folder = trained
    more = bt.Trainer(bt.Config(**TINY, seed=5), images, device="cpu", init=folder / source)
    assert more.taken == {"encoder": "taken", "projector": "taken", "predictor": "taken"}
    assert same(more.model.online, run.model.online)
    assert same(more.model.target, run.model.online)  # online and target alike
    assert same(more.model.predictor, run.model.predictor)
    assert more.steps_done == 0
    before = more.model.encoder[0].weight.clone()
    more.step()
    more.step()
    assert not torch.equal(more.model.encoder[0].weight, before)


def test_a_checkpoint_from_before_a_field_existed_goes_on_as_it_was(images, tmp_path):
    """SimSiam's presets had BYOL's heads once: their files do not name any, and keep those."""
    run = bt.Trainer(bt.Config(**TINY, method="simsiam", output_norm=True), images, device="cpu")
    run.step()
    run.save(tmp_path / "run.pt")
    state = torch.load(tmp_path / "run.pt", weights_only=True)
    for name in ("zero_init_residual", "projection_shortcut", "heads"):
        del state["config"][name]
    torch.save(state, tmp_path / "old.pt")
    again = bt.Trainer.resume(tmp_path / "old.pt", images, device="cpu")
    assert again.config == run.config
    assert again.step() == run.step()


def test_the_first_representations_are_those_of_the_weights(images, trained):
    run, folder = trained
    more = bt.Trainer(bt.Config(**TINY, seed=5), images, device="cpu", init=folder)
    assert torch.equal(bt.features(more.model.encoder, images), bt.features(run.model.encoder, images))
    assert not torch.equal(bt.features(more.initial_encoder(), images), bt.features(run.model.encoder, images))


def test_an_encoder_file_has_no_heads(images, trained):
    run, folder = trained
    more = bt.Trainer(bt.Config(**TINY, seed=5), images, device="cpu", init=folder / "encoder.safetensors")
    assert more.taken["encoder"] == "taken"
    assert more.taken["projector"] == "stays random: the file has none"
    assert same(more.model.encoder, run.model.encoder)
    assert same(more.model.target, more.model.online)
    fresh = bt.Trainer(bt.Config(**TINY, seed=5), images, device="cpu")
    assert same(more.model.online.projector, fresh.model.online.projector)


def test_heads_that_do_not_fit_stay_random_and_say_why(images, trained):
    _, folder = trained
    more = bt.Trainer(bt.Config(**TINY | {"projection_dim": 12}), images, device="cpu", init=folder)
    assert more.taken["projector"].startswith("stays random: 3.weight is (8, 16) in the file and (12, 16) here")
    assert more.taken["encoder"] == "taken"


@pytest.mark.parametrize("method", ["simclr", "simsiam", "dino"])
def test_another_method_takes_the_encoder(images, trained, method):
    run, folder = trained
    more = bt.Trainer(bt.preset(method, **TINY), images, device="cpu", init=folder)
    assert more.taken["encoder"] == "taken"
    assert same(more.model.encoder, run.model.encoder)
    more.step()


def test_a_fixed_random_target_stays_random(images, trained):
    run, folder = trained
    more = bt.Trainer(bt.Config(**TINY, target="random", seed=5), images, device="cpu", init=folder)
    assert not same(more.model.target, run.model.online)
    assert same(more.model.online, run.model.online)


def test_the_pixels_statistics_are_those_of_the_new_images(trained):
    _, folder = trained
    dark = bt.load("shapes", limit=64)
    dark = bt.ImageSet("dark", "train", dark.images // 2)
    more = bt.Trainer(bt.Config(**TINY), dark, device="cpu", init=folder)
    assert more.model.encoder.pixel_mean.flatten().tolist() == pytest.approx(dark.statistics()[0])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "gone.pt", "does not exist"),
        (lambda folder: folder / "other", "does not exist"),
        (lambda folder: (folder / "bad.pt").write_bytes(b"x") and folder / "bad.pt", "cannot be read"),
        (lambda folder: (folder / "bad.safetensors").write_bytes(b"x") and folder / "bad.safetensors", "damaged"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_words(images, tmp_path, make, words):
    with pytest.raises(CheckpointError, match=words):
        bt.Trainer(bt.Config(**TINY), images, device="cpu", init=make(tmp_path))


def test_an_encoder_of_another_shape_is_refused_with_both(images, trained):
    _, folder = trained
    with pytest.raises(CheckpointError, match=r"does not fit a run with encoder='small', width=8.*it has .*width=4"):
        bt.Trainer(bt.Config(**TINY | {"width": 8}), images, device="cpu", init=folder)
    with pytest.raises(CheckpointError, match="give the run the same encoder"):
        bt.Trainer(bt.Config(**TINY | {"width": 8}), images, device="cpu", init=folder / "encoder.safetensors")
