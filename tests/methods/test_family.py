"""SimCLR, SimSiam, DINO and what DINOv2 adds: losses against references written apart and against lightly's, equal
runs by BYOL's switches, what must sum to one, what is drawn, what is refused."""

import copy
import decimal
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F

import byol_tutorial as bt
from byol_tutorial.augment.views import LocalCrops
from byol_tutorial.config.fields import METHODS
from byol_tutorial.config.paper_tables import tables
from byol_tutorial.methods import dino, dinov2
from byol_tutorial.methods.registry import OBJECTIVES, TITLES, build_model
from byol_tutorial.methods.simclr import nt_xent
from byol_tutorial.methods.simsiam import negative_cosine
from byol_tutorial.networks import vit
from byol_tutorial.train import monitor

TINY = {"width": 4, "hidden_dim": 16, "projection_dim": 8, "batch_size": 8, "epochs": 2, "warmup_epochs": 0.0}
TINY_DINO = TINY | {"method": "dino", "prototypes": 12}
TINY_VIT = TINY_DINO | {"encoder": "vit_nano", "patch_size": 8, "norm": "none"}


@pytest.fixture(autouse=True)
def the_same_weights_each_time():
    torch.manual_seed(0)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def train():
    return bt.load("shapes", limit=44)


@pytest.fixture(scope="module")
def lightly_loss():
    return pytest.importorskip("lightly.loss", reason="lightly is not installed; it is in the dev extra")


def trained(train, steps=3, **changes):
    trainer = bt.Trainer(bt.Config(**changes), train, device="cpu")
    for _ in range(steps):
        trainer.step()
    return trainer


# --- SimCLR -------------------------------------------------------------------------------------


def test_nt_xent_in_float64_term_by_term():
    z1, z2, alpha = randn(5, 7), randn(5, 7, seed=1), 0.3
    z = torch.cat((z1, z2)).double()
    z = z / z.norm(dim=1, keepdim=True)
    expected = 0.0
    for i in range(10):
        partner = (i + 5) % 10
        others = sum(math.exp(float(z[i] @ z[j]) / alpha) for j in range(10) if j != i)
        expected -= math.log(math.exp(float(z[i] @ z[partner]) / alpha) / others) / 10
    assert nt_xent(z1, z2, alpha).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("alpha", [0.1, 0.5])
def test_nt_xent_is_lightlys(lightly_loss, alpha):
    z1, z2 = randn(12, 5), randn(12, 5, seed=1)
    assert nt_xent(z1, z2, alpha).item() == pytest.approx(lightly_loss.NTXentLoss(alpha)(z1, z2).item(), rel=1e-5)


def test_a_constant_z_is_no_solution_of_simclr_but_one_without_negatives():
    one = torch.ones(6, 4)
    assert nt_xent(one, one, 0.5).item() == pytest.approx(math.log(11), rel=1e-6)
    assert nt_xent(one, one, 0.5, negatives=False).item() == pytest.approx(-2)


SWITCHES = {"predictor": "identity", "target": "online", "stop_gradient": False, "negatives_weight": 1.0}


def test_simclr_makes_the_run_of_byols_switches(train):
    """Their loss is 4 + 4α · NT-Xent: 4α times the rate, and the decay, which the rate multiplies, by 4α less."""
    common = TINY | {"temperature": 0.25}
    switches = trained(train, **common, **SWITCHES, lr=0.4, weight_decay=1e-2)
    method = trained(train, **common, method="simclr", lr=0.4, weight_decay=1e-2)  # 4α = 1
    for a, b in zip(switches.model.online.parameters(), method.model.online.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    for a, b in zip(switches.history.loss, method.history.loss, strict=True):
        assert a == pytest.approx(4 + b, rel=1e-5)


def test_the_presets_scale_rate_and_decay_so_that_their_runs_are_those_of_the_switches():
    shapes, simclr, simsiam = map(bt.preset, ("shapes", "simclr", "simsiam"))
    for preset, factor in ((simclr, 4 * simclr.temperature), (simsiam, 4.0)):
        assert preset.lr == pytest.approx(factor * shapes.lr)
        assert preset.weight_decay == pytest.approx(shapes.weight_decay / factor)


# --- SimSiam ------------------------------------------------------------------------------------


def test_negative_cosine_is_lightlys(lightly_loss):
    p, z = randn(9, 6), randn(9, 6, seed=1)
    expected = lightly_loss.NegativeCosineSimilarity()(p, z)
    assert negative_cosine(p, z).item() == pytest.approx(expected.item(), rel=1e-6)


def test_simsiam_makes_the_run_of_byol_with_the_online_network_as_target(train):
    switches = trained(train, **TINY, target="online", lr=0.1, weight_decay=1e-2)
    method = trained(train, **TINY, method="simsiam", lr=0.4, weight_decay=2.5e-3)
    for part in ("online", "predictors"):
        ours, theirs = (getattr(t.model, part).state_dict() for t in (method, switches))
        for name in ours:
            torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-6)
    for a, b in zip(switches.history.loss, method.history.loss, strict=True):
        assert a == pytest.approx(4 + 4 * b, rel=1e-5)


