"""Logs within other files: the output in a notebook, the lines in the JSON that containers and loggers write."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from balancer.errors import DataError
from balancer.reading.json_objects import figures_of, object_on
from balancer.reading.lines import lines
from balancer.reading.raw_bytes import HEAD_BYTES, LogBytes
from balancer.reading.source import OnBytes, Unread
from balancer.reading.tags import guess

LARGEST_NOTEBOOK: Final = 1 << 28  # bytes
TRIED_LINES: Final = 20  # lines
# Where loggers put a line: Docker, Python's and others' JSON formatters, Google Cloud.
LINE_KEYS: Final = ("log", "message", "msg", "textPayload")
_NOTEBOOK: Final = re.compile(rb'\s{0,1000}+\{\s{0,1000}+"(?:cells|metadata|nbformat|worksheets)"')

# Makes the blocks of a log anew.
Blocks = Callable[[OnBytes | None], Iterator[bytes]]


class Contained:
    """The bytes of a log that was found within something else, in place of a file's."""

    def __init__(self, blocks: Blocks, *, head: bytes | None = None, whole: bool = False) -> None:
        self._blocks: Final = blocks
        if head is None:
            head, whole = _beginning(blocks(None))
        self.head: Final = head
        self.whole: Final = whole

    def blocks(self, progress: OnBytes | None = None) -> Iterator[bytes]:
        """All bytes, from the beginning."""
        return self._blocks(progress)

    def close(self) -> None:
        """Nothing stays open."""


def contained(path: str, data: LogBytes) -> tuple[Contained, str] | None:
    """The log within a file, and what the file is; None where it is a log itself.

    Raises:
        DataError: a notebook that is damaged, too large, or holds no output.
    """
    if is_notebook(path, data):
        text = _output(path, data).encode(errors="replace")
        return Contained(
            lambda progress: iter([text]), head=text[:HEAD_BYTES], whole=len(text) < HEAD_BYTES
        ), "notebook"
    key = _line_key(data)
    if key is None:
        return None
    head = b"".join(_unpacked([data.head], key))
    return Contained(lambda progress: _unpacked(data.blocks(progress), key), head=head, whole=data.whole), "container"


def is_notebook(path: str, data: LogBytes) -> bool:
    """Whether a file is a notebook."""
    return _NOTEBOOK.match(data.head) is not None and (path.endswith(".ipynb") or b'"cell_type"' in data.head)


def _output(path: str, data: LogBytes) -> str:
    """What the cells of a notebook printed."""
    parts, size = [], 0
    for block in data.blocks():
        parts.append(block)
        size += len(block)
        if size > LARGEST_NOTEBOOK:
            raise DataError(f"{path}: a notebook of more than 256 MiB: save its output as text")
    try:
        notebook = json.loads(b"".join(parts))
        sheets = notebook.get("worksheets", [notebook])
        texts = [_text(out) for sheet in sheets for cell in sheet["cells"] for out in cell.get("outputs", ())]
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise DataError(f"{path}: a notebook that is damaged: save it again, or its output as text") from None
    text = "\n".join(texts)
    if not text.strip():
        raise DataError(f"{path}: a notebook whose cells hold no output as text: run it, save it, and try again")
    return text


def _text(output: Any) -> str:
    text = output.get("text") or output.get("data", {}).get("text/plain") or ""
    return text if isinstance(text, str) else "".join(text)


def _line_key(data: LogBytes) -> str | None:
    """Under which key the objects on the first lines hold a line of text; None where they hold figures, or none."""
    first = (line for _, block in lines([data.head], Unread()) for line in block if line.strip())
    found: list[Any] = []
    for line, _ in zip(first, range(TRIED_LINES), strict=False):
        found.append(object_on(line))
    objects = [each for each in found if each is not None]
    if 2 * len(objects) < max(len(found), 1) or any(guess(name) for each in objects for name in figures_of(each)):
        return None
    return next((key for key in LINE_KEYS if _holds_lines(objects, key)), None)


def _holds_lines(objects: Sequence[dict[str, Any]], key: str) -> bool:
    return 2 * sum(isinstance(each.get(key), str) for each in objects) > len(objects)


def _unpacked(blocks: Iterable[bytes], key: str) -> Iterator[bytes]:
    """The lines in objects, each with its end; Docker cuts long ones into several objects."""
    for _, block in lines(blocks, Unread()):
        texts = []
        for line in block:
            found = object_on(line)
            text = line if found is None else found.get(key)
            if isinstance(text, str):
                texts.append(
                    text if text.endswith("\n") or (key == "log" and "stream" in (found or ())) else f"{text}\n"
                )
        # An empty block would say that more may come later.
        if any(texts) or not block:
            yield "".join(texts).encode(errors="replace")


def _beginning(blocks: Iterator[bytes]) -> tuple[bytes, bool]:
    """The first bytes, and whether that is all."""
    head = b""
    for block in blocks:
        head += block
        if len(head) >= HEAD_BYTES:
            return head[:HEAD_BYTES], False
    return head, True
