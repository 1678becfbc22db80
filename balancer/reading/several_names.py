"""A name that stands for several figures, such as `Gen/Dis Loss: 1.5/0.5`: the names of each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from balancer.reading.tags import guess

MOST_NAMES: Final = 8
_SLASH: Final = re.compile(r"[ \t]{0,2}[/|&,][ \t]{0,2}")
_FIRST_WORD: Final = re.compile(r"[^\W_]{1,64}+")
_LAST_WORD: Final = re.compile(r"[^\W_]{1,64}(?=\W{0,8}\Z)")


def several_names(name: str) -> tuple[str, ...]:
    """The names in one, each with what they share; a single one where it is the name of one figure."""
    whole = guess(name)
    parts = _SLASH.split(name)
    if len(parts) == 1 or len(parts) > MOST_NAMES or (whole is not None and not whole.rank[1]):
        # A path, such as G/adv, is one name.
        return (name,)
    for names in _ways(parts):
        signals = [found.signal for each in names if (found := guess(each)) is not None]
        # Of more than two, not all need be known.
        if len(signals) >= max(2, len(names) - 1) and len(set(signals)) == len(signals):
            return tuple(names)
    return (name,)


def _ways(parts: Sequence[str]) -> Iterator[list[str]]:
    """Ways to read a name as several: what stands before or behind them all belongs to each."""
    left, right, inner = parts[0], parts[-1], parts[1:-1]
    first, last = _FIRST_WORD.search(right), _LAST_WORD.search(left)
    if first is None or last is None:
        return
    before, behind = left[: last.start()], right[first.end() :]
    if len(_FIRST_WORD.findall(left)) == len(_FIRST_WORD.findall(right)) > 1:
        yield [*parts]
    yield [left + behind, *(before + part + behind for part in inner), before + right]
    yield [left, *(before + part for part in inner), before + right]
    yield [left + behind, *(part + behind for part in inner), right]
    yield [*parts]
