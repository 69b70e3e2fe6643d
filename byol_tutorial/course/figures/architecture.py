"""The library in three figures: its rooms on their floors, the way of an image, and the way of a slider's value.

The floors come from the import contracts in pyproject.toml, which `make lint` enforces, and the sentence about each
room is the first line of its docstring. The figures are narrow, so that they stay readable on a phone.
"""

import ast
import textwrap
import tomllib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from matplotlib.axes import Axes

from ...figures import BLUE, GREEN, INK, Picture

PACKAGE = Path(__file__).parents[2]
WIDTH = 4.4  # inches
LINE = 0.18  # inches from one line of text to the next
AIR = 0.08  # inches between text and the edge of its box, and between boxes
SIZE = 10  # points of a sentence
MUTED, GROUND = "#555555", "#F3F4F6"


@dataclass(frozen=True)
class Step:
    """A step on the way of an image or of a slider's value.

    name     what is there, or what happens
    room     the room that does it
    file     the file in that room
    text     what it does, in one sentence
    """

    name: str
    room: str
    file: str
    text: str

    def path(self) -> str:
        """Return the path of the file below the package, wherever in its room it is.

        Raises:
            FileNotFoundError: the room has no such file, or several.
        """
        found = sorted(PACKAGE.glob(f"{self.room}/**/{self.file}"))
        if len(found) != 1:
            raise FileNotFoundError(
                f"{self.name!r}: {self.room} has {len(found)} files named {self.file!r}, and one is needed; correct "
                f"the step in {Path(__file__).name}"
            )
        return found[0].relative_to(PACKAGE).as_posix()


IMAGE_WAY = (
    Step("file", "data", "loading.py", "load() finds the images of a source: a folder, a known set, drawn shapes."),
    Step("decode", "data", "decode.py", "Pillow opens each file; it becomes 8-bit RGB of one size."),
    Step(
        "image set",
        "data",
        "image_set.py",
        "All images are one tensor, uint8 (N, 3, H, W). Large folders stay on disk.",
    ),
    Step("views v, v′", "augment", "views.py", "Two random views of each image are drawn and made for a whole batch."),
    Step("encoder f", "networks", "encoders.py", "y = f(v) is the representation. It is kept after training."),
    Step("projector g", "networks", "heads.py", "z = g(y). The loss is computed from it, not from y."),
    Step("predictor q", "networks", "heads.py", "p = q(z), in the online network only. The target network ends at z′."),
    Step("loss", "methods", "byol.py", "2 − 2 cos(p, z′), plus the same with the views exchanged."),
    Step("gradient", "train", "trainer.py", "It reaches the online network θ alone; the optimiser moves θ."),
    Step("moving average", "methods", "base.py", "ξ ← τ ξ + (1 − τ) θ: the target network ξ follows θ."),
)

SLIDER_WAY = (
    Step("browser", "widgets", "cockpit.js", "You move a slider. The page sends the field's name and its new value."),
    Step("panel", "widgets", "cockpit.py", "It receives the message and calls session.change."),
    Step("session's queue", "live", "session.py", "The command waits in a queue; session.change returns at once."),
    Step(
        "trainer.change", "train", "trainer.py", "Between two steps, the session's thread checks the value and sets it."
    ),
    Step("next step", "train", "trainer.py", "trainer.step trains with the new value."),
    Step("snapshot", "live", "snapshot.py", "The session publishes a record of the run that never changes."),
    Step(
        "panel", "widgets", "cockpit.py", "It sends the numbers to the browser, which draws them and marks the change."
    ),
)


