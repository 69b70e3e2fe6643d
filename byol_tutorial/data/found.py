"""Found: what a folder holds. It is printed before training begins, so that no file is used or left out unnoticed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..config.user_text import printable
from .tree import COPIES, HIDDEN, LEFT, Tree

NAMED = 5  # so many files or folders are named; the others are counted
SPECIAL = {  # endings of pictures and films that Pillow cannot read, and what to do
    "HEIC, convert them to JPEG": (".heic", ".heif"),
    "DICOM, convert them to PNG or TIFF": (".dcm", ".dicom"),
    "camera RAW, develop them to TIFF or JPEG": (".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".raf", ".rw2"),
    "video, extract its frames": (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"),
    "arrays, save each image as .npy, or load them and call bt.images_from": (
        ".npy",
        ".npz",
        ".h5",
        ".hdf5",
        ".mat",
        ".nii",
    ),
    "vector graphics, render them to PNG": (".svg", ".eps", ".ai"),
}


@dataclass(frozen=True)
class Found:
    """The contents of a folder of images.

    folder, layout   its path; how it is read, in words
    files            number of image files by ending
    others           number of other files by ending
    left_out         folders that were not entered, with the reason
    links            number of links to folders that were followed
    dead_links       links that lead nowhere, or to themselves
    used             number of images of each split, such as {"train": 80, "test": 20}
    divided          how the splits came about, in words
    classes          number of training images of each class; empty without labels
    sizes            least and greatest width and height among the files that were looked at: (w, h), (w, h)
    looked_at        number of files whose headers were read for sizes, depth and pages
    size             pixels a side that the images are brought to
    deep             number of those files that are deeper than 8 bits, or signed
    channels, bits   of the images
    file_channels    how many of those files have how many channels, in words
    value_range      the values that become black and white, if any image is scaled
    pages            number of those files that hold several pages or frames, of which the first is used
    deep_colour      number of those files with 16 bits a colour, of which the upper eight are used
    hidden           number of hidden files, which are not used
    hidden_images    number of those that have the ending of an image
    alike            names of different classes that look nearly the same
    strips           number of the files looked at that are so long that most of each is cut away
    gaps             number of the files whose values were looked at that have some that are no numbers
    constant         names of training images that are constant or nearly so; of a streamed set, in a sample
    brightest        the brightest of their pixels, of 255
    unreadable       files that cannot be read, with the reason
    special          pipes and devices that have the ending of an image
    kept             folders that are used, although programs also leave folders of this name
    """

    folder: str
    layout: str
    files: dict[str, int]
    others: dict[str, int]
    left_out: dict[str, str]
    links: int
    dead_links: tuple[str, ...]
    used: dict[str, int]
    divided: str
    classes: dict[str, int]
    sizes: tuple[tuple[int, int], tuple[int, int]] | None
    looked_at: int
    size: int
    deep: int = 0
    value_range: tuple[float, float] | None = None
    pages: int = 0
    deep_colour: int = 0
    channels: int = 3
    bits: int = 8
    file_channels: str = ""
    hidden: int = 0
    constant: tuple[str, ...] = ()
    brightest: int = 255
    unreadable: dict[str, str] = field(default_factory=dict)
    special: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    hidden_images: int = 0
    alike: tuple[str, ...] = ()
    strips: int = 0
    gaps: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the record for settings.json."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the record as lines to print, what is usual first, what is wrong last."""
        total = sum(self.files.values())
        lines = [f"{printable(self.folder)}: {self.layout}"]
        lines.append(f"  {total:,} image files: {_counts(self.files)}")
        lines.append("  " + ", ".join(f"{n:,} {split}" for split, n in self.used.items()) + f"; {self.divided}")
        if self.classes:
            ordered = sorted(self.classes.items(), key=lambda item: item[1])
            (few, least), (many, most) = ordered[0], ordered[-1]
            share = most / max(1, sum(self.classes.values()))
            lines.append(
                f"  {len(ordered)} classes, from {least:,} images ({printable(few)}) to {most:,} ({printable(many)}, {share:.0%} of all)"
            )
        if self.alike:
            lines.append(
                f"  different classes, although their names look alike: {_names([ascii(name) for name in self.alike])}"
            )
        if self.sizes:
            (w, h), (wide, high) = self.sizes
            span = f"{w}×{h}" if (w, h) == (wide, high) else f"{w}×{h} to {wide}×{high}"
            lines.append(f"  {span} px, brought to {self.size}×{self.size}")
        if self.strips:
            lines.append(
                f"  {self.strips} of {self.looked_at} files looked at are strips, of which only a square in the middle is used"
            )
        if self.value_range:
            darkest, lightest = self.value_range
            lines.append(f"  {self.deep} of {self.looked_at} files looked at are deeper than 8 bits or signed; ")
            lines[-1] += f"values {darkest:g} to {lightest:g} become 0 to {2**self.bits - 1} (--value-range)"
            if self.bits == 16:
                lines.append("  16 bits of every channel are kept (--bits 8 takes half the memory)")
        if self.file_channels:
            lines.append(f"  {self.file_channels}; images have {self.channels} (--channels)")
        if self.gaps:
            lines.append(
                f"  {self.gaps} of the files whose values were looked at have some that are no numbers (NaN, infinite): "
                "NaN and −∞ become black, +∞ becomes white"
            )
        if self.pages:
            lines.append(
                f"  {self.pages} of {self.looked_at} files looked at hold several pages or frames: only the first is used"
            )
        if self.deep_colour and self.bits == 8:
            lines.append(
                f"  {self.deep_colour} of {self.looked_at} files looked at have 16 bits a colour, of which the upper 8 are "
                "used (--bits 16 keeps all, and needs tifffile where they are TIFF)"
            )
        lines += beside_images(self)
        if self.unreadable:
            lines.append(f"  cannot be read: {_names(list(self.unreadable))}")
        if self.constant:
            lines.append(f"  constant or nearly so: {_names(self.constant)}")
        if self.brightest < 64:
            lines.append(f"  no pixel is brighter than {self.brightest} of 255")
            if (
                self.brightest > 0 and not self.deep and self.value_range is None
            ):  # otherwise these are not the files' values
                lines[-1] += f" (--value-range 0,{self.brightest} would make it white)"
        return lines


