"""The playground's networks, losses and optimiser beside PyTorch's, in float64, on the same weights and views."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from javascript import run

import byol_tutorial as bt
from byol_tutorial.evaluate.diagnose import spread
from byol_tutorial.methods.byol import BYOL
from byol_tutorial.methods.simclr import SimCLR
from byol_tutorial.methods.simsiam import SimSiam
from byol_tutorial.train.optim import build_optimizer
from byol_tutorial.widgets.playground.build import FOLDER, compiled, engine
from byol_tutorial.widgets.playground.fields import SIZES, about

STEPS, BATCH = 20, 8
MODELS = {"byol": BYOL, "simclr": SimCLR, "simsiam": SimSiam}
CASES = {  # the seven configurations of the lessons, and what else the page can change
    "BYOL": {},
    "linear predictor": {"predictor": "linear"},
    "no predictor": {"predictor": "identity"},
    "no stop-gradient": {"stop_gradient": False},
    "no EMA": {"target": "online"},
    "fixed random target": {"target": "random"},
    "neither predictor nor stop-gradient": {"predictor": "identity", "stop_gradient": False},
    "one direction": {"symmetric": False},
    "one direction, no stop-gradient": {"symmetric": False, "stop_gradient": False},
    "SimSiam": {"method": "simsiam"},
    "SimSiam without stop-gradient": {"method": "simsiam", "stop_gradient": False},
    "SimCLR": {"method": "simclr", "temperature": 0.5},
    "SimCLR without negatives": {"method": "simclr", "negatives": False},
}
NETS = {"light": (24, 8), "course": (32, 16)}  # size, width

LEARN = """
const {spec, start, target, views, settings, lr, wasm, pictures} = a;
const open = wasm ? await openWebAssembly(wasm) : openScript(Float64Array), learner = new Learner(spec, open), before = {};
learner.initialise(generator(0), false);
for (const [name, values] of Object.entries(start)) learner.tensor(name).set(values);
for (const [name, values] of Object.entries(target)) learner.tensor(name, "target").set(values);
const out = {loss: [], std: [], gradient: {}, end: {}, target: {}};
views.forEach((v, step) => {
  learner.H.set(v, learner.images);
  const {loss, std} = learner.step(settings, lr, settings.tau);
  out.loss.push(loss);
  out.std.push(std);
  if (step === 0) for (const name of Object.keys(start)) out.gradient[name] = learner.tensor(name, "G").slice();
});
for (const name of Object.keys(start)) out.end[name] = learner.tensor(name).slice();
for (const name of Object.keys(target)) out.target[name] = learner.tensor(name, "target").slice();
return {...out, ...learner.look(pictures)};
"""


def tensors(model) -> dict[str, torch.Tensor]:
    """Return the weights of a model by the names that the playground gives them, laid out as there."""
    found = {}
    for part in ("projector",):
        found |= mlp(part, getattr(model, part))
    convolutions = [m for m in model.encoder if isinstance(m, torch.nn.Conv2d)]
    norms = [m for m in model.encoder if isinstance(m, torch.nn.BatchNorm2d)]
    for i, (convolution, norm) in enumerate(zip(convolutions, norms, strict=True)):
        found[f"encoder.{i}.weight"] = convolution.weight.permute(2, 3, 1, 0)
        found |= {f"encoder.{i}.gamma": norm.weight, f"encoder.{i}.beta": norm.bias}
    return found


def mlp(name, module) -> dict[str, torch.Tensor]:
    first, norm, _, second = module
    return {f"{name}.first": first.weight.T, f"{name}.bias": first.bias, f"{name}.gamma": norm.weight,
            f"{name}.beta": norm.bias, f"{name}.second": second.weight.T}  # fmt: skip


def all_tensors(model) -> dict[str, torch.Tensor]:
    found = tensors(model.online)
    if hasattr(model, "predictors"):
        found |= mlp("mlp", model.predictors["mlp"]) | {"linear.weight": model.predictors["linear"].weight.T}
    return found


def copied(named) -> dict[str, np.ndarray]:
    return {name: value.detach().double().contiguous().numpy().ravel().copy() for name, value in named.items()}


def loss_of(model, v1, v2):
    """Return the loss and z in float64; the library's SimCLR and SimSiam compute their losses in float32."""
    c = model.config
    if c.method == "byol":
        out = model(v1, v2)
        return out.loss, out.z
    z1, z2 = model.online(v1), model.online(v2)
    if c.method == "simsiam":
        p1, p2 = model.predictor(z1), model.predictor(z2)
        t1, t2 = (z1.detach(), z2.detach()) if c.stop_gradient else (z1, z2)
        return -(F.cosine_similarity(p1, t2).mean() + F.cosine_similarity(p2, t1).mean()) / 2, z1
    unit = F.normalize(torch.cat((z1, z2)))
    scores = (unit @ unit.T / c.temperature).fill_diagonal_(-torch.inf)
    partner = torch.arange(2 * len(v1)).roll(len(v1))
    alone = -scores[torch.arange(len(unit)), partner].mean()
    return F.cross_entropy(scores, partner) if c.negatives else alone, z1


