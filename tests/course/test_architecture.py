"""The figures of the architecture name what is there, all of it and nothing else, and can be read."""

import re
from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

import byol_tutorial
from byol_tutorial.course.figures import architecture as A

PACKAGE = Path(byol_tutorial.__file__).parent
FIGURES = {"rooms": A.rooms, "image_way": A.image_way, "slider_way": A.slider_way}


def texts(picture) -> list:
    return [text for text in picture.axes[0].texts if text.get_text()]


def names(picture) -> list[str]:
    return [text.get_text() for text in texts(picture) if text.get_weight() == "bold"]


def test_the_figure_names_every_room_and_no_other():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__", "_starting", "_version"}
    drawn = names(A.rooms())
    assert set(drawn) == folders | modules
    assert len(drawn) == len(set(drawn))


def test_floors_are_those_of_the_contract_from_the_top(tmp_path):
    file = tmp_path / "pyproject.toml"
    contract = '[[tool.importlinter.contracts]]\nname = "x"\ntype = "layers"\n'
    file.write_text(f'{contract}layers = ["cli", "augment | methods", "config"]')
    assert A.floors(file) == [["cli"], ["augment", "methods"], ["config"]]
    picture = A.rooms(file)
    assert names(picture) == ["cli", "augment", "methods", "config"]
    heights = {text.get_text(): text.get_position()[1] for text in texts(picture)}
    assert heights["cli"] > heights["augment"] > heights["methods"] > heights["config"]
    assert "Floor 3: cli. Floor 2: augment, methods. Floor 1: config." in picture.alt


def test_each_room_is_told_by_the_first_line_of_its_docstring():
    said = " ".join(text.get_text() for text in texts(A.rooms()))
    for floor in A.floors():
        for room in floor:
            assert A.about(room)
            assert A.about(room) in said
    assert A.about("methods") == byol_tutorial.methods.__doc__.splitlines()[0]
    assert A.about("figures") == byol_tutorial.figures.__doc__.splitlines()[0]


def test_without_one_contract_about_layers_the_error_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="only in a checkout"):
        A.floors(tmp_path / "pyproject.toml")
    (tmp_path / "pyproject.toml").write_text("[tool.importlinter]\ncontracts = []")
    with pytest.raises(LookupError, match="0 contracts"):
        A.floors(tmp_path / "pyproject.toml")


@pytest.mark.parametrize("step", [*A.IMAGE_WAY, *A.SLIDER_WAY], ids=lambda step: f"{step.name}-{step.file}")
def test_every_step_names_a_file_and_functions_that_exist(step):
    assert (PACKAGE / step.path()).is_file()
    from byol_tutorial import Session, Trainer, load

    known = {"load()": load, "session.change": Session.change, "trainer.change": Trainer.change,
             "trainer.step": Trainer.step}  # fmt: skip
    called = re.findall(r"\w+\(\)|(?:session|trainer)\.\w+", f"{step.name} {step.text}")
    assert known.keys() >= set(called)


def test_a_step_whose_file_is_gone_says_what_to_do():
    with pytest.raises(FileNotFoundError, match=r"'loss': methods has 0 files named 'gone\.py'"):
        A.Step("loss", "methods", "gone.py", "").path()


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_overlaps_another_or_leaves_the_figure(name):
    picture = FIGURES[name]()
    renderer = FigureCanvasAgg(picture).get_renderer()
    boxes = {text: text.get_window_extent(renderer) for text in texts(picture)}
    for text, box in boxes.items():
        assert picture.bbox.contains(*box.min), text
        assert picture.bbox.contains(*box.max), text
    for (a, first), (b, second) in combinations(boxes.items(), 2):
        assert not first.padded(-0.5).overlaps(second.padded(-0.5)), (a, b)


@pytest.mark.parametrize("name", FIGURES)
def test_a_screen_reader_gets_every_name_in_order(name):
    picture = FIGURES[name]()
    at = 0
    for drawn in names(picture):
        at = picture.alt.index(drawn, at) + 1
