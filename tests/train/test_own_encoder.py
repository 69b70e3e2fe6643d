"""Runs on networks from elsewhere: a module of the user, timm, torchvision; their files; weights that others trained."""

import copy
import json

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

import byol_tutorial as bt
from byol_tutorial.config.errors import (
    CheckpointError,
    ConfigError,
    ExperimentError,
    LaboratoryError,
    TrainingError,
    UserError,
)
from byol_tutorial.config.paper_tables import tables
from byol_tutorial.evaluate.features import settled
from byol_tutorial.live.laboratory import Laboratory

TINY = {"epochs": 2, "warmup_epochs": 0.5, "batch_size": 16, "width": 4, "hidden_dim": 16, "projection_dim": 8}
TINY |= {"momentum": 0.0, "weight_decay": 0.0}


class Net(nn.Module):
    """A user's network with all that can make a run irreproducible: dropout, and running means."""

    def __init__(self, width=6, dropout=0.3):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, width, 3, 2), nn.BatchNorm2d(width, momentum=None)
        self.drop = nn.Dropout(dropout)

    def forward(self, x):
        return self.drop(self.norm(self.conv(x)).relu().mean((2, 3)))


def net(seed=1, **options):
    torch.manual_seed(seed)
    return Net(**options)


@pytest.fixture(scope="module")
def images():
    return bt.load("shapes", limit=64)


@pytest.fixture(scope="module")
def test_images():
    return bt.load("shapes", "test", limit=64)


def trainer(images, *more, encoder=None, init=None, **fields):
    """A Trainer on the CPU; encoder: a name for its Config, or a module."""
    if isinstance(encoder, str):
        fields, encoder = fields | {"encoder": encoder}, None
    return bt.Trainer(bt.Config(**TINY | fields), images, *more, device="cpu", encoder=encoder, init=init)


# --- a module of the user -------------------------------------------------------------------------


def test_a_step_with_a_users_module_is_the_one_made_by_hand(images):
    """One step of SGD on the loss of the paper, by autograd on a copy, and ξ ← τξ + (1 − τ)θ."""
    own = net(dropout=0.0)
    run = trainer(images, encoder=own, tau_base=0.9)
    assert run.config.encoder == "own"
    (v1, v2), _ = run.computation.views_of(0)
    online, target = copy.deepcopy(run.model.online), copy.deepcopy(run.model.target)
    predictor = copy.deepcopy(run.model.predictor)
    for name, value in own.state_dict().items():  # online and target begin as the module that was given
        assert torch.equal(online.encoder.state_dict()[name], value)
        assert torch.equal(target.encoder.state_dict()[name], value)
    z1, z2 = online(v1), online(v2)
    with torch.no_grad():
        t2, t1 = target(v2), target(v1)
    loss = sum(2 - 2 * F.cosine_similarity(predictor(z), t).mean() for z, t in ((z1, t2), (z2, t1)))
    gradient = torch.autograd.grad(loss, online.encoder.conv.weight)[0]

    assert run.step() == pytest.approx(loss.item(), rel=1e-5)
    new = own.conv.weight.detach() - run.history.lr[0] * gradient
    torch.testing.assert_close(run.model.encoder.conv.weight.detach(), new, rtol=1e-4, atol=1e-6)
    assert gradient.abs().max() > 1e-4
    tau = run.history.tau[0]
    followed = tau * own.conv.weight.detach() + (1 - tau) * new
    torch.testing.assert_close(run.model.target.encoder.conv.weight, followed, rtol=1e-4, atol=1e-6)


