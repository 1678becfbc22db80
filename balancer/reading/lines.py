"""The lines of a text log, many at a time: decoded in whole blocks, without colours, and none too long to hold."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import Final

from balancer.reading.source import Unread

LONGEST_LINE: Final = 1 << 16  # characters; a longer line is skipped
_MARKS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
# Colours and movements of the cursor, of terminals.
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]{0,32}+[ -/]{0,8}+[@-~]|[@-Z\\-_])")
_ENDS: Final = re.compile(r"[\n\r]")

# The number of the first line, and the lines.
NumberedLines = tuple[int, list[str]]


def lines(blocks: Iterable[bytes], unread: Unread) -> Iterator[NumberedLines]:
    """The lines of a log, without their ends, in lists; the last one may have been cut short.

    UTF-8 and, where it says so at its beginning, UTF-16; bytes that are neither become replacement characters.
    Lines end with LF, CR LF or CR (as progress bars write it). NUL bytes, colours and lines of more than 64 KiB
    are left out. An empty block of bytes gives an empty list.
    """
    carry, number, skipping = "", 1, False
    for part in decoded(blocks):
        if not part:
            yield number, []
            continue
        text = carry + part
        if skipping:
            end = _ENDS.search(text)
            if end is None:
                carry = ""
                continue
            text, skipping = text[end.end() :], False
        end_at = max(text.rfind("\n"), text.rfind("\r", 0, -1)) + 1
        whole, carry = text[:end_at], text[end_at:]
        if whole:
            block = _split(whole, number, unread)
            yield number, block
            number += len(block)
        if len(carry) > LONGEST_LINE:
            _note(unread, number, carry)
            carry, skipping = "", True
            number += 1
    if carry and not skipping:
        yield number, _split(carry, number, unread)


def decoded(blocks: Iterable[bytes]) -> Iterator[str]:
    """The text of blocks of bytes; an empty one of an empty block alone."""
    decoder: codecs.IncrementalDecoder | None = None
    for block in blocks:
        if decoder is None:
            encoding = next((name for mark, name in _MARKS if block.startswith(mark)), "utf-8")
            decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        text = decoder.decode(block)
        if text or not block:
            yield text
    if decoder is not None and (rest := decoder.decode(b"", True)):
        yield rest


def _split(text: str, number: int, unread: Unread) -> list[str]:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        text = text.replace("\0", "")
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    split = text.removesuffix("\n").split("\n")
    if max(map(len, split)) > LONGEST_LINE:
        for index, line in enumerate(split):
            if len(line) > LONGEST_LINE:
                _note(unread, number + index, line)
                split[index] = ""
    return split


def _note(unread: Unread, number: int, line: str) -> None:
    unread.note(number, line, "a line of more than 64 KiB")
