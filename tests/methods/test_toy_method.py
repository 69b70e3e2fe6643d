"""A method that the library does not know: one class and one line in the registry, and everything works with it.

It pulls the two views of an image together and pushes each dimension's spread up to a floor, as VICReg's variance term.
"""

import inspect

import pytest
import torch
from torch import nn

import byol_tutorial as bt
from byol_tutorial.config.fields import METHODS
from byol_tutorial.methods.base import Objective, Output
from byol_tutorial.methods.registry import OBJECTIVES
from byol_tutorial.networks.encoders import Branch
from byol_tutorial.train import batches, monitor, trainer

TINY = {"method": "toy", "width": 4, "hidden_dim": 16, "projection_dim": 8, "batch_size": 8, "epochs": 4, "lr": 0.05}


class Toy(Objective):
    def __init__(self, config, view_size, mean=(0.5,) * 3, std=(0.25,) * 3):
        super().__init__(config)
        self.online = Branch(config, view_size, mean, std)
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.drawn, self.updates = [], []

    @classmethod
    def check_images(cls, config, images):
        if len(images) < 10:
            raise bt.ConfigError(f"{len(images)} images: give at least 10")

    def learned(self):
        return {"online": self.online, "scale": nn.ParameterList([self.scale])}

    def draw(self, n, generator):
        return torch.rand(n, 1, generator=generator, device=generator.device)

    @property
    def local_crops(self):
        return 3

    @property
    def scale_settles(self):
        return 1.0

    def tau(self, step, total_steps):
        return step / total_steps

    def update_target(self, tau):
        self.updates.append(tau)

    def forward(self, v1, v2, *local_crops, drawn=None):
        if local_crops:
            self.seen += 1
            self.drawn.append(drawn)
        z1, z2 = self.online(v1), self.online(v2)
        spread = torch.cat((z1, z2)).std(0)
        loss = (z1 - z2).square().mean() + self.scale.square() * (1 - spread).clamp(min=0).mean()
        return Output(loss, z1.detach().float(), z1.detach().float(), z2.detach().float())


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The one line of the registry."""
    monkeypatch.setitem(OBJECTIVES, "toy", Toy)
    METHODS.append("toy")
    yield
    METHODS.remove("toy")


@pytest.fixture(scope="module")
def images():
    return bt.load("shapes", limit=44), bt.load("shapes", "test", limit=40)


def test_it_trains_saves_resumes_and_is_diagnosed(images, tmp_path):
    whole = bt.Trainer(bt.Config(**TINY), *images, device="cpu")
    before = [p.detach().clone() for p in whole.model.parameters()]
    whole.run(progress=False)
    moved = [not torch.equal(a, b) for a, b in zip(before, whole.model.parameters(), strict=True)]
    assert sum(moved) > len(moved) / 2
    assert whole.model.scale.item() != 1.0  # which is none of the online network
    assert whole.history.tau == whole.model.updates == [k / 20 for k in range(20)]
    assert whole.model.seen == 20
    assert {d.shape for d in whole.model.drawn} == {(8, 1)}

    cut = bt.Trainer(bt.Config(**TINY), *images, device="cpu")
    cut.run(epochs=2, progress=False)
    cut.save(tmp_path / "c.pt")
    resumed = bt.Trainer.resume(tmp_path / "c.pt", *images, device="cpu")
    resumed.run(progress=False)
    assert resumed.history.loss == whole.history.loss
    assert all(map(torch.equal, resumed.model.parameters(), whole.model.parameters()))

    assert whole.diagnosis().verdict
    assert "√d·std" in str(whole.report())
    assert 0 <= whole.knn() <= 1
    whole.save_encoder(tmp_path / "f.safetensors")
    y = bt.features(bt.load_encoder(tmp_path / "f.safetensors"), images[1])
    torch.testing.assert_close(y, bt.features(whole.model.encoder, images[1]))


def test_its_own_rules_are_asked(images):
    with pytest.raises(bt.ConfigError, match="4 images: give at least 10"):
        bt.Trainer(bt.Config(**(TINY | {"batch_size": 4})), bt.load("shapes", limit=4), device="cpu")
    t = bt.Trainer(bt.Config(**TINY), *images, device="cpu")
    assert monitor.same_loss_since(t) == 5  # its loss settles within one epoch


def test_a_session_and_a_recording_take_it(images):
    session = bt.Session(bt.Config(**TINY), *images, device="cpu")
    session.run(epochs=1)
    assert session.snapshot().step == 5
    recording = bt.record(bt.Trainer(bt.Config(**TINY), *images, device="cpu"), images[1])
    assert len(recording.maps) > 1


@pytest.mark.parametrize("module", [trainer, batches, monitor], ids=lambda m: m.__name__)
def test_what_trains_names_no_method(module):
    text = inspect.getsource(module)
    assert not [name for name in ("simclr", "simsiam", "dino", "predictor", "prototypes") if name in text.lower()]
    assert '"byol"' not in text
    assert "config.method ==" not in text
