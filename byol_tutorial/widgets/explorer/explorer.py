"""The explorer's widget: T and T′, one operation at a time.

It shows a Scene, a record that never changes; a command only replaces it by another. Pictures are computed in two
parts: first the chain and the pairs of views, from one Draw, so that the chain ends with a view of the selected pair;
then, if T or T′ has changed, what the views share. The thread of a CommandQueue computes them for the newest scene.
Pictures of a scene that has been replaced meanwhile are not shown.
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
from ..assets import script, source
from ..panel import Panel
from .scene import SMALLEST, THUMBS, Scene, fitting
from .view_settings import PAIRED, SETTINGS, controls, equal, inert, recipes, refuse_impossible


def explorer(images: ImageSet | StreamedSet, config: Config | None = None) -> "Explorer":
    """Make a panel in which every operation of T and T′ can be set, and its effect seen.

    >>> panel = bt.widgets.explorer(train)       # shown as a cell's last line
    >>> panel.set(hue=0.1, blur_p=(1.0, 0.1))    # as the sliders do; returns when the panel has been redrawn
    >>> panel.config, panel.code                 # the settings: a Config, and a line of code that makes it
    >>> panel.stages()["v"][-1].picture          # float (3, s, s)

    Args:
        images: images of any size and number; from a StreamedSet, 256 are drawn.
        config: the settings at the start. Default: preset("shapes").

    Raises:
        UserError: images or config of another type, or no images.

    Accessible names, for tests and assistive technology. Region "Augmentation explorer". Buttons "previous picture",
    "next picture", "picture 3: star" (counted from 0), "another draw", "as given", "the lesson's",
    "the paper's T and T′", "crop and flip only", "no colour change", "pair 1: star", "copy"; number fields "picture", "seed"; check boxes
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
    """The panel of T and T′; see `explorer`."""

    _esm = source("hints", "js") + script("explorer.js")
    _css = source("explorer", "css")

    controls = traitlets.Dict().tag(sync=True)  # the list of controls; never changes
    settings = traitlets.Dict().tag(sync=True)  # their values, and all other texts and numbers
    thumbs = traitlets.Bytes().tag(sync=True)  # RGBA
    chain = traitlets.Dict().tag(sync=True)  # the texts that belong to `pictures`
    pictures = traitlets.Bytes().tag(sync=True)  # RGBA: the image, 9 steps of v, 9 of v′, 8 of v, 8 of v′
    bars = traitlets.Dict().tag(sync=True)

    def __init__(self, images: ImageSet | StreamedSet, config: Config | None = None):
        images = images.sample(PAIRS) if isinstance(images, StreamedSet) else images
        self._given = config is not None
        self.start = config or preset("shapes").for_channels(images.channels)  # `code` gives the differences from it
        self.recipes = recipes(config)
        if images.channels != 3:
            colourless = dict.fromkeys(("saturation", "hue", "grayscale_p"), (0.0, 0.0))
            self.recipes = {name: changes | colourless for name, changes in self.recipes.items()}
        self.scene = Scene(images, self.start)
        self.linked = equal(self.start)
        self._small: Tensor | None = None  # small pictures, from which the shares are measured
        self._shared: tuple[Config, dict[str, Share]] | None = None
        self._refused: dict = {}  # values of the controls that Config does not accept, ...
        self._refusal = ""  # ... and the reason
        self._stamp: str | None = None  # the stamp of the last "set" that the browser sent
        self._thumbs_from: int | None = None
        self._drawn: Scene | None = None
        self._queue = CommandQueue("byol explorer")  # its thread computes; code that holds _lock must not wait for it
        super().__init__(controls=controls(self.recipes))
        self._put(self.scene)
        self._draw()

    # --- from Python ----------------------------------------------------------------------------

    @property
    def config(self) -> Config:
        """The Config with the present settings."""
        return self.scene.config

    def set(self, **settings: object) -> None:
        """Change fields of Config that have a control: `set(hue=0.1)` for T and T′, `set(hue=(0.1, 0.4))` for each.

        Raises:
            ConfigError: an unknown name or a value that is not allowed. Nothing is changed.
        """
        self._configure(settings)
        self._draw_now()

    def go(
        self, index: int | None = None, seed: int | None = None, pair: int | None = None, many: bool | None = None
    ) -> None:
        """Show another image, draw or pair; None leaves a value as it is. `many`: a different image for each pair.

        Raises:
            UserError: not a whole number, or out of range.
        """
        self._turn(index=index, seed=seed, pair=pair, many=many)
        self._draw_now()

    def link(self, on: bool = True) -> None:
        """Give T′ the settings of T, and keep them equal while a slider moves; or end this."""
        self._link(on)
        self._draw_now()

    def recipe(self, name: str) -> None:
        """Apply the recipe of this name, as its button does.

        Raises:
            UserError: there is no such recipe.
        """
        self._recipe(name)
        self._draw_now()

    def stages(self) -> dict[str, list[Stage]]:
        """Return the chains of the selected pair's views, "v" and "v′": the image, then nine operations in order."""
        return self.scene.chains()

    def pairs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the eight images, uint8 (8, 3, H, W), and their views v and v′, each float (8, 3, s, s) in [0, 1]."""
        return self.scene.pairs()

    @property
    def shared(self) -> dict[str, Share]:
        """The cues that two views still share, by name; empty if there is only one image."""
        config = self.config
        return self._queue.call(lambda: self._shares(config))

    @property
    def code(self) -> str:
        """The line of code that makes `config`; it names only the fields that differ from the settings at the start."""
        config = self.config
        changed = [
            f"{name}={_short(getattr(config, name))}"
            for name in FIELDS
            if getattr(config, name) != getattr(self.start, name)
        ]
        head = [] if self._given else ['"shapes"']
        return f"config = {'config.replace' if self._given else 'bt.preset'}({', '.join(head + changed)})"

    # --- from the browser: the same commands, which do not wait for the pictures -----------------

    def command(self, content: object) -> None:
        """Carry out a message from the browser; see Panel.command."""
        super().command(content)
        if self._refused and not self.problem:  # the controls still have values that Config does not accept
            self.show(problem=self._refusal)

    def do_set(self, stamp: str | None = None, **settings: object) -> None:
        """Change settings. `stamp` is sent back with them, so that the browser recognises the answer."""
        refuse_impossible(settings)
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

    def do_go(
        self, index: int | None = None, seed: int | None = None, pair: int | None = None, many: bool | None = None
    ) -> None:
        """Show another image, draw or pair; see Scene.turned."""
        self._turn(index=index, seed=seed, pair=pair, many=many)
        self._draw_soon()

    def do_another(self) -> None:
        """Show another draw."""
        with self._lock:
            self._turn(seed=self.scene.seed + 1)
        self._draw_soon()

    def do_link(self, on: bool) -> None:
        """Give T′ the settings of T, and keep them equal, or end this."""
        self._link(on)
        self._draw_soon()

    def do_recipe(self, name: str) -> None:
        """Apply a recipe."""
        self._recipe(name)
        self._draw_soon()

    # --- settings ---------------------------------------------------------------------------------

    def _configure(self, settings: dict[str, Any]) -> None:
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
        """Make this the scene, and send everything except its pictures to the browser."""
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
                    "inert": inert(config),
                    "recipes": [name for name, changes in self.recipes.items() if config.replace(**changes) == config],
                    "code": self.code,
                    "index": scene.index,
                    "seed": scene.seed,
                    "pair": scene.pair,
                    "many": scene.many,
                    "count": n,
                    "caption": scene.caption,
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
        """Compute pictures until those of the newest scene are shown. It runs on the queue's thread."""
        while self._drawn is not self.scene and not self._ended:
            scene = self.scene
            try:
                words, pictures = scene.packed()
                if self._show_if_newest(scene, pictures=pictures, chain=words):
                    self._show_if_newest(scene, bars=self._bars(scene.config))
            except Exception as error:
                self.refuse(error)
            self._drawn = scene

    def end(self) -> None:
        """End the queue's thread when the panel is closed."""
        self._queue.finish(lambda: None)

    def _show_if_newest(self, scene: Scene, **traits: object) -> bool:
        """Show the traits, if they belong to the newest scene; return whether they do."""
        with self._lock:
            newest = scene is self.scene and not self._ended
            if newest:
                self.show(**traits)
            return newest

    def _bars(self, config: Config) -> dict:
        found, n = self._shares(config), min(len(self.scene.images), PAIRS)
        rows = [{"name": s.name, "same": s.same, "different": s.different, "words": str(s)} for s in found.values()]
        return {"pairs": PAIRS // n * n, "rows": rows}

    def _shares(self, config: Config) -> dict[str, Share]:
        """Return the shares, always of the same 256 images and the same seed, so that only T and T′ change them."""
        images = self.scene.images
        if len(images) < 2:
            return {}
        if self._small is None:
            self._small = small(images.sample(PAIRS).images)
        if self._shared is None or self._shared[0] != config:
            size = config.view_size or images.image_size[0]
            self._shared = config, shares(self._small, config.replace(view_size=size))
        return self._shared[1]


def _short(value: object) -> str:
    """Return a value as code; a pair of equal values as one."""
    return repr(value[0] if isinstance(value, tuple) and value[0] == value[1] else value)
