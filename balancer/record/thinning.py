"""What a long run keeps of sheets and points: the longer it is, the fewer, by rules that follow from steps alone.

A resumed run keeps what a whole one keeps: what goes at some step would have gone by the end in any case.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

# Sheets from the beginning that stay: of one an epoch, those of epochs 3 to 5, by which the source document judges.
FIRST: Final = 8
# How many times as old as they lie apart sheets are. Of 35,714 in a million steps 365 stay.
APART: Final = 32
# Points of a curve before they begin to lie further apart; TensorBoard shows 1,000 of a curve unless told otherwise.
POINTS: Final = 8192


def outlived(drawn: Collection[int], done: int) -> list[int]:
    """Of the sheets drawn after so many steps each, those that go once `done` steps are.

    Beyond the first 8: where a stretch of W steps, W any power of two, ended 32·W steps ago or more, its first sheet
    stays.
    """
    gone: list[int] = []
    last: tuple[int, int] | None = None
    for step in sorted(drawn)[FIRST:]:
        stretch = _stretch(step, done)
        if stretch == last:
            gone.append(step)
        last = stretch
    return gone


def is_shown(done: int, before: int | None) -> bool:
    """Whether TensorBoard, whose files are only added to, gets a sheet's picture, where the sheet before it is of
    `before`: pictures lie about 1/32 of the steps so far apart.
    """
    width = 1 << max(0, (done // APART).bit_length() - 1)
    return before is None or before // width != done // width


def point_spacing(step: int, log_every: int) -> int:
    """Steps between points of a curve: `log_every` for the first 8,192, and from then on, whenever the steps so far
    have doubled, twice as many.
    """
    return log_every << max(0, (2 * step // (POINTS * log_every)).bit_length() - 1)


def _stretch(step: int, done: int) -> tuple[int, int]:
    """The widest stretch around a step that is old enough: the exponent of its width, and its number."""
    power = 0
    while done - ((step >> power + 1) + 1 << power + 1) >= APART << power + 1:
        power += 1
    return power, step >> power
