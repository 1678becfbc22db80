"""What stands between two figures on a line of text: the unit of the first, and the name of the second."""

from __future__ import annotations

import re
from typing import Final

from balancer.reading.tags import guess

# The name at the end of what stands before a figure; every repetition is bounded and possessive.
_NAME: Final = re.compile(
    r"(?<![\w.])([^\W\d_][\w.()/\-]{0,63}+(?:(?: [/&])? \(?[^\W\d_][\w.()/\-]{0,63}+){0,5}+)['\"]?[ \t]{0,8}+\Z"
)
_REACH: Final = 200  # characters before a figure in which its name is looked for
_UNIT: Final = re.compile(
    r"[ \t]{0,2}+(?:%|(?:(?:it|iter|img|image|sample|step|frame|batch|batche|token)s?/\w{1,8}"
    r"|(?:s|ms|us|secs?|seconds?|mins?|minutes?|h|hrs?|hours?|days?|fps|x|[kmgt]i?b?|[km]?hz|db|px|layers?)"
    r"(?:/\w{1,8})?+)(?![\w./]))",
    re.IGNORECASE,
)


def name_of(text: str) -> str:
    """The name before a figure; where it is known only without the unit of the figure before, without that."""
    rest = _without_unit(text)
    return name if rest != text and _is_known(name := _end(rest)) else _end(text)


def before_name(text: str) -> str:
    """What stands before the name of a figure."""
    match = _NAME.search(text[-_REACH:])
    return text if match is None else text[: len(text) - len(match[0])]


def has_unit(text: str, *, is_last: bool) -> bool:
    """Whether a figure has a unit.

    Args:
        text: what stands behind it, up to the next figure.
        is_last: whether there is none.
    """
    return _UNIT.match(text) is not None if is_last else _without_unit(text) != text


def _without_unit(text: str) -> str:
    """A text between two figures without the unit of the first; what the second one's name begins with is none."""
    unit = _UNIT.match(text)
    rest = text[unit.end() :] if unit is not None else ""
    return rest if rest.strip() and (_end(text) == _end(rest) or not _is_known(_end(text))) else text


def _is_known(name: str) -> bool:
    """Whether a name as a whole is one of a loss, or of what goes with it."""
    found = guess(name)
    return found is not None and not found.rank[1]


def _end(text: str) -> str:
    """The name at the end of a text, without a bracket that was opened before it, or is closed after it."""
    match = _NAME.search(text[-_REACH:])
    if match is None:
        return ""
    name: str = match[1]
    opened = name.count("(") - name.count(")")
    if opened > 0:
        return name.rpartition("(")[2]
    return name.rstrip(")") if opened < 0 else name
