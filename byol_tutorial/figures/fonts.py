"""Texts that the fonts here can show: names of classes and files come from users, and may hold any character."""

from functools import cache

from matplotlib import font_manager

from ..runtime.markup import encodable

LONGEST = 60  # characters of a line in a figure
EAST_ASIAN = ("Noto Sans CJK JP", "Noto Sans CJK SC", "Hiragino Sans", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic",
              "WenQuanYi Zen Hei", "Arial Unicode MS")  # fmt: skip


def readable(text: str, longest: int = LONGEST) -> str:
    """Return a text that the fonts here can show: long lines shortened in the middle, other characters as their codes."""
    lines = encodable(text).split("\n")
    half = longest // 2
    lines = [line if len(line) <= longest else f"{line[:half]}…{line[-half:]}" for line in lines]
    return "\n".join("".join(c if _has_glyph(c) else f"\\u{ord(c):04x}" for c in line) for line in lines)


@cache
def families() -> list[str]:
    """Return matplotlib's own font, and those of EAST_ASIAN that are installed, which it takes glyphs from."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in EAST_ASIAN if name in installed)]


@cache
def _has_glyph(character: str) -> bool:
    if character.isascii():
        return character.isprintable()
    files = (font_manager.findfont(name) for name in families())
    return any(font_manager.get_font(file).get_char_index(ord(character)) for file in files)
