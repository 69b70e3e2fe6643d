"""The augmentation explorer: T and T′, one operation at a time.

What it shows is a Scene, a record that never changes; a command only puts another in its place. Pictures are computed
in two parts: first the chain and the pairs of views, from one Draw, so that the chain ends with the pair beside it; then,
if T or T′ changed, what the views share. The thread of a CommandQueue computes them for the newest scene; pictures of a
scene that was replaced meanwhile are not shown.
"""

from dataclasses import replace
from typing import Any

import traitlets
from torch import Tensor

from ...augment.explain import Stage
from ...augment.shared_cues import PAIRS, Share, shares, small
from ...config.config import FIELDS, Config
from ...config.errors import ConfigError, UserError
from ...config.presets import preset
from ...data.image_set import ImageSet
from ...data.streaming import StreamedSet
from ...live.command_queue import CommandQueue
from ..assets import source
from ..panel import Panel
from .scene import SMALLEST, THUMBS, Scene, fitting
from .view_settings import PAIRED, SETTINGS, controls, equal, recipes


def explorer(images: ImageSet | StreamedSet, config: Config | None = None) -> "Explorer":
    """A panel in which every operation of T and T′ can be set, seen and judged.

    >>> panel = bt.widgets.explorer(train)       # shows itself as a cell's last line
    >>> panel.set(hue=0.1, blur_p=(1.0, 0.1))    # as its sliders do; returns when the panel has been redrawn
    >>> panel.config, panel.code                 # what was set: a Config, and a line of code that makes it
    >>> panel.stages()["v"][-1].picture          # float (3, s, s)

    Args:
        images: of any size and number; of a StreamedSet, 256 are drawn.
        config: where the settings begin. Default: preset("shapes").

    Raises:
        UserError: images or config of another kind, or no images at all.

    Accessible names, for whoever drives the panel by them. Region "Augmentation explorer". Buttons "previous picture",
    "next picture", "picture 3: star" (counted from 0), "another draw", "as given", "the lesson's", "the paper's T and T′",
    "crop and flip only", "no colour change", "pair 1: star", "copy"; number fields "picture", "seed"; check boxes
    "T′ as T", "a picture for each pair". Sliders are named by Config's fields with spaces: "hue, T", "hue, T′",
    "crop area, from", "crop area, to"; the choice is "colour form". Figures are "v, hue: +0.31 of a circle"; groups
    "v, step by step", "v′, step by step"; the list of bars is "What two views still share".
    """
    if not isinstance(images, ImageSet | StreamedSet):
        raise UserError(f"images={type(images).__name__}: give a set of images, as bt.load('shapes') returns it")
    if config is not None and not isinstance(config, Config):
        raise UserError(f"config={type(config).__name__}: give a Config, as bt.preset('shapes') returns it")
    if len(images) == 0:
        raise UserError("images: there are none; at least 1 is needed to show, 2 to compare")
    return Explorer(images, config)