@pytest.mark.parametrize("stop_gradient", [True, False])
def test_simsiams_stop_gradient_decides_where_the_gradient_goes(stop_gradient):
    """With it the gradient with respect to z is that of a constant z′, by central differences in float64."""
    model = build_model(bt.Config(method="simsiam", stop_gradient=stop_gradient, **TINY), 16).double().eval()
    v1, v2 = randn(4, 3, 16, 16).double(), randn(4, 3, 16, 16, seed=1).double()
    weight, step = model.projector[-1].weight, 1e-5
    direction = randn(*weight.shape, seed=2).double()
    model(v1, v2).loss.backward()
    ours = (weight.grad * direction).sum().item()

    def loss(shift_online, shift_target):
        values = []
        for shift in (shift_online, shift_target):
            with torch.no_grad():
                weight.add_(shift * direction)
                values.append([model.online(v) for v in (v1, v2)])
                weight.sub_(shift * direction)
        (z1, z2), (t1, t2) = values
        p1, p2 = model.predictor(z1), model.predictor(z2)
        return -(F.cosine_similarity(p1, t2).mean() + F.cosine_similarity(p2, t1).mean()).item() / 2

    through_both = (loss(step, step) - loss(-step, -step)) / (2 * step)
    through_online = (loss(step, 0) - loss(-step, 0)) / (2 * step)
    assert abs(through_both - through_online) > 1e-4
    assert ours == pytest.approx(through_online if stop_gradient else through_both, abs=2e-6)


# --- DINO ---------------------------------------------------------------------------------------


def test_dino_loss_in_float64_pair_by_pair():
    teacher = [randn(4, 6, seed=s).double().softmax(1) for s in range(2)]
    student = [randn(4, 6, seed=10 + s).double().log_softmax(1) for s in range(5)]
    total, pairs = 0.0, 0
    for t in range(2):
        for s in range(5):
            if s != t:
                pairs += 1
                total += sum(-float(teacher[t][i, k] * student[s][i, k]) for i in range(4) for k in range(6)) / 4
    assert pairs == 2 * (2 + 3 - 1)
    assert dino.dino_loss(teacher, student).item() == pytest.approx(total / pairs, rel=1e-12)


def test_dino_loss_is_lightlys_with_the_centre_after_several_batches(lightly_loss):
    """Their centre follows after the loss, as ours; their input is scores, from which we make probabilities."""
    config = bt.Config(**TINY_DINO, teacher_temperature=0.05, teacher_temperature_start=0.05, center_momentum=0.8)
    model = build_model(config, 16).train()
    peer = lightly_loss.DINOLoss(
        output_dim=12, warmup_teacher_temp=0.05, teacher_temp=0.05, warmup_teacher_temp_epochs=0, student_temp=0.1,
        center_momentum=0.8,
    )  # fmt: skip
    for batch in range(3):
        scores = [randn(6, 12, seed=100 * batch + s) / 4 for s in range(6)]
        model.begin_step()
        teacher = model.sort(torch.cat(scores[:2])).split(6)
        log_student = [(s / 0.1).log_softmax(1) for s in scores[2:]]
        theirs = peer(scores[:2], scores[2:], epoch=5)
        assert dino.dino_loss(list(teacher), log_student).item() == pytest.approx(theirs.item(), rel=1e-4)
        model.update_target(1.0)


def test_the_centre_is_a_moving_average_of_the_mean_score(train):
    trainer = bt.Trainer(bt.Config(**TINY_DINO, center_momentum=0.7), train, device="cpu")
    model, means = trainer.model, []
    scores = model.target.scores
    model.target.scores = lambda z: means.append(scores(z).mean(0)) or scores(z)
    expected = torch.zeros(12)
    for _ in range(3):
        trainer.step()
        expected = 0.7 * expected + 0.3 * means[-1]
        torch.testing.assert_close(model.center, expected)
    model.eval()
    with torch.no_grad():
        model(*trainer.computation.views_of(0)[0])
    torch.testing.assert_close(model.center, expected)  # looking at it moves nothing


