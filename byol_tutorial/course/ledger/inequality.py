"""The shape that a claim expects, as an inequality: "linear(byol) > linear(random) + 0.1 and std(byol) > 0.5".

A small part of Python's own notation: comparisons (also chained), `and`, + − × ÷, numbers, min and max, and terms
MEASURE(EXPERIMENT). Anything else is refused, so a file of claims computes nothing but this.
"""

import ast
import operator
from collections.abc import Callable

from ...config.errors import UserError

ARITHMETIC = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
COMPARISONS = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}
FUNCTIONS = {"min": min, "max": max}

Value = Callable[[str, str], float]  # (measure, experiment) -> mean


def terms(text: str) -> list[tuple[str, str]]:
    """The (measure, experiment) that an inequality speaks of, in order of appearance."""
    found = [_term(node) for node in ast.walk(_parse(text)) if isinstance(node, ast.Call)]
    calls = [term for term in found if term is not None]
    return sorted(set(calls), key=lambda t: text.index(f"{t[0]}({t[1]})"))


def holds(text: str, value: Value) -> bool:
    """Whether it is true of these values.

    Raises:
        UserError: it is no inequality of this kind.
    """
    result = _evaluate(_parse(text), value, text)
    if not isinstance(result, bool):
        raise UserError(f"{text!r} is no inequality: compare two sides with < or >")
    return result


def with_numbers(text: str, value: Value) -> str:
    """The inequality with its terms replaced by their values: "0.944 > 0.284 + 0.1"."""
    for measure, experiment in sorted(terms(text), key=lambda t: -len(t[1])):
        text = text.replace(f"{measure}({experiment})", f"{value(measure, experiment):.3f}")
    return text


def _parse(text: str) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise UserError(f"{text!r} is no inequality: {error.msg}") from error


def _term(node: ast.Call) -> tuple[str, str] | None:
    one = len(node.args) == 1 and isinstance(node.args[0], ast.Name) and isinstance(node.func, ast.Name)
    return (node.func.id, node.args[0].id) if one and node.func.id not in FUNCTIONS else None


def _evaluate(node: ast.AST, value: Value, text: str):
    def inner(n):
        return _evaluate(n, value, text)

    match node:
        case ast.BoolOp(op=ast.And()):
            parts = [inner(v) for v in node.values]  # all of them, so that all are checked
            if all(isinstance(part, bool) for part in parts):
                return all(parts)
        case ast.Compare():
            sides = [inner(n) for n in (node.left, *node.comparators)]
            if all(type(op) in COMPARISONS for op in node.ops):
                pairs = zip(node.ops, sides[:-1], sides[1:], strict=True)
                return all(COMPARISONS[type(op)](a, b) for op, a, b in pairs)
        case ast.BinOp() if type(node.op) in ARITHMETIC:
            return ARITHMETIC[type(node.op)](inner(node.left), inner(node.right))
        case ast.Constant(value=number) if type(number) in (int, float):
            return number
        case ast.Call() if not node.keywords:
            if (term := _term(node)) is not None:
                return value(*term)
            if isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
                return FUNCTIONS[node.func.id]([inner(a) for a in node.args])
    raise UserError(f"{text!r}: {ast.unparse(node)!r} is not allowed in an inequality")