def test_a_users_module_gets_views_that_are_normalised(images):
    seen = []

    class Watching(Net):
        def forward(self, x):
            seen.append(x.detach().clone())
            return super().forward(x)

    run = trainer(images, encoder=Watching())
    mean, std = images.statistics()
    assert run.model.encoder.pixel_mean.tolist() == pytest.approx(mean)
    assert run.model.encoder.pixel_std.tolist() == pytest.approx(std)
    seen.clear()
    bt.features(run.model.encoder, images)
    by_hand = (images.images.double() / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(torch.cat(seen), by_hand.float(), rtol=1e-4, atol=1e-5)
    seen.clear()
    (v1, _), _ = run.computation.views_of(0)
    run.step()
    assert any(torch.equal(x, v1) for x in seen)


def test_the_given_module_stays_as_it_is_and_is_the_baseline(images, test_images):
    own = net()
    before = copy.deepcopy(own.state_dict())
    run = trainer(images, test_images, encoder=own).run(progress=False)
    for name, value in before.items():
        assert torch.equal(own.state_dict()[name], value)
    assert not torch.equal(run.model.encoder.conv.weight, before["conv.weight"])
    with torch.no_grad():
        own.conv.weight.zero_()  # what happens to it afterwards is of no importance
    assert torch.equal(run.initial_encoder().conv.weight, before["conv.weight"])
    assert run.history.knn
    assert run.diagnosis().verdict
    assert run.report().std > 0


@pytest.mark.parametrize("method", ["byol", "simclr", "simsiam", "dino"])
@pytest.mark.parametrize("encoder", ["own", "timm:test_vit", "torchvision:squeezenet1_1"])
def test_every_method_trains_networks_from_elsewhere(images, method, encoder):
    run = trainer(images, encoder=net() if encoder == "own" else encoder, method=method)
    before = [p.clone() for p in run.model.encoder.parameters()]
    run.step()
    run.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, run.model.encoder.parameters(), strict=True))


def test_dropout_depends_on_seed_and_step_alone(images):
    """Two runs with the same seed are equal, whatever others draw from the global generator meanwhile."""
    first = trainer(images, encoder=net()).run(progress=False).history.loss
    run = trainer(images, encoder=net())
    for k in range(run.total_steps):
        torch.manual_seed(k)
        run.step()
    assert run.history.loss == first
    without = trainer(images, encoder=net(dropout=0.0))
    assert without.step() != first[0]  # dropout is at work


def test_a_step_leaves_the_global_random_state(images):
    run = trainer(images, encoder=net())
    before = torch.get_rng_state()
    run.step()
    assert torch.equal(torch.get_rng_state(), before)


def test_running_means_of_all_batches_have_no_initial_share():
    """BatchNorm with momentum=None averages all batches: after the first, nothing of mean 0 and variance 1 is left."""
    layer = nn.BatchNorm2d(2, momentum=None)
    layer(torch.randn(8, 2, 4, 4) + 3)
    assert settled(nn.Sequential(layer)) is None
    assert settled(nn.Sequential(nn.BatchNorm2d(2, momentum=None)))[0].running_mean is None


# --- resume, files --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(images, tmp_path_factory):
    """A run on a user's module, after one of two epochs, and the folder of its files."""
    folder = tmp_path_factory.mktemp("own")
    run = trainer(images, encoder=net()).run(epochs=1, progress=False)
    run.save(folder / "checkpoint.pt")
    run.save_encoder(folder / "encoder.safetensors")
    return run, folder


def test_a_resumed_run_equals_the_uninterrupted_one(images, saved):
    whole = trainer(images, encoder=net()).run(progress=False)
    resumed = bt.Trainer.resume(saved[1] / "checkpoint.pt", images, device="cpu", encoder=net(seed=8))
    resumed.run(progress=False)
    assert resumed.history.loss == whole.history.loss
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("encoder", "words"),
    [
        (lambda: None, r"of a run that trains a module of its own: give one of the same layers as encoder="),
        (lambda: net(width=7), r"another encoder than this Net \(conv.weight is \(6, 3, 3, 3\) in the file and \(7"),
        (lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), "the file has no 0.weight"),
    ],
)
def test_files_of_a_users_module_need_that_module(images, saved, encoder, words):
    with pytest.raises(CheckpointError, match=words):
        bt.Trainer.resume(saved[1] / "checkpoint.pt", images, device="cpu", encoder=encoder())
    with pytest.raises(CheckpointError, match=words):
        bt.load_encoder(saved[1] / "encoder.safetensors", encoder())


