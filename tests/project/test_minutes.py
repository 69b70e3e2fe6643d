"""Minutes of lessons: counted as book/minutes.py says, and the same in headers, README, map and plans."""

import functools
import importlib.util
import json
import re
from pathlib import Path

import pytest

from byol_tutorial import exercises

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("minutes", ROOT / "book/minutes.py")
M = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(M)


@functools.cache
def found_minutes() -> dict:
    """Return lesson -> its minutes. Not when this file is imported, as it takes a second, and each process of tests imports it."""
    return {lesson.stem: M.minutes(lesson) for lesson in M.lessons()}


AGAIN = "run: python book/minutes.py --write && make notebooks"

LESSON = """---
kernelspec:
  display_name: Python 3 (ipykernel)
  language: python
  name: python3
---

# Title

**You will see** six words, more or less.

**Time**: old.
**You need**: [a link](https://example.org/a/long/address "title"), and `code`.

```{code-cell} ipython3
---
tags: [remove-cell]
---
install()
```

## Core

One two three four five. $x$ is a word, too.

$$
a + b = c
$$

```{code-cell} ipython3
figures.lines(x)
```

```{code-cell} ipython3
def my_answer(x):
    ...
```

```{code-cell} ipython3
bt.exercises.check("03-loss", my_answer)
```

```{code-cell} ipython3
---
jupyter:
  outputs_hidden: true
  source_hidden: true
tags: [solution, hide-cell]
---
# Solution
bt.exercises.check("03-loss", solution, strict=True)
```

## Deeper (optional)

Six seven.

### Still deeper

Eight nine ten.

```{code-cell} ipython3
figures.lines(y)
```

## Core again

- Try it (7 minutes).
"""


def test_words_formulas_and_cells_are_counted_and_what_is_optional_apart(tmp_path):
    path = tmp_path / "03_lesson.md"
    path.write_text(LESSON)
    core, optional = M.reading(path)
    # "Title"; the first paragraph, 8; "Time old", 2; "You need a link and code", 6; "Core" and its text, 1 + 10;
    # "Core again", 2; "Try it 7 minutes", 4. Then a formula and a picture.
    assert core == pytest.approx((1 + 8 + 2 + 6 + 11 + 2 + 4) / M.WORDS + 2 * M.LOOK)
    # "Deeper (optional)", 2; 2; "Still deeper", 2; 3; a picture; and the exercise that is only described
    assert optional == pytest.approx((2 + 2 + 2 + 3) / M.WORDS + M.LOOK + 7)


def test_the_reading_of_a_part_ends_before_its_heading(tmp_path):
    path = tmp_path / "03_lesson.md"
    path.write_text(LESSON)
    core, optional = M.reading(path, until="Deeper (optional)")
    assert core == pytest.approx((1 + 8 + 2 + 6 + 11) / M.WORDS + 2 * M.LOOK)  # as they are counted above
    assert optional == 0
    with pytest.raises(SystemExit, match="has no heading 'Nowhere'"):
        M.reading(path, until="Nowhere")


def test_words_are_those_that_are_read():
    text = "Two [words](https://example.org/not/these) and *three* more.\n\n$$ x\n y $$\n\n```python\ncode here\n```\n\n| a | b |\n|---|---|\n"
    assert M.words(text) == 7
    assert M.words("<details><summary>Answer</summary> yes") == 2


def test_reading_is_rounded_to_five_minutes(tmp_path, monkeypatch):
    assert [M.to_five(x) for x in (0, 2.4, 2.6, 12.4, 58)] == [0, 0, 5, 10, 60]
    path = tmp_path / "03_build_byol.md"
    path.write_text(LESSON + "word " * 3000)
    found = M.minutes(path)
    assert found.reading == 20
    assert found.computing == found_minutes()["03_build_byol"].computing
    with pytest.raises(SystemExit, match=r"no seconds of 99_new: python bench/lessons\.py 99_new"):
        M.minutes(path.rename(tmp_path / "99_new.md"))


def test_a_header_says_its_sum_and_its_parts(tmp_path):
    found = M.Minutes(computing=3, reading=20, exercises=30, optional=25)
    assert found.core == 53
    assert found.header() == (
        "**Time**: 53 minutes, 20 of reading, 30 of exercises and 3 of computing on a laptop with two cores. "
        "What is optional takes 25 more."
    )
    assert M.Minutes(1, 8, 0, 0).header() == (
        "**Time**: 9 minutes, 8 of reading and 1 of computing on a laptop with two cores."
    )
    new = M.with_header(LESSON, found)
    assert "old." not in new
    assert " ".join(M.time_line(new)[0].split()) == found.header()
    assert new.split("**You need**")[1] == LESSON.split("**You need**")[1]
    assert max(map(len, new.splitlines())) <= 120
    with pytest.raises(SystemExit, match="has \\*\\*Time\\*\\*"):
        M.time_line("# A lesson")


