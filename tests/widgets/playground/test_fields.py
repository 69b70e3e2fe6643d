"""The settings of the playground: what it may be given, and its experiments as those of the library, both ways."""

import base64
import gzip
import itertools
import json
import re
import zlib

import pytest
from javascript import run

import byol_tutorial as bt
from byol_tutorial.config.errors import UserError
from byol_tutorial.widgets.assets import script
from byol_tutorial.widgets.playground.build import (
    ENGINE,
    FOLDER,
    MODULES,
    OFFERED,
    built,
    engine,
    module,
    without_unused,
)
from byol_tutorial.widgets.playground.fields import IMAGES, MOST_STEPS, about, fragment, plan

SETTINGS = script("playground/settings.js")


@pytest.fixture
def made():
    panels = []

    def make(*arguments, **options):
        panels.append(bt.widgets.playground(*arguments, **options))
        return panels[-1]

    yield make
    for panel in panels:
        panel.close()


def test_it_begins_with_the_courses_recipe_and_what_is_changed(made):
    usual, changed = made().plans[0]["settings"], made(predictor="identity", lr=0.4, size=32).plans[0]["settings"]
    recipe = bt.preset("shapes")
    for name in ("lr", "tau_base", "weight_decay", "batch_size", "predictor", "target", "warmup_epochs"):
        assert usual[name] == getattr(recipe, name)
    assert {n: changed[n] for n in usual if changed[n] != usual[n]} == {
        "predictor": "identity",
        "lr": 0.4,
        "pixels": 32,
        "width": 16,
    }
    a, b = made(seed=3, beside={"stop_gradient": False}).plans
    assert {n: b["settings"][n] for n in b["settings"] if b["settings"][n] != a["settings"][n]} == {
        "stop_gradient": False
    }


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"encoder": "resnet18"}, "encoder='resnet18': the page cannot change it"),
        ({"predictor": "optimal"}, "predictor='optimal': the page has mlp, linear, identity"),
        ({"blur_p": 0.5}, "blur_p="),
        ({"crop_area": (0.2, 0.8)}, "the first number alone"),
        ({"jitter_p": (1.0, 0.0)}, "both views together"),
        ({"size": 64}, "size=64: choose one of 24, 32"),
        ({"lr": -1}, "lr"),
        ({"learning_rate": 3}, "is not a field of Config"),
        ({"beside": {"momentum": 0.5}}, "momentum=0.5: the page cannot change it"),
        ({"experiment": "no text"}, "is not an experiment"),
    ],
)
def test_what_the_page_cannot_do_is_refused_in_words(options, words):
    with pytest.raises(UserError, match=words):
        bt.widgets.playground(**options)


def experiment(changes=(), steps=0, pixels=(24, 24), images=4096, **config) -> str:
    data = {"name": "shapes", "images": images, "pixels": list(pixels) if isinstance(pixels, tuple) else pixels}
    return json.dumps(
        {"byol": 1, "version": "1", "data": data, "config": config, "changes": list(changes), "steps": steps}
    )


EXPERIMENTS = [
    experiment(width=8),
    experiment(steps=30, width=8, epochs=1000, tau_schedule="constant", predictor="identity", seed=7),
    experiment(
        [(10, {"lr": 0.2}), (20, {"crop_area": [0.3, 1.0], "stop_gradient": False})], 40, (32, 32), batch_size=64
    ),
    experiment(width=8, method="simclr", temperature=0.5, jitter_p=[0.0, 0.0], grayscale_p=0.0),
]


@pytest.mark.parametrize("text", EXPERIMENTS)
def test_python_and_the_page_read_an_experiment_alike_and_write_it_back(text):
    body = "const plan = readExperiment(a.about, a.text); return {plan, text: writeExperiment(a.about, plan), again: readFragment(a.about, writeFragment(a.about, [plan, plan]))};"
    ours = run(SETTINGS, body, about=about(), text=text)
    theirs = plan(bt.Experiment.parse(text))
    assert ours["plan"] == theirs
    assert ours["again"] == [theirs, theirs]
    written, read = bt.Experiment.parse(ours["text"]), bt.Experiment.parse(text)
    assert (written.config, written.changes, written.steps) == (read.config, read.changes, read.steps)


