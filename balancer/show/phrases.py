"""Phrases and values of an explanation or a replay in the words of a language."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from balancer.hindsight.phrase import Phrase
from balancer.show.words import Words


def phrase_text(phrase: Phrase, words: Words) -> str:
    """A phrase, and those that go on from it, as text."""
    figures = {name: value_text(value, words) for name, value in phrase.figures.items()}
    return "".join([words(phrase.words, **figures), *(phrase_text(one, words) for one in phrase.then)])


def value_text(value: Any, words: Words) -> str:
    """A value of a knob as text, short; text stays as it is."""
    if value is None:
        return words("explain.nothing")
    if isinstance(value, tuple | list):
        return words("ui.comma").join(value) or words("explain.none")
    return str(value) if isinstance(value, bool | int | str) else f"{value:.6g}"


def plain(value: Any, words: Words) -> Any:
    """A value, with all that is in it, as plain data: phrases as text, the rest by its own names."""
    if isinstance(value, Phrase):
        return phrase_text(value, words)
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name), words) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {name: plain(one, words) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return [plain(one, words) for one in value]
    return str(value) if isinstance(value, Path) else value
