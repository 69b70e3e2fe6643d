"""The script in plain PyTorch trains as the library does, step by step, and runs on a folder of images."""

import ast
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18
from torchvision.utils import save_image

import byol_tutorial as bt
from byol_tutorial.augment.operations import normalise

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples/plain_byol.py"
PLAIN = runpy.run_path(str(SCRIPT))


def small() -> torch.nn.Module:
    layers = [torch.nn.Conv2d(3, 8, 3, 2), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1)]
    return torch.nn.Sequential(*layers, torch.nn.Flatten())


def test_its_losses_and_weights_are_those_of_the_library():
    """The library's run records its views, and the script trains on them from the same weights."""
    images, seen = bt.load("shapes", limit=64), ([], [])
    config = bt.Config(
        epochs=3, batch_size=16, lr=0.4, warmup_epochs=0, tau_base=0.9, weight_decay=4e-4, hidden_dim=32,
        projection_dim=8, predictor_hidden_dim=32, knn_every=0,
    )  # fmt: skip

    def recorder(kept: list):
        def record(views):
            kept.append(views.clone())
            return views

        return record

    trainer = bt.Trainer(config, images, device="cpu", encoder=small(), transform=tuple(map(recorder, seen)))
    online, predictor = torch.nn.Sequential(small(), PLAIN["mlp"](8, 32, 8)), PLAIN["mlp"](8, 32, 8)
    with torch.no_grad():
        theirs = [*trainer.model.online.parameters(), *trainer.model.predictor.parameters()]
        for mine, other in zip([*online.parameters(), *predictor.parameters()], theirs, strict=True):
            mine.copy_(other)
    trainer.run(progress=False)
    pairs = [tuple(normalise(v, trainer.mean, trainer.std) for v in pair) for pair in zip(*seen, strict=True)]
    assert len(pairs) == 12

    class Batches:
        """Four batches an epoch, as the library drew them."""

        rest = iter(pairs)

        def __len__(self) -> int:
            return 4

        def __iter__(self):
            return (next(self.rest) for _ in range(4))

    losses, target = PLAIN["train"](online, predictor, Batches(), 3, lr=config.step_lr, tau=0.9)
    assert losses == pytest.approx(trainer.history.loss, abs=1e-5)
    assert losses[-1] != pytest.approx(losses[0], abs=1e-3)
    for mine, other in (
        (online, trainer.model.online),
        (predictor, trainer.model.predictor),
        (target, trainer.model.target),
    ):
        for a, b in zip(mine.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_its_views_are_the_papers_in_kind_and_size():
    picture = torch.randint(256, (3, 90, 70), dtype=torch.uint8)
    for blur, solarize in ((1.0, 0.0), (0.1, 0.2)):
        view = PLAIN["views"](blur, solarize)(picture)
        assert view.shape == (3, 64, 64)
        assert view.dtype == torch.float32
        assert view.isfinite().all()


@pytest.mark.slow
def test_it_trains_on_a_folder_and_leaves_an_encoder(tmp_path):
    torch.manual_seed(0)
    for i in range(6):
        folder = tmp_path / "images" / str(i % 2)
        folder.mkdir(parents=True, exist_ok=True)
        save_image(torch.rand(3, 40, 50), folder / f"{i}.{('png', 'jpg', 'PNG')[i % 3]}")
    end = subprocess.run(
        [sys.executable, SCRIPT, "images", "1"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300
    )
    assert re.fullmatch(r"epoch 1: loss \d\.\d{3}\n", end.stdout)
    encoder = resnet18()
    encoder.fc = torch.nn.Identity()
    encoder.load_state_dict(torch.load(tmp_path / "encoder.pt"))
    assert encoder.eval()(torch.zeros(1, 3, 64, 64)).isfinite().all()


def test_it_is_as_short_as_the_book_says():
    text = SCRIPT.read_text("utf-8")
    docstring = ast.parse(text).body[0]
    written = [n for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    assert len([n for n in written if not docstring.lineno <= n <= docstring.end_lineno]) == 60
    for page in ("README.md", "CHANGELOG.md", "book/decide.md"):
        assert re.search(r"plain_byol\.py[^#]{0,120}sixty\s+lines", (ROOT / page).read_text("utf-8")), page
