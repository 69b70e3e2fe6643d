"""Make JavaScript smaller without changing what it does: without comments, needless spaces, and functions nobody calls.

It is made for this package's own style. Other ends of lines stay, because JavaScript may need them to end a statement.
"""

import re
import string
from collections import Counter
from collections.abc import Iterator
from itertools import product

TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)|(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<name>[A-Za-z_$][\w$]*)
    |(?P<number>\d[\w.]*)|(?P<space>\s+)|(?P<mark>\+\+|--|.)""",
    re.DOTALL | re.VERBOSE,
)
TEMPLATE = re.compile(r"[`}](?:\\.|(?!\$\{)[^`\\])*(?:`|\$\{)", re.DOTALL)  # up to its end, or to its next expression
PATTERN = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\])*\]|[^/\\\n\[])+/[a-z]*")
WORD = re.compile(r"[\w$]")
RESERVED = ("do", "if", "in", "of", "as", "NaN")
# Words that a module may declare, and that also stand for something of the browser's where they are not declared.
BROWSERS = re.compile(
    "alert|blur|close|closed|confirm|console|crypto|document|event|fetch|find|focus|frames|history|length|location|menubar|"
    "name|navigator|open|opener|origin|parent|performance|print|prompt|screen|scroll|self|status|stop|top|window"
)
Token = tuple[str, str]


def shrink(text: str, rename: bool = False) -> str:
    """Return a module with the same effect in fewer characters. rename: give its own functions and constants short names.

    >>> shrink("const x = 1; // one" + chr(10) + "function never() { return x; }" + chr(10) + "export {x};")
    'let x=1;export{x};'
    """
    parts: list[str] = []
    before = "\n"
    found = without_unused(list(tokens(text)))
    for kind, value in bare_arguments(with_short_names(found) if rename else found):
        if kind == "line" and before in "\n;{,([":  # after these a statement goes on, or has ended
            continue
        value = "let" if (kind, value) == ("name", "const") else value  # no program that works sets a constant again
        value = value[1:] if kind == "number" and value.startswith("0.") else value
        if (
            (kind, value) == ("mark", "}") and parts[-1:] == [";"] and parts[-2][-1] != ")"
        ):  # for (...); has an empty statement
            parts.pop()
        apart = (WORD.match(before) and WORD.match(value)) or (before == value[0] and before in "+-")
        parts.append(f" {value}" if apart else value)
        before = value[-1]
    return "".join(parts)


def tokens(text: str) -> Iterator[Token]:
    """Yield (kind, text) of each token: name, number, text, pattern, mark, or line for a line's end.

    A template is given in parts: its texts, and the tokens of the expressions in it.
    """
    at, last = 0, "("
    depths: list[int] = []  # for each template around the present place: braces that are open in its expression
    while at < len(text):
        found = None
        if text[at] == "`" or (text[at] == "}" and depths and depths[-1] == 0):
            kind, found = "text", TEMPLATE.match(text, at)
            if text[at] == "}":
                depths.pop()
            if found and found[0].endswith("${"):
                depths.append(0)
        elif text[at] == "/" and last in "(,=:[!&|?{};":
            kind, found = "pattern", PATTERN.match(text, at)
            found = None if text[at + 1] in "/*" else found
        if found is None:
            found = TOKEN.match(text, at)
            assert found is not None  # its last part takes any character
            kind = found.lastgroup or ""
        value, at = found[0], found.end()
        if depths and kind == "mark" and value in "{}":
            depths[-1] += 1 if value == "{" else -1
        if kind == "space" and "\n" in value:
            yield "line", "\n"
        elif kind not in ("space", "comment"):
            last = value[-1]
            yield kind, value


def bare_arguments(found: list[Token]) -> Iterator[Token]:
    """Yield the tokens without the parentheses around the one argument of an arrow function, (x) => y."""
    values = [value for _, value in found]
    left = {
        i
        for i, (kind, _) in enumerate(found[1:])
        if kind == "name" and values[i] == "(" and values[i + 2 : i + 5] == [")", "=", ">"]
    }
    for i, token in enumerate(found):
        if i not in left and i - 2 not in left:
            yield token


def without_unused(found: list[Token]) -> list[Token]:
    """Leave out functions of the module whose names do not occur anywhere else, and then those that only they used."""
    while True:
        names = Counter(value for kind, value in found if kind == "name")
        texts = " ".join(value for kind, value in found if kind == "text")
        starts = (i for i, token in enumerate(found) if token == ("name", "function") and _opens_line(found, i))
        unused = next((i for i in starts if names[found[i + 1][1]] == 1 and found[i + 1][1] not in texts), None)
        if unused is None:
            return found
        start = unused - (found[unused - 1] == ("name", "async"))
        found = found[:start] + found[_end_of_block(found, unused) :]


def with_short_names(found: list[Token]) -> list[Token]:
    """Rename what is declared at the beginning of a line, unless the name also stands for a property or is in a text.

    A name becomes the same new one everywhere, which did not occur before. So it does not matter where the name is seen.
    """
    declared, properties, open_marks = set(), set(), [""]
    for i, (kind, value) in enumerate(found):
        before, after = (found[j][1] if 0 <= j < len(found) else "" for j in (i - 1, i + 1))
        if kind == "mark" and value in "([{":
            open_marks.append(value)
        elif kind == "mark" and value in ")]}":
            open_marks.pop()
        elif kind == "text":
            if value.startswith("}"):
                open_marks.pop()
            if value.endswith("${"):
                open_marks.append("$")
        elif kind == "name":
            if (
                before in ("const", "let", "function", "class")
                and not BROWSERS.fullmatch(value)
                and _opens_line(found, i - 1)
            ):
                declared.add(value)
            shorthand = open_marks[-1] == "{" and before in ("{", ",", "\n") and after in (",", "}", "=", "\n")
            if shorthand or after == ":" or (before == "." and found[i - 2][1] != "."):
                properties.add(value)
    uses = Counter(value for kind, value in found if kind == "name")
    texts = " ".join(value for kind, value in found if kind == "text")
    old = [
        name for name, _ in uses.most_common() if name in declared - properties and len(name) > 3 and name not in texts
    ]
    new = ("".join(pair) for pair in product(string.ascii_letters, string.ascii_letters + string.digits))
    short = dict(zip(old, (name for name in new if name not in uses and name not in RESERVED), strict=False))
    return [(kind, short.get(value, value) if kind == "name" else value) for kind, value in found]


def _opens_line(found: list[Token], i: int) -> bool:
    before = i - 1 - (found[i - 1] == ("name", "async"))
    return before < 0 or found[before][0] == "line"


def _end_of_block(found: list[Token], start: int) -> int:
    """Return the position after the body of the function that begins at `start`."""
    depth, in_body = 0, False
    for i in range(start, len(found)):
        kind, value = found[i]
        if kind == "mark" and value in "({":
            in_body |= value == "{" and depth == 0
            depth += 1
        elif kind == "mark" and value in ")}":
            depth -= 1
            if depth == 0 and in_body:
                return i + 1
    raise ValueError("the last function has no end")
