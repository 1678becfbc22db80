"""Logs that were copied out of a terminal, which broke their long lines at its width: the pieces are joined again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from balancer.reading.lines import LONGEST_LINE, NumberedLines

NARROWEST_TERMINAL: Final = 40  # columns of a terminal
FEWEST_BROKEN: Final = 5  # broken lines
BROKEN_SHARE: Final = 0.25  # at least, of the lines that begin like rows, are broken
CONTINUED_SHARE: Final = 0.9  # at least, of the broken lines, go on in a line that begins otherwise
PREFIX_LENGTH: Final = 5  # characters in which rows begin alike
# How a line goes on: with a word or what is left of one, within a number or at its point, or otherwise.
_WORD: Final = re.compile(r"[A-Za-z_]{1,40}|\.")


class Width(NamedTuple):
    """The columns of a terminal, how the lines begin that it broke, and whether nothing else explains them."""

    columns: int
    begin: str
    sure: bool


def width(lines: Sequence[str]) -> Width | None:
    """At which width the lines of a log may have been broken; None where they were not.

    The longest lines then are of one length, differ, and are followed by lines that begin otherwise. It is sure where
    these begin with different words: the break falls elsewhere as the figures before it have more or fewer digits,
    while a log of two lines for each row has the same words there.
    """
    filled = [line for line in lines if line.strip()]
    columns = max(map(len, filled), default=0)
    if columns < NARROWEST_TERMINAL:
        return None
    begin, _ = Counter(line[:PREFIX_LENGTH] for line in filled if len(line) == columns).most_common(1)[0]
    rows = sum(line.startswith(begin) for line in filled)
    broken = [(line, after) for line, after in pairwise(filled) if len(line) == columns and line.startswith(begin)]
    rests = [after for _, after in broken if not after.startswith(begin)]
    few = len(broken) < max(FEWEST_BROKEN, BROKEN_SHARE * rows) or len(rests) < CONTINUED_SHARE * len(broken)
    if few or len({line for line, _ in broken}) < len(broken) / 2:
        return None
    words = {found[0] if (found := _WORD.match(line)) is not None else "" for line in rests}
    return Width(columns, begin, len(words) > 1)


def joined(numbered: Iterable[NumberedLines], width: Width) -> Iterator[NumberedLines]:
    """Lines with the pieces of each put together in the place of its first one; those of the others are empty."""
    columns, begin, _ = width
    number, last = 1, ""
    # The last line with the places of its pieces, while it may go on in the next block.
    held: list[str] = []
    for first, block in numbered:
        whole, place = held, 0
        number = first - len(held)
        for line in block:
            broken = whole and columns - 1 <= len(last) <= columns and len(whole[place]) < LONGEST_LINE
            if broken and not line.startswith(begin):
                # Some lose the blank in which a line was broken.
                whole[place] += line if len(last) == columns else f" {line}"
                whole.append("")
            else:
                place = len(whole)
                whole.append(line)
            last = line
        end = place if columns - 1 <= len(last) <= columns else len(whole)
        held = whole[end:]
        yield number, whole[:end]
        number += end
    if held:
        yield number, held
