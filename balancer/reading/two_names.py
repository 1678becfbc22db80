"""A name that stands for two figures, such as `Gen/Dis Loss: 1.5/0.5`: the names of both."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from balancer.reading.tags import guess

_SLASH: Final = re.compile(r"[ \t]{0,2}[/|&,][ \t]{0,2}")
_FIRST_WORD: Final = re.compile(r"[^\W_]{1,64}+")
_LAST_WORD: Final = re.compile(r"[^\W_]{1,64}(?=\W{0,8}\Z)")


def two_names(name: str) -> tuple[str, str] | None:
    """Both names in one, each with what they share; None where it is the name of one figure."""
    whole = guess(name)
    if whole is not None and not whole.rank[1]:
        # A path, such as G/adv.
        return None
    for first, second in _ways(name):
        found, other = guess(first), guess(second)
        if found is not None and other is not None and found.signal != other.signal:
            return first, second
    return None


def _ways(name: str) -> Iterator[tuple[str, str]]:
    """Ways to read a name as two: what stands before or behind both belongs to each of them."""
    slashes = list(_SLASH.finditer(name))
    if not slashes:
        return
    left, right = name[: slashes[-1].start()], name[slashes[-1].end() :]
    first, last = _FIRST_WORD.search(right), _LAST_WORD.search(left)
    if first is None or last is None:
        return
    before, behind = left[: last.start()], right[first.end() :]
    yield left + behind, before + right
    yield left, before + right
    yield left + behind, right
    yield left, right
