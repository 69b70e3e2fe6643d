"""How many minutes each lesson takes, from one place.

    python book/minutes.py            prints the table
    python book/minutes.py --write    and writes it into the first lines of the lessons, README.md, the map and the plans

The minutes of a lesson are the sum of

- computing: the seconds in lessons.json, which bench/lessons.py writes and whose first lines say how they were measured;
- reading: WORDS words of text a minute, and LOOK for each displayed formula and for each cell of code with what it shows.
  Cells that belong to an exercise do not count here, and folded ones neither. The sum is rounded to five minutes;
- exercises: the minutes that each exercise states.

Sections whose heading ends with "(optional)" and exercises on which nothing depends are counted apart. A lesson's core
takes at most LONGEST minutes.
"""

import json
import re
import sys
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import jupytext

from byol_tutorial import exercises

ROOT = Path(__file__).parents[1]
MEASURED = ROOT / "bench/results/intel-xeon-2-cores/lessons.json"
WORDS = 150  # a minute: slowly, because the text is dense, and English is not everyone's first language
LOOK = 0.5  # minutes for a formula, and for a cell with its code and its picture or table
LONGEST = 60  # minutes of a lesson without what is optional
OPTIONAL = "(optional)"  # the end of a heading
EXERCISE = re.compile(r"exercises\.(check|predict|outcome|hint|overview)\(|^def my_", re.M)
FOLDED = {"solution", "remove-cell", "hide-cell"}


@dataclass(frozen=True)
class Minutes:
    """The minutes of one lesson, whole numbers; `optional` is reading and exercises that may be left out."""

    computing: int
    reading: int
    exercises: int
    optional: int

    @property
    def core(self) -> int:
        return self.computing + self.reading + self.exercises

    def header(self) -> str:
        """Return the line in the lesson's first cell."""
        parts = [f"{self.reading} of reading", f"{self.computing} of computing on a laptop with two cores"]
        if self.exercises:
            parts.insert(1, f"{self.exercises} of exercises")
        more = f" What is optional takes {self.optional} more." if self.optional else ""
        return f"**Time**: {self.core} minutes, {', '.join(parts[:-1])} and {parts[-1]}.{more}"


def lessons() -> list[Path]:
    """Return the texts of the lessons that can be run, in their order; the last is live_controls."""
    return sorted(p.with_suffix(".md") for p in (ROOT / "notebooks").glob("*.ipynb"))


def minutes(lesson: Path) -> Minutes:
    """Return the minutes of a lesson by its text, its exercises and the measured time."""
    core, optional = reading(lesson)
    own = exercises.lessons().get(lesson.stem[:2], {}).values()
    seconds = json.loads(MEASURED.read_text("utf-8"))["seconds"]
    if lesson.stem not in seconds:
        raise SystemExit(f"{MEASURED.name} has no seconds of {lesson.stem}: python bench/lessons.py {lesson.stem}")
    return Minutes(
        computing=ceil(seconds[lesson.stem] / 60),
        reading=to_five(core),
        exercises=sum(e.minutes for e in own if e.core),
        optional=to_five(optional) + sum(e.minutes for e in own if not e.core),
    )


def to_five(number: float) -> int:
    """Round to a multiple of five: reading is not known better, and a changed sentence need not change a header."""
    return 5 * round(number / 5)


def reading(lesson: Path, until: str | None = None) -> tuple[float, float]:
    """Return the minutes that it takes to read a lesson's core, and its optional sections.

    until: the heading, without its marks, before which the reader stops. Default: the whole lesson is read.

    Exercises that are only described, with their minutes in brackets, are optional and taken at their word.
    """
    total = {False: 0.0, True: 0.0}
    is_optional, level = False, 0
    for cell in jupytext.read(lesson).cells:
        if cell.cell_type == "code":
            if not FOLDED & set(cell.metadata.get("tags", [])) and not EXERCISE.search(cell.source):
                total[is_optional] += LOOK
            continue
        for part in re.split(r"(?m)^(?=#)", cell.source):
            heading = re.match(r"(#+) (.*)", part)
            if heading and heading[2] == until:
                return total[False], total[True]
            if heading and (not is_optional or len(heading[1]) <= level):
                is_optional, level = heading[2].endswith(OPTIONAL), len(heading[1])
            formulas = len(re.findall(r"(?s)\$\$.*?\$\$", part))
            total[is_optional] += words(part) / WORDS + formulas * LOOK
            total[True] += sum(map(int, re.findall(r"\((\d+) minutes\)", part)))
    if until:
        raise SystemExit(f"{lesson.name} has no heading {until!r}")
    return total[False], total[True]


