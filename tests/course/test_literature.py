"""The book's pages on the literature: numbers, dates, citations, and the commands of the page that decides.

Tables agree with what the papers say about them in words, and with the figures.
"""

import json
import re
from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from pybtex.database import parse_file

from byol_tutorial.cli.main import app
from byol_tutorial.config.config import FIELDS
from byol_tutorial.config.paper_tables import PAPER_BEST, tables
from byol_tutorial.config.presets import PRESETS, preset
from byol_tutorial.course.figures import literature as L
from byol_tutorial.course.ledger import claims

BOOK = Path(__file__).parents[2] / "book"


def rows(page: str, heading: str) -> list[tuple[str, list[float]]]:
    """Return the rows of the first table after a heading: the words of the first cell, and the numbers of the others."""
    text = (BOOK / page).read_text("utf-8").split(f"## {heading}", 1)[1].split("\n## ", 1)[0]
    found = []
    for line in text.splitlines():
        first, *others = [cell.strip(" *") for cell in line.strip("|").split("|")]
        if line.startswith("|") and not set(line) <= set("|-"):
            found.append((re.sub(r" \(\[.*", "", first), [float(n) for n in others if re.fullmatch(r"[\d.]+", n)]))
    return found[1:]


def table(page: str, heading: str) -> dict[str, list[float]]:
    found = rows(page, heading)
    assert len(dict(found)) == len(found)
    return dict(found)


# --- the tables of the paper, and its sentences about them (section 4) ---------------------------


def test_linear_evaluation():
    """ "a 1.3% (resp. 0.5%) improvement over the previous self-supervised state of the art [InfoMin]" """
    found = table("paper.md", "Table 1")
    byol, before = found["BYOL"], found["InfoMin"]
    assert [round(a - b, 1) for a, b in zip(byol, before, strict=True)] == [1.3, 0.5]
    text = " ".join((BOOK / "paper.md").read_text("utf-8").split())
    gaps = [found[name][0] - byol[0] for name in ("supervised, the usual training", "supervised, a stronger training")]
    assert "{:.1f} points to the usual ceiling, {:.1f} to the stronger one".format(*gaps) in text


def test_few_labels_are_those_of_the_figure_and_of_lesson_8():
    found, drawn = table("paper.md", "Table 2"), L.FEW_LABELS
    assert found["supervised, from random weights"] == [drawn["supervised from scratch"][n] for n in (1, 10)]
    for method in ("SimCLR", "BYOL"):
        assert found[method] == [drawn[f"{method}, fine-tuned"][n] for n in (1, 10)]
    lesson = " ".join((BOOK.parent / "notebooks" / "08_judge_it.md").read_text("utf-8").split())
    assert "reaches {} and {} %, SimCLR {} and {} %".format(*found["BYOL"], *found["SimCLR"]) in lesson
    gains = [drawn["BYOL, fine-tuned"][n] - drawn["supervised from scratch"][n] for n in (1, 10, 100)]
    assert [round(gain) for gain in gains] == [28, 12, 1]


def test_transfer():
    """ "outperforms [...] the Supervised-IN baseline on 7 of the 12 benchmarks" """
    found = table("paper.md", "Table 3")
    assert len(found) == 12
    assert sum(byol > supervised for supervised, _, byol in found.values()) == 7
    assert [name for name, (_, simclr, byol) in found.items() if simclr > byol] == ["DTD"]
    gains = sorted(found, key=lambda name: found[name][1] - found[name][2])
    assert set(gains[:3]) == {"Birdsnap", "Cars", "Aircraft"}


def test_other_tasks():
    """ "+1.9 mIoU" and "+1.1", "+3.1 AP50" and "+2.3", "improved by +3.5 points and +1.3 points" """
    (detection, segmentation, depth, squared, relative) = (numbers for _, numbers in rows("paper.md", "Table 4"))
    gained = {name: [round(row[2] - n, 1) for n in row[:2]] for name, row in
              {"AP50": detection, "mIoU": segmentation, "depth": depth}.items()}  # fmt: skip
    assert gained == {"AP50": [3.1, 2.3], "mIoU": [1.9, 1.1], "depth": [3.5, 1.3]}
    assert squared.index(min(squared)) == 2
    assert relative.index(min(relative)) == 0  # the page says: in all rows but the last


