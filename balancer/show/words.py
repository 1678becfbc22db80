"""The words of diagnoses, explanations and replays, by language: TOML files beside the code that needs them."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from balancer.contract.boundary import described
from balancer.contract.input_files import MOST_TOML_BYTES, read_input
from balancer.diagnosis.extension import Extension
from balancer.errors import ConfigError
from balancer.reading.codes import OURS
from balancer.reading.families import families

LANGUAGES: Final = ("en", "zh-TW")
HERE: Final = Path(__file__).parent


class Words:
    """Texts by dotted key, such as `saturated.title`, filled with figures by `str.format`; twins of codes' texts."""

    def __init__(self, language: str, tables: Mapping[str, Any], twins: Mapping[str, Any]) -> None:
        self.language: Final = language
        self._tables: Final = tables
        self._twins: Final = twins

    def __call__(self, key: str, /, **figures: object) -> str:
        """The text of that key, with its figures put in.

        Raises:
            KeyError: there is no such text, or it mentions a figure that was not given.
        """
        found = self.get(key)
        if found is None:
            raise KeyError(f"no words for {key} in {self.language}")
        return found.format(**figures).replace("\n", " ")

    def get(self, key: str) -> str | None:
        """The text of that key as it stands, or None."""
        table: Any = self._tables
        for part in key.split("."):
            if not isinstance(table, Mapping) or part not in table:
                return None
            table = table[part]
        return table if isinstance(table, str) else None

    def twin(self, text: str) -> str:
        """A text of a table of codes (`title`, `healthy_source`, a flag) in this language; itself if it has no twin."""
        found = self._twins.get(text)
        return found if isinstance(found, str) else text


def check_language(language: str) -> None:
    """Refuse a language that has no words here.

    Raises:
        ConfigError: there is no such language.
    """
    if language not in LANGUAGES:
        raise ConfigError(f"--lang {language}: known are {', '.join(LANGUAGES)}")


def own(language: str) -> Words:
    """The words of `balancer` itself: what is said where no family of codes has a part in it.

    Raises:
        ConfigError: there is no such language.
    """
    return _found(language, (HERE,))


def load(language: str, folders: Sequence[Path] = ()) -> Words:
    """The words of the diagnosis, of installed families and of `folders`, which hold `*.LANGUAGE.toml` files.

    A table of codes has its twins in a file beside it, `codes.LANGUAGE.toml` for `codes.toml`: texts by those of the
    table. Of several twins of one text ours counts.

    Raises:
        ConfigError: there is no such language.
    """
    check_language(language)
    installed = families().values()
    brought = (one.words for one in installed if isinstance(one, Extension) and one.words is not None)
    codes = (OURS, *(one.codes for one in installed if one.codes is not None))
    return _found(language, (HERE, *brought, *folders), codes)


def _found(language: str, folders: Sequence[Path], codes: Sequence[Path] = ()) -> Words:
    check_language(language)
    tables: dict[str, Any] = {}
    for folder in folders:
        for path in sorted(folder.glob(f"*.{language}.toml")):
            _merge(tables, _read(path))
    twins: dict[str, Any] = {}
    for path in reversed([table.with_suffix(f".{language}.toml") for table in codes]):
        if path.is_file():
            twins |= _read(path)
    return Words(language, tables, twins)


def _merge(tables: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping):
            _merge(tables.setdefault(key, {}), value)
        else:
            tables[key] = value


@functools.cache
def _read(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(read_input(path, MOST_TOML_BYTES).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"words {path} cannot be read: {described(error)}: reinstall what brings them") from None
