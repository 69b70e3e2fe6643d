"""What a claim expects, written as an inequality: "linear(byol) > linear(random) + 0.1 and std(byol) > 0.5".

    inequality = comparison, or several joined by `and`
    comparison = number < number, with <, <=, > or >=; also a chain of them
    number     = 0.1, MEASURE(EXPERIMENT), min(numbers), max(numbers), or two numbers joined by +, -, * or /

This is a part of Python's own syntax, so Python's `ast` parses it. Anything else is refused, and nothing is executed.
"""

import ast
import operator
import re
from collections.abc import Callable
from itertools import pairwise

from ...config.errors import UserError

ARITHMETIC = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
COMPARISONS = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}
FUNCTIONS = {"min": min, "max": max}
TERM = re.compile(r"(\w+)\((\w+)\)")  # MEASURE(EXPERIMENT)

Value = Callable[[str, str], float]  # (measure, experiment) -> mean


def terms(text: str) -> list[tuple[str, str]]:
    """Return the (measure, experiment) pairs in an inequality, each once, in order of appearance."""
    return list(dict.fromkeys(TERM.findall(text)))


def with_numbers(text: str, value: Value) -> str:
    """Replace the terms of an inequality by their values: "0.944 > 0.284 + 0.1"."""
    return TERM.sub(lambda term: f"{value(term[1], term[2]):.3f}", text)


def holds(text: str, value: Value) -> bool:
    """Return whether an inequality is true of these values.

    Raises:
        UserError: the text is not an inequality as described above.
    """
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise UserError(f"{text!r} is no inequality: {error.msg}") from error
    comparisons = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
    truths = [_is_true(comparison, value, text) for comparison in comparisons]  # all of them, so that each is checked
    return all(truths)


def _is_true(node: ast.expr, value: Value, text: str) -> bool:
    if not isinstance(node, ast.Compare):
        raise UserError(f"{text!r} is no inequality: {ast.unparse(node)!r} does not compare two sides with < or >")
    if not all(type(op) in COMPARISONS for op in node.ops):
        raise UserError(f"{text!r}: {ast.unparse(node)!r} is not allowed in an inequality: compare with <, <=, > or >=")
    sides = [_number(side, value, text) for side in (node.left, *node.comparators)]
    return all(COMPARISONS[type(op)](a, b) for op, (a, b) in zip(node.ops, pairwise(sides), strict=True))


def _number(node: ast.expr, value: Value, text: str) -> float:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):  # a bool is also an int
            return number
        case ast.BinOp(left, op, right) if type(op) in ARITHMETIC:
            return ARITHMETIC[type(op)](_number(left, value, text), _number(right, value, text))
        case ast.Call(func=ast.Name(id=name), args=[_, *_] as numbers, keywords=[]) if name in FUNCTIONS:
            return FUNCTIONS[name]([_number(number, value, text) for number in numbers])
        case ast.Call(func=ast.Name(id=measure), args=[ast.Name(id=experiment)], keywords=[]):
            return value(measure, experiment)
    raise UserError(f"{text!r}: {ast.unparse(node)!r} is not allowed in an inequality")