def gradients(model) -> dict[str, torch.Tensor]:
    """Return the gradients by the names of the weights, 0 where there is none."""
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for weight, p in zip(twin.parameters(), model.parameters(), strict=True):
            weight.copy_(torch.zeros_like(p) if p.grad is None else p.grad)
    return all_tensors(twin)


class Reference:
    """A model of the library in float64, its first weights, its views, and what training it gives."""

    def __init__(self, net: str, changes: dict, steps: int):
        size, width = NETS[net]
        config = bt.Config(batch_size=BATCH, width=width, **changes)
        torch.manual_seed(1)
        model = MODELS[config.method](config, size).double().train()
        with (
            torch.no_grad()
        ):  # BatchNorm at 1 and 0 would hide a fault, and so would a target equal to the online network
            for p in model.parameters():
                if p.ndim == 1:
                    p.add_(0.2 * torch.randn_like(p))
            target = model.target if hasattr(model, "target") else model.online
            for p in target.parameters():
                p.add_(0.02 * torch.randn_like(p))
        self.start, self.first_target = copied(all_tensors(model)), copied(tensors(target))
        images = bt.load("shapes", size=size, limit=BATCH * steps).images[: BATCH * steps]
        mean, std = (f((0, 2, 3)) for f in ((images / 255).mean, (images / 255).std))
        maker = bt.augment.Views(config, mean, std, torch.Generator().manual_seed(5))
        self.views, self.loss, self.std = [], [], []
        self.lr, self.tau = 0.1, model.tau(1, 10_000)
        optimizer = build_optimizer(model, config)
        for group in optimizer.param_groups:
            group |= {"lr": self.lr, "weight_decay": config.weight_decay if group["decays"] else 0}
        for step, batch in enumerate(images.split(BATCH)):
            v1, v2 = (v.double() for v in maker(batch))
            self.views.append(torch.cat((v1, v2)).permute(0, 2, 3, 1).contiguous().numpy().ravel())
            optimizer.zero_grad()
            loss, z = loss_of(model, v1, v2)
            self.std.append(float(spread(z.detach())))
            loss.backward()
            self.loss.append(loss.item())
            if step == 0:
                self.gradient = copied(gradients(model))
            optimizer.step()
            model.update_target(self.tau)
        self.end = copied(all_tensors(model))
        self.target = copied(tensors(model.target if hasattr(model, "target") else model.online))
        self.spec = {"size": size, "width": width, "batch": BATCH, "hidden": 256, "projection": 64}
        self.settings = config.to_dict() | {"tau": self.tau}
        model.eval()
        x = (images[:20] / 255 - mean[:, None, None]) / std[:, None, None]
        self.pictures = x.permute(0, 2, 3, 1).contiguous().numpy().ravel()
        with torch.no_grad():
            self.y = model.encoder(x.double()).numpy().ravel()

    def learned(self, wasm: bytes | None = None) -> dict:
        return run(engine(), LEARN, spec=self.spec, start=self.start, target=self.first_target, views=self.views,
                   settings=self.settings, lr=self.lr, wasm=wasm, pictures=self.pictures)  # fmt: skip


def distance(ours: dict, theirs: dict) -> float:
    """Return ‖ours − theirs‖ / ‖theirs‖ of all tensors together."""
    a, b = (np.concatenate([np.array(d[name]) for name in theirs]) for d in (ours, theirs))
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.mark.training
@pytest.mark.parametrize(("name", "net", "steps"), [*((name, "light", 20) for name in CASES), ("BYOL", "course", 5)])
def test_steps_are_pytorchs(name, net, steps):
    """In float64 the losses, the first gradients, the last weights, the target and the representations agree."""
    reference = Reference(net, CASES[name], steps)
    ours = reference.learned()
    np.testing.assert_allclose(ours["loss"], reference.loss, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours["std"], reference.std, rtol=1e-5)  # the library measures it in float32
    assert distance(ours["gradient"], reference.gradient) < 1e-12
    assert distance(ours["end"], reference.end) < 1e-12
    if reference.settings["method"] == "byol" and 0 < reference.tau <= 1:
        assert distance(ours["target"], reference.target) < 1e-12
    np.testing.assert_allclose(ours["y"], reference.y, atol=1e-6)  # which leave the memory as float32