def test_dino_as_a_whole_against_its_equations(train):
    """Two global and three local views, a centre that is not zero: the loss by other code, in float64."""
    config = bt.Config(**TINY_DINO, local_crops=3, local_view_size=16)
    model = build_model(config, 32).double().eval()
    model.center.copy_(randn(12).double() / 10)
    views = [randn(4, 3, size, size, seed=i).double() for i, size in enumerate((32, 32, 16, 16, 16))]
    with torch.no_grad():
        loss = model(*views).loss.item()

        def score(branch, v):
            z = branch.projector(branch.encoder(v))
            w = branch.prototypes.weight
            return (z / z.norm(dim=1, keepdim=True)) @ (w / w.norm(dim=1, keepdim=True)).T

        losses = []
        for i, v in enumerate(views[:2]):
            target = ((score(model.target, v) - model.center) / config.teacher_temperature).softmax(1)
            for j, u in enumerate(views):
                if i != j:
                    losses.append(-(target * (score(model.online, u) / 0.1).softmax(1).log()).sum(1).mean())
    assert len(losses) == 2 * (2 + 3 - 1)
    assert loss == pytest.approx(torch.stack(losses).mean().item(), rel=1e-5)  # the model sorts in float32


@pytest.mark.parametrize(("epoch", "expected"), [(0, 0.02), (2, 0.035), (4, 0.05), (9, 0.05)])
def test_the_teachers_temperature_rises_along_a_line(epoch, expected):
    config = bt.Config(teacher_temperature_start=0.02, teacher_temperature=0.05, teacher_warmup_epochs=4.0)
    assert dino.teacher_temperature_at(torch.tensor(float(epoch)), config).item() == pytest.approx(expected)
    at_once = config.replace(teacher_warmup_epochs=0.0)
    assert dino.teacher_temperature_at(torch.zeros(()), at_once).item() == pytest.approx(0.05)
    nearly = at_once.replace(teacher_warmup_epochs=1e-200)
    assert dino.teacher_temperature_at(torch.zeros(()), nearly).item() == pytest.approx(0.05)


def test_the_warm_up_of_the_temperature_arrives_in_the_run(train):
    changes = TINY_DINO | {"teacher_temperature_start": 0.01, "teacher_temperature": 1.0}
    short, never = (trained(train, steps=6, **changes, teacher_warmup_epochs=w) for w in (1.0, 1000.0))
    assert short.history.loss[0] == never.history.loss[0]
    assert short.history.loss[5] != never.history.loss[5]


def test_the_teacher_follows_and_gets_no_gradient(train):
    trainer = bt.Trainer(bt.Config(**TINY_DINO, tau_base=0.9, tau_schedule="constant"), train, device="cpu")
    before = [p.clone() for p in trainer.model.target.parameters()]
    trainer.step()
    for xi, old, theta in zip(
        trainer.model.target.parameters(), before, trainer.model.online.parameters(), strict=True
    ):
        assert xi.grad is None
        torch.testing.assert_close(xi, 0.9 * old + 0.1 * theta)


# --- DINOv2 -------------------------------------------------------------------------------------


def test_sinkhorn_sums_as_it_must():
    q = dinov2.sinkhorn(randn(24, 6), 0.5, iterations=100)
    torch.testing.assert_close(q.sum(1), torch.ones(24))
    torch.testing.assert_close(q.sum(0), torch.full((6,), 24 / 6), rtol=1e-4, atol=1e-4)
    few = dinov2.sinkhorn(randn(24, 6), 0.5)
    torch.testing.assert_close(few.sum(1), torch.ones(24))  # rows are last, so exact after any number


def test_sinkhorn_is_lightlys():
    peer = pytest.importorskip("lightly.loss.swav_loss", reason="lightly is not installed; it is in the dev extra")
    scores = randn(16, 8) / 5
    theirs = peer.sinkhorn(scores, iterations=3, epsilon=0.1, gather_distributed=False)
    torch.testing.assert_close(dinov2.sinkhorn(scores, 0.1), theirs, rtol=1e-4, atol=1e-6)


def test_sinkhorn_gives_no_prototype_everything_and_bears_a_low_temperature():
    scores = randn(32, 8)
    scores[:, 3] += 5  # plain softmax sends all to it
    assert (scores / 0.05).softmax(1).argmax(1).unique().tolist() == [3]
    q = dinov2.sinkhorn(scores, 0.05, iterations=50)
    assert q.sum(0).max() < 1.5 * 32 / 8


