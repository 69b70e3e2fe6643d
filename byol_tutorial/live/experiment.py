"""An experiment as one line of text: data, config, every live change with its step, and the number of steps.

    text = str(Experiment.of(session))     # {"byol": 1, "data": {...}, "config": {"seed": 3}, "changes": [...], ...}
    session = rebuild(text)                # the same run: on a CPU with as many threads the same numbers, bit for bit

The text names only those fields of the config that differ from Config's defaults. It also holds the version of the
library, because another version may have other defaults. `short` is the same in about a hundred characters.
"""

import json
from dataclasses import dataclass

import torch

from .._version import __version__
from ..config.checks import (
    Refused,
    anything,
    brief,
    fields,
    list_of,
    mapping_of,
    parse_json,
    shown,
    text,
    tuple_of,
    whole,
)
from ..config.config import OWN, Config, refuse_unknown
from ..config.errors import DataError, ExperimentError
from ..data.embedded import EMBEDDED, SHAPES_SIZES
from ..data.fingerprint import fingerprint
from ..data.image_set import ImageSet
from ..data.loading import load
from ..data.names import short_name
from ..data.streaming import StreamedSet
from ..runtime.files import in_words
from . import short_text
from .session import Session
from .snapshot import Snapshot

FORMAT = 1
MOST_BYTES = 2**30  # the images that a text asks for take at most this, because its author may be unknown
CONTENT = fields({
    "data": fields({}, {"name": text(), "images": whole(1), "check": short_text.checksum}),
    "config": mapping_of(anything), "version": text(100),
    "changes": list_of(tuple_of(whole(0), mapping_of(anything)), most=100_000), "steps": whole(0),
})  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """A record of everything that is needed to make a run again.

    data      fingerprint of the training images: name, number, pixels, checksum of some; the text has a short name
    config    the run's config at step 0
    changes   ((step, {field: value}), ...), the live changes in order
    steps     number of steps made
    version   version of the library that made the run
    transform the name of the run's own transform; only a run without one can be written as text
    """

    data: dict
    config: Config
    changes: tuple[tuple[int, dict], ...] = ()
    steps: int = 0
    version: str = __version__
    transform: str | None = None

    @classmethod
    def of(cls, session: Session, snapshot: Snapshot | None = None) -> "Experiment":
        """Return the experiment of a session, as it was at this snapshot. Default: as it is now."""
        s = snapshot or session.snapshot()
        own = session.trainer.transform
        return cls(
            fingerprint(session.train), s.first_config, s.changes, s.step, transform=None if own is None else own.name
        )

    def __str__(self) -> str:
        """Return the experiment as one line of JSON.

        Raises:
            ExperimentError: the run has a module or a transform of the user, which no text can hold.
        """
        parts = {"byol": FORMAT, "version": self.version, "data": _without_place(self.data), "config": self._differing(),
                 "changes": self.changes, "steps": self.steps}  # fmt: skip
        return json.dumps(parts, ensure_ascii=False)

    @property
    def short(self) -> str:
        """The experiment in about a hundred characters, for messages and links; see short_text.py. str() raises the same."""
        return short_text.write(
            _without_place(self.data), self._differing(), self.changes, self.steps, version=self.version
        )

    def _differing(self) -> dict:
        """Return the fields of the config that differ from Config's defaults.

        Raises:
            ExperimentError: the run has a module or a transform of the user, which no text can hold.
        """
        if self.transform is not None:
            raise ExperimentError(
                f"this run has a transform of your own ({self.transform}), which cannot be put in a line of text: keep its "
                "code, and trainer.save(path)"
            )
        if self.config.encoder == OWN:
            raise ExperimentError(
                "this run trains a module of your own (Trainer(encoder=...)), which cannot be put in a line of text: keep "
                "the code of the module, and trainer.save(path)"
            )
        defaults = Config()
        return {name: v for name, v in self.config.to_dict().items() if v != getattr(defaults, name)}

    @property
    def code(self) -> str:
        """The line of Python that rebuilds the run."""
        return f"session = bt.rebuild({self.short!r})"

    @classmethod
    def parse(cls, text: str) -> "Experiment":
        """Return the Experiment of this text, which str() or `short` wrote.

        Raises:
            ExperimentError: the text is damaged, or its format is newer than this version.
            ConfigError: it has a field or a value that this version does not have.
        """
        try:
            parts = short_text.read(text) if short_text.is_short(text) else parse_json(text)
            if isinstance(parts, dict) and parts.get("byol") != FORMAT:
                raise ExperimentError(
                    f"the experiment has format {shown(parts.get('byol'))}; this version reads {FORMAT}: upgrade "
                    "byol_tutorial"
                )
            CONTENT(parts, "")
        except Refused as error:
            raise ExperimentError(
                f"{text[:60]!r} is not an experiment ({error}): give the whole text that the panel copied"
            ) from error
        changes = tuple((step, dict(values)) for step, values in parts["changes"])
        data, config, steps, version = parts["data"], parts["config"], parts["steps"], parts["version"]
        for _, values in changes:
            refuse_unknown(values)
        return cls(data, Config.from_dict(config), changes, steps, version)


