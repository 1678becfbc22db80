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


def parted(text: str) -> tuple[str, str]:
    """What stands before the name of a figure, and the name.

    Where this is known only without the unit of the figure before, that is no part of it.
    """
    if _UNIT.match(text) is not None and (rest := _without_unit(text)) != text:
        before, name = _parted(rest)
        if _is_known(name):
            return before, name
    return _parted(text)


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
    if not rest.strip():
        return text
    name = _parted(text)[1]
    return text if name != _parted(rest)[1] and _is_known(name) else rest


def _is_known(name: str) -> bool:
    """Whether a name as a whole is one of a loss, or of what goes with it."""
    found = guess(name)
    return found is not None and not found.rank[1]


def _parted(text: str) -> tuple[str, str]:
    """What stands before the name at the end of a text, and that without a bracket opened before or closed after it."""
    match = _NAME.search(text[-_REACH:])
    if match is None:
        return text, ""
    name: str = match[1]
    opened = name.count("(") - name.count(")")
    if opened > 0:
        name = name.rpartition("(")[2]
    elif opened < 0:
        name = name.rstrip(")")
    return text[: len(text) - len(match[0])], name
