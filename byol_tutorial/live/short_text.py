"""An experiment in about a hundred characters, to send in a message: what differs from Config's defaults, and the changes.

    byol1&data=shapes,4096,32,5f3a91c2&v=0.1.0&seed=3&62:predictor=identity&62:lr=0.1,0.2&steps=305

The parts are those of the JSON in experiment.py. data: name, number, pixels a side (or HEIGHTxWIDTH), and a checksum of the
fingerprint. N:name=value is a change after N steps. Numbers, true, false and nothing (None) are values as in JSON, and a
comma separates the two of a pair; other characters than letters, digits and "_.-:" are written as in an address, %20.
"""

import json
import math
import re
import zlib
from typing import Any
from urllib.parse import quote, unquote

from ..config.checks import Refused, brief, refuse

FORMAT = 1
START = re.compile(r"\s*byol(\d{1,9})&", re.ASCII)
NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)  # those of JSON
NUMBER_BEGINS = frozenset("-.0123456789")
CHECK = re.compile(r"[0-9a-f]{8}", re.ASCII)
MOST = 1_000_000  # parts of a text, and values separated by commas
PART = re.compile(r"(?:(\d{1,18}):)?(\w+)=(.*)", re.ASCII | re.DOTALL)


def check_of(data: dict[str, Any]) -> str:
    """Return a checksum of a fingerprint, eight hexadecimal digits; other images give another one."""
    rest = {key: value for key, value in data.items() if key != "check"}
    return f"{zlib.crc32(json.dumps(rest, sort_keys=True).encode()):08x}"


def checksum(value: Any, at: str) -> None:
    """Allow a checksum as `check_of` gives it; see config/checks.py."""
    if not (isinstance(value, str) and CHECK.fullmatch(value)):
        raise refuse(at, value, "a checksum of eight hexadecimal digits")


def write(data: dict[str, Any], config: dict[str, Any], changes: Any, steps: int, version: str) -> str:
    """Return the parts of an experiment as one short text. config: the fields that differ from Config's defaults."""
    sides = list(data.get("pixels") or ())
    pixels = "x".join(map(str, sides if len(set(sides)) > 1 else sides[:1]))
    check = data.get("check") or (check_of(data) if "all" in data else "")
    parts = [
        f"byol{FORMAT}",
        f"data={_quoted(str(data['name']), safe='')},{data['images']},{pixels},{check}".rstrip(","),
    ]
    parts.append(f"v={_word(version)}")
    parts += [f"{name}={_word(value)}" for name, value in config.items()]
    at: dict[int, dict[str, Any]] = {}
    for step, fields in changes:
        at[step] = at.get(step, {}) | fields
    parts += [f"{step}:{name}={_word(value)}" for step, fields in at.items() for name, value in fields.items()]
    return "&".join([*parts, f"steps={steps}"])


def is_short(text: object) -> bool:
    """Return whether a text begins as one of `write`."""
    return isinstance(text, str) and START.match(text) is not None


def read(text: str) -> dict[str, Any]:
    """Return the parts of an experiment as the JSON of experiment.py has them; their values are not checked.

    Raises:
        Refused: a part is not of the form that `write` gives, or stands there twice; a number is not one of JSON, or not
            finite; there are more than MOST parts.
    """
    if text.count("&") + text.count(",") + text.count("x") > MOST:  # before memory is taken for them
        raise Refused(f"it has more than {MOST:,} parts")
    start = START.match(text)
    found: dict[str, Any] = {"byol": start and int(start[1]), "config": {}, "changes": []}
    if found["byol"] != FORMAT:
        return found  # a newer version may write the parts in another way
    for part in text.strip().split("&")[1:]:
        match = PART.fullmatch(part)
        if match is None:
            raise Refused(f"“{part[:40]}” is not name=value")
        step, name, word = match.groups()
        if step is None and name in ("data", "v", "steps"):
            name, place = {"v": "version"}.get(name, name), found
            value = _data(word) if name == "data" else _unquoted(word) if name == "version" else _value(word)
        else:
            value, place = _value(word), found["config"]
            if step is not None:
                if not found["changes"] or found["changes"][-1][0] != int(step):
                    found["changes"].append([int(step), {}])
                place = found["changes"][-1][1]
        if name in place:
            raise Refused(f"“{part[:40]}” stands there twice")
        place[name] = value
    return found


def _quoted(text: str, safe: str) -> str:
    return quote(text, safe=safe, errors="surrogatepass")  # a folder's name may be bytes that are no text


def _unquoted(text: str) -> str:
    try:
        return unquote(text, errors="surrogatepass")
    except UnicodeDecodeError as error:
        raise Refused(f"“{text[:40]}” is no text in UTF-8") from error


def _word(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ",".join(map(_word, value)) + ("," if len(value) == 1 else "")
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    text = _quoted(value, safe=":")
    # a text that begins as a number, or is one of the words above, is hidden behind its first letter's number
    hidden = text[:1] in NUMBER_BEGINS or text in ("true", "false")
    return f"%{ord(text[0]):02X}{text[1:]}" if hidden else text


def _value(word: str) -> Any:
    if "," in word:
        return [_value(one) for one in word.removesuffix(",").split(",")]
    if not word:
        return None
    if word in ("true", "false"):
        return word == "true"
    return _number(word) if word[0] in NUMBER_BEGINS else _unquoted(word)


def _number(word: str) -> int | float:
    match = NUMBER.fullmatch(word)
    if match is None:
        raise Refused(f"{brief(word)} is no number of JSON")
    try:
        value = float(word) if match[1] or match[2] else int(word)
    except ValueError as error:
        raise Refused(f"a number of {len(word)} digits is too long") from error
    if not math.isfinite(value):
        raise Refused(f"{brief(word)} is too large")
    return value


def _data(word: str) -> dict[str, Any]:
    parts = word.split(",")
    if len(parts) > 4:
        raise Refused(f"data has {len(parts)} parts, not at most four: name, number, pixels, checksum")
    name, images, pixels, check = [*parts, "", "", ""][:4]
    sides = [_value(side) for side in pixels.split("x")] if pixels else []
    found = {
        "name": _unquoted(name),
        "images": _value(images),
        "pixels": sides * 2 if len(sides) == 1 else sides,
        "check": check,
    }
    return {key: value for key, value in found.items() if value not in ("", [])}