def words(text: str) -> int:
    """Count the words that are read: no displayed formulas, no blocks of code, no addresses of links, no marks."""
    text = re.sub(r"(?s)\$\$.*?\$\$|^```.*?^```|<[^>]*>", " ", text, flags=re.M)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return sum(1 for word in text.split() if re.search(r"\w", word))


def time_line(text: str) -> re.Match:
    """Return the paragraph about time in a lesson's first cell: from **Time** up to **You need**."""
    found = re.search(r"(?s)\*\*Time\*\*:.*?(?=\n\*\*You need)", text)
    if not found:
        raise SystemExit("a lesson's first cell has **Time**: ... and then, on a line of its own, **You need**: ...")
    return found


def with_header(text: str, found: Minutes) -> str:
    """Return a lesson's text with these minutes in its first cell."""
    at = time_line(text)
    return text[: at.start()] + wrapped(found.header()) + text[at.end() :]


def wrapped(line: str, width: int = 120) -> str:
    """Break a line at spaces."""
    lines, now = [], ""
    for word in line.split():
        if len(now) + 1 + len(word) > width:
            lines.append(now)
            now = word
        else:
            now = f"{now} {word}".strip()
    return "\n".join([*lines, now])


def with_rows(text: str, all_minutes: dict[str, Minutes], cells: int) -> str:
    """Return a page whose table of lessons has these minutes: after a row's link and `cells` more cells.

    A row ends its minutes with a bar: "| 55 |", or "| 55 + 20 |" with what is optional.
    """
    for stem, found in all_minutes.items():
        value = f"{found.core} + {found.optional}" if found.optional else f"{found.core}"
        row = re.compile(rf"(\({re.escape(link(stem, text))}\)(?:[^|\n]*\|){{{cells}}}) [^|\n]* \|")
        text = row.sub(rf"\1 {value} |", text, count=1)
    return text


def link(stem: str, text: str) -> str:
    """Return how a page links to a lesson."""
    return f"../notebooks/{stem}.md" if "(../notebooks/" in text else f"notebooks/{stem}.md"


def with_days(text: str, all_minutes: dict[str, Minutes]) -> str:
    """Return the map with the sum of each day's lessons in the last cell of its row."""

    def row(found: re.Match) -> str:
        return f"{found[1]} {sum(all_minutes[stem].core for stem in linked(found[1]))} |"

    return re.sub(r"(?m)^(\| \d+ \| \[Lesson .*\|) \d+ \|$", row, text)


def with_homework(text: str, all_minutes: dict[str, Minutes]) -> str:
    """Return the plans with the minutes of the core exercises of each week's lessons, in brackets after them."""

    def week(found: re.Match) -> str:
        return f"{found[1]} ({sum(all_minutes[stem].exercises for stem in linked(found[1]))} minutes)"

    return re.sub(r"(?s)(the core exercises of .*?) \(\d+ minutes\)", week, text)


def linked(text: str) -> list[str]:
    """Return the lessons to which a text links, by the names of their files."""
    return re.findall(r"notebooks/(\w+)\.md", text)


PAGES = {
    "README.md": lambda text, found: with_rows(text, found, 2),
    "book/map.md": lambda text, found: with_days(with_rows(text, found, 2), found),
    "book/teach/plans.md": with_homework,
}


def main() -> None:
    found = {lesson.stem: minutes(lesson) for lesson in lessons()}
    print(f"{'':<26}{'core':>6}{'reading':>9}{'exercises':>11}{'computing':>11}{'optional':>10}")
    for stem, m in found.items():
        long = "  too long" if m.core > LONGEST else ""
        print(f"{stem:<26}{m.core:>6}{m.reading:>9}{m.exercises:>11}{m.computing:>11}{m.optional:>10}{long}")
    if "--write" in sys.argv[1:]:
        for lesson in lessons():
            text = lesson.read_text("utf-8")
            lesson.write_text(with_header(text, found[lesson.stem]), encoding="utf-8")
        for page, written in PAGES.items():
            text = (ROOT / page).read_text("utf-8")
            (ROOT / page).write_text(written(text, found), encoding="utf-8")
        print("written; now make notebooks, because the first cells of the lessons may have changed")


if __name__ == "__main__":
    main()