def test_an_encoder_that_a_name_builds_needs_no_module(images, tmp_path):
    run = trainer(images)
    run.save(tmp_path / "run.pt")
    run.save_encoder(tmp_path / "f.safetensors")
    for load in (
        lambda: bt.Trainer.resume(tmp_path / "run.pt", images, device="cpu", encoder=net()),
        lambda: bt.load_encoder(tmp_path / "f.safetensors", net()),
    ):
        with pytest.raises(
            CheckpointError, match="has encoder='small', which is built by its name: leave encoder= out"
        ):
            load()


def test_an_encoder_file_gives_back_the_encoder(images, saved):
    run, folder = saved
    given = net(seed=8)
    encoder = bt.load_encoder(folder / "encoder.safetensors", given)
    assert torch.equal(bt.features(encoder, images), bt.features(run.model.encoder, images))
    assert not hasattr(given, "pixel_mean")
    from safetensors.torch import load_file

    given.load_state_dict(load_file(folder / "encoder.safetensors"))  # the names of the module itself
    assert torch.equal(given.conv.weight, run.model.encoder.conv.weight)


@pytest.mark.parametrize("name", ["timm:test_vit", "torchvision:mobilenet_v3_small"])
def test_a_named_network_is_rebuilt_from_its_files(images, tmp_path, name):
    run = trainer(images, encoder=name).run(epochs=1, progress=False)
    run.save(tmp_path / "run.pt")
    run.save_encoder(tmp_path / "f.safetensors")
    y = bt.features(run.model.encoder, images)
    assert torch.equal(bt.features(bt.load_encoder(tmp_path / "f.safetensors"), images), y)
    again = bt.Trainer.resume(tmp_path / "run.pt", images, device="cpu")
    assert torch.equal(bt.features(again.model.encoder, images), y)
    assert again.step() == run.step()


def test_weights_that_share_memory_are_saved(images, tmp_path):
    class Tied(Net):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(6, 6)
            self.second = nn.Linear(6, 6)
            self.second.weight = self.first.weight

        def forward(self, x):
            return self.second(self.first(super().forward(x)).relu())

    run = trainer(images, encoder=Tied())
    run.step()
    assert run.model.target.encoder.second.weight is run.model.target.encoder.first.weight
    run.save_encoder(tmp_path / "f.safetensors")
    loaded = bt.load_encoder(tmp_path / "f.safetensors", Tied())
    assert torch.equal(bt.features(loaded, images), bt.features(run.model.encoder, images))


def test_a_run_on_a_users_module_is_a_start_for_another(images, saved):
    run, folder = saved
    for place in ("checkpoint.pt", "encoder.safetensors"):
        more = trainer(images, encoder=net(seed=9), init=folder / place)
        assert more.taken["encoder"] == "taken"
        assert torch.equal(more.model.target.encoder.conv.weight, run.model.encoder.conv.weight)


# --- the rest of the library ----------------------------------------------------------------------


def test_a_session_trains_a_users_module_and_resets_to_it(images, saved):
    with bt.Session(bt.Config(**TINY), images, device="cpu", encoder=net()) as session:
        session.run(steps=2)
        assert session.config.encoder == "own"
        assert list(session.trainer.history.loss) == saved[0].history.loss[:2]
        session.reset().result()
        session.run(steps=2)
        assert list(session.trainer.history.loss) == saved[0].history.loss[:2]
        session.change(encoder="small").result()  # structural: a new run
        assert type(session.trainer.model.encoder).__name__ == "SmallEncoder"
        session.change(encoder="own").result()
        assert type(session.trainer.model.encoder) is Net


def test_a_session_continues_a_trainers_run(images, saved):
    run = bt.Trainer.resume(saved[1] / "checkpoint.pt", images, device="cpu", encoder=net(seed=8))
    with bt.Session.of(run) as session:
        session.run(steps=1)
        with pytest.raises(ExperimentError, match=r"a module of your own .* cannot be put in a line of text"):
            str(bt.Experiment.of(session))


def test_a_laboratory_cannot_get_a_module(images):
    with pytest.raises(LaboratoryError, match="encoder='own': the processes of a laboratory cannot get a module"):
        Laboratory(tables("5a"), bt.Config(**TINY | {"encoder": "own"}), images)


def test_a_run_on_a_users_module_is_recorded(images):
    recording = bt.record(trainer(images, encoder=net()), images, epochs=1, progress=False)
    assert recording.maps.shape == (2, 64, 2)


