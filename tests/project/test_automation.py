"""The automation of the project: the workflow, the hooks before a commit, the templates of issues."""

import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from byol_tutorial.cli.course import LAB, open_lab

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z][\w-]*)(?: [\w-]+)*:(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


def read(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs() -> dict[str, dict]:
    return {name: job for path in WORKFLOWS for name, job in read(path)["jobs"].items()}


def steps() -> list[dict]:
    return [step for job in jobs().values() for step in job["steps"]]


def targets_called(text: str) -> list[str]:
    """Return the targets of every call of make in the lines of a step."""
    calls = [line.strip().split() for line in text.splitlines() if line.strip().startswith("make")]
    return [word for _, *words in calls for word in words if "=" not in word]


def test_workflows_call_targets_that_the_makefile_has():
    called = [target for step in steps() for target in targets_called(step.get("run", ""))]
    assert {"check-all", "test"} <= set(called) <= TARGETS


def test_actions_are_pinned_by_commit_and_say_which_version_that_is():
    """A tag can be moved to other code; a commit cannot. The same action has the same commit everywhere."""
    lines = [line for path in WORKFLOWS for line in path.read_text("utf-8").splitlines() if "uses:" in line]
    assert len(lines) == sum("uses" in step for step in steps()) > 3
    pins = {
        re.fullmatch(r"\s*- uses: (actions/[a-z-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)", line).groups() for line in lines
    }
    assert len(pins) == len({action for action, _, _ in pins})


def test_workflows_may_only_read():
    """The job that publishes the book may also push, and it starts only by hand."""
    for path in WORKFLOWS:
        assert read(path)["permissions"] == {"contents": "read"}
    allowed = {name: job["permissions"] for name, job in jobs().items() if "permissions" in job}
    assert allowed == {"publish": {"contents": "write"}}
    assert read(ROOT / ".github/workflows/pages.yml")[True].keys() == {"workflow_dispatch"}  # YAML reads "on" as true


def git(folder: Path, *arguments: str) -> str:
    names = {f"GIT_{who}_{what}": "x@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    end = subprocess.run(["git", *arguments], cwd=folder, env=os.environ | names, capture_output=True, text=True)
    assert end.returncode == 0, end.stderr
    return end.stdout


@pytest.mark.slow
def test_the_book_is_published_with_what_the_next_build_can_use(tmp_path):
    """The workflow's own lines, twice, in a repository of their own, with a build that writes what it found."""
    origin, project, temporary = tmp_path / "origin", tmp_path / "project", tmp_path / "temporary"
    temporary.mkdir()
    git(tmp_path, "init", "--quiet", "--bare", str(origin))
    (project / ".git").parent.mkdir()
    git(project, "init", "--quiet", "--initial-branch=main")
    (project / ".gitignore").write_text("build/\n")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "-m", "start")
    git(project, "remote", "add", "origin", str(origin))
    git(project, "push", "--quiet", "origin", "main")
    _, _, restore, build, push = jobs()["publish"]["steps"]
    assert build["run"] == "make book PYTHON=python WORK=build/kept/book"
    environment = os.environ | push["env"] | {"RUNNER_TEMP": str(temporary)}
    kept, html = project / "build/kept", project / "build/html"
    for build_number in (1, 2):
        subprocess.run(["bash", "-e", "-c", restore["run"]], cwd=project, env=environment, check=True)
        found = sorted(p.relative_to(kept).as_posix() for p in kept.rglob("*") if p.is_file())
        assert found == ([] if build_number == 1 else ["book/_build/executed/page", "runs/run-1"])
        for file in ("runs/run-1", "book/_build/executed/page", "book/_build/html/page.html"):
            (kept / file).parent.mkdir(parents=True, exist_ok=True)
            (kept / file).write_text("made")
        html.mkdir(parents=True)
        for name in (".nojekyll", "index.html", f"only-{build_number}.html"):
            (html / name).write_text(name)
        subprocess.run(["bash", "-e", "-c", push["run"]], cwd=project, env=environment, check=True)
        shutil.rmtree(project / "build")
        listed = git(origin, "ls-tree", "-r", "--name-only", "gh-pages").split()
        assert listed == [".nojekyll", "index.html", f"only-{build_number}.html"]
        assert git(origin, "rev-list", "--count", "gh-pages").strip() == "1"
    assert git(project, "status", "--porcelain", "--branch") == "## main\n"
    assert git(origin, "rev-list", "--count", "main").strip() == "1"


def test_advisories_are_looked_up_every_week_for_the_newest_and_the_oldest_versions():
    path = ROOT / ".github/workflows/audit.yml"
    assert [len(when["cron"].split()) for when in read(path)[True]["schedule"]] == [5]  # YAML reads "on" as true
    commands = "\n".join(step.get("run", "") for step in read(path)["jobs"]["audit"]["steps"])
    assert "pip-audit --requirement constraints.txt" in commands
    assert "--resolution lowest-direct" in commands
    assert "pip-audit --requirement oldest.txt" in commands


def test_tools_that_are_installed_by_name_have_a_version():
    """uv is the same everywhere: in the Makefile and in the workflows."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    installs = re.findall(r"pip install (?:--quiet )?(.*)", makefile + "\n".join(s.get("run", "") for s in steps()))
    named = [word for line in installs for word in line.split() if re.match(r"[a-z$]", word) and word != "--python"]
    versions = {re.search(r"uv==([\d.]+)", makefile)[1], *re.findall(r"uv==([\d.]+)", "\n".join(map(str, steps())))}
    assert len(versions) == 1
    assert "$(UV)" in named
    assert all("==" in word for word in named if not word.startswith(("$", ".venv", "constraints", "peers")))


ADVISORIES = {  # package: the oldest version without a known advisory that concerns it
    "pillow": "12.3", "jupyterlab": "4.6.2", "tqdm": "4.66.3", "scikit-learn": "1.5", "fonttools": "4.60.2",
    "pytest": "9.0.3", "onnx": "1.21", "setuptools": "78.1.1",
}  # fmt: skip


def test_lower_bounds_are_above_known_advisories():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    lines = [*project["project"]["dependencies"], *project["build-system"]["requires"], *(r for e in extras for r in e)]
    bounds = {}
    for requirement in map(Requirement, lines):
        bounds[requirement.name] = [Version(s.version) for s in requirement.specifier if s.operator == ">="]
    for name, least in ADVISORIES.items():
        assert bounds[name], name
        assert min(bounds[name]) >= Version(least), name


def test_the_quick_check_runs_on_three_systems_and_every_python():
    job = jobs()["check"]
    assert job["strategy"]["matrix"] == {
        "os": ["ubuntu-latest", "macos-latest", "windows-latest"],
        "python": ["3.11", "3.12", "3.13", "3.14"],
    }
    assert job["defaults"]["run"]["shell"] == "bash"  # on Windows too, because the Makefile is written for bash


@pytest.mark.parametrize(("system", "folder"), [("", "bin"), ("Windows_NT", "Scripts")])
def test_the_makefile_finds_the_environment_on_every_system(system, folder):
    command = ["make", "--dry-run", "--assume-old=.venv/installed", "lint", f"OS={system}"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f".venv/{folder}/ruff check ." in said.splitlines()


# Instead of pytest: notes its last argument, waits until TOGETHER are noted, exits with STATUS if it is the notebook BAD.
PYTHON = """#!/bin/sh
case "$1" in *lessons.py) exec {real} "$@";; esac
for last; do :; done
echo "$BYOL_SCALE $last" >> {log}
until [ $(wc -l < {log}) -ge $TOGETHER ]; do sleep 0.05; done
test "$last" != "$BAD" || exit "$STATUS"
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a script for sh")
@pytest.mark.parametrize(
    ("bad", "status", "fails", "at_once"),
    [
        ("", 0, False, 1),
        ("", 0, False, None),  # two at a time, as usual
        ("notebooks/03_build_byol.ipynb", 1, True, 1),
        ("notebooks/03_build_byol.ipynb", 1, True, None),
        ("notebooks/10_family.ipynb", 2, True, 1),
        ("notebooks/03_build_byol.ipynb", 5, False, 1),  # all its cells are deselected
    ],
)
def test_verify_runs_every_notebook_at_laptop_scale_the_longest_first(tmp_path, bad, status, fails, at_once):
    log, python = tmp_path / "log", tmp_path / "python"
    python.write_text(PYTHON.format(real=shlex.quote(sys.executable), log=shlex.quote(str(log))))
    python.chmod(0o755)
    alone = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    together = at_once or 2  # the usual
    alone |= {"BAD": bad, "STATUS": str(status), "TOGETHER": str(together)}
    command = ["make", "--assume-old=.venv/installed", "verify", f"BIN={tmp_path}", "ARGS=-k 'a or b'"]
    command += [f"AT_ONCE={at_once}"] if at_once else []
    end = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=alone, timeout=60)
    assert (end.returncode != 0) == fails, end.stderr
    run = log.read_text().splitlines()  # also those after the one that failed
    assert sorted(run) == sorted(f"laptop notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb"))
    seconds = json.loads((ROOT / "bench/results/intel-xeon-2-cores/lessons.json").read_text())["seconds"]
    taken = [seconds.get(Path(line.split()[1]).stem, math.inf) for line in run]  # one not measured yet is first
    expected = sorted(taken, reverse=True)
    if together == 1:
        assert taken == expected
    assert sorted(taken[:together], reverse=True) == expected[:together]


