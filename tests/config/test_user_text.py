"""Paths as they were typed, and names as they can be printed."""

import pytest

from byol_tutorial.config.user_text import printable, user_path


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("PLACE", str(tmp_path / "place"))
    monkeypatch.delenv("NOWHERE", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("~/a", "home/a"),
        ("$PLACE/a", "place/a"),
        ("${PLACE}/a b", "place/a b"),
        ("~/$NOWHERE", "home/$NOWHERE"),
        ("a~b", None),
        ("$NOWHERE/a", None),
        ("~nobody-of-this-name/a", None),
        ("5$", None),
    ],
)
def test_home_and_variables_are_replaced_and_all_else_stays(here, typed, meant):
    assert str(user_path(typed)) == (typed if meant is None else str(here / meant))


def test_what_exists_under_the_text_itself_is_meant(here):
    for name in ("$PLACE", "~"):
        (here / name).mkdir()
        assert str(user_path(name)) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb", r"a\nb"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("ch\udce4t", r"ch\udce4t"),
        ("cat\u202egnp", r"cat\u202egnp"),  # which turns the rest of a line round
        ("猫 éléphant\u3000√d·std ′", "猫 éléphant\u3000√d·std ′"),
    ],
)
def test_what_a_terminal_would_obey_or_hide_is_escaped(name, shown):
    assert printable(name) == shown