def test_without_a_module_own_is_refused(images):
    with pytest.raises(ConfigError, match="encoder='own': a module of your own must be given as encoder=, to Trainer"):
        trainer(images, encoder="own")
    with pytest.raises(ConfigError, match="encoder='resnet18' in the config, and a module too"):
        bt.Trainer(bt.Config(**TINY | {"encoder": "resnet18"}), images, device="cpu", encoder=net())


# --- parts that a run would ignore ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("assign", "words"),
    [
        (lambda t: setattr(t.model, "encoder", net()), r"model.encoder .*Trainer\(config, images, encoder=...\)"),
        (lambda t: setattr(t.model.online, "encoder", net()), r"online.encoder .*Trainer\(config, images, encoder="),
        (lambda t: setattr(t.model.target, "projector", net()), r"projector cannot be exchanged"),
        (lambda t: setattr(t.model, "projector", net()), "model.projector cannot be exchanged"),
        (lambda t: setattr(t.model, "predictor", net()), r"model.predictor .*trainer.change\(predictor=...\)"),
        (lambda t: setattr(t.model, "predictors", nn.ModuleDict()), r"model.predictors .*trainer.change\(predictor="),
        (lambda t: setattr(t.model, "online", t.model.target), "model.online cannot be exchanged"),
        (lambda t: setattr(t, "model", t.model), r"trainer.model .*Trainer\(config, images, encoder=...\)"),
        (lambda t: setattr(t, "config", bt.Config()), r"trainer.config .*trainer.change\(...\)"),
        (lambda t: setattr(t, "train", t.train), r"trainer.train .*init=..."),
        (lambda t: setattr(t, "optimizer", torch.optim.Adam(t.model.parameters())), "trainer.optimizer .*lr="),
        (lambda t: setattr(t, "device", "cuda"), "trainer.device .*device="),
        (lambda t: setattr(t, "precision", torch.float16), "trainer.precision .*a new Trainer"),
        (lambda t: setattr(t, "lr", 0.1), r"trainer.lr has no effect: use trainer.change\(lr=...\)"),
        (lambda t: setattr(t, "batch_size", 4), r"use a new Trainer with config.replace\(batch_size=...\)"),
    ],
)
def test_an_assignment_that_a_run_would_ignore_is_refused(images, assign, words):
    run = trainer(images)
    before = dict(vars(run))
    with pytest.raises(TrainingError, match=words):
        assign(run)
    assert dict(vars(run)) == before
    run.step()


def test_assignments_that_work_still_work(images, test_images):
    run = trainer(images)
    run.test = test_images
    assert run.has_labels
    assert 0 <= run.knn() <= 1
    run.model.target = copy.deepcopy(run.model.online).requires_grad_(False)
    run.step()
    torch.testing.assert_close(run.model.target.encoder[0].weight, run.model.encoder[0].weight, rtol=0.5, atol=0.5)


# --- weights that others trained ------------------------------------------------------------------


def moved(make, *arguments, **options):
    """A network whose values all differ from their initial ones, BatchNorm's included."""
    torch.manual_seed(4)
    network = make(*arguments, **options)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.add_(0.05 * torch.rand_like(value))
    return network.eval()


