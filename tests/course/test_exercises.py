"""Every exercise: a stub is not attempted, each declared mistake is recognised by its own name, the reference passes."""

import re
from pathlib import Path

import jupytext
import pytest
import torch

import byol_tutorial as bt
from byol_tutorial.course.exercises import ExerciseError
from byol_tutorial.course.exercises.record import KINDS, Exercise, Mistake, same, verdict_on

NOTEBOOKS = {p.stem[:2]: p for p in sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9]*.md"))}
ALL = [e for exercises in bt.exercises.lessons().values() for e in exercises.values()]
MISTAKES = [(e, m) for e in ALL for m in e.mistakes]


def ids(value):
    return getattr(value, "id", None) or getattr(value, "name", None)


def stubs(exercise):
    if exercise.kind == "predict":
        return [dict.fromkeys(exercise.questions, ...)]

    def not_implemented(*args):
        raise NotImplementedError

    return [None, ..., NotImplemented, lambda *args: None, lambda *args: ..., not_implemented]


# --- for every exercise -------------------------------------------------------------------------


@pytest.mark.parametrize("exercise", ALL, ids=ids)
def test_a_stub_is_not_attempted_and_told_where_the_hint_is(exercise):
    for stub in stubs(exercise):
        verdict = bt.exercises.check(exercise.id, stub)
        assert not verdict
        assert not verdict.attempted
        assert f'bt.exercises.hint("{exercise.id}")' in verdict.message
        with pytest.raises(ExerciseError, match="not attempted"):
            bt.exercises.check(exercise.id, stub, strict=True)


@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES, ids=ids)
def test_each_mistake_is_recognised_as_itself(exercise, mistake):
    verdict = bt.exercises.check(exercise.id, mistake.example)
    assert (verdict.passed, verdict.attempted, verdict.mistake) == (False, True, mistake.name)
    assert verdict.message == mistake.message
    with pytest.raises(ExerciseError):
        bt.exercises.check(exercise.id, mistake.example, strict=True)


@pytest.mark.parametrize("exercise", ALL, ids=ids)
def test_the_reference_passes_strictly(exercise):
    assert bt.exercises.check(exercise.id, exercise.reference, strict=True)
    assert exercise.hint
    assert exercise.praise
    assert exercise.hint in str(bt.exercises.hint(exercise.id))


@pytest.mark.parametrize("exercise", ALL, ids=ids)
def test_records_are_complete(exercise):
    assert re.fullmatch(r"\d\d-[a-z0-9-]+", exercise.id)
    assert len(exercise.mistakes) >= (1 if exercise.kind in ("predict", "extend", "find the bug") else 3)
    assert len({m.name for m in exercise.mistakes}) == len(exercise.mistakes)
    assert 1 <= exercise.minutes <= 30
    if exercise.kind == "predict":
        assert set(exercise.reference) == set(exercise.questions)
        bt.exercises.predict(exercise.id, **exercise.reference)
        assert exercise.title in str(bt.exercises.outcome(exercise.id, **exercise.reference))


# --- for every lesson ---------------------------------------------------------------------------


@pytest.mark.parametrize("number", list(bt.exercises.lessons()))
def test_a_lesson_has_all_kinds_and_its_notebook_all_exercises(number):
    exercises = bt.exercises.lessons()[number]
    assert all(id.startswith(f"{number}-") for id in exercises)
    assert len(exercises) >= 4
    assert {e.kind for e in exercises.values()} == set(KINDS)
    cells = jupytext.read(NOTEBOOKS[number]).cells
    text = "\n".join(c.source for c in cells if "solution" not in c.metadata.get("tags", []))
    for exercise in exercises.values():
        asks = "predict" if exercise.kind == "predict" else "check"
        assert f'{asks}("{exercise.id}"' in text, f"the notebook lacks {asks}({exercise.id!r})"
        solution = [c for c in cells if f'exercises.check("{exercise.id}"' in c.source and "strict=True" in c.source]
        assert len(solution) == 1, f"{exercise.id}: {len(solution)} solutions"
        assert {"solution", "hide-cell"} <= set(solution[0].metadata["tags"])
        assert solution[0].metadata["jupyter"]["source_hidden"] is True
        assert solution[0].source.strip().endswith(")")


@pytest.mark.parametrize("path", NOTEBOOKS.values(), ids=lambda p: p.stem)
def test_notebooks_name_no_exercise_that_does_not_exist(path):
    for id in re.findall(r"exercises\.(?:check|hint|predict|outcome|use)\(\s*\"([^\"]+)\"", path.read_text()):
        bt.exercises.find(id)