def beside_images(of: Found | Tree) -> list[str]:
    """Return, as lines to print, what a folder holds beside the images that are used, and what was followed or left out."""
    lines = []
    if of.links:
        lines.append(f"  {_folders(of.links)} reached through links")
    if of.kept:
        lines.append(f"  used as data (programs also leave folders of this name): {_names(of.kept)}")
    if of.others:
        lines.append(f"  not used, not images: {_counts(of.others)}")
        for words, endings in SPECIAL.items():
            if n := sum(of.others.get(ending, 0) for ending in endings):
                lines.append(f"    {n:,} are {words}")
    for reason in dict.fromkeys(of.left_out.values()):
        folders = [folder for folder, why in of.left_out.items() if why == reason]
        lines.append(f"  not entered, {reason}: {_names(folders)}")
    if {LEFT, HIDDEN, COPIES}.intersection(of.left_out.values()):
        lines.append("    (to use one of these, rename it, or give it as folder:PATH)")
    if of.hidden_images:
        lines.append(f"  not used, hidden by a dot before the name: {of.hidden_images:,} with the ending of an image")
    if of.dead_links:
        lines.append(f"  links that lead nowhere: {_names(of.dead_links)}")
    if of.special:
        lines.append(f"  not used, pipes or devices: {_names(of.special)}")
    return lines


def _counts(numbers: dict[str, int]) -> str:
    ordered = sorted(numbers.items(), key=lambda item: -item[1])
    words = [f"{n:,} {printable(ending) or 'without an ending'}" for ending, n in ordered[:NAMED]]
    rest = sum(n for _, n in ordered[NAMED:])
    return ", ".join(words) + (f", {rest:,} others" if rest else "")


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(printable, names[:NAMED])) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _folders(n: int) -> str:
    return "1 folder is" if n == 1 else f"{n} folders are"
