"""On a CUDA device: the same as on the CPU, as far as rounding allows. Asks for torch and pytest alone.

float32 convolutions take shortcuts there by default (TF32, ten bits); here they do not, so that the two can be compared.
"""

from dataclasses import fields

import pytest
import torch
from torchvision.transforms.functional import to_pil_image

import byol_tutorial as bt
from byol_tutorial import augment as A
from byol_tutorial import feed
from byol_tutorial.hardware import TrainingError
from byol_tutorial.option import METHODS
from byol_tutorial.vit import synchronise_batchnorm

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
GPU = "cuda"
TINY = {"width": 4, "hidden_dim": 16, "projection_dim": 8, "batch_size": 8, "epochs": 3, "warmup_epochs": 1.0}
DINO = {"method": "dino", "prototypes": 12, "encoder": "vit_nano", "patch_size": 8}


@pytest.fixture(scope="module")
def train():
    return bt.load("shapes", limit=44)


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)  # a Trainer turns it on


def trainer(train, device=GPU, **changes) -> bt.Trainer:
    return bt.Trainer(bt.Config(**(TINY | changes)), train, device=device)


def losses(trainer, steps=3) -> list[float]:
    return [trainer.step() for _ in range(steps)]


def weights(trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten().cpu() for p in trainer.model.parameters()])


# --- views --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["torchvision", "authors"])
def test_the_same_draw_gives_the_same_picture(train, form):
    config = bt.Config(blur_p=0.5, solarize_p=0.5, jitter_p=0.8, grayscale_p=0.3, colour_form=form)
    here = A.Views(config, generator=torch.Generator().manual_seed(0))
    drawn = here.draw(len(train), 32, 32)
    ours = torch.cat(A.Views(config).carry_out(train.images.to(GPU), drawn.to(GPU)))
    assert ours.device.type == GPU
    torch.testing.assert_close(ours.cpu(), torch.cat(here.carry_out(train.images, drawn)), rtol=0, atol=4e-3)


@pytest.mark.parametrize("kind", ["global", "local"])
def test_draws_depend_on_the_seed_and_follow_the_same_distribution(kind):
    config = bt.Config(**DINO, local_crops=2, blur_p=0.5, solarize_p=0.5, grayscale_p=0.3)

    def draw(device, seed):
        generator = torch.Generator(device).manual_seed(seed)
        views = (
            A.Views(config, generator=generator) if kind == "global" else A.LocalCrops(config, 32, generator=generator)
        )
        return views.draw(4096, 32, 32, device)

    one, again, cpu = draw(GPU, 0), draw(GPU, 0), draw("cpu", 0)
    for f in fields(A.Draw):
        a, b = getattr(one, f.name), getattr(cpu, f.name)
        assert a.device.type == GPU
        assert torch.equal(a, getattr(again, f.name))
        spread = b.double().std().item()  # of a mean of 8,192 or more, times 90
        assert a.double().mean().item() == pytest.approx(b.double().mean().item(), abs=0.08 * spread + 1e-6), f.name
    assert not torch.equal(one.top, draw(GPU, 1).top)


# --- steps --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("optimizer", ["lars", "sgd"])  # AdamW makes whole steps of what is 0 up to rounding
def test_a_step_is_that_on_the_cpu(train, method, optimizer, monkeypatch):
    """Loss, measures, gradient norm and weights; views on CUDA are drawn by another generator, so they are handed over."""
    changes = {"method": method, "prototypes": 12, "local_crops": 2, "optimizer": optimizer, "warmup_epochs": 0.0}
    here, there = trainer(train, "cpu", **changes), trainer(train, **changes)
    views, extra = here._next_views(0)
    for t in (here, there):
        monkeypatch.setattr(t, "_next_views", lambda k, m, t=t: ([v.to(t.device) for v in views], extra))
        t.step()
    for name in ("loss", "std", "positive", "negative", "gradient_norm", "lr", "tau"):
        a, b = (getattr(t.history, name)[0] for t in (there, here))
        assert a == pytest.approx(b, rel=1e-3, abs=1e-4), name
    torch.testing.assert_close(weights(there), weights(here), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"predictor": "optimal"}, {"predictor": "fixed"}, {"predictor": "identity"}, {"norm": "gn_ws"}, {"norm": "none"},
        {"negatives_weight": 1.0}, {"target": "random"}, {"target": "online"}, {"loss_normalization": "layernorm"},
        {"loss_normalization": "batchnorm"}, {"symmetric": False}, {"accumulation_steps": 2}, {"encoder": "resnet18"},
        {"view_size": 24}, {"optimizer": "adamw", "lr": 0.03}, {"encoder": "vit_nano", "patch_size": 8}, DINO | {"ibot_weight": 1.0, "koleo_weight": 0.1},
        DINO | {"centering": "sinkhorn"},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("precision", ["float32", "mixed"])
def test_every_switch_runs_and_moves_what_learns(train, changes, precision):
    t = trainer(train, **changes, precision=precision)
    before = weights(t)
    assert all(map(torch.isfinite, map(torch.tensor, losses(t))))
    assert not torch.equal(before, weights(t))
    assert torch.isfinite(weights(t)).all()


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "mixed"])
@pytest.mark.parametrize("method", METHODS)
def test_half_precision_is_close_to_float32(train, precision, method):
    full, half = (trainer(train, precision=p, method=method, prototypes=12) for p in ("float32", precision))
    assert half.step() == pytest.approx(full.step(), rel=0.03, abs=0.02)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_the_optimal_predictor_is_set_in_full_precision(train, precision):
    full, half = (trainer(train, predictor="optimal", precision=p) for p in ("float32", precision))
    for t in (full, half):
        t.step()
    ours, expected = (t.model.predictor.weight for t in (half, full))
    assert (ours - expected).norm() < 0.02 * expected.norm()