def test_a_table_gets_the_minutes_in_its_row_alone():
    table = "| [a](notebooks/01_a.md) | what | 5 | x |\n| [b](notebooks/02_b.md) | what | 6 + 1 | y |\n"
    found = {"01_a": M.Minutes(1, 2, 3, 0), "02_b": M.Minutes(2, 3, 4, 5)}
    assert M.with_rows(table, found, 2) == (
        "| [a](notebooks/01_a.md) | what | 6 | x |\n| [b](notebooks/02_b.md) | what | 9 + 5 | y |\n"
    )


def test_sums_of_days_and_of_homework_are_written():
    found = {"01_a": M.Minutes(1, 2, 3, 9), "02_b": M.Minutes(2, 3, 4, 9)}
    days = (
        "| 1 | [Lesson 1](../notebooks/01_a.md) and [lesson 2](../notebooks/02_b.md) | why? | 5 |\n| 1 | other | 5 |\n"
    )
    assert M.with_days(days, found) == days.replace("why? | 5", "why? | 15")
    plan = "the core exercises of [lesson 1](../../notebooks/01_a.md) and\n[lesson 2](../../notebooks/02_b.md) (1 minutes). (2 minutes)"
    assert M.with_homework(plan, found) == plan.replace("(1 minutes)", "(7 minutes)")


def test_no_lesson_takes_more_than_an_hour_without_what_is_optional():
    assert {stem: m.core for stem, m in found_minutes().items() if m.core > M.LONGEST} == {}


def test_every_lesson_was_measured():
    seconds = json.loads(M.MEASURED.read_text("utf-8"))["seconds"]
    assert seconds.keys() == found_minutes().keys()
    assert all(10 < s < 600 for s in seconds.values())


@pytest.mark.parametrize("lesson", M.lessons(), ids=lambda p: p.stem)
def test_a_lesson_s_header_has_its_minutes(lesson):
    assert " ".join(M.time_line(lesson.read_text("utf-8"))[0].split()) == found_minutes()[lesson.stem].header(), AGAIN


@pytest.mark.parametrize("name", ["README.md", "book/map.md"])
def test_readme_and_map_have_the_minutes_of_every_lesson(name):
    text = (ROOT / name).read_text("utf-8")
    lessons = "\n".join(line for line in text.splitlines() if "| [Lesson " not in line)  # without the table of days
    rows = re.findall(r"\((?:\.\./)?notebooks/(\w+)\.md\)(?:[^|\n]*\|){2} (\d+)(?: \+ (\d+))? \|", lessons)
    assert {stem: (int(core), int(more or 0)) for stem, core, more in rows} == {
        stem: (m.core, m.optional) for stem, m in found_minutes().items()
    }, AGAIN


def test_an_exercise_that_is_optional_is_in_the_lesson_s_optional_minutes():
    for number, own in exercises.lessons().items():
        (m,) = (m for stem, m in found_minutes().items() if stem.startswith(number))
        assert m.exercises == sum(e.minutes for e in own.values() if e.core)
        assert m.optional >= sum(e.minutes for e in own.values() if not e.core)


def test_the_days_of_the_map_add_up():
    text = (ROOT / "book/map.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| \d+ \| \[Lesson", line)]
    assert len(rows) >= 8
    assert {stem for row in rows for stem in re.findall(r"notebooks/(\d\w+)\.md", row)} == {
        s for s in found_minutes() if s[0].isdigit()
    }
    for row in rows:
        stems = re.findall(r"notebooks/(\w+)\.md", row)
        assert int(re.search(r"\| (\d+) \|$", row)[1]) == sum(found_minutes()[stem].core for stem in stems), row


def test_the_minutes_of_homework_in_the_plans_add_up():
    """Where a plan gives minutes after the lessons whose exercises are homework, these are the core exercises' own."""
    text = (ROOT / "book/teach/plans.md").read_text("utf-8")
    weeks = [part.split("*Hand in*")[0] for part in text.split("*Homework*: the core exercises of ")[1:]]
    assert len(weeks) >= 3
    for week in weeks:
        lessons, number = re.match(r"(?s)(.*?) \((\d+) minutes\)", week).groups()
        stems = set(re.findall(r"notebooks/(\w+)\.md", lessons))
        assert int(number) == sum(found_minutes()[stem].exercises for stem in stems), lessons


def test_the_first_half_of_lesson_4_takes_the_twenty_minutes_that_it_promises():
    """All that the lesson computes is counted, although more than half of it comes later."""
    lesson, end = ROOT / "notebooks/04_predictor_asymmetry.md", "The best prediction in code"
    first, _ = lesson.read_text("utf-8").split(f"## {end}\n")
    assert f"If you have twenty minutes, read as far as *{end}*." in first
    asked = set(re.findall(r'exercises\.(?:check|predict)\(\s*"([\w-]+)"', first))
    assert asked == {"04-sphere", "04-what-counts"}
    own = exercises.lessons()["04"]
    assert all(own[id].core for id in asked)
    guesses = sum(own[id].minutes for id in asked)
    assert M.reading(lesson, until=end)[0] + guesses + found_minutes()[lesson.stem].computing <= 20
    assert "eigenv" not in first.split("## The puzzle")[1]
