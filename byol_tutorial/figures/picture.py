"""Picture: a matplotlib Figure that shows itself in a notebook, on light and on dark pages. It uses no pyplot."""

import base64
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter

from ..runtime.markup import escaped
from .fonts import families, readable

# On a dark page a picture has no background of its own, and what is drawn is drawn light: black becomes white, and each
# colour keeps its hue. Photographs stay as they are. JupyterLab, the book, Colab and VS Code say that a page is dark;
# elsewhere, and where a page removes styles, a picture stays on white.
DARK = ':is([data-jp-theme-light="false"],[data-theme="dark"],[theme="dark"],.vscode-dark)'
STYLE = (
    f"<style>{DARK} .bt-picture{{background:none!important}}"
    f"{DARK} .bt-ink{{filter:invert(1) hue-rotate(180deg)}}</style>"
)


class Picture(Figure):
    """A matplotlib Figure that shows itself in a notebook, with alt text, in the colours of a light or a dark page.

    math: whether $...$ in its texts is a formula. Otherwise texts are shown as they are, because names of classes and
        files come from users; see `readable`.
    """

    def __init__(self, width: float, height: float, alt: str, math: bool = False) -> None:
        super().__init__(figsize=(width, height), layout="constrained", facecolor="white")
        self.alt, self.math = alt, math

    def png(self, dpi: int = 110) -> bytes:
        """Return the picture as a PNG file."""
        return self._as("png", dpi)

    def _as(self, kind: str, dpi: int, transparent: bool = False) -> bytes:
        if not self.math:
            self._show_texts_as_they_are()
        buffer = io.BytesIO()
        lossless = {"lossless": True} if kind == "webp" else {}
        self.savefig(buffer, format=kind, dpi=dpi, transparent=transparent, pil_kwargs=lossless)
        return buffer.getvalue()

    def _layers(self, kind: str, dpi: int) -> list[tuple[str, bytes]]:
        """Return (class in the page, file) of the transparent layers: photographs, if there are any, and what is drawn."""
        photographs: list[Artist] = [image for axes in self.axes for image in axes.images]
        if not photographs:
            return [("bt-ink", self._as(kind, dpi, transparent=True))]
        drawn = [artist for axes in self.axes for artist in axes.get_children() if artist not in photographs]
        drawn += [artist for artist in self.get_children() if artist not in self.axes]
        with self._laid_out():
            layers = []
            for name, hidden in (("bt-photographs", drawn), ("bt-ink", photographs)):
                with _hiding(hidden):
                    layers.append((name, self._as(kind, dpi, transparent=True)))
        return layers

    @contextmanager
    def _laid_out(self) -> Iterator[None]:
        """Keep everything in its place, which would depend on what is visible."""
        if not self.math:
            self._show_texts_as_they_are()
        engine = self.get_layout_engine()
        self.draw_without_rendering()
        self.set_layout_engine("none")
        try:
            yield
        finally:
            self.set_layout_engine(engine)

    def _show_texts_as_they_are(self) -> None:
        powers = {
            label
            for axes in self.axes
            for axis in (axes.xaxis, axes.yaxis)
            if isinstance(
                axis.get_major_formatter(), LogFormatter
            )  # a logarithmic scale writes its numbers as formulas
            for label in axis.get_ticklabels(which="both")
        }
        for text in self.findobj(Text):
            text.set_parse_math(text in powers)
            text.set_fontfamily(families())
            text.set_text(readable(text.get_text()))

    def _repr_html_(self) -> str:
        width = int(self.get_size_inches()[0] * 100)
        # WebP has the same pixels in three fifths of the bytes, and a page of the book has many pictures.
        kind = "webp" if os.environ.get("BYOL_STATIC") else "png"
        shown, alt = "", self.alt
        for name, layer in self._layers(kind, dpi=160):
            data = base64.b64encode(layer).decode()
            shown += (
                f'<img alt="{escaped(alt)}" class="{name} dark-light" style="grid-area:1/1;width:100%;height:auto" '
                f'src="data:image/{kind};base64,{data}">'
            )
            alt = ""  # one alternative text describes all layers
        # Without the class "dark-light" the book's theme would change the pictures itself.
        style = f"display:grid;width:{width}px;max-width:100%;background:#fff;border-radius:6px"
        return f'{STYLE}<div class="bt-picture" style="{style}">{shown}</div>'


@contextmanager
def _hiding(artists: Sequence[Artist]) -> Iterator[None]:
    shown = [artist for artist in artists if artist.get_visible()]
    for artist in shown:
        artist.set_visible(False)
    try:
        yield
    finally:
        for artist in shown:
            artist.set_visible(True)
