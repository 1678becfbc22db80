"""JSON objects: one on each line, or an array of them, or spread over lines; and the figures in one."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from balancer.errors import DataError
from balancer.reading.lines import LONGEST_LINE, decoded, lines
from balancer.reading.names import one_line
from balancer.reading.raw_bytes import LogBytes
from balancer.reading.source import Source

DEEPEST_OBJECT: Final = 20  # objects within objects
LARGEST_OBJECT: Final = 1 << 23  # characters of one object
STOPPED: Final = "nothing after it was read"
_ARRAY: Final = re.compile(r'\s{0,1000}\[\s{0,1000}\{\s{0,1000}"')
_SPREAD: Final = re.compile(r'\s{0,1000}\{\s{0,1000}"')
_BETWEEN: Final = re.compile(r"[\s,\[\]]*+")

# A line's or object's number, from 1, and the object; 0 and none where the bytes paused.
NumberedObject = tuple[int, dict[str, Any]]


def is_spread(data: LogBytes) -> bool:
    """Whether the objects in a file are elements of an array, or have several lines, or columns for their values."""
    text = "".join(decoded([data.head]))
    if _ARRAY.match(text):
        return True
    if not _SPREAD.match(text):
        return False
    start = text.index("{")
    try:
        found, end = json.JSONDecoder().raw_decode(text, start)
    except json.JSONDecodeError as error:
        # An object may go on beyond the beginning of the file; an error before its end means text.
        return not data.whole and error.pos >= len(text) - LONGEST_LINE
    except RecursionError:
        return False
    rest = text[end:].lstrip(" \t\r\n,")
    if "\n" not in text[start:end]:
        return data.whole and not rest and any(isinstance(value, list) for value in found.values())
    # A log may begin with its config.
    return (not rest and data.whole) or rest.startswith("{")


def spread_objects(blocks: Iterable[bytes], source: Source) -> Iterator[NumberedObject]:
    """The objects of an array, or of a sequence, in bounded memory.

    An object that holds a list of objects, or lists of figures, stands for the rows in them.

    Raises:
        DataError: one object is larger than 8 MiB.
    """
    scan, unread = json.JSONDecoder().raw_decode, source.unread
    text, number, why = "", 0, ""
    for part in decoded(blocks):
        text += part
        at = 0
        while True:
            match = _BETWEEN.match(text, at)
            at = match.end() if match is not None else at
            if at == len(text):
                break
            try:
                found, end = scan(text, at)
            except (json.JSONDecodeError, RecursionError) as error:
                why = "objects nested too deep" if isinstance(error, RecursionError) else "an object that is not JSON"
                if isinstance(error, json.JSONDecodeError) and error.pos >= len(text) - LONGEST_LINE:
                    why = "an object cut short"
                    break
                unread.note(number + 1, one_line(text[at : at + LONGEST_LINE]), f"{why}; {STOPPED}")
                return
            at, why = end, ""
            if isinstance(found, dict):
                for row in _rows(found):
                    number += 1
                    yield number, row
        text = text[at:]
        if len(text) > LARGEST_OBJECT:
            raise DataError(f"{source.path}: JSON with an object of more than 8 MiB: write one object on each line")
    if why:
        unread.note(number + 1, one_line(text), f"{why}; {STOPPED}")


def line_objects(blocks: Iterable[bytes], source: Source) -> Iterator[NumberedObject]:
    """The objects that are lines; other lines are passed over."""
    for first, block in lines(blocks, source.unread):
        if not block:
            yield 0, {}
        for line, text in enumerate(block, first):
            if not text or text.isspace():
                continue
            try:
                found = json.loads(text)
            except (ValueError, RecursionError) as error:
                if text.lstrip().startswith("{"):
                    why = "objects nested too deep" if isinstance(error, RecursionError) else "a line that is not JSON"
                    source.unread.note(line, one_line(text), why)
                else:
                    source.skipped += 1
                continue
            if isinstance(found, dict):
                yield line, found
            else:
                source.skipped += 1


def object_on(line: str) -> dict[str, Any] | None:
    """The JSON object that is a line, or None."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def figures_of(found: Mapping[str, Any], before: str = "", depth: int = 0) -> dict[str, float]:
    """The figures of an object by name, those of objects in it as "outer.inner"; what is not a figure is left out."""
    figures: dict[str, float] = {}
    for key, value in found.items():
        name = before + key
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, float):
            figures[name] = value
        elif isinstance(value, int):
            try:
                figures[name] = float(value)
            except OverflowError:
                figures[name] = math.inf if value > 0 else -math.inf
        elif isinstance(value, str):
            if len(value) < 40:
                try:
                    figures[name] = float(value)
                except ValueError:
                    continue
        elif isinstance(value, dict) and depth < DEEPEST_OBJECT and len(name) < LONGEST_LINE:
            figures |= figures_of(value, f"{name}.", depth + 1)
    return figures


def _rows(found: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """The rows of an object: such as a history that a framework saves with lists for its columns."""
    lists = {name: value for name, value in found.items() if isinstance(value, list) and len(value) > 1}
    if not lists:
        return [found]
    longest = max(lists.values(), key=len)
    if all(isinstance(value, dict) for value in longest):
        return longest
    length = len(longest)
    columns = {name: value for name, value in lists.items() if len(value) == length}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