def test_a_run_starts_from_weights_of_timm(images, tmp_path):
    source = moved(timm.create_model, "test_resnet")
    torch.save(source.state_dict(), tmp_path / "w.pth")
    init = f"timm:test_resnet={tmp_path / 'w.pth'}"
    run = trainer(images, encoder="timm:test_resnet", init=init)
    assert run.taken == {
        "encoder": "taken", "projector": "stays random: the file has none", "predictor": "stays random: the file has none",
    }  # fmt: skip
    source.reset_classifier(0)
    mean, std = images.statistics()
    by_hand = (images.images.float() / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    with torch.no_grad():
        wanted = source(by_hand)
    torch.testing.assert_close(bt.features(run.model.encoder, images), wanted, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(bt.features(run.model.target.encoder, images), wanted, rtol=1e-3, atol=1e-4)
    y, _ = run.represent(images)  # its running averages are used, although the file counts no batches
    assert settled(run.model.online.encoder) is None
    torch.testing.assert_close(y, wanted, rtol=1e-3, atol=1e-4)
    run.step()


def test_a_vision_transformer_gets_its_positions_for_the_size_of_the_views(images, tmp_path):
    source = moved(timm.create_model, "test_vit", img_size=64)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    size = images.image_size[0]
    run = bt.Trainer(
        bt.Config(**TINY | {"encoder": "timm:test_vit"}), images, device="cpu",
        init=f"timm:test_vit={tmp_path / 'w.pth'}",
    )  # fmt: skip
    source.set_input_size(img_size=size)
    torch.testing.assert_close(run.model.encoder.pos_embed, source.pos_embed)
    assert run.taken["encoder"] == "taken"


def test_the_first_convolution_of_a_small_stem_stays_random_and_is_named(images, tmp_path):
    source = moved(torchvision.models.resnet18)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    fields = TINY | {"encoder": "resnet18"}
    run = bt.Trainer(bt.Config(**fields), images, device="cpu", init=f"torchvision:resnet18={tmp_path / 'w.pth'}")
    fresh = bt.Trainer(bt.Config(**fields), images, device="cpu")
    said = "taken, except conv1.weight is (64, 3, 7, 7) in the file and (64, 3, 3, 3) here, which stays random"
    assert run.taken["encoder"] == said
    assert torch.equal(run.model.encoder.conv1.weight, fresh.model.encoder.conv1.weight)
    assert torch.equal(run.model.encoder.layer4[1].conv2.weight, source.layer4[1].conv2.weight)
    assert torch.equal(run.model.target.encoder.bn1.running_mean, source.bn1.running_mean)


def test_a_users_module_of_the_same_names_takes_them_too(images, tmp_path):
    source = moved(timm.create_model, "test_resnet")
    torch.save(source.state_dict(), tmp_path / "w.pth")
    own = timm.create_model("test_resnet", num_classes=0)
    run = trainer(images, encoder=own, init=f"timm:test_resnet={tmp_path / 'w.pth'}")
    assert torch.equal(next(run.model.encoder.parameters()), next(source.parameters()))


@pytest.mark.parametrize(
    ("init", "words"),
    [
        ("timm:test_resnet=FILE", r"encoder in 'timm:test_resnet=.*' does not fit a run with encoder='small'"),
        ("timm:test_resnet=gone.pth", "'gone.pth' do not exist"),
        ("timm:test_resnt=FILE", r"did you mean .*timm:test_resnet"),
        ("torchvision:resnet18=FILE", "do not fit|another network"),
    ],
)
def test_weights_of_libraries_that_cannot_be_taken(images, tmp_path, init, words):
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=words) as caught:
        trainer(images, init=init.replace("FILE", str(tmp_path / "w.pth")))
    assert "\n" not in str(caught.value)


def test_without_a_network_one_line_says_how_to_give_a_file(images, monkeypatch):
    def refused(*arguments, **options):
        raise OSError("Network is unreachable\nMax retries exceeded")

    monkeypatch.setattr(timm, "create_model", refused)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refused)
    for name in ("timm:resnet18.a1_in1k", "torchvision:resnet18"):
        with pytest.raises(CheckpointError, match=rf"could not be downloaded.*and give {name}=FILE") as caught:
            trainer(images, init=name)
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, UserError)


def test_nothing_is_fetched_where_a_file_or_nothing_is_asked(images, tmp_path, monkeypatch):
    import urllib.request

    import huggingface_hub

    def fetched(*arguments, **options):
        raise AssertionError("something was fetched")

    monkeypatch.setattr(urllib.request, "urlopen", fetched)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetched)
    monkeypatch.setattr("timm.models._hub.hf_hub_download", fetched)
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "w.pth")
    config = bt.Config(**TINY | {"encoder": "timm:test_resnet"})
    bt.Trainer(config, images, device="cpu", init=f"timm:test_resnet={tmp_path / 'w.pth'}").step()
    bt.Trainer(config, images, device="cpu").step()


def test_config_of_a_users_module_is_json():
    config = bt.Config(encoder="own")
    assert bt.Config.from_dict(json.loads(config.to_json())) == config