@pytest.mark.parametrize("temperature", [0.5, 0.01, 0.001, 1e-5])
def test_sinkhorn_is_the_alternating_scaling_of_exact_arithmetic(temperature):
    """The same in decimals of 60 digits whose exponents have no bound, so that no row rounds to 0."""
    scores = randn(7, 4).clamp(-1, 1).float()
    with decimal.localcontext(prec=60):
        q = [[(decimal.Decimal(s) / decimal.Decimal(temperature)).exp() for s in row] for row in scores.tolist()]
        for _ in range(3):
            columns = [sum(column) for column in zip(*q, strict=True)]
            q = [[x / total for x, total in zip(row, columns, strict=True)] for row in q]
            q = [[x / sum(row) for x in row] for row in q]
    expected = torch.tensor([[float(x) for x in row] for row in q])
    found = dinov2.sinkhorn(scores, temperature)
    torch.testing.assert_close(found.sum(1), torch.ones(7))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_sinkhorn_of_chosen_rows_is_that_of_these_rows_alone():
    scores, chosen = randn(20, 5), torch.arange(20) % 3 == 0
    found = dinov2.sinkhorn(scores, 0.1, chosen=chosen)
    torch.testing.assert_close(found[chosen], dinov2.sinkhorn(scores[chosen], 0.1))
    assert not torch.allclose(found[chosen], dinov2.sinkhorn(scores, 0.1)[chosen], atol=0.01)
    torch.testing.assert_close(dinov2.sinkhorn(scores, 0.1, chosen=chosen | True), dinov2.sinkhorn(scores, 0.1))
    assert torch.isfinite(dinov2.sinkhorn(scores, 0.001, chosen=chosen & False)).all()
    scores[0, 0] = torch.nan  # a run that diverges must be seen
    assert dinov2.sinkhorn(scores, 0.1, chosen=chosen).isnan().any()


def sinkhorn_of_their_code(scores, temperature):
    q = (scores / temperature).exp().T
    k, b = q.shape
    q = q / q.sum()
    for _ in range(3):
        q = q / q.sum(1, keepdim=True) / k
        q = q / q.sum(0, keepdim=True) / b
    return (q * b).T


def test_the_whole_loss_is_that_of_dinov2s_code():
    """Its sums and means, written from its ssl_meta_arch.py: DINO's pairs, iBOT over all views, KoLeo of both views."""
    config = bt.preset("dinov2", **TINY_VIT | {"koleo_weight": 0.1, "ibot_weight": 1.0, "centering": "sinkhorn"})
    model = build_model(config, view_size=32).train()
    model.epoch.fill_(99.0)
    with torch.no_grad():
        for p in model.online.parameters():  # so that teacher and student differ
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    v1, v2 = randn(8, 3, 32, 32), randn(8, 3, 32, 32, seed=1)
    drawn = dinov2.draw_masks((8, 2, model.patches), (0.1, 0.5), 0.5, torch.Generator().manual_seed(0))
    assert 0 < drawn.any(2).sum() < 16
    found = copy.deepcopy(model)(v1, v2, drawn=drawn).loss

    both, mask = torch.cat((v1, v2)), torch.cat((drawn[:, 0], drawn[:, 1]))
    teacher, student = model.target, model.online
    t_tokens = vit.tokens(teacher.encoder, both)
    s_tokens = vit.tokens(student.encoder, both, mask, student.mask_token)
    scores = {}
    for name, network, tokens in (("t", teacher, t_tokens), ("s", student, s_tokens)):
        scores[name, "class"] = network.scores(network.projector(tokens[:, 0]))
        scores[name, "patch"] = network.scores(network.projector(tokens[:, 1:].flatten(0, 1)))[mask.flatten()]
    t_class = sinkhorn_of_their_code(scores["t", "class"], config.teacher_temperature)
    t_class = torch.cat((t_class[8:], t_class[:8]))  # each view is compared with the other one
    log_s = {part: (scores["s", part] / config.student_temperature).log_softmax(1) for part in ("class", "patch")}
    dino_loss = -(t_class * log_s["class"]).sum(1).mean() * 2 / 2  # two pairs, of two
    t_patch = sinkhorn_of_their_code(scores["t", "patch"], config.teacher_temperature)
    weight = (1 / mask.sum(1).clamp(min=1))[:, None].expand_as(mask)[mask]
    ibot = -((t_patch * log_s["patch"]).sum(1) * weight).sum() / 16
    koleo = 0.0
    for y in s_tokens[:, 0].split(8):
        y = F.normalize(y, dim=1)
        koleo = koleo - (torch.cdist(y, y) + 9 * torch.eye(8)).min(1).values.log().mean()
    assert found.item() == pytest.approx((dino_loss + ibot + 0.1 * koleo).item(), rel=1e-4)
    assert min(abs(x.item()) for x in (dino_loss, ibot, 0.1 * koleo)) > 1e-3


def test_koleo_is_lightlys_and_least_where_points_are_apart(lightly_loss):
    y = randn(20, 5)
    assert dinov2.koleo(y).item() == pytest.approx(lightly_loss.KoLeoLoss()(y).item(), rel=1e-4)
    angle = torch.arange(6) * math.pi / 3
    even = torch.stack((angle.cos(), angle.sin()), 1)  # a hexagon: each neighbour 1 away
    assert dinov2.koleo(even).item() == pytest.approx(0.0, abs=1e-5)
    assert dinov2.koleo(even + torch.tensor([3.0, 0.0])) > 0.5
    assert torch.isfinite(dinov2.koleo(torch.ones(4, 3)))  # all alike: large, not infinite


