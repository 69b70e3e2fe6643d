"""The settings of the playground: what it may be given, and its experiments as those of the library, both ways."""

import base64
import json
import re
import zlib

import pytest
from javascript import run

import byol_tutorial as bt
from byol_tutorial.config.errors import UserError
from byol_tutorial.widgets.assets import script
from byol_tutorial.widgets.playground.build import ENGINE, FOLDER, PANEL, engine, module
from byol_tutorial.widgets.playground.fields import about, plan
from byol_tutorial.widgets.playground.shrink import shrink

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
        ({"jitter_p": (1.0, 0.0)}, "both views alike"),
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


def experiment(changes=(), steps=0, pixels=(24, 24), **config) -> str:
    data = {"name": "shapes", "images": 4096, "pixels": list(pixels)}
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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (experiment(encoder="resnet18"), "encoder: the page cannot change it"),
        (experiment(predictor="fixed"), "predictor=fixed: choose one of mlp, linear, identity"),
        (experiment(jitter_p=[1.0, 0.5]), "both views alike"),
        (experiment(pixels=(28, 28)), "28 px"),
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
    body = "try { readFragment(a.about, a.text); return ''; } catch (error) { return error.message; }"
    assert words in run(SETTINGS, body, about=about(), text=fragment)


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


# --- the module -------------------------------------------------------------------------------------------------------


def test_the_module_is_small():
    text = module().encode()
    assert len(text) <= 90_000
    packed = zlib.compress(text, 9)
    assert len(packed) <= 34_500


def test_the_module_holds_the_webassembly_of_the_folder():
    packed = re.search(r'PLAYGROUND_WASM="([^"]+)"', module())[1]
    assert zlib.decompress(base64.b64decode(packed), wbits=-15) == (FOLDER / "kernels.wasm").read_bytes()


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("const a = 1; // one\n\n  /* two */ let b = a + 2;", "let a=1;let b=a+2;"),
        ('const s = "a  // b"; const t = `x ${ s + "}" }  y // z`;', 'let s="a  // b";let t=`x ${s+"}"}  y // z`;'),
        ("const r = /[/ ]  \\/ a/g, q = 1 / 2 / 3;", "let r=/[/ ]  \\/ a/g,q=1/2/3;"),
        ("let i = a + +b - -c; i++;", "let i=a+ +b- -c;i++;"),
        ("function used() { return {x: 1}; }\nfunction never({a = {}} = {}) { return `}${a}`; }\nused();", "function used(){return{x:1};}\nused();"),
        ("async function one() { two(); }\nfunction two() { one(); }\nfunction three() { four(); }\nfunction four() { }", "async function one(){two();}\nfunction two(){one();}\n"),
    ],
)  # fmt: skip
def test_shrinking_keeps_what_counts(source, wanted):
    assert shrink(source) == wanted


def test_a_shrunk_engine_computes_the_same():
    body = "const r = generator(3), set = new PictureSet(20, 24, r); return [set.all(), curve('heart')];"
    kept = f"{engine()}\nconst everything = [generator, PictureSet, curve];"
    assert run(engine(), body) == run(shrink(kept), body)


def test_every_part_has_a_file_and_every_file_is_a_part():
    assert {p.stem for p in FOLDER.glob("*.js")} == {*ENGINE, *PANEL}