@pytest.mark.parametrize("line", ["{}", "session = bt.rebuild('{}')", " {} "])
@pytest.mark.parametrize("text", EXPERIMENTS)
def test_the_page_reads_the_short_text_of_an_experiment_as_its_json(text, line):
    """The one that `short` writes, and the line of code that a cockpit copies."""
    given = bt.Experiment.parse(text)
    with_check = bt.Experiment(given.data | {"all": "5f3a91c2"}, given.config, given.changes, given.steps)
    for one in (given, with_check):
        found = run(SETTINGS, "return readExperiment(a.about, a.text);", about=about(), text=line.format(one.short))
        assert found == plan(bt.Experiment.parse(one.short)) == plan(given)


SHORT = "byol1&data=shapes,4096,24&v=0.1.0"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SHORT, "steps=null: give a whole number"),  # its end was cut off
        (f"{SHORT}&lr", "write name=value"),
        (f"{SHORT}&lr=%&steps=3", "damaged"),
        (f"{SHORT}&lr=fast&steps=3", "lr=fast: give a number"),
        (f"{SHORT}&jitter_p=1.0,0.5&steps=3", "both views together"),
        (f"{SHORT}&5:seed=2&steps=9", "seed: it cannot change while a run trains"),
        (f"{SHORT}&__proto__=1&steps=3", "__proto__: the page cannot"),
        ("byol1&data=shapes,4096,28&v=0.1.0&steps=3", "[28,28] pixels"),
        ("byol1&data=shapes,500,24&v=0.1.0&steps=3", "the page trains on 4096"),
        ("byol1&data=cifar10,4096,32&v=0.1.0&steps=3", "images of “cifar10”"),
        ("byol1&steps=3", "images of"),
        ("byol2&data=shapes,4096,24&v=9&steps=3", "not an experiment"),
    ],
)
def test_the_page_says_why_it_refuses_a_short_text(text, words):
    assert words in refusal("readExperiment", text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (experiment(encoder="resnet18"), "encoder: the page cannot change it"),
        (experiment(predictor="fixed"), "predictor=fixed: choose one of mlp, linear, identity"),
        (experiment(jitter_p=[1.0, 0.5]), "both views together"),
        (experiment(pixels=(28, 28)), "[28,28] pixels"),
        (experiment([(5, {"seed": 1})], 9), "seed: it cannot change while a run trains"),
        (experiment(lr=-1), "lr=-1: give a number from"),
        ('{"byol": 2}', "not an experiment"),
        ("nonsense", "not an experiment"),
    ],
)
def test_the_page_says_why_it_refuses_an_experiment(text, words):
    body = "try { readExperiment(a.about, a.text); return ''; } catch (error) { return error.message; }"
    assert words in run(SETTINGS, body, about=about(), text=text)


@pytest.mark.parametrize(
    ("fragment", "words"),
    [("#playground&lr=fast", "lr=fast: give a number"), ("#playground&x-y", "is not a setting"), ("#playground&20:width=8", "cannot change"),
     ("#playground&seed=1.5", "whole number"), ("#playground&steps=-3", "whole number"), ("#playground&warmup_epochs=5&epochs=2", "longer than the run")],
)  # fmt: skip
def test_the_page_says_why_it_refuses_a_link(fragment, words):
    assert words in refusal("readFragment", fragment)


def refusal(reader: str, text: str) -> str:
    """Return the sentence with which the page refuses a text; an error of the language itself, such as TypeError, fails."""
    body = f"try {{ return {{read: {reader}(a.about, a.text)}}; }} catch (error) {{ return {{kind: error.constructor.name, words: error.message}}; }}"
    found = run(SETTINGS, body, about=about(), text=text)
    assert found.get("kind") == "Error", found
    assert len(found["words"]) < 450
    return found["words"]