@pytest.mark.timeout(600)
def test_compiled_steps_are_the_same_and_a_live_change_does_not_end_them(train):
    plain, compiled = trainer(train), trainer(train, compile=True)
    assert losses(compiled) == pytest.approx(losses(plain), rel=1e-3, abs=1e-3)
    for t in (plain, compiled):
        t.change(lr=0.1, jitter_p=0.2)
    assert losses(compiled) == pytest.approx(losses(plain), rel=5e-3, abs=5e-3)


def test_images_in_the_hosts_memory_make_the_same_steps(train, monkeypatch):
    resident = trainer(train)
    monkeypatch.setattr(feed, "RESIDENT_SHARE", 0.0)
    copied = trainer(train)
    assert (resident.feed._resident.device.type, copied.feed._resident.device.type) == (GPU, "cpu")
    assert losses(copied) == pytest.approx(losses(resident), rel=1e-4)


def test_streamed_images_make_the_same_steps(train, tmp_path):
    for i, image in enumerate(train.images):
        (tmp_path / "train" / str(i % 2)).mkdir(parents=True, exist_ok=True)
        to_pil_image(image).save(tmp_path / "train" / str(i % 2) / f"{i:03d}.png")
    streamed, loaded = (bt.load(f"folder:{tmp_path}", stream=stream) for stream in (True, False))
    assert losses(trainer(streamed)) == pytest.approx(losses(trainer(loaded)), rel=1e-4)


def test_more_memory_than_there_is(train):
    """For real, with a hundredth of the memory allowed."""
    t = trainer(train, encoder="resnet18", batch_size=40, view_size=512)
    torch.cuda.set_per_process_memory_fraction(0.01)
    try:
        with pytest.raises(
            TrainingError, match=r"out of memory on cuda:0 at step 0, with batch_size=40 .* lower batch_size"
        ):
            t.step()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
    assert t.steps_done == 0


def test_sync_batchnorm_with_one_process_is_batchnorm(tmp_path):
    import torch.distributed as dist

    torch.manual_seed(0)
    plain, synced = (bt.BYOL(bt.Config(**TINY), 16).to(GPU).train() for _ in range(2))
    synced.load_state_dict(plain.state_dict())
    dist.init_process_group("nccl", rank=0, world_size=1, init_method=f"file://{tmp_path}/store")
    try:
        synchronise_batchnorm(synced)
        assert any(isinstance(m, torch.nn.SyncBatchNorm) for m in synced.modules())
        v = torch.randn(2, 8, 3, 16, 16, device=GPU)
        assert synced(*v).loss.item() == pytest.approx(plain(*v).loss.item(), rel=1e-4)
    finally:
        dist.destroy_process_group()


# --- checkpoints, measures ----------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_resumed_run_goes_on(train, tmp_path, precision):
    cut = trainer(train, precision=precision)
    losses(cut)
    cut.save(tmp_path / "c.pt")
    state = torch.cuda.get_rng_state()
    torch.rand(3, device=GPU)
    resumed = bt.Trainer.resume(tmp_path / "c.pt", train, device=GPU)
    assert torch.equal(torch.cuda.get_rng_state(), state)
    assert torch.equal(weights(resumed), weights(cut))
    assert losses(resumed) == pytest.approx(losses(cut), rel=1e-3)


def test_a_run_changes_its_device(train, tmp_path):
    on_cpu = trainer(train, "cpu")
    losses(on_cpu)
    on_cpu.save(tmp_path / "c.pt")
    on_gpu = bt.Trainer.resume(tmp_path / "c.pt", train, device=GPU)
    assert torch.equal(weights(on_gpu), weights(on_cpu))
    losses(on_gpu)
    on_gpu.save(tmp_path / "d.pt")
    back = bt.Trainer.resume(tmp_path / "d.pt", train, device="cpu")
    assert torch.equal(weights(back), weights(on_gpu))
    losses(back)


def test_features_and_what_is_measured_on_them(train):
    images, test = bt.load("shapes", limit=200), bt.load("shapes", "test", limit=100)
    t = bt.Trainer(bt.Config(**TINY), images, test, device=GPU)
    losses(t)
    y, y_test = (bt.features(t.model.encoder, s) for s in (images, test))
    torch.testing.assert_close(y_test, bt.features(t.model.encoder.cpu(), test), rtol=1e-3, atol=1e-4)
    t.model.encoder.to(GPU)
    on_cpu = bt.knn_accuracy(y, images.labels, y_test, test.labels)
    assert bt.knn_accuracy(y.to(GPU), images.labels, y_test.to(GPU), test.labels) == pytest.approx(on_cpu, abs=0.02)
    assert t.knn() == pytest.approx(on_cpu, abs=0.02)
    assert "√d·std" in str(t.report())
    assert t.diagnosis() is not None


@pytest.mark.timeout(600)
def test_it_learns():
    """Shapes, at the lessons' own recipe: the linear probe on a CPU was 0.93 to 0.97 over the seeds, untrained 0.28."""
    images, test = bt.load("shapes"), bt.load("shapes", "test")
    t = bt.Trainer(bt.preset("shapes", knn_every=0, precision="mixed"), images, test, device=GPU)
    t.run(progress=False)
    y, y_test = (bt.features(t.model.encoder, s) for s in (images, test))
    assert bt.linear_probe(y, images.labels, y_test, test.labels).accuracy > 0.88
