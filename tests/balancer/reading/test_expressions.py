"""No regular expression can take long on any line, since none can try more than so many ways through it."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from re import _parser as parser  # the only one there is; nothing counts the steps that a match takes
from typing import Any

import pytest

import balancer.reading
from zi2zi_model.diagnosis import logs

MODULES = [import_module(f"balancer.reading.{found.name}") for found in pkgutil.iter_modules(balancer.reading.__path__)]
EXPRESSIONS = {
    f"{module.__name__}.{name}": value
    for module in (*MODULES, logs)
    for name, value in vars(module).items()
    if isinstance(value, re.Pattern)
}
MOST = 1000  # characters that a repetition may take and give back


def repetitions(tree: Any) -> Iterator[tuple[int, int, Any]]:
    """Each that may give back what it took: its lowest and highest count, and what it repeats."""
    for operation, argument in tree:
        name = str(operation)
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            yield argument
            yield from repetitions(argument[2])
        elif name == "BRANCH":
            for branch in argument[1]:
                yield from repetitions(branch)
        elif name == "POSSESSIVE_REPEAT":
            yield from repetitions(argument[2])
        elif name == "SUBPATTERN":
            yield from repetitions(argument[3])
        elif name in ("ASSERT", "ASSERT_NOT"):
            yield from repetitions(argument[1])
        elif name == "ATOMIC_GROUP":
            yield from repetitions(argument)
        else:
            assert name in ("LITERAL", "NOT_LITERAL", "IN", "ANY", "AT", "GROUPREF"), name


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_every_repetition_is_bounded_or_takes_nothing_back(expression: re.Pattern[str]) -> None:
    for _, highest, repeated in repetitions(parser.parse(expression.pattern, expression.flags)):
        assert highest <= MOST, "it has no bound"
        within = [one for one in repetitions(repeated) if one[0] != one[1]]
        assert highest <= 1 or not within, "the ways of one multiply those of the other within"


def test_what_would_take_long_is_found() -> None:
    for expression in (r"(\w+\s?)*:", r"(?:a{1,9}){1,9}", r"x.*y"):
        with pytest.raises(AssertionError):
            test_every_repetition_is_bounded_or_takes_nothing_back(re.compile(expression))