@pytest.mark.parametrize(
    ("rest", "words"),
    [("constructor=5", "constructor: the page cannot change it"), ("toString=7", "toString: the page cannot"), ("__proto__=5", "__proto__: the page cannot"),
     ("hasOwnProperty=true", "hasOwnProperty: the page cannot"), ("5:constructor=1", "constructor: the page cannot"), ("5:lr=0.2&5:__proto__=1", "__proto__: the page cannot"),
     ("pixels=constructor", "pixels=constructor: choose one of 24, 32"), ("%", "damaged"), ("lr=%zz", "damaged"), ("lr=%E0%A4%A", "damaged"), ("lr", "write name=value"),
     ("lr=", "lr=: give a number"), ("seed=1e30", "seed=1e+30: give a number"), ("steps=1e30", "whole number from 0 to 2560000"), ("steps=Infinity", "whole number"), ("epochs=1e30", "from 1 to 10000"),
     ("warmup_epochs=1e30", "from 0 to 10000"), ("99999999999999999999:lr=1", "the step 100000000000000000000 of a change"), ("b&b", "more than two runs"), ("b=1", "b: the page cannot"),
     ("method=valueOf", "choose one of byol"), ("stop_gradient=1", "give true or false"), ("5:steps=3", "steps: the page cannot"), ("x" * 5000, "write name=value"), ("lr=" + "9" * 5000, "give a number")],
)  # fmt: skip
def test_a_hostile_link_is_refused_in_one_sentence(rest, words):
    assert words in refusal("readFragment", f"#playground&{rest}")


def changed(**parts) -> str:
    """Return the text of an experiment in which these parts are replaced; None leaves one out."""
    whole = json.loads(experiment(width=8)) | parts
    return json.dumps({name: value for name, value in whole.items() if value is not None})


@pytest.mark.parametrize(
    ("text", "words"),
    [("null", "not an experiment"), ("[1]", "not an experiment"), ('{"byol":1,"config":null,"changes":[]}', "not an experiment"), (changed(config=[]), "not an experiment"),
     (changed(changes=[5]), "not an experiment"), (changed(changes=[[1, None]]), "not an experiment"), (changed(changes=[[1]]), "not an experiment"), (changed(changes={}), "not an experiment"),
     (changed(config={"constructor": 5}), "constructor: the page cannot"), (changed(config={"toString": [1, 2]}), "toString: the page cannot"), (changed(config={"__proto__": {"lr": 1}}), "__proto__: the page cannot"),
     (changed(config={"lr": {}}), "lr={}: give a number"), (changed(config={"lr": None}), "lr=null: give a number"), (changed(config={"lr": [1, 1]}), "lr=[1,1]: give a number"),
     (changed(changes=[["1", {"lr": 1}]]), "the step 1 of a change"), (changed(changes=[[1.5, {"lr": 1}]]), "the step 1.5"), (changed(changes=[[1, {"constructor": 1}]]), "constructor: the page cannot"),
     (changed(steps=None), "steps=null: give a whole number"), (changed(steps=1e30), "steps=1e+30: give a whole number"), (changed(steps="5"), "whole number"), (changed(data=5), "images of"), (changed(data=None), "images of"),
     (changed(data={"name": ["shapes"], "pixels": [24, 24]}), "images of")],
)  # fmt: skip
def test_a_hostile_experiment_is_refused_in_one_sentence(text, words):
    assert words in refusal("readExperiment", text)


OTHER = [
    {"pixels": p}
    for p in (
        [[24]],
        True,
        {"a": 1},
        24,
        [24, 99],
        "24",
        [24],
        [24, 24, 24],
        [24.5, 24.5],
        None,
        [True, True],
        [32, 24],
    )
]
OTHER += [{"images": n} for n in (500, 4097, "4096", True)]


@pytest.mark.parametrize("data", OTHER)
def test_images_that_the_page_does_not_have_are_refused_on_both_sides(data):
    text = experiment(width=8, **data)
    words = "images of" if "pixels" in data else "the page trains on 4096"
    assert words in refusal("readExperiment", text)
    with pytest.raises(UserError, match=words):
        plan(other_images(text))