def test_ablations_are_those_of_the_library_and_of_the_paper_in_words():
    """ "−9.1 accuracy points for BYOL, −22.2 [...] for SimCLR"; "59.4%, i.e. −13.1 points", "40.3%, i.e. −27.6" """
    found = table("paper.md", "The ablations")
    own = tables("5a", "5b")
    for name, row in {
        "no predictor": "no predictor",
        "the target is the online network, gradient stopped": "τ = 0",
        "a target that never moves": "τ = 1",
        "with negatives, β = 1": "BYOL, β = 1",
    }.items():
        assert found[name][0] == own[row].paper
    simclr = 67.9
    assert found["no change of colour"][:2] == pytest.approx([PAPER_BEST - 9.1, simclr - 22.2])
    assert found["crops alone"][:2] == pytest.approx([PAPER_BEST - 13.1, simclr - 27.6])


def test_ablations_lead_to_rows_of_the_ledger():
    page = (BOOK / "paper.md").read_text("utf-8")
    ids = re.findall(r"\[ledger\]\(#([\w-]+)\)", page)
    assert len(ids) == len(set(ids)) >= 6
    assert set(ids) <= set(claims.ledger())


# --- figures -------------------------------------------------------------------------------------


def test_few_labels_are_drawn_and_told():
    picture = L.few_labels()
    drawn = {line.get_label(): dict(line.get_xydata().tolist()) for line in picture.axes[0].lines}
    assert drawn == L.FEW_LABELS
    assert picture.axes[0].get_xscale() == "log"
    assert all(word in picture.alt for word in ("BYOL", "SimCLR", "scratch"))


def test_the_dates_of_the_timeline_are_those_of_the_papers():
    """Of the bibliography, whose links the pages show: the first four digits of the number are year and month."""
    entries = parse_file(BOOK / "references.bib").entries.values()
    titles = {
        entry.fields["eprint"]: entry.fields["title"] + entry.key for entry in entries if "eprint" in entry.fields
    }
    for paper in L.PAPERS:
        word = {"MoCo": "Momentum Contrast", "BYOL": "Bootstrap Your Own Latent", "SimCLR": "chen2020simclr",
                "MAE": "Masked Autoencoders", "I-JEPA": "Joint-Embedding Predictive", "SwAV": "caron2020swav",
                "SimSiam": "chen2020simsiam", "DINO": "caron2021dino"}.get(paper.name, paper.name)  # fmt: skip
        assert word in re.sub("[{}]", "", titles[paper.eprint]), paper.name
    years = {paper.name: paper.year for paper in L.PAPERS}
    assert years["DINO"] == pytest.approx(2021.25)  # April
    assert years["I-JEPA"] == pytest.approx(2023.0)  # January


def test_the_timeline_draws_every_method_at_its_date_and_every_arrow_forwards():
    picture = L.timeline()
    texts = {t.get_text(): t.get_position() for t in picture.axes[0].texts if t.get_text()}
    arrows = [t for t in picture.axes[0].texts if getattr(t, "arrow_patch", None) is not None]
    names = {paper.name: paper for paper in L.PAPERS}
    assert len(names) == len(L.PAPERS)
    for paper in L.PAPERS:
        above = texts[str(int(paper.year))][1] if str(int(paper.year)) in texts else texts["2020"][1] - L.YEAR
        assert texts[paper.name][1] == pytest.approx(above + L.YEAR * (paper.year % 1))
        assert paper.name in picture.alt
        assert all(names[before].year < paper.year for before in paper.after)
    assert len(arrows) == sum(len(paper.after) for paper in L.PAPERS)
    assert all(arrow.xyann[1] < arrow.xy[1] for arrow in arrows)
    assert set(L.LANES) < set(texts)


def test_no_two_boxes_of_the_timeline_overlap():
    picture = L.timeline()
    FigureCanvasAgg(picture).draw()
    boxes = [t.get_bbox_patch().get_window_extent() for t in picture.axes[0].texts if t.get_bbox_patch() is not None]
    assert len(boxes) == len(L.PAPERS)
    assert not [1 for a, b in combinations(boxes, 2) if a.overlaps(b)]
    assert all(picture.bbox.x0 <= box.x0 < box.x1 <= picture.bbox.x1 for box in boxes)


# --- After BYOL, and Train, or take a trained encoder? -------------------------------------------


def test_after_byol_tells_of_the_methods_of_the_timeline_that_came_after():
    told = "\n".join(name for name, _ in rows("after.md", "What each method predicts"))
    later = {paper.name for paper in L.PAPERS if paper.year >= 2021} - {"iBOT"}  # iBOT is a part of DINOv2
    assert set(told.split("\n")) == later


@pytest.mark.parametrize("page", ["paper.md", "after.md", "decide.md"])
def test_citations_of_a_page_lead_to_the_address_in_the_bibliography(page):
    entries = parse_file(BOOK / "references.bib").entries
    cited = re.findall(r'\]\((\S+)\s+"([a-z]+\d{4}\w*)"\)', (BOOK / page).read_text("utf-8"))
    assert len(cited) >= 2
    for url, key in cited:
        assert entries[key].fields["url"] == url, key


