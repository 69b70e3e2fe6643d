"""The automation of the project: the workflow, the hooks before a commit, the templates of issues."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

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
    assert {"check", "test"} <= set(called) <= TARGETS


def test_actions_are_pinned_by_their_major_version():
    actions = [step["uses"] for step in steps() if "uses" in step]
    assert actions
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in actions)


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


def hooks() -> list[dict]:
    return [hook for repo in read(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]


def test_hooks_download_nothing():
    assert {repo["repo"] for repo in read(ROOT / ".pre-commit-config.yaml")["repos"]} == {"local"}
    assert {hook["language"] for hook in hooks()} == {"system"}


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
