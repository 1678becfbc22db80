"""Every public name is on a page: of the package, of its errors and testing, and of the classes that authors use."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import balancer
import balancer.errors
import balancer.testing
from balancer import Balancer, CompositionView, Decision, KnobHandle, KnobSpec, Plugin, Reading, SignalSpec

DOCS = Path(__file__).parents[2] / "docs"


def words(text: str) -> set[str]:
    return {word for code in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"\w+", code)}


API = words((DOCS / "api.md").read_text(encoding="utf-8"))
ANYWHERE = {word for page in DOCS.glob("*.md") for word in words(page.read_text(encoding="utf-8"))}


def public(cls: Any) -> Iterable[str]:
    """What a class offers: methods, properties, attributes that it declares."""
    return [name for name in {*dir(cls), *getattr(cls, "__annotations__", {})} if not name.startswith("_")]


@pytest.mark.parametrize("name", [*balancer.__all__, *balancer.testing.__all__])
def test_a_name_that_is_exported_is_on_the_page_of_public_names(name: str) -> None:
    assert name in API


def test_every_error_is_on_it() -> None:
    classes = [value for value in vars(balancer.errors).values() if inspect.isclass(value)]
    missing = {cls.__name__ for cls in classes if issubclass(cls, Exception)} - API
    assert not missing


@pytest.mark.parametrize("cls", [Plugin, KnobHandle, Balancer])
def test_every_method_and_attribute_is_on_a_page(cls: Any) -> None:
    missing = {name for name in public(cls) if name not in ANYWHERE}
    assert not missing


@pytest.mark.parametrize("cls", [Reading, KnobSpec, SignalSpec, CompositionView, Decision])
def test_every_field_is_on_a_page(cls: Any) -> None:
    missing = {field.name for field in dataclasses.fields(cls)} - ANYWHERE
    assert not missing


def test_every_argument_of_balancer_is_on_a_page() -> None:
    arguments = {*inspect.signature(Balancer.__init__).parameters} - {"self"}
    assert not arguments - ANYWHERE
