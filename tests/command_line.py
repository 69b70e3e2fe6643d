"""The command line in the process of a test, and the smallest runs that it makes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from byol_tutorial.cli import main as cli
from byol_tutorial.cli import report
from byol_tutorial.train.trainer import Trainer

# A run of two steps an epoch, on eight of the drawn shapes.
SMALL = ["--warmup-epochs=0", "--width=4", "--hidden-dim=8", "--projection-dim=4", "--batch-size=4", "--device=cpu",
         "--limit=8", "--size=12", "--knn-every=0"]  # fmt: skip


def main(*arguments: object) -> int:
    """Run the command with these arguments; return its exit status."""
    try:
        cli.main([str(a) for a in arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def cut_run(path: Path, epochs: int, after: float) -> Path:
    """Make a run that was cut `after` so many epochs of `epochs`, and that was not judged; return its folder."""
    run = Trainer.run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "judge", lambda *_: None)
        patch.setattr(Trainer, "run", lambda self, **options: run(self, epochs=after, **options))
        assert main("train", f"--out={path}", f"--epochs={epochs}", *SMALL) == 0
    return path


def pictures(path: Path, n: int, size: int = 12) -> Path:
    """Write n pictures of noise into a folder; return the folder."""
    path.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(n + len(path.name))
    for i in range(n):
        Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(path / f"{i:02}.png")
    return path