@pytest.mark.parametrize("place", ["/home/ada", "/a", r"C:\Users\ada"])
def test_a_refusal_of_a_users_images_does_not_tell_where_they_are(place):
    """A cockpit shows it, and its pages are sent to others. A short path is not cut off by the length of the words."""
    data = {"name": f"folder:{place}/cats & dogs", "images": 28, "pixels": [16, 16], "content": 1}
    with pytest.raises(UserError, match="images of 'folder:cats & dogs', ") as refused:
        plan(bt.Experiment(data, bt.Config()))
    assert place not in str(refused.value)
    assert "ada" not in str(refused.value)


def other_images(text: str) -> "bt.Experiment":
    """Return the experiment with data that Experiment.parse does not look at."""
    parts = json.loads(text)
    return bt.Experiment(parts["data"], bt.Config.from_dict(parts["config"]))


def test_a_run_is_bounded_on_both_sides():
    longest = experiment(steps=MOST_STEPS, width=8, batch_size=16, epochs=10_000)
    assert plan(bt.Experiment.parse(longest))["steps"] == MOST_STEPS == 10_000 * (IMAGES // 16)
    assert run(SETTINGS, "return readExperiment(a.about, a.text).steps;", about=about(), text=longest) == MOST_STEPS
    for text in (
        experiment(steps=MOST_STEPS + 1, width=8),
        experiment([(MOST_STEPS + 1, {"lr": 1.0})], 5, width=8),
        experiment(epochs=10_001, width=8),
    ):
        refusal("readExperiment", text)
        with pytest.raises(UserError, match="at most"):
            plan(bt.Experiment.parse(text))


def test_the_engine_trains_on_as_many_images_as_its_experiments_say():
    assert run(engine(), "return TRAINED;") == run(SETTINGS, "return IMAGES;") == IMAGES


def test_a_method_brings_the_settings_of_its_recipe():
    recipes = {"byol": bt.preset("shapes"), "simclr": bt.preset("simclr"), "simsiam": bt.preset("simsiam")}
    for method, recipe in recipes.items():
        assert about()["methods"][method] == {n: getattr(recipe, n) for n in ("lr", "weight_decay", "temperature")}
    assert about()["methods"]["simclr"] == {"lr": 1.6, "weight_decay": 2e-4, "temperature": 0.5}


@pytest.mark.training
def test_an_experiment_of_a_page_is_made_again_in_python():
    """The page has drawn pictures of its own, so its text has no checksum, and the library takes its own of that size."""
    text = experiment([(2, {"lr": 0.2})], 4, width=8, epochs=1000, tau_schedule="constant")
    session = bt.rebuild(text, device="cpu")
    try:
        assert session.snapshot().step == 4
        assert session.train.image_size == (24, 24)
        assert session.trainer.config.lr == 0.2
        again = plan(bt.Experiment.of(session))
    finally:
        session.close()
    assert (again["changes"], again["steps"], again["settings"]["width"]) == ([[2, {"lr": 0.2}]], 4, 8)


@pytest.mark.parametrize("data", [{"pixels": [24, 32]}, {"pixels": "24"}, {"content": 5}, {"all": 5}, {"images": 0}])
def test_other_images_are_still_refused(data):
    parts = json.loads(experiment(width=8))
    parts["data"] |= data
    with pytest.raises(UserError):
        bt.rebuild(json.dumps(parts))


@pytest.mark.parametrize(
    "given",
    [
        {"width": 8},
        {"width": 8, "predictor": "identity", "lr": 0.25, "stop_gradient": False},
        {"width": 16, "jitter_p": 0.0, "crop_area": [0.3, 1.0], "weight_decay": 1e-05, "seed": 12},
        {"width": 8, "method": "simclr", "temperature": 0.07},
    ],
)
@pytest.mark.parametrize("changes", [[], [(3, {"lr": 1.0}), (3, {"tau_base": 0.99}), (8, {"stop_gradient": True})]])
def test_a_link_written_in_python_is_read_by_the_page_as_the_same_plan(given, changes):
    wanted = plan(bt.Experiment.parse(experiment(changes, 9, **given)))
    found = run(SETTINGS, "return readFragment(a.about, a.text);", about=about(), text=fragment(wanted))
    together = {}
    for step, values in wanted["changes"]:
        together.setdefault(step, {}).update(values)
    assert found == [wanted | {"changes": [[step, values] for step, values in together.items()]}]
    assert len(fragment(wanted)) < 200


# --- the module -------------------------------------------------------------------------------------------------------


def test_the_module_is_small():
    """30 KB as a server sends it, 90 KB as it lies; KB is 1,000 bytes."""
    for name in MODULES:
        text = module(name).encode()
        assert len(text) <= 90_000
        assert len(gzip.compress(text, 9)) <= 30_000


def test_the_module_is_what_its_sources_give():
    pytest.importorskip("minify", reason="the minifier is not installed: pip install tdewolff-minify")
    for name, parts in MODULES.items():
        wanted = built((FOLDER / "kernels.wasm").read_bytes(), parts)
        assert module(name) == wanted, "make it again: python -m byol_tutorial.widgets.playground.build"


def test_the_module_holds_the_webassembly_of_the_folder():
    packed = re.search(r'="([\w+/=]{1000,})"', module())[1]
    assert zlib.decompress(base64.b64decode(packed), wbits=-15) == (FOLDER / "kernels.wasm").read_bytes()


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("function used() { return 1; }\nfunction never() { return 2; }\nused();\n", "function used() { return 1; }\nused();\n"),
        ("async function never() {\n  if (1) {\n    x();\n  }\n\n  return 2;\n}\nf();\n", "f();\n"),
        ("function one() { two(); }\nfunction two() {\n  three();\n}\nfunction three() {\n}\nf();\n", "f();\n"),
        ("/** Calls never(). */\nfunction f() {}\nfunction never() {\n}\nf();\n", "/** Calls never(). */\nfunction f() {}\nf();\n"),
        ('function named() {\n}\nrun("named()");\n', 'function named() {\n}\nrun("named()");\n'),
        ('function e() {\nfunction known() {\n}\nknown();\n}\ne("known");\n', 'function e() {\nfunction known() {\n}\nknown();\n}\ne("known");\n'),
        ("function f() {\n  function never() {}\n}\nf();\n", "function f() {\n  function never() {}\n}\nf();\n"),
    ],
)  # fmt: skip
def test_functions_that_nobody_calls_are_left_out(source, wanted):
    pytest.importorskip("minify", reason="the minifier is not installed: pip install tdewolff-minify")
    assert without_unused(source) == wanted


