"""A JSON object with the CRC-32 of its own text as its last key, so that no flipped bit in it goes unnoticed.

`crc32` is of all bytes before the comma that precedes it.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from typing import Any, Final

SEAL: Final = "crc32"
# Spaces, since the text of a whole file may be indented.
_SEALED: Final = re.compile(rb'(.*),\s*"crc32": (\d{1,10})\s*\}\s*', re.DOTALL)
_ENDED: Final = re.compile(rb'.*, "crc32": \d{1,10}\}', re.DOTALL)


def sealed(row: Mapping[str, Any], **options: Any) -> bytes:
    """An object that holds something as JSON, as `options` of `json.dumps` say, and sealed.

    Half of a surrogate pair, which UTF-8 has no bytes for, becomes JSON's own escape of it.
    """
    body = json.dumps(row, **options).removesuffix("}").rstrip().encode(errors="backslashreplace")
    seal = f'"{SEAL}": {zlib.crc32(body)}'
    return body + (f",\n {seal}\n}}" if "indent" in options else f", {seal}}}").encode()


def holds(data: bytes) -> bool | None:
    """Whether the seal of an object's text is right; None where it has none."""
    match = _SEALED.fullmatch(data)
    return None if match is None else zlib.crc32(match[1]) == int(match[2])


def ends_whole(tail: bytes) -> bool:
    """Whether the last line of a file, which has no end, is a whole one whose end is damaged, not one that was torn."""
    return _ENDED.match(tail) is not None
