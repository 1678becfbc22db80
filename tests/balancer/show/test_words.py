"""Both languages say the same things with the same figures, and every finding can be told in both."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from support.histories import document_signals, healthy_signals, judged, run_of

from balancer import hindsight
from balancer.diagnosis.remedies import REMEDIES
from balancer.errors import ConfigError
from balancer.page.page import HERE as PAGE
from balancer.show import words
from balancer.show.as_json import as_data
from balancer.show.sparkline import sparkline
from balancer.show.text import wrapped

HINDSIGHT = Path(hindsight.__file__).parent


def flat(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def tables(language: str) -> dict[str, str]:
    return {
        key: value
        for folder in (words.HERE, PAGE)
        for path in sorted(folder.glob(f"*.{language}.toml"))
        for key, value in flat(tomllib.loads(path.read_text(encoding="utf-8")))
    }


def test_both_languages_have_the_same_texts_with_the_same_figures() -> None:
    english, chinese = tables("en"), tables("zh-TW")
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        assert sorted(re.findall(r"\{[^}]*\}", text)) == sorted(re.findall(r"\{[^}]*\}", chinese[key])), key


def test_every_phrase_of_a_hindsight_has_words() -> None:
    said = [re.findall(r'"((?:explain|replay)\.\w+)"', path.read_text()) for path in HINDSIGHT.glob("*.py")]
    keys = {key for found in said for key in found}
    assert len(keys) > 20
    assert keys <= tables("en").keys()


def test_every_remedy_has_words() -> None:
    for language in words.LANGUAGES:
        said = words.load(language)
        for name in REMEDIES:
            assert all(said(f"remedies.{name}.{part}") for part in ("title", "measured"))
            # Where it comes from: the source document, the field, or both.
            assert any(said.get(f"remedies.{name}.{part}") for part in ("document", "field"))


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_a_diagnosis_is_said_as_data_in_both_languages(language: str) -> None:
    made = judged(run_of(document_signals, first=64010), steps_per_epoch=416.0, items=6645)
    data = as_data(made, language, since=made.since(80_000), calibration=made.calibrate())
    assert len(data["findings"]) == 6
    assert all(finding["title"] and finding["text"] for finding in data["findings"])
    assert ("D 已飽和" in data["findings"][0]["title"]) == (language == "zh-TW")
    assert data["calibration"]["weights"]
    assert data["next_steps"] and data["onward"] == data["next_steps"]  # the old key, for one release


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(ConfigError, match="known are en, zh-TW"):
        words.load("fr")


def test_a_figure_that_is_missing_is_an_error() -> None:
    with pytest.raises(KeyError):
        words.load("en")("starved.text", median=1.0)


@pytest.mark.parametrize("width", [20, 40, 79])
def test_lines_are_wrapped_to_the_width_of_the_terminal(width: int) -> None:
    for language in words.LANGUAGES:
        text = words.load(language).get("adv_share.rises.text") or ""
        lines = list(wrapped(text, width))
        assert "".join("".join(lines).split()) == "".join(text.split())
        # One mark of punctuation may stand over the edge rather than begin a line.
        assert max(map(cell_len, lines)) <= width + 4
        assert not any(line[:1] in "，。；：、）" for line in lines if line)


def test_a_sparkline_shows_the_shape() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([3, 3, 3]) == "▁▁▁"
    assert sparkline([]) == ""


def test_a_healthy_run_says_so() -> None:
    data = as_data(judged(run_of(healthy_signals)))
    assert data["findings"] == [] and data["verdict"]["title"] == "No problem found"