@pytest.mark.training
@pytest.mark.parametrize("net", NETS)
def test_webassembly_computes_the_same_in_float32(net):
    reference = Reference(net, {}, 2)
    ours = reference.learned((FOLDER / "kernels.wasm").read_bytes())
    np.testing.assert_allclose(ours["loss"], reference.loss, rtol=1e-4)
    assert distance(ours["gradient"], reference.gradient) < 1e-5


@pytest.mark.parametrize("wasm", [False, True])
def test_what_is_not_finite_stays_so_through_a_relu(wasm):
    """As in PyTorch, whose ReLU of NaN is NaN and whose gradient passes there."""
    body = """
    const {H, kernels} = (a.wasm ? await openWebAssembly(a.wasm) : openScript())(9000), [X, Y, ones, zeros, D] = [5000, 5100, 5200, 5300, 5400];
    H.set([NaN, -1, 2, 0], X);
    H.fill(1, ones, ones + 8);
    H.fill(0, zeros, zeros + 8).fill(1, zeros + 4, zeros + 8); // mean 0, inverse deviation 1
    kernels.norm_relu(1, 4, X, Y, ones, zeros, zeros);
    H.set([1, 1, 1, 1], D);
    H.set([0, -1, 2, 0], X); // the gradient of γ would be NaN
    kernels.norm_relu_back(1, 4, X, Y, D, ones, zeros, 5500, 5510, 5520);
    return {y: Array.from(H.subarray(Y, Y + 4), String), passed: H.slice(5510, 5514)};"""
    found = run(engine(), body, wasm=(FOLDER / "kernels.wasm").read_bytes() if wasm else None)
    x = torch.tensor([float("nan"), -1, 2, 0], requires_grad=True)
    F.relu(x).backward(torch.ones(4))
    assert found["y"] == ["NaN" if v != v else f"{v:g}" for v in F.relu(x).tolist()]
    assert found["passed"] == x.grad.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(("pixels", "width"), SIZES.items())
def test_every_tensor_has_whole_vectors_of_four_floats(pixels, width):
    """The kernels in WebAssembly work on four floats at once, and have no loop for a rest."""
    body = """
    const {parts} = new Learner({size: a.pixels, width: a.width, batch: 16, looked: LOOKED_AT, ...HEADS}, openScript());
    return Object.values(parts).flatMap((part) => Object.entries(part.tensors).map(([name, {size}]) => [name, size]));"""
    found = run(engine(), body, pixels=pixels, width=width)
    assert len(found) > 10
    assert [name for name, size in found if size % 4] == []


ORDERS = """
const sent = [], run = new Run((m) => sent.push(m), openScript(), "worker"), settings = a.settings;
run.receive({do: "begin", number: 7, settings, changes: [[0, {target: "random"}], [3, {lr: 0.25}]]});
const target = Array.from(run.learner.tensor("projector.first", "target").slice(0, 5)), online = Array.from(run.learner.tensor("projector.first").slice(0, 5));
run.receive({do: "change", settings: {lr: 0.5}});
run.receive({do: "change", settings: {lr: 0.5}});
run.receive({do: "begin", number: 8, settings, changes: []});
run.channel.port1.close();
return {target, online, sent: sent.map(({kind, number, applied, settings, first, changes}) => ({kind, number, applied, lr: settings.lr, target: settings.target, first: first?.target, changes}))};
"""


def test_messages_name_their_run_and_what_it_has_applied():
    """What changes at step 0 belongs to the start: a random target is drawn with the first weights."""
    found = run(engine(), ORDERS, settings=about()["settings"])
    assert found["target"] != found["online"]
    later = [[3, {"lr": 0.25}]]
    begun, first, once, twice, again, frame = found["sent"]
    assert [begun["kind"], begun["number"], again["kind"], again["number"], frame["number"]] == [
        "begun",
        7,
        "begun",
        8,
        8,
    ]
    assert [(f["number"], f["applied"], f["lr"], f["target"], f["first"], f["changes"]) for f in (first, once, twice)] == [
        (7, 0, 0.8, "random", "random", later), (7, 1, 0.5, "random", "random", later), (7, 2, 0.5, "random", "random", later)]  # fmt: skip
    assert (frame["applied"], frame["target"], frame["lr"]) == (0, "ema", 0.8)


def test_webassembly_is_what_the_compiler_makes_of_its_source():
    pytest.importorskip("ziglang", reason="the compiler is not installed: pip install ziglang")
    assert compiled() == (FOLDER / "kernels.wasm").read_bytes(), "python -m byol_tutorial.widgets.playground.build"