def floors(pyproject: Path | None = None) -> list[list[str]]:
    """Return the names of the rooms, floor by floor from the top: a room imports only from the floors below it.

    pyproject: the file with the import contracts. Default: that of the checkout this package lies in.

    Raises:
        FileNotFoundError: there is no such file, as in an installed package.
        LookupError: the file has not exactly one contract about layers.
    """
    pyproject = pyproject or PACKAGE.parent / "pyproject.toml"
    if not pyproject.is_file():
        raise FileNotFoundError(f"{pyproject} is missing; the rooms can be drawn only in a checkout of the repository")
    contracts = tomllib.loads(pyproject.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layers = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    if len(layers) != 1:
        raise LookupError(f"{pyproject} has {len(layers)} contracts of type 'layers', and one is needed")
    return [[room.strip() for room in floor.split("|")] for floor in layers[0]]


def about(room: str) -> str:
    """Return the first line of a room's docstring, without importing the room."""
    folder = PACKAGE / room
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def rooms(pyproject: Path | None = None) -> Picture:
    """Draw the rooms of the library on their floors, each with the first line of its docstring."""
    house = [[(room, textwrap.wrap(about(room), 42)) for room in floor] for floor in floors(pyproject)]
    heights = [sum(LINE * len(lines) + AIR for _, lines in floor) + AIR for floor in house]
    names = " ".join(f"Floor {len(house) - i}: {', '.join(dict(floor))}." for i, floor in enumerate(house))
    picture, axes = _page(
        sum(heights) + AIR * (len(house) + 1),
        f"The rooms of the library. {names} A room imports from lower floors only.",
    )
    y = axes.get_ylim()[1] - AIR
    middles: list[float] = []
    for i, (floor, height) in enumerate(zip(house, heights, strict=True)):
        _box(axes, 0.34, y - height, WIDTH - 0.39, height)
        middle = y - height / 2
        axes.text(0.18, middle, f"{len(house) - i}", ha="center", va="center", fontsize=13, color=MUTED)
        middles.append(middle)
        at = y - AIR
        for room, lines in floor:
            axes.text(0.43, at - LINE + 0.04, room, fontsize=11, weight="bold", color=BLUE)
            _sentence(axes, 1.35, at, lines, SIZE - 1)
            at -= LINE * len(lines) + AIR
        y -= height + AIR
    for upper, lower in pairwise(middles):
        _arrow(axes, [(0.18, upper - 0.14), (0.18, lower + 0.14)])
    return picture


def image_way() -> Picture:
    """Draw the way of an image: from its file through one training step of BYOL."""
    return _way(IMAGE_WAY, "The way of an image through the library")


def slider_way() -> Picture:
    """Draw the way of a slider's value: from the browser into the next training step, and back as numbers."""
    return _way(SLIDER_WAY, "The way of a slider's value through the library", returns=True)


def _way(steps: tuple[Step, ...], title: str, returns: bool = False) -> Picture:
    """Draw steps from top to bottom; with `returns`, an arrow leads from the last back to the first."""
    texts = [textwrap.wrap(step.text, 48 if returns else 53) for step in steps]
    heights = [LINE * (1 + len(lines)) + 2 * AIR for lines in texts]
    gap = 0.2
    told = " ".join(f"{i}. {step.name} ({step.path()}): {step.text}" for i, step in enumerate(steps, 1))
    picture, axes = _page(sum(heights) + gap * (len(steps) - 1) + 2 * AIR, f"{title}, in {len(steps)} steps: {told}")
    left, right = 0.05, WIDTH - (0.4 if returns else 0.05)
    y = axes.get_ylim()[1] - AIR
    middles = []
    for i, (step, lines, height) in enumerate(zip(steps, texts, heights, strict=True)):
        if i > 0:
            _arrow(axes, [(0.5, y), (0.5, y - gap)])
            y -= gap
        _box(axes, left, y - height, right - left, height)
        axes.text(left + 0.12, y - AIR - LINE + 0.04, step.name, fontsize=11, weight="bold", color=BLUE)
        axes.text(right - 0.12, y - AIR - LINE + 0.04, step.path(), ha="right", fontsize=SIZE - 2, color=MUTED,
                  family="monospace")  # fmt: skip
        _sentence(axes, left + 0.12, y - AIR - LINE, lines, SIZE)
        middles.append(y - height / 2)
        y -= height
    if returns:
        far = WIDTH - 0.15
        _arrow(axes, [(right, middles[-1]), (far, middles[-1]), (far, middles[0]), (right, middles[0])])
    return picture


def _page(height: float, alt: str) -> tuple[Picture, Axes]:
    """Return an empty picture of this height, and axes over all of it with the inch as unit."""
    picture = Picture(WIDTH, height, alt)
    picture.set_layout_engine("none")
    axes = picture.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, height))
    axes.axis("off")
    return picture, axes


def _box(axes: Axes, x: float, y: float, width: float, height: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    style = "round,pad=0,rounding_size=0.07"
    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=style, facecolor=GROUND, edgecolor="#C9CDD3"))


def _sentence(axes: Axes, x: float, y: float, lines: list[str], size: float) -> None:
    """Write lines below each other; y is the upper edge of the first."""
    for i, line in enumerate(lines, 1):
        axes.text(x, y - LINE * i + 0.04, line, fontsize=size, color=INK)


def _arrow(axes: Axes, points: list[tuple[float, float]]) -> None:
    """Draw a line through the points, with a head at the last."""
    axes.plot(*zip(*points[:-1], strict=True), color=GREEN, linewidth=1.6, solid_joinstyle="round")
    shape = {"arrowstyle": "-|>", "color": GREEN, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xy=points[-1], xytext=points[-2], arrowprops=shape)
