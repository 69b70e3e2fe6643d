"""Checks of what is read: each says the place, the value and what is allowed; nothing hangs, whatever the value."""

import math

import pytest
import torch

from byol_tutorial.config.checks import (
    Refused,
    anything,
    bounded,
    fields,
    list_of,
    mapping_of,
    number,
    one_of,
    parse_json,
    shown,
    tensor,
    text,
    tuple_of,
    whole,
)

F32 = [torch.float32]


@pytest.mark.parametrize(
    ("check", "allowed", "refused"),
    [
        (number(0, 1), [0, 1, 0.5], [-1, 1.01, math.nan, math.inf, True, None, "1", 10**400, [1]]),
        (number(finite=False), [math.nan, -math.inf, 3], [None, "nan"]),
        (number(or_none=True), [None, -5], [math.nan]),
        (whole(1, 3), [1, 3], [0, 4, 1.0, True, None, 2**62]),
        (whole(0), [0, 10**12], [10**20, -1]),
        (text(3), ["", "abc"], ["abcd", None, b"abc", 5]),
        (one_of(True, False, None, "a"), [True, None, "a"], [1, 0, "b", 0.0]),
        (list_of(whole(0), 1, 2), [[0], (1, 2)], [[], [1, 2, 3], {0: 1}, "ab", [-1]]),
        (tuple_of(whole(0), text()), [(1, "a"), [1, "a"]], [(1,), (1, 2), (1, "a", 3), "1a"]),
        (mapping_of(whole(0)), [{}, {"a": 1}], [{"a": -1}, {1: 1}, [], None]),
        (mapping_of(anything, int), [{1: "x"}], [{True: 1}, {"1": 1}]),
        (fields({"a": whole(0)}, {"b": text()}), [{"a": 1}, {"a": 1, "b": "x", "c": []}], [{}, {"a": -1}, {"a": 1, "b": 2}, []]),
        (fields({}, {"b": text()}, others=False), [{}, {"b": ""}], [{"c": 1}]),
        (tensor(F32, (2, None)), [torch.ones(2, 5)],
         [torch.ones(2), torch.ones(3, 1), torch.ones(2, 2).double(), torch.full((2, 1), math.nan), [1.0],
          torch.ones(2, 2, dtype=torch.complex64), torch.ones(2, 2).to_sparse(), torch.ones(2, 2, device="meta")]),
        (tensor([torch.int64]), [torch.ones(3).long()], [torch.ones(3).to(torch.int8)]),
    ],
)  # fmt: skip
def test_what_is_allowed_passes_and_the_rest_is_refused_by_its_place(check, allowed, refused):
    for value in allowed:
        check(value, "place")
    for value in refused:
        with pytest.raises(Refused, match="place"):
            check(value, "place")


def test_the_place_is_the_whole_way_to_the_value():
    check = fields({"a": mapping_of(list_of(fields({"b": number(0)})))})
    with pytest.raises(Refused, match=r"^a\['x'\]\[1\]\.b is -1, not a number of at least 0$"):
        check({"a": {"x": [{"b": 1}, {"b": -1}]}}, "")
    with pytest.raises(Refused, match=r"^a\['x'\]\[0\]\.b is missing$"):
        check({"a": {"x": [{}]}}, "")


def test_what_contains_itself_or_is_too_deep_or_too_much_is_refused_at_once():
    loop: dict = {"a": [1, {}]}
    loop["a"][1]["b"] = loop
    with pytest.raises(Refused, match="contains itself"):
        bounded(loop)
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(Refused, match="nested more than 40 deep"):
        bounded(deep)
    with pytest.raises(Refused, match="more than 10 entries"):
        bounded([[0] * 6, [0] * 6], most=10)
    shared = [1]
    bounded([shared, shared, {"a": shared}])


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        "[" * 41 + "]" * 41,
        '{"a": NaN}',
        "[1e",
        "",
        b"\xff\xfe",
        "9" * 5000,
        '{"a": Infinity}',
        b'"\\ud800',
    ],
)
def test_json_that_is_damaged_or_too_deep_is_refused(content):
    with pytest.raises(Refused) as refused:
        parse_json(content)
    assert len(str(refused.value)) < 300


def test_values_are_shown_shortly_whatever_they_are():
    loop: list = []
    loop.append(loop)
    for value in (loop, "x" * 10**6, 10**5000, {"a": "b" * 999}, torch.ones(3, 4), object(), "a\nb"):
        assert len(shown(value)) <= 60
        assert "\n" not in shown(value)
    assert shown(torch.ones(3, 4)) == "a tensor (3, 4) of float32"
