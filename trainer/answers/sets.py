"""The sets of real numbers that answers describe: intervals, inequalities, unions. Runs only in the child process."""

from typing import Any

import sympy

from trainer.answers.algebra import Unreadable
from trainer.answers.algebra import read as read_value
from trainer.answers.readings import Answer, Ordered, Region, Relation, Special, Unordered, Value

FLIPPED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le", r"\ne": r"\ne"}


def flat(bag: Unordered) -> list[Answer]:
    """Return the parts of a list, with those of lists inside it."""
    parts = []
    for part in bag.parts:
        if isinstance(part.body, Unordered) and bag.joined != "{" or isinstance(part.body, Unordered) and part.body.joined == "or":
            parts += [inner._replace(label=inner.label or part.label) for inner in flat(part.body)]
        else:
            parts.append(part)
    return parts


def set_of(answer: Answer) -> Any:
    """Return a set of real numbers. Raises Unreadable for what is none."""
    body = answer.body
    if isinstance(body, Special) and body.name in ("reals", "empty"):
        return sympy.S.Reals if body.name == "reals" else sympy.S.EmptySet
    if isinstance(body, Ordered) and len(body.parts) == 2 and {body.opening, body.closing} <= set("()[]"):
        low, high = (_number_of(part) for part in body.parts)
        if not (low < high):
            raise Unreadable("no interval")
        if low == -sympy.oo and body.opening == "[" or high == sympy.oo and body.closing == "]":
            raise Unreadable("a closed bracket at infinity")
        return sympy.Interval(low, high, body.opening == "(", body.closing == ")")
    if isinstance(body, Unordered):
        if any(isinstance(part.body, Relation) for part in body.parts):
            sets = [set_of(part) for part in body.parts]
            both = sympy.Intersection(*sets)
            if body.joined == "and" or body.joined == "," and not both.is_empty:
                return both
            return sympy.Union(*sets)
        if body.joined != "{" and any(isinstance(part.body, Ordered | Region) for part in body.parts):
            return sympy.Union(*map(set_of, body.parts))
        return sympy.FiniteSet(*map(_number_of, flat(body)))
    if isinstance(body, Region):
        whole = set_of(body.parts[0])
        for operator, part in zip(body.operators, body.parts[1:], strict=True):
            piece = set_of(part)
            whole = whole | piece if operator == r"\cup" else whole & piece if operator == r"\cap" else whole - piece
        return whole
    if isinstance(body, Relation):
        return _set_of_relation(body)
    raise Unreadable("no set of numbers")


def _number_of(answer: Answer) -> Any:
    if not isinstance(answer.body, Value) or answer.words or answer.unit:
        raise Unreadable("no number")
    value = read_value(answer.body.text)
    if not value.is_number or not value.is_extended_real:
        raise Unreadable("no number")
    return value


def _set_of_relation(relation: Relation) -> Any:
    values = [read_value(side) for side in relation.sides]
    symbols = set().union(*(value.free_symbols for value in values))
    if len(symbols) != 1 or not set(relation.operators) <= set(FLIPPED) | {"="}:
        raise Unreadable("no inequality of one variable")
    (symbol,) = symbols
    whole = sympy.S.Reals
    for operator, left, right in zip(relation.operators, values[:-1], values[1:], strict=True):
        difference = sympy.expand(left - right)
        slope = difference.coeff(symbol, 1)
        rest = difference - slope * symbol
        if slope == 0 or rest.free_symbols or slope.free_symbols or rest.is_infinite:
            if rest.is_infinite and operator in ("<", ">", r"\le", r"\ge"):
                continue  # x < infinity
            raise Unreadable("no linear inequality")
        bound = sympy.nsimplify(-rest / slope) if (-rest / slope).is_Rational else -rest / slope
        if slope.is_negative:
            operator = FLIPPED.get(operator, operator)
        whole = whole & {
            "<": sympy.Interval.open(-sympy.oo, bound), r"\le": sympy.Interval(-sympy.oo, bound), ">": sympy.Interval.open(bound, sympy.oo),
            r"\ge": sympy.Interval(bound, sympy.oo), r"\ne": sympy.S.Reals - sympy.FiniteSet(bound), "=": sympy.FiniteSet(bound),
        }[operator]  # fmt: skip
    return whole