# --- the checker itself -------------------------------------------------------------------------


def exercise(**changes) -> Exercise:
    fields = {
        "id": "99-twice",
        "title": "Twice",
        "kind": "implement",
        "difficulty": 1,
        "minutes": 1,
        "hint": "add it to itself",
        "cases": lambda: [(torch.tensor([1.0, 2.0]),), (torch.tensor([3.0]),)],
        "reference": lambda x: 2 * x,
        "mistakes": (Mistake("half", lambda x: x / 2, "half of it"),),
    }
    return Exercise(**fields | changes)


def test_an_unknown_error_is_told_with_numbers_and_shapes():
    e = exercise()
    assert (
        "3 where 2 is right" in verdict_on(e, lambda x: x * 3).message
        or "6 where 4 is right" in verdict_on(e, lambda x: x * 3).message
    )
    assert "shape (2, 1)" in verdict_on(e, lambda x: (2 * x)[:, None]).message
    assert "the exercise asks for a tensor" in verdict_on(e, lambda x: "two").message
    assert "not finite" in verdict_on(e, lambda x: x * float("nan")).message
    assert verdict_on(e, lambda x: x * 3).mistake is None


def test_small_numbers_among_large_ones_may_be_off_by_the_rounding_of_the_large():
    """Scalar products of 138 and of −0.009070, computed in another order: −0.009073."""
    right = torch.tensor([138.55, -0.009070])
    assert same(right + torch.tensor([0.0, -3e-6]), right, 1e-4)
    assert not same(right + torch.tensor([0.0, -3e-3]), right, 1e-4)
    assert not same(right + torch.tensor([0.1, 0.0]), right, 1e-4)
    assert not same(torch.tensor([torch.inf, 1.0]), torch.tensor([torch.inf, 2.0]), 1e-4)
    assert not same(torch.tensor([-0.009073]), torch.tensor([-0.009070]), 1e-4)


def test_an_exception_is_told_with_its_line():
    def answer(x):
        return x @ torch.ones(7, 7)

    message = verdict_on(exercise(), answer).message
    assert "return x @ torch.ones(7, 7)" in message
    assert "RuntimeError" in message


def test_an_answer_that_spoils_its_input_or_the_random_state_spoils_nothing_else():
    def answer(x):
        torch.manual_seed(99)
        return x.mul_(2)

    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    assert verdict_on(exercise(), answer)
    assert torch.rand(1) == expected
    assert verdict_on(exercise(), lambda x: 2 * x)


def test_work_in_place_counts_and_doing_nothing_does_not():
    e = exercise(observe=lambda f, x: (f(x), x)[1])
    e = exercise(
        observe=lambda f, x: (f(x), x)[1], reference=lambda x: x.mul_(2) and None, cases=lambda: [(torch.ones(1),)]
    )
    assert verdict_on(e, lambda x: x.mul_(2))
    assert verdict_on(e, lambda x: (x.mul_(2), None)[1])
    assert not verdict_on(e, lambda x: None).attempted
    assert verdict_on(e, lambda x: (x.mul_(3), None)[1]).attempted


def test_a_mistake_by_predicate_and_an_answer_that_need_not_equal():
    large = Mistake("too large", 100, "too large", when=lambda seen, wanted: seen[0] > 10)
    e = exercise(
        kind="extend",
        reference=4,
        accept=lambda n: None if 2 <= n <= 5 else "no",
        mistakes=(large,),
        cases=lambda: [()],
    )
    assert verdict_on(e, 3)
    assert verdict_on(e, 50).mistake == "too large"
    assert verdict_on(e, 1).message == "no"
    assert "is not of the kind that is asked for" in verdict_on(e, "three").message


def test_verdicts_show_as_html_and_solutions_say_so():
    e = exercise(mistakes=(Mistake("half", lambda x: x / 2, "`x / 2` is <half>"),))
    html = verdict_on(e, lambda x: x / 2)._repr_html_()
    assert "<code>x / 2</code> is &lt;half&gt;" in html
    assert "✗ Twice" in html
    solved = bt.exercises.check("03-loss", bt.byol_loss, strict=True)
    assert solved.passed
    assert "this solution passes" in repr(solved)


