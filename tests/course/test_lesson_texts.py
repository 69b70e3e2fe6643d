"""What stands in the cells of the lessons: lines that fit, solutions that hide, alternative texts that tell no result."""

import ast
import re
from pathlib import Path

import jupytext
import pytest
from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).parents[2]
LESSONS = sorted(p.with_suffix(".md") for p in (ROOT / "notebooks").glob("*.ipynb"))
PAGES = [*sorted((ROOT / "book").rglob("*.md")), ROOT / "notebooks/ledger.md"]
LONGEST = 88  # characters of a line of code; tests/browser/test_lessons_lab.py and test_book.py measure that they fit
RESULT = re.compile(
    r"\b(rises?|rising|rose|falls?|falling|fell|stays?|keeps?|shrinks?|flat|steep\w*|higher|lower|highest|lowest|better|worse"
    r"|nearly|near|behind|far above|below chance|lost|mixed|islands?|collapse[sd]|disc|dot beside|ordered by)\b"
)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda p: p.stem)
def test_code_of_a_lesson_fits(lesson):
    for cell in jupytext.read(lesson).cells:
        texts = [cell.source] if cell.cell_type == "code" else re.findall(r"(?ms)^```\w*\n(.*?)^```$", cell.source)
        long = [line for text in texts for line in text.splitlines() if len(line) > LONGEST]
        assert long == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_code_of_a_page_fits(page):
    blocks = re.findall(r"(?ms)^```(?:python|sh|text|yaml)\n(.*?)^```$", page.read_text("utf-8"))
    assert [line for text in blocks for line in text.splitlines() if len(line) > LONGEST and "http" not in line] == []


def alternative_texts(code: str) -> list[str]:
    """The texts that a cell gives to `alt=`, `picture.alt` and `Picture(..)`."""
    texts = []
    for node in ast.walk(ast.parse(TransformerManager().transform_cell(code))):
        values = []
        if isinstance(node, ast.Call):
            values = [k.value for k in node.keywords if k.arg == "alt"]
            values += node.args[2:3] if ast.unparse(node.func).endswith("Picture") else []
        elif isinstance(node, (ast.Assign, ast.AugAssign)):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            values = [node.value] if ast.unparse(target).endswith(".alt") else []
        texts += [
            c.value for v in values for c in ast.walk(v) if isinstance(c, ast.Constant) and isinstance(c.value, str)
        ]
    return texts


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda p: p.stem)
def test_no_alternative_text_tells_a_result_before_it_is_seen(lesson):
    """A reader sees the cell first. The functions of `figures` write the numbers into the text when the cell has run."""
    for cell in jupytext.read(lesson).cells:
        if cell.cell_type == "code":
            assert not [text for text in alternative_texts(cell.source) if RESULT.search(text)]


def test_alternative_texts_are_found_and_results_recognised():
    code = 'p = F.lines(x, alt="one rises")\np.alt = "two" + f" {x} falls"\nF.Picture(1, 2, "three is flat")\nq(alt="curves of x")'
    found = alternative_texts(code)
    assert {"one rises", "two", " falls", "three is flat", "curves of x"} <= set(found)
    assert [bool(RESULT.search(text)) for text in ("one rises", " falls", "three is flat", "curves of x")] == [
        1,
        1,
        1,
        0,
    ]


def test_lessons_that_share_runs_measure_them_alike():
    """Otherwise their keys differ, and each lesson trains the same runs again."""
    found = {p.stem[:2]: re.findall(r"(?m)^measures = .*$", p.read_text("utf-8")) for p in LESSONS}
    found = {lesson: lines for lesson, lines in found.items() if lines}
    assert list(found) == ["04", "05", "06"]
    assert len({tuple(lines) for lines in found.values()}) == 1