def rebuild(
    text: str | Experiment,
    train: ImageSet | StreamedSet | None = None,
    test: ImageSet | StreamedSet | None = None,
    device: str | torch.device = "auto",
) -> Session:
    """Make the run again, and return its Session, paused at the experiment's last step.

    Args:
        text: an Experiment, or a text of one: its str() or its `short`, which panels copy.
        train, test: the images. Default: the embedded set of the experiment's name.
        device: where to train, as for Trainer.

    Raises:
        ExperimentError, ConfigError: see Experiment.parse.
        DataError: the images are not those of the experiment.
    """
    experiment = text if isinstance(text, Experiment) else Experiment.parse(text)
    if train is None:
        train = _embedded_images(experiment)
        test = _embedded_images(experiment, "test") if test is None else test
    _refuse_other_images(experiment, train)
    session = Session(experiment.config, train, test, device)
    for step, changed in experiment.changes:
        _train_to(session, step)
        session.change(**changed).result()
    _train_to(session, experiment.steps)
    return session


def _without_place(data: dict) -> dict:
    """Return the fingerprint with the short name of its set: the text is made to be sent, and a folder may move."""
    return {
        key: short_name(value) if key == "name" and isinstance(value, str) else value for key, value in data.items()
    }


def _embedded_images(experiment: Experiment, split: str = "train") -> ImageSet | StreamedSet:
    """Return the embedded images of the experiment's name: of training as many as it was made with, of its size."""
    name, count = experiment.data.get("name"), experiment.data.get("images")
    if name not in EMBEDDED:
        raise DataError(f"the experiment was made with {count} images of {brief(name)}: give them as train=")
    size = _size_of(experiment)
    _refuse_too_many(name, count, size or 32)
    images = load(name, split, size=size)
    return images if split == "test" or len(images) == count else load(name, size=size, limit=count)


def _size_of(experiment: Experiment) -> int | None:
    """Return the side of the experiment's square images in pixels, or None if the text does not say it.

    Raises:
        DataError: the sides are not two equal whole numbers.
    """
    pixels = experiment.data.get("pixels")
    if pixels is None:
        return None
    if not (isinstance(pixels, list) and len(pixels) == 2 and type(pixels[0]) is int and 0 < pixels[0] == pixels[1]):
        raise DataError(f"the experiment was made with images of {shown(pixels)} pixels: give them as train=")
    return pixels[0]


def _refuse_too_many(name: str, count: object, size: int) -> None:
    """Raise DataError if so many images of this side in pixels, with three channels, take more than MOST_BYTES."""
    n = count if isinstance(count, int) else 0
    bytes_of_all = max(n, SHAPES_SIZES["train"]) * 3 * size * size  # no set that is drawn has fewer
    if bytes_of_all > MOST_BYTES:
        raise DataError(
            f"the experiment asks for {count} images of {size} pixels, at most {in_words(MOST_BYTES)} are drawn for a text and "
            f"these take {in_words(bytes_of_all)}: if you trust it, give them as train=bt.load({name!r}, size={size}, "
            f"limit={count})"
        )


def _refuse_other_images(experiment: Experiment, train: ImageSet | StreamedSet) -> None:
    """Raise DataError unless the images agree with all that the experiment says of its own: name and number at least.

    A short text has one checksum of all. An experiment of the playground was made with pictures that the page drew. It has no
    checksums, because the page's random numbers are not the library's.
    """
    here, there = _without_place(fingerprint(train)), _without_place(experiment.data)
    if "check" in there:
        here |= {"check": short_text.check_of(here)}
    if not {"name", "images"} <= there.keys():
        raise DataError(
            'the experiment does not say of which images it is: its "data" needs "name" and "images", as in the whole text '
            "that the panel copied"
        )
    known = here if {"content", "all"} & there.keys() else there
    if any(here.get(k) != there.get(k) for k in known):
        wrong = ", ".join(
            f"{k} {brief(there.get(k))} (here {brief(here.get(k))})" for k in known if here.get(k) != there.get(k)
        )
        raise DataError(f"the experiment was made with other images: {wrong}; give the same ones as train=")


def _train_to(session: Session, step: int) -> None:
    """Train until this many steps have been made; do nothing if they have been made already."""
    left = step - session.snapshot().step
    if left > 0:
        session.run(steps=left)