def test_the_engine_in_the_module_trains_the_same_to_the_last_bit():
    """The module itself, which returns its first function, the engine, instead of the panel."""
    text = module().removeprefix("export default")
    name = re.match(r"\(\(\)=>\{function (\w+)\(\)", text)[1]
    theirs = f"const own = {text[: text.rindex('return{render')]}return {name}()}})();"
    ours = f"const own = (() => {{{engine()}\nreturn {{{OFFERED}}};\n}})();"
    body = """
    const learned = new own.Run(() => {}, own.openScript(Float64Array), "page");
    learned.begin({...a.settings, batch_size: 16}, [[1, {predictor: "linear"}]]);
    learned.until = 3;
    while (learned.step < 3) learned.one();
    learned.look();
    return {loss: learned.loss, std: learned.std, seen: learned.seen};"""
    settings = about()["settings"]
    found = run(theirs, body, settings=settings)
    assert found == run(ours, body, settings=settings)
    assert len(found["loss"]) == 3
    assert found["seen"]["near"]


def test_every_part_has_a_file_and_every_file_is_a_part():
    assert {p.stem for p in FOLDER.glob("*.js") if not p.name.endswith(".min.js")} == {
        *ENGINE,
        *itertools.chain(*MODULES.values()),
    }
    assert {p.name for p in FOLDER.glob("*.min.js")} == {f"{name}.min.js" for name in MODULES}
