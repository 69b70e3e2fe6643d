"""Two figures of what papers report: the accuracy with few labels, and the methods before and after BYOL by their dates.

Nothing here is measured by this library. The pages of the book that show the figures cite the papers.
"""

from dataclasses import dataclass

from ...figures import BLUE, GREEN, INK, PURPLE, RED, ROSE, Picture, lines

# Grill et al. 2020, ResNet-50: table 2 for 1 % and 10 % of ImageNet's labels. With all labels, BYOL is fine-tuned
# (appendix C.1), and the supervised network is the paper's first baseline (section 4).
FEW_LABELS = {  # method -> per cent of the labels -> top-1, %
    "BYOL, fine-tuned": {1: 53.2, 10: 68.8, 100: 77.7},
    "SimCLR, fine-tuned": {1: 48.3, 10: 65.6},
    "supervised from scratch": {1: 25.4, 10: 56.4, 100: 76.5},
}


def few_labels() -> Picture:
    """Draw what the paper reports for 1, 10 and 100 % of ImageNet's labels: top-1 in %."""
    picture = lines(
        {name: (list(row), list(row.values())) for name, row in FEW_LABELS.items()},
        xlabel="labels used, %",
        ylabel="top-1, %",
        title="ImageNet, ResNet-50",
        alt="Accuracy over the share of the labels, from 1 to 100 per cent: BYOL and SimCLR start far above training from "
        "scratch, and with all labels BYOL is only a little above it",
        marker="o",
    )
    axes = picture.axes[0]
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks([1, 10, 100], ["1", "10", "100"])
    axes.set_ylim(0, 90)
    return picture


LANES = {  # the five ideas, from left to right, and their colours
    "decorrelate": PURPLE,
    "compare with\nnegatives": BLUE,
    "predict the\nother view": GREEN,
    "sort into\nprototypes": ROSE,
    "fill in\nhidden parts": RED,
}


@dataclass(frozen=True)
class Paper:
    """A method, the number of its paper, and the earlier methods that it builds on.

    name     the method's name
    eprint   YYMM.NNNNN, the number of its first version on arXiv, which tells the month
    lane     the column of its idea in LANES, from 0; iBOT is between two ideas, and MAE out of an arrow's way
    after    the methods of the figure that it builds on
    """

    name: str
    eprint: str
    lane: float
    after: tuple[str, ...] = ()

    @property
    def year(self) -> float:
        """The month of the first version in years; January 2021 is 2021.0."""
        return 2000 + int(self.eprint[:2]) + (int(self.eprint[2:4]) - 1) / 12


PAPERS = (
    Paper("MoCo", "1911.05722", 1),
    Paper("SimCLR", "2002.05709", 1),
    Paper("BYOL", "2006.07733", 2, ("MoCo", "SimCLR")),
    Paper("SwAV", "2006.09882", 3),
    Paper("SimSiam", "2011.10566", 2, ("BYOL",)),
    Paper("Barlow Twins", "2103.03230", 0, ("SimCLR",)),
    Paper("DINO", "2104.14294", 3, ("BYOL", "SwAV")),
    Paper("VICReg", "2105.04906", 0),
    Paper("MAE", "2111.06377", 4.2),
    Paper("iBOT", "2111.07832", 3.5, ("DINO",)),
    Paper("data2vec", "2202.03555", 4, ("BYOL",)),
    Paper("I-JEPA", "2301.08243", 4, ("data2vec",)),
    Paper("DINOv2", "2304.07193", 3, ("DINO", "iBOT")),
    Paper("DINOv3", "2508.10104", 3, ("DINOv2",)),
)
WIDE, YEAR = 1.05, 1.3  # inches from lane to lane, and from year to year
FIRST, LAST = 2019.5, 2025.9  # the years at the upper and the lower edge


def timeline() -> Picture:
    """Draw the methods of PAPERS in the lanes of their ideas, time downwards, with an arrow from each to its followers."""
    width, height = WIDE * (len(LANES) + 0.35), YEAR * (LAST - FIRST) + 0.6
    told = ". ".join(
        f"{int(p.year)}, {p.name}" + (f", builds on {' and '.join(p.after)}" if p.after else "")
        for p in sorted(PAPERS, key=lambda p: p.year)
    )
    picture = Picture(width, height, f"Timeline of methods, the newest at the bottom. {told}.")
    picture.set_layout_engine("none")
    axes = picture.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))  # inches from the upper left corner
    axes.axis("off")

    def place(paper: Paper) -> tuple[float, float]:
        return WIDE * (paper.lane + 0.85), 0.6 + YEAR * (paper.year - FIRST)

    for year in range(round(FIRST + 0.5), int(LAST) + 1):
        y = 0.6 + YEAR * (year - FIRST)
        axes.plot((0.42, width), (y, y), color="#dddddd", linewidth=0.8, zorder=0)
        axes.text(0.05, y, str(year), va="center", fontsize=9, color="#555555")
    for lane, (idea, colour) in enumerate(LANES.items()):
        x = WIDE * (lane + 0.85)
        axes.text(x, 0.26, idea, ha="center", va="center", fontsize=9.5, color=INK, weight="bold")
        axes.plot((x - 0.4, x + 0.4), (0.5, 0.5), color=colour, linewidth=3)
    at = {paper.name: paper for paper in PAPERS}
    for paper in PAPERS:
        for before in (at[name] for name in paper.after):
            bend = -0.25 if abs(paper.lane - before.lane) > 1 else 0.0  # the line bends around the method between
            shape = {"arrowstyle": "-|>", "color": "#888888", "linewidth": 1.1, "shrinkA": 9, "shrinkB": 9,
                     "connectionstyle": f"arc3,rad={bend}"}  # fmt: skip
            axes.annotate("", xy=place(paper), xytext=place(before), arrowprops=shape, zorder=1)
    for paper in PAPERS:
        x, y = place(paper)
        colour = list(LANES.values())[int(paper.lane)]
        box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": colour, "linewidth": 1.4}
        axes.text(x, y, paper.name, ha="center", va="center", fontsize=9.5, color=INK, bbox=box, zorder=2)
    return picture