class Explorer(Panel):
    """See `explorer`."""

    _esm = source("explorer", "js")
    _css = source("explorer", "css")

    controls = traitlets.Dict().tag(sync=True)  # which there are; never changes
    settings = traitlets.Dict().tag(sync=True)  # what they say, and everything else in words and numbers
    thumbs = traitlets.Bytes().tag(sync=True)  # RGBA
    chain = traitlets.Dict().tag(sync=True)  # the words that belong to `pictures`
    pictures = traitlets.Bytes().tag(sync=True)  # RGBA: the image, 9 steps of v, 9 of v′, 8 of v, 8 of v′
    bars = traitlets.Dict().tag(sync=True)

    def __init__(self, images: ImageSet | StreamedSet, config: Config | None = None):
        images = images.sample(PAIRS) if isinstance(images, StreamedSet) else images
        self._given = config is not None
        self.start = config or preset("shapes")  # where `code` begins
        self.recipes = recipes(config)
        self.scene = Scene(images, self.start)
        self.linked = equal(self.start)
        self._pool: Tensor | None = None  # of small pictures, for what is shared
        self._shared: tuple[Config, dict[str, Share]] | None = None
        self._refused: dict = {}  # what the controls say and no Config can hold, ...
        self._refusal = ""  # ... and why
        self._stamp: int | None = None  # of the browser's last message that is answered
        self._thumbs_from: int | None = None
        self._drawn: Scene | None = None
        self._queue = CommandQueue("byol explorer")  # its thread computes; never waited for by code that holds _lock
        super().__init__(controls=controls(self.recipes))
        self._put(self.scene)
        self._draw()

    # --- from Python ----------------------------------------------------------------------------

    @property
    def config(self) -> Config:
        return self.scene.config

    def set(self, **settings: Any) -> None:
        """Change fields of Config that have a control: `set(hue=0.1)` for T and T′, `set(hue=(0.1, 0.4))` for each.

        Raises:
            ConfigError: an unknown name or a value that is not allowed. Nothing is changed.
        """
        self._configure(settings)
        self._draw_now()

    def go(
        self, index: int | None = None, seed: int | None = None, pair: int | None = None, many: bool | None = None
    ) -> None:
        """Show another image, another draw, another of the eight pairs; `many`: each pair of an image of its own.

        Raises:
            UserError: not a whole number, or out of range.
        """
        self._turn(index=index, seed=seed, pair=pair, many=many)
        self._draw_now()

    def link(self, on: bool = True) -> None:
        """T′ as T: both have T's settings, and stay equal while a slider moves."""
        self._link(on)
        self._draw_now()

    def recipe(self, name: str) -> None:
        """Set what the button of this name sets.

        Raises:
            UserError: there is no such button.
        """
        self._recipe(name)
        self._draw_now()

    def stages(self) -> dict[str, list[Stage]]:
        """The chain of the selected pair: "v" and "v′", each the image and then nine operations in their order."""
        return self.scene.chains()

    def pairs(self) -> tuple[Tensor, Tensor, Tensor]:
        """The eight images shown and their views v and v′: uint8 (8, 3, H, W), float (8, 3, s, s) in [0, 1], twice."""
        return self.scene.pairs()

    @property
    def shared(self) -> dict[str, Share]:
        """What two views still share, by name; empty where there is only one image."""
        config = self.config
        return self._queue.call(lambda: self._share(config))

    @property
    def code(self) -> str:
        """One line that makes `config`, naming only what differs from where the settings began."""
        config = self.config
        changed = [
            f"{name}={_short(getattr(config, name))}"
            for name in FIELDS
            if getattr(config, name) != getattr(self.start, name)
        ]
        head = [] if self._given else ['"shapes"']
        return f"config = {'config.replace' if self._given else 'bt.preset'}({', '.join(head + changed)})"

    # --- from the browser: the same, but the picture comes later --------------------------------

    def command(self, content: dict) -> None:
        super().command(content)
        if self._refused and not self.problem:  # what the controls say is still no Config
            self.show(problem=self._refusal)

    def do_set(self, stamp: int | None = None, **settings: Any) -> None:
        with self._lock:
            self._stamp = stamp
            settings = self._refused | settings
            try:
                self._configure(settings)
            except ConfigError as error:
                self._refused, self._refusal = settings, str(error)
                self._put(self.scene)
                raise
        self._draw_soon()

    def do_go(self, **where: Any) -> None:
        self._turn(**where)
        self._draw_soon()

    def do_another(self) -> None:
        with self._lock:
            self._turn(seed=self.scene.seed + 1)
        self._draw_soon()

    def do_link(self, on: bool) -> None:
        self._link(on)
        self._draw_soon()

    def do_recipe(self, name: str) -> None:
        self._recipe(name)
        self._draw_soon()

    # --- settings ---------------------------------------------------------------------------------

    def _configure(self, settings: dict) -> None:
        for name in settings:
            if name not in SETTINGS:
                raise ConfigError(f"{name!r} has no control here: choose one of {', '.join(SETTINGS)}")
        with self._lock:
            config = self.config.replace(**settings)
            self._refused = {}
            self.linked = self.linked and equal(config)
            self._put(replace(self.scene, config=config))

    def _turn(self, **where: Any) -> None:
        with self._lock:
            self._put(self.scene.turned(**where))

    def _link(self, on: bool) -> None:
        with self._lock:
            self.linked = bool(on)
            self._configure({name: getattr(self.config, name)[0] for name in PAIRED} if on else {})

    def _recipe(self, name: str) -> None:
        if name not in self.recipes:
            raise UserError(f"recipe {name!r}: choose one of {', '.join(self.recipes)}")
        with self._lock:
            self._configure(self.recipes[name])
            self.linked = equal(self.config)
            self._put(self.scene)

    def _put(self, scene: Scene) -> None:
        """Make this the scene, and tell the browser everything but pictures."""
        with self._lock:
            self.scene, config, n = scene, scene.config, len(scene.images)
            first = scene.first_thumb
            if self._thumbs_from != first:
                self._thumbs_from = first
                self.show(thumbs=scene.thumbs())
            self.show(
                settings={
                    "values": {name: getattr(config, name) for name in SETTINGS} | self._refused,
                    "linked": self.linked,
                    "recipes": [name for name, changes in self.recipes.items() if config.replace(**changes) == config],
                    "code": self.code,
                    "index": scene.index,
                    "seed": scene.seed,
                    "pair": scene.pair,
                    "many": scene.many,
                    "count": n,
                    "caption": scene.name(scene.index),
                    "first": first,
                    "thumbs": [scene.name(i) for i in range(first, min(first + THUMBS, n))],
                    "size": fitting(scene.images.images[:1], SMALLEST),
                    "stamp": self._stamp,
                },
            )

    # --- pictures -------------------------------------------------------------------------------

    def _draw_now(self) -> None:
        self.show(problem=self._refusal if self._refused else "")
        self._queue.call(self._draw)

    def _draw_soon(self) -> None:
        if not self._ended:
            self._queue.submit(self._draw)

    def _draw(self) -> None:
        """Compute on the queue's thread until the newest scene is on the panel."""
        while self._drawn is not self.scene and not self._ended:
            scene = self.scene
            try:
                words, pictures = scene.packed()
                if self._show_if_newest(scene, pictures=pictures, chain=words):
                    self._show_if_newest(scene, bars=self._bars(scene.config))
            except Exception as error:
                self.show(problem=f"{error}" or type(error).__name__)
            self._drawn = scene

    def end(self) -> None:
        self._queue.finish(lambda: None)

    def _show_if_newest(self, scene: Scene, **traits: object) -> bool:
        with self._lock:
            newest = scene is self.scene and not self._ended
            if newest:
                self.show(**traits)
            return newest

    def _bars(self, config: Config) -> dict:
        found, n = self._share(config), min(len(self.scene.images), PAIRS)
        rows = [{"name": s.name, "same": s.same, "different": s.different, "words": str(s)} for s in found.values()]
        return {"pairs": PAIRS // n * n, "rows": rows}

    def _share(self, config: Config) -> dict[str, Share]:
        """Measure it on the same 256 images and with the same seed every time, so that only T and T′ change it."""
        images = self.scene.images
        if len(images) < 2:
            return {}
        if self._pool is None:
            self._pool = small(images.sample(PAIRS).images)
        if self._shared is None or self._shared[0] != config:
            size = config.view_size or images.image_size[0]
            self._shared = config, shares(self._pool, config.replace(view_size=size))
        return self._shared[1]


def _short(value: object) -> str:
    return repr(value[0] if isinstance(value, tuple) and value[0] == value[1] else value)
