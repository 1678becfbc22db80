"""What pyproject.toml declares: the requirements of the core and of each extra, with those of the extras it holds."""

from __future__ import annotations

import tomllib
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support.environments import ROOT

_PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: Final = tuple(_PROJECT["optional-dependencies"])


def required(extra: str | None = None) -> list[str]:
    """Requirements of the core, or of an extra without the core's, as pyproject.toml writes them."""
    if extra is None:
        return list(_PROJECT["dependencies"])
    found: list[str] = []
    for text in _PROJECT["optional-dependencies"][extra]:
        one = Requirement(text)
        found += [text] if one.name != _PROJECT["name"] else [more for name in one.extras for more in required(name)]
    return list(dict.fromkeys(found))


def names(extra: str | None = None) -> set[str]:
    """The distributions that the core or an extra requires."""
    return {canonicalize_name(Requirement(text).name) for text in required(extra)}
