"""Figures on a line of text: how codes write them behind a name, and a line in plain characters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

# Every repetition is bounded and possessive, so that no line takes long.
_SIZE: Final = r"(?:[eE][-+]?\d{1,9}+)?+"
_NUMBER: Final = (
    rf"[-+]?+(?:\d{{1,400}}+(?:\.\d{{0,400}}+)?+{_SIZE}|\.\d{{1,400}}+{_SIZE}|[nN][aA][nN]|[iI][nN][fF](?:inity)?)"
)
# What may stand before a number that is printed as an object: np.float64(, tensor([, <tf.Tensor: …, numpy=.
_OBJECT: Final = (
    r"(?:<tf\.Tensor: shape=\(\), dtype=\w{1,16}+, numpy="
    r"|Tensor\(shape=\[[\d, ]{0,16}+\], dtype=\w{1,16}+, value=[ \t]{0,2}+"
    r"|[A-Za-z_][\w.]{0,40}+\()?+\(?+\[{0,3}+"
)
_MARK: Final = rf"[:=][ \t]{{0,8}}+{_OBJECT}"
# Further figures that share a name, such as a present value and its mean, or G's and D's.
_FURTHER: Final = rf"((?:[ \t]{{0,2}}+/[ \t]{{0,2}}+{_NUMBER}(?!\w)){{0,7}}+)"
# Groups: what stands before a figure, the figure, further ones.
MARKED: Final = re.compile(rf"({_MARK})({_NUMBER})(?!\w){_FURTHER}")
# What else may stand there: blanks, a dash or an arrow between them, or a bracket.
_BLANK: Final = rf"(?:[ \t]{{1,8}}+(?:-{{1,2}}>?[ \t]{{1,8}}+)?+{_OBJECT}|(?<=\w)\[)"
SPACED: Final = re.compile(rf"({_MARK}|(?<=[\w)\].]){_BLANK})({_NUMBER})(?!\w){_FURTHER}")
# The next of several figures that are printed in a list.
LISTED: Final = re.compile(rf"[ \t]{{0,2}}+[,|&][ \t]{{0,2}}+({_NUMBER})(?!\w)(?![ \t]{{0,8}}+[:=])")

# Full-width forms, as Chinese input methods write them.
_WIDE: Final = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20, 0x2212: 0x2D}
_COMMA: Final = re.compile(r"(?<=\d),(?=\d)")
_WITH_COMMA: Final = re.compile(r"[:=\s][-+]?(\d{1,9}+,\d{1,12}+)(?![\d.,]{0,12}\d)")
_WITH_POINT: Final = re.compile(r"[:=\s][-+]?\d{1,9}+\.\d")
_THOUSANDS: Final = re.compile(r"[1-9]\d{0,2},\d{3}")
FEWEST_COMMAS: Final = 10  # figures with a comma, for it to be the decimal one


def behind(names: Iterable[str]) -> re.Pattern[str]:
    """Figures behind marks, and behind a blank, a dash or a bracket where one of these names stands before it."""
    ends = "|".join(rf"(?<=(?<![\w.]){re.escape(name)})" for name in names)
    return re.compile(rf"({_MARK}|(?=[ \t\[])(?:{ends}){_BLANK})({_NUMBER})(?!\w){_FURTHER}")


def narrow(line: str) -> str:
    """A line with full-width letters, digits and signs in their usual form."""
    return line if line.isascii() else line.translate(_WIDE)


def with_points(line: str) -> str:
    """A line whose decimal commas are points."""
    return _COMMA.sub(".", line) if "," in line else line


def has_decimal_commas(lines: Iterable[str]) -> bool:
    """Whether figures are written with a decimal comma: most of them hold one, and it does not group thousands."""
    commas = points = thousands = 0
    for line in lines:
        found = _WITH_COMMA.findall(line)
        commas += len(found)
        thousands += sum(_THOUSANDS.fullmatch(text) is not None for text in found)
        points += len(_WITH_POINT.findall(line))
    return commas >= FEWEST_COMMAS and commas > 10 * points and commas > 1.1 * thousands