def test_ibot_loss_in_float64_patch_by_patch():
    teacher, student = randn(3, 4, 5).double().softmax(2), randn(3, 4, 5, seed=1).double().log_softmax(2)
    mask = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=torch.bool)
    first = -(teacher[0, [0, 2]] * student[0, [0, 2]]).sum() / 2
    third = -(teacher[2, 1] * student[2, 1]).sum()
    # over three views: the second, which hides nothing, counts as 0
    assert dinov2.ibot_loss(teacher, student, mask).item() == pytest.approx(((first + third) / 3).item(), rel=1e-12)
    assert dinov2.ibot_loss(teacher, student, torch.zeros_like(mask)).item() == 0


@pytest.mark.parametrize("p", [1.0, 0.5, 0.2])
def test_ibot_loss_is_lightlys_without_its_centre(lightly_loss, p):
    scores_t, scores_s = randn(15, 16, 7), randn(15, 16, 7, seed=1)
    mask = dinov2.draw_masks((15, 16), (0.2, 0.6), p, torch.Generator().manual_seed(0))
    assert 0 < mask.any(1).sum() <= 15
    peer = lightly_loss.IBOTPatchLoss(output_dim=7, teacher_temp=0.05, student_temp=0.1)
    theirs = peer(scores_t[mask], scores_s[mask], mask.view(15, 4, 4))
    ours = dinov2.ibot_loss((scores_t / 0.05).softmax(2), (scores_s / 0.1).log_softmax(2), mask)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-4)


def test_masks_hide_the_share_that_was_asked_for():
    generator = torch.Generator().manual_seed(0)
    share = dinov2.draw_masks((400, 2, 64), (0.25, 0.5), 1.0, generator).float().mean(2)
    assert share.min() >= 0.25 - 1 / 64
    assert share.max() <= 0.5 + 1 / 64
    assert share.unique().numel() > 10
    some = dinov2.draw_masks((2000, 2, 16), (0.25, 0.5), 0.3, generator).any(2).float().mean()
    assert abs(some - 0.3) < 0.05
    assert not dinov2.draw_masks((50, 2, 16), (0.25, 0.5), 0.0, generator).any()


def test_each_addition_changes_the_run(train):
    losses = {
        name: tuple(trained(train, **TINY_VIT, **changes).history.loss)
        for name, changes in {
            "dino": {},
            "ibot": {"ibot_weight": 1.0, "mask_p": 1.0},
            "koleo": {"koleo_weight": 0.1},
            "sinkhorn": {"centering": "sinkhorn"},
            "local": {"local_crops": 2},
        }.items()
    }
    assert len(set(losses.values())) == len(losses)


def test_a_resumed_teacher_sorts_with_the_centre_that_was_saved(train, tmp_path):
    trainer = trained(train, **TINY_VIT, ibot_weight=1.0)
    assert trainer.model.center.abs().sum() > 0
    assert trainer.model.patch_center.abs().sum() > 0
    trainer.save(tmp_path / "run.pt")
    again = bt.Trainer.resume(tmp_path / "run.pt", train)
    for name in ("center", "patch_center"):
        assert torch.equal(getattr(again.model, name), getattr(trainer.model, name))


# --- the vision transformer ---------------------------------------------------------------------


def test_the_plain_vit_is_timms_own():
    import timm

    ours = vit.vit("vit_tiny", 32, 8).eval()
    theirs = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, num_classes=0).eval()
    theirs.load_state_dict(ours.state_dict())
    x = randn(2, 3, 32, 32)
    torch.testing.assert_close(ours(x), theirs(x))
    assert ours.feature_dim == 192