def hooks() -> list[dict]:
    return [hook for repo in read(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]


def test_hooks_download_nothing():
    assert {repo["repo"] for repo in read(ROOT / ".pre-commit-config.yaml")["repos"]} == {"local"}
    assert {hook["language"] for hook in hooks()} == {"system"}


@pytest.mark.slow
@pytest.mark.parametrize("hook", hooks(), ids=lambda hook: hook["id"])
def test_hooks_run_what_the_environment_holds(hook):
    """Each command exists, accepts its options, and finds no fault in this tree."""
    program, *arguments = shlex.split(hook["entry"])
    assert Path(program).parent == Path(".venv/bin")
    files = [] if hook.get("pass_filenames") is False else ["conftest.py"]
    run = [str(Path(sys.executable).parent / Path(program).name), *arguments, *files]
    end = subprocess.run(run, cwd=ROOT, capture_output=True, text=True)
    assert end.returncode == 0, end.stdout + end.stderr


def test_every_issue_form_asks_something():
    """GitHub drops a form without a name, a description or a body, or with an id used twice."""
    forms = [path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"]
    assert len(forms) == 3
    for form in map(read, forms):
        assert {"name", "description", "body"} <= form.keys()
        asked = [part["id"] for part in form["body"]]
        assert len(set(asked)) == len(asked)
        assert all(part["attributes"]["label"] for part in form["body"])
        assert any(part.get("validations", {}).get("required") for part in form["body"])


def test_jupyterlab_is_started_with_the_configuration_that_calls_no_other_host():
    """browser/test_quiet_lab.py starts a server with the same file, and watches it."""
    command = ["make", "--dry-run", "--assume-old=.venv/installed", "lab", "ARGS=--no-browser"]
    alone = {
        k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }  # not a part of make test
    options = {"cwd": ROOT, "capture_output": True, "text": True, "check": True, "env": alone}
    said = subprocess.run(command, **options).stdout
    assert said.strip().endswith("byol-tutorial lessons lessons --open -- --no-browser")
    assert not re.findall(r"^jupyter lab .*$", (ROOT / "README.md").read_text("utf-8"), re.M)
    said = subprocess.run([*command, "LESSONS=notebooks"], **options).stdout
    assert "byol-tutorial lessons notebooks --open" in said  # for authors


def test_the_command_that_opens_the_lessons_uses_the_same_configuration(monkeypatch):
    started = []
    monkeypatch.setattr("subprocess.run", lambda command, **_: started.append(command))
    open_lab(Path("lesson.ipynb"), ["--no-browser", "--port=1"])
    assert started == [
        [sys.executable, "-m", "jupyterlab", f"--config={LAB}", "--no-browser", "--port=1", "lesson.ipynb"]
    ]
    assert LAB == ROOT / "byol_tutorial/course/lab/jupyter_lab_config.py"
    assert LAB.is_file()
