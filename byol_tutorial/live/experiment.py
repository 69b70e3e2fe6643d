"""An experiment as one line of text: data, config, every live change with its step, and how far the run went.

    text = str(Experiment.of(session))        # {"byol": 1, "data": {...}, "config": {"seed": 3}, "changes": [...], "steps": 300}
    session = rebuild(text)                   # the same run: on a CPU with as many threads the same numbers, bit for bit

Of the config only what differs from Config's defaults is written; the library's version stands beside it, since
another version may have other defaults.
"""

import json
from dataclasses import dataclass

import torch

from .._version import __version__
from ..config.config import Config, refuse_unknown
from ..config.errors import DataError, ExperimentError, UserError
from ..data.embedded import EMBEDDED
from ..data.fingerprint import fingerprint
from ..data.image_set import ImageSet
from ..data.loading import load
from ..data.streaming import StreamedSet
from .session import Session
from .snapshot import Snapshot

FORMAT = 1


@dataclass(frozen=True)
class Experiment:
    """What is needed to make a run again.

    data      fingerprint of the training images: name, number, pixels, checksum of some
    config    the run's config at step 0
    changes   ((step, {field: value}), ...), the live changes in order
    steps     how many steps were made
    version   of the library that made it
    """

    data: dict
    config: Config
    changes: tuple[tuple[int, dict], ...] = ()
    steps: int = 0
    version: str = __version__

    @classmethod
    def of(cls, session: Session, snapshot: Snapshot | None = None) -> "Experiment":
        """The experiment that a session (as it was at this snapshot) is."""
        s = snapshot or session.snapshot()
        return cls(fingerprint(session.train), s.first_config, s.changes, s.step)

    def __str__(self) -> str:
        plain = Config()
        config = {n: v for n, v in self.config.to_dict().items() if v != getattr(plain, n)}
        parts = {"byol": FORMAT, "version": self.version, "data": self.data, "config": config,
                 "changes": self.changes, "steps": self.steps}  # fmt: skip
        return json.dumps(parts, ensure_ascii=False)

    @property
    def code(self) -> str:
        """One line of Python that rebuilds the run."""
        return f"session = bt.rebuild({str(self)!r})"

    @classmethod
    def parse(cls, text: str) -> "Experiment":
        """The Experiment that str() wrote.

        Raises:
            ExperimentError: the text is damaged, or of a newer format.
            ConfigError: it has a field or a value that this version does not know.
        """
        try:
            parts = json.loads(text)
            if parts["byol"] != FORMAT:
                raise ExperimentError(
                    f"the experiment has format {parts['byol']!r}; this version reads {FORMAT}: upgrade byol_tutorial"
                )
            changes = tuple((int(step), dict(fields)) for step, fields in parts["changes"])
            data, config, steps = dict(parts["data"]), dict(parts["config"]), int(parts["steps"])
            version = str(parts["version"])
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, UserError):
                raise
            raise ExperimentError(
                f"{text[:60]!r} is not an experiment ({error}): give the whole text that the panel copied"
            ) from error
        for _, fields in changes:
            refuse_unknown(fields)
        return cls(data, Config.from_dict(config), changes, steps, version)


def rebuild(
    text: str | Experiment,
    train: ImageSet | StreamedSet | None = None,
    test: ImageSet | StreamedSet | None = None,
    device: str | torch.device = "auto",
) -> Session:
    """Make the run again; the Session is returned at the experiment's last step, paused.

    Args:
        text: an Experiment, or what str() made of one.
        train, test: the images. Default: the embedded set of the experiment's name.

    Raises:
        ExperimentError, ConfigError: see Experiment.parse.
        DataError: the images are not those of the experiment.
    """
    experiment = text if isinstance(text, Experiment) else Experiment.parse(text)
    name, count = experiment.data.get("name"), experiment.data.get("images")
    if train is None:
        if name not in EMBEDDED:
            raise DataError(f"the experiment was made with {count} images of {name!r}: give them as train=")
        train = load(name)
        train = train if len(train) == count else load(name, limit=count)
        test = load(name, "test") if test is None else test
    here = fingerprint(train)
    if here != experiment.data:
        there = experiment.data
        wrong = ", ".join(f"{k} {there.get(k)!r} (here {here[k]!r})" for k in here if here[k] != there.get(k))
        raise DataError(f"the experiment was made with other images: {wrong}; give the same ones as train=")
    session = Session(experiment.config, train, test, device)
    for step, fields in experiment.changes:
        if step > session.snapshot().step:
            session.run(steps=step - session.snapshot().step)
        session.change(**fields).result()
    if experiment.steps > session.snapshot().step:
        session.run(steps=experiment.steps - session.snapshot().step)
    return session