@pytest.mark.parametrize(("name", "patch"), [("vit_nano", 8), ("vit_nano", 4), ("vit_tiny", 8)])
def test_local_views_have_fewer_patches(name, patch):
    net = vit.vit(name, 32, patch)
    assert vit.tokens(net, randn(2, 3, 32, 32)).shape == (2, 1 + (32 // patch) ** 2, net.feature_dim)
    assert vit.tokens(net, randn(2, 3, 16, 16)).shape == (2, 1 + (16 // patch) ** 2, net.feature_dim)


def test_what_is_hidden_cannot_be_seen():
    net = vit.vit("vit_tiny", 32, 8).eval()
    mask, token = torch.zeros(2, 16, dtype=torch.bool), randn(192)
    mask[:, 5] = True  # row 1, column 1
    x = randn(2, 3, 32, 32)
    other = x.clone()
    other[:, :, 8:16, 8:16] = 0
    a, b = vit.tokens(net, x, mask, token), vit.tokens(net, other, mask, token)
    torch.testing.assert_close(a, b)
    assert not torch.allclose(vit.tokens(net, x), vit.tokens(net, other))
    assert not torch.allclose(a, vit.tokens(net, x))


def test_attention_is_that_of_the_last_block_by_hand():
    net = vit.vit("vit_tiny", 32, 8).eval()
    x = randn(2, 3, 32, 32)
    inputs = []
    handle = net.blocks[-1].attn.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    with torch.no_grad():
        net(x)
        handle.remove()
        block = net.blocks[-1].attn
        qkv = block.qkv(inputs[0]).view(2, 17, 3, 3, 64).permute(2, 0, 3, 1, 4)
        weights = (qkv[0] @ qkv[1].transpose(2, 3) / 8).softmax(3)
    ours = vit.attention(net, x)
    torch.testing.assert_close(ours, weights[:, :, 0, 1:].reshape(2, 3, 4, 4))
    assert (ours.sum((2, 3)) <= 1).all()
    torch.testing.assert_close(net(x), net(x))  # nothing is left behind
    assert not block.attn_drop._forward_hooks


# --- local crops --------------------------------------------------------------------------------


def test_local_crops_are_small_parts_drawn_each_anew():
    config = bt.Config(
        method="dino", local_crops=5, local_view_size=12, local_crop_area=(0.05, 0.3), flip_p=(0.0, 1.0), hue=0.0
    )
    crops = LocalCrops(config, 32, generator=torch.Generator().manual_seed(0))
    drawn = crops.draw(200, 32, 32)
    area = drawn.height * drawn.width / 32**2
    assert len(area) == 5 * 200
    assert 0.05 - 1e-4 < area.min() < 0.06
    assert 0.28 < area.max() < 0.3 + 1e-4
    assert area.unique().numel() > 990
    flips = drawn.flip.view(5, 200).float().mean(1).tolist()
    assert flips == [0, 1, 0, 1, 0]  # T and T′ in turn
    views = crops(torch.rand(3, 3, 32, 32))
    assert [tuple(v.shape) for v in views] == [(3, 3, 12, 12)] * 5


def test_local_crops_leave_the_global_views_as_they_were(train):
    with_, without = (bt.Trainer(bt.Config(**TINY_DINO, local_crops=n), train, device="cpu") for n in (2, 0))
    (a, _), (b, _) = with_.computation.views_of(3), without.computation.views_of(3)
    assert (len(a), len(b)) == (4, 2)
    for x, y in zip(a[:2], b, strict=True):
        assert torch.equal(x, y)
    assert a[2].shape[2] == 16  # half of 32


# --- all methods ---------------------------------------------------------------------------------

CASES = {method: {"method": method} for method in METHODS} | {
    "dinov2": TINY_VIT
    | {"ibot_weight": 1.0, "koleo_weight": 0.1, "centering": "sinkhorn", "local_crops": 3, "teacher_warmup_epochs": 1.0}
}


@pytest.mark.parametrize("name", CASES)
def test_a_resumed_run_equals_the_uncut_one_bit_for_bit(train, tmp_path, name):
    config = TINY | {"prototypes": 12} | CASES[name]
    uncut, cut = (bt.Trainer(bt.Config(**config), train, device="cpu") for _ in range(2))
    for _ in range(4):
        uncut.step()
    for _ in range(2):
        cut.step()
    cut.save(tmp_path / "run.pt")
    again = bt.Trainer.resume(tmp_path / "run.pt", train, device="cpu")
    for _ in range(2):
        again.step()
    assert again.history.loss == uncut.history.loss
    for (key, a), (_, b) in zip(uncut.model.state_dict().items(), again.model.state_dict().items(), strict=True):
        assert torch.equal(a, b), key


@pytest.mark.parametrize("name", CASES)
def test_half_precision_is_close_to_float32(train, name):
    config = bt.Config(**(TINY | {"prototypes": 12} | CASES[name]))
    full, half = (bt.Trainer(config.replace(precision=p), train, device="cpu") for p in ("float32", "bfloat16"))
    assert half.step() == pytest.approx(full.step(), rel=0.03, abs=0.02)


@pytest.mark.training
@pytest.mark.parametrize("name", ["simclr", "simsiam", "dino", "dinov2"])
def test_a_compiled_run_is_the_plain_one(train, monkeypatch, name):
    """With the compiler's front end alone, which is what could go wrong."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    config = bt.Config(**(TINY | {"prototypes": 12} | CASES[name]))
    plain, compiled = (bt.Trainer(config.replace(compile=c), train, device="cpu") for c in (False, True))
    for _ in range(3):
        assert compiled.step() == pytest.approx(plain.step(), rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_every_method_has_diagnosis_report_session_and_recording(train, name):
    config = bt.Config(**(TINY | {"prototypes": 12} | CASES[name]))
    test = bt.load("shapes", "test", limit=40)
    session = bt.Session(config, train, test, "cpu")
    session.run(steps=3)
    assert session.snapshot().step == 3
    assert len(session.snapshot().series("std")) == 3
    trainer = session.trainer
    assert trainer.diagnosis().verdict in {"healthy", "partial collapse", "collapse", "divergence", "frozen loss"}
    assert 0 <= trainer.report().std < 2
    assert 0 <= trainer.knn() <= 1
    session.close()
    recording = bt.record(
        bt.Trainer(config.replace(epochs=1), train, test, "cpu"), test, kind="pca", space="z", progress=False
    )
    assert len(recording.epochs) >= 2
    assert torch.isfinite(recording.maps).all()


def test_an_experiment_of_another_method_survives_its_text(train):
    session = bt.Session(bt.Config(**TINY_DINO, local_crops=2), bt.load("shapes", limit=44), device="cpu")
    session.run(steps=2)
    session.change(centering="sinkhorn").result(60)
    session.run(steps=2)
    again = bt.rebuild(str(bt.Experiment.of(session)), device="cpu")
    assert again.snapshot().series("loss") == session.snapshot().series("loss")
    session.close()
    again.close()


@pytest.mark.parametrize("encoder", ["vit_nano", "vit_tiny"])
def test_a_vits_weights_leave_and_come_back(train, tmp_path, encoder):
    config = bt.Config(**(TINY_VIT | {"encoder": encoder}))
    trainer = bt.Trainer(config, train, device="cpu")
    trainer.save_encoder(tmp_path / "encoder.safetensors")
    again = bt.load_encoder(tmp_path / "encoder.safetensors")
    assert torch.equal(bt.features(again, train.images), bt.features(trainer.model.encoder, train.images))
    if encoder == "vit_tiny":
        theirs = bt.guest("timm:vit_tiny_patch16_224", random=True, size=32)
        theirs.body = vit.vit(encoder, 32, 8)
        from safetensors.torch import load_file

        theirs.body.load_state_dict(load_file(tmp_path / "encoder.safetensors"))  # timm's own names


# --- what an independent look found ---------------------------------------------------------------


def test_synchronised_batchnorm_leaves_the_vits_stem_its_relu():
    """torch's own converter drops the activation that timm keeps in the same layer."""
    net = torch.nn.Sequential(vit.vit("vit_nano", 32, 8))
    x = randn(4, 3, 32, 32)
    for _ in range(3):
        net.train()(x)
    expected = net.eval()(x)
    vit.synchronise_batchnorm(net)
    assert any(isinstance(m, torch.nn.SyncBatchNorm) for m in net.modules())
    torch.testing.assert_close(net.eval()(x), expected)


def test_a_step_that_is_not_carried_out_leaves_the_centre_alone(train):
    trainer = trained(train, **TINY_DINO)
    center, sound = trainer.model.center.clone(), trainer.computation.make_views

    def damaged(*drawn):
        (v1, v2), extra = sound(*drawn)
        v1[0, 0, 0, 0] = float("nan")
        return [v1, v2], extra

    trainer.computation.make_views = damaged
    with pytest.raises(bt.train.DivergedError):
        trainer.step()
    assert torch.equal(trainer.model.center, center)


def test_a_look_at_the_model_between_passes_and_update_does_not_move_the_centre(train):
    looked, plain = (bt.Trainer(bt.Config(**TINY_DINO), train, device="cpu") for _ in range(2))
    accumulate = looked.computation.accumulate

    def and_look(*args):
        measures = accumulate(*args)
        with torch.no_grad():
            looked.model(*looked.computation.views_of(7)[0])  # notes scores that are not of this step
        return measures

    looked.computation.accumulate = and_look
    for t in (looked, plain):
        t.step()
    torch.testing.assert_close(looked.model.center, plain.model.center)


@pytest.mark.parametrize("changes", [{}, {"local_crops": 2}])
def test_accumulated_batches_make_the_step_of_one_large_batch(train, changes):
    """With the mean for a centre, which moves once a step; Sinkhorn-Knopp and KoLeo see one pass."""
    changes = TINY_DINO | {"norm": "gn_ws", "lr": 0.5} | changes
    one = trained(train, **(changes | {"batch_size": 16}))
    two = trained(train, **(changes | {"batch_size": 8, "accumulation_steps": 2}))
    torch.testing.assert_close(two.model.center, one.model.center, rtol=1e-4, atol=1e-6)
    assert two.history.loss == pytest.approx(one.history.loss, rel=1e-4)


@pytest.mark.parametrize(("warmup", "verdict"), [(8.0, "frozen loss"), (0.0, "divergence")])
def test_a_loss_that_rises_with_the_temperature_is_not_called_divergence(train, warmup, verdict, monkeypatch):
    """It contains the teacher's entropy. Here it rises by a half during the warm-up's 40 steps, and then stands."""
    config = bt.Config(**(TINY_DINO | {"epochs": 40}), teacher_warmup_epochs=warmup)
    trainer = bt.Trainer(config, train, device="cpu")
    rise = torch.cat((torch.linspace(4, 6, 40), 6 + 0.01 * randn(160)))
    trainer.history.loss = rise.tolist()
    trainer.history.gradient_norm = trainer.history.std = [1.0] * 200
    seen = (None, randn(64, 8), randn(64, 8), randn(64, 8))
    monkeypatch.setattr(monitor, "copy_in_training_mode", lambda trainer: lambda v1, v2: seen)
    assert monitor.same_loss_since(trainer) == warmup * 5
    assert trainer.diagnosis().verdict == verdict


def test_losses_from_before_a_change_of_scale_are_not_compared(train):
    trainer = trained(train, **TINY)
    trainer.change(lr=0.1)
    assert monitor.same_loss_since(trainer) == 0
    trainer.change(negatives_weight=0.5)
    assert monitor.same_loss_since(trainer) == 3
    hidden = trained(train, **TINY_VIT, ibot_weight=1.0)
    hidden.change(mask_p=0.1)  # iBOT's loss is a mean over all views
    assert monitor.same_loss_since(hidden) == 3


@pytest.mark.parametrize("level", [-0.9, 0.9])
def test_a_verdict_does_not_depend_on_the_sign_of_the_loss(level):
    """A rise by 2 % is none of 10 %, wherever zero lies."""
    noise = 0.01 * randn(200)
    loss = (torch.cat((torch.full((100,), level), torch.full((100,), level + 0.02))) + noise).tolist()
    z = randn(64, 8)
    assert bt.diagnose.diagnose(loss, [1.0] * 200, [1.0] * 200, z, z, z).verdict == "healthy"


def test_where_there_is_no_predictor_none_is_judged(train):
    simclr, byol = (trained(train, **TINY, method=m).diagnosis() for m in ("simclr", "byol"))
    assert math.isnan(simclr.alignment)
    assert "alignment" not in str(simclr)
    assert "eigenspace alignment" in str(byol)


def test_every_method_that_config_names_has_an_objective():
    assert list(OBJECTIVES) == METHODS


def test_the_rows_of_the_family_are_of_their_method_whatever_the_base():
    for name, row in tables("family").items():
        assert row.config(bt.preset("dino")).method == name.split()[0].lower()
    labels = {name for name in tables("family") if "as it is" in name}
    assert labels == {f"{title} as it is" for title in TITLES.values()}


def test_another_method_brings_its_heads_to_a_recipe():
    photos = bt.preset("photos", method="dino")
    assert (photos.projector_depth, photos.projection_dim, photos.lr) == (3, 256, bt.preset("photos").lr)
    assert bt.preset("photos", method="dino", projection_dim=32).projection_dim == 32
    assert bt.preset("photos", method="byol") == bt.preset("photos")


def test_a_view_is_never_hidden_whole():
    masks = dinov2.draw_masks((500, 2, 4), (0.9, 0.99), 1.0, torch.Generator().manual_seed(0))
    assert masks.sum(2).max() == 3


def test_pictures_that_are_not_square(train):
    images = torch.randint(0, 255, (24, 3, 48, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    trainer = bt.Trainer(bt.Config(**TINY_VIT, ibot_weight=1.0), bt.ImageSet("tall", "train", images), device="cpu")
    assert math.isfinite(trainer.step())


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prototypes": 9}, "prototypes=9: fewer than the 10 classes of 'shapes', which could then not be told apart; give 10"),
        ({"local_crops": 2, "local_view_size": 40}, "local_view_size=40: local crops are smaller than the global views of 32"),
        ({"encoder": "vit_nano", "patch_size": 5}, "patch_size=5: views of 32 px are not tiled by it"),
        ({"encoder": "vit_nano", "patch_size": 32}, "patch_size=32: views of 32 px are not tiled by it, two a side at least"),
        ({"encoder": "vit_tiny", "patch_size": 16, "local_crops": 2}, "patch_size=16: views of 16 px are not tiled by it"),
        ({"encoder": "vit_nano", "patch_size": 1}, "patch_size=1: vit_nano's patches are made by convolutions"),
        ({"encoder": "vit_nano", "patch_size": 6, "view_size": 24}, "patch_size=6: vit_nano's patches are made by convolutions"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_by_name(train, changes, message):
    with pytest.raises(bt.ConfigError, match=message):
        bt.Trainer(bt.Config(**(TINY_DINO | changes)), train, device="cpu")