def test_an_exercise_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"kind='guess': choose one of implement"):
        exercise(kind="guess")
    with pytest.raises(ValueError, match="needs its questions"):
        exercise(kind="predict")
    with pytest.raises(ExerciseError, match="03-loss"):
        bt.exercises.check("03-los", None)
    with pytest.raises(ExerciseError, match="no exercises"):
        bt.exercises.overview("42")


# --- predictions --------------------------------------------------------------------------------


GUESS = Exercise(
    id="99-guess",
    title="Guess",
    kind="predict",
    difficulty=1,
    minutes=1,
    hint="think",
    questions={"loss": (0, 8), "way": ("up", "down")},
    reference={"loss": 2.0, "way": "down"},
    mistakes=(Mistake("no loss", {"loss": 0}, "a loss of zero is no good sign"),),
)


@pytest.fixture
def guess(monkeypatch):
    monkeypatch.setattr(bt.exercises, "find", lambda id: GUESS)


def test_a_guess_is_kept_and_shown_beside_the_outcome(guess):
    assert "noted: loss 0, way down" in str(bt.exercises.predict("99-guess", loss=0, way="down"))
    shown = bt.exercises.outcome("99-guess", loss=torch.tensor(3.5), way="down")
    assert shown.rows == (("loss", "0", "3.5", "off by 3.5"), ("way", "down", "down", "✓"))
    assert "no good sign" in str(shown)
    assert "<td>off by 3.5</td>" in shown._repr_html_()
    bt.exercises.predict("99-guess", loss=3, way="up")
    assert bt.exercises.outcome("99-guess", way="down").rows == (("way", "up", "down", "✗"),)
    assert "no good sign" not in str(bt.exercises.outcome("99-guess", way="down"))


def test_an_open_guess_says_what_is_allowed_and_a_wrong_one_is_refused(guess):
    assert "loss: a number from 0 to 8; way: one of 'up', 'down'" in str(
        bt.exercises.predict("99-guess", loss=..., way=...)
    )
    assert bt.exercises.outcome("99-guess", loss=4.0).rows == (("loss", "–", "4", ""),)
    for wrong, told in (
        ({"loss": 9}, "loss=9: a number from 0 to 8"),
        ({"loss": True}, "loss=True"),
        ({"way": "left"}, "one of 'up'"),
        ({"size": 1}, "does not ask for 'size'"),
    ):
        with pytest.raises(ExerciseError, match=told):
            bt.exercises.predict("99-guess", **wrong)


def test_only_predictions_are_predicted():
    with pytest.raises(ExerciseError, match="not a prediction but of kind 'implement'"):
        bt.exercises.predict("03-loss", loss=1)


def test_use_gives_the_answer_only_where_it_passes(capsys):
    def mine(p, z):
        return bt.byol_loss(p, z)

    assert bt.exercises.use("03-loss", mine) is mine
    assert bt.exercises.use("03-loss", lambda p, z: ...) is bt.exercises.find("03-loss").reference
    assert "your answer is used from here on" in capsys.readouterr().out


def test_overview_lists_difficulty_and_minutes():
    table = bt.exercises.overview("03")
    assert ("03-many-views", "More than two views", "extend", "●●●", "12") in table.rows()
    assert "<td>●●●</td>" in table._repr_html_()


# --- citations ----------------------------------------------------------------------------------


def test_citations_have_an_entry_with_the_same_address():
    """The convention of notebooks/README.md: the title of a link to a paper is its key in the bibliography."""
    text = (Path(__file__).parents[2] / "book/references.bib").read_text()
    entries = re.findall(r"^@\w+\{(\w+),(.*?)^\}", text, re.M | re.S)
    urls = {key: re.search(r"^  url = \{(.+)\}$", body, re.M)[1] for key, body in entries}
    assert len(urls) == len(entries) >= 20
    for key, body in entries:
        for field in ("title", "author", "year", "url"):
            assert re.search(rf"^  {field} = \{{.+\}},?$", body, re.M), (key, field)
        if eprint := re.search(r"eprint = \{(.+)\}", body):
            assert urls[key] == f"https://arxiv.org/abs/{eprint[1]}"
    cited = 0
    for path in [*NOTEBOOKS.values(), NOTEBOOKS["03"].with_name("ledger.md")]:
        for url, key in re.findall(r'\]\((\S+) "([a-z]+\d{4}\w*)"\)', path.read_text() if path.exists() else ""):
            assert urls.get(key) == url, f"{path.name}: {key}"
            cited += 1
    assert cited > 5