def test_every_entry_of_the_bibliography_is_cited():
    texts = "".join(p.read_text("utf-8") for p in [*BOOK.rglob("*.md"), *(BOOK.parent / "notebooks").glob("*.md")])
    assert [key for key in parse_file(BOOK / "references.bib").entries if f'"{key}"' not in texts] == []


DECIDE = (BOOK / "decide.md").read_text("utf-8")


def test_its_options_and_fields_exist():
    known = {option for command in ("train", "evaluate") for p in app.commands[command].params for option in p.opts}
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", DECIDE))
    assert len(used) > 15
    assert used <= known
    assert set(re.findall(r"`(\w+)=[\d.]+`", DECIDE)) <= set(FIELDS)
    assert set(re.findall(r"--preset ([\w-]+)", DECIDE)) <= set(PRESETS)


def test_values_of_its_options_are_allowed():
    changes = {}
    for name, value in re.findall(r"--([a-z-]+) ([\d.,]+)(?![\w.])", DECIDE):
        if (field := name.replace("-", "_")) in FIELDS:
            numbers = tuple(float(n) for n in value.split(","))
            whole = isinstance(FIELDS[field].default, int)
            changes[field] = int(value) if whole else numbers if len(numbers) == 2 else numbers[0]
    assert {"flip_p", "crop_area", "quarter_turn_p"} <= set(changes)
    preset("photos", **changes)


def test_its_numbers_are_those_that_were_measured():
    results = BOOK.parent / "bench" / "results"
    photos = json.loads((results / "amd-epyc-2-cores/photos.json").read_text("utf-8"))
    text = " ".join(DECIDE.split())
    knn = photos["knn"]
    assert (
        f"{photos['train']:,} photographs of 32 px for {photos['epochs']} epochs took {photos['seconds']:.0f} seconds"
        in text
    )
    assert f"kNN {knn['BYOL']:.3f}, beside {knn['random encoder']:.3f}" in text
    assert f"and {knn['raw pixels']:.3f} for raw pixels" in text
    cases = json.loads((results / "nvidia-h200/gpu.json").read_text("utf-8"))["parts"]["compiled"]["cases"]
    speed = cases["resnet18, 32 px, batch 512, graph"]["images_per_second"]
    assert f"{speed:,.0f} images a second" in text
    assert 5.25 < 200 * 50_000 / speed / 60 < 5.75
    recipe = preset("cifar10")
    assert f"{50_000 // recipe.batch_size * recipe.epochs:,} steps" in text


def test_its_headings_of_other_pages_exist():
    """The book's build checks links as well; here they are checked without building it."""
    for page, anchor in re.findall(r"\]\((\w+\.md)#([\w-]+)\)", DECIDE):
        headings = re.findall(r"^#+ (.+)$", (BOOK / page).read_text("utf-8"), re.M)
        assert anchor in {re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in headings}, anchor


# --- the words of the field ----------------------------------------------------------------------

WORDS = ("attention", "class token", "contrastive learning", "dense task", "feature map", "fine-tuning", "invariance", "mIoU",
         "positive pair", "pretext task", "self-distillation", "self-supervised learning", "standard error", "student", "supervised learning")  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_a_word_of_the_field_is_used_by_every_lesson_that_its_definition_names(word):
    glossary = (BOOK / "glossary.md").read_text("utf-8").split(":sorted:")[1]
    entries = re.findall(r"^((?:\S.*\n)+)((?:  .*\n)+)", glossary, re.M)
    ((names, definition),) = ((names.split("\n")[:-1], text) for names, text in entries if word in names.split("\n"))
    lessons = re.findall(r"\(\.\./notebooks/(\w+\.md)\)", definition)
    assert lessons
    stems = [re.sub(" (learning|training|loss|method)$", "", name) for name in names]
    for lesson in lessons:
        text = " ".join((BOOK.parent / "notebooks" / lesson).read_text("utf-8").split()).lower()
        assert any(re.search(rf"\b{re.escape(stem)}s?\b", text) for stem in stems), lesson


def test_lesson_1_has_the_words_in_one_box():
    text = (BOOK.parent / "notebooks" / "01_the_idea.md").read_text("utf-8")
    box = text.split("## The same in the words of the field", 1)[1].split("\n## ", 1)[0]
    asked = [
        "supervised",
        "self-supervised",
        "pretext task",
        "positive pair",
        "contrastive",
        "non-contrastive",
        "invariance",
    ]
    assert re.findall(r"^\| ([a-z][\w -]+) \|", box, re.M)[1:] == [*asked, "self-distillation"]
