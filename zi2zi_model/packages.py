"""`.obj` packages of zi2zi: pickled examples, read without running what a pickle may hold."""

from __future__ import annotations

import io
import mmap
import pickle
import pickletools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from balancer.errors import DataError

MOST_BYTES: Final = 4 * 2**30

# Opcodes that build numbers, bytes, text, tuples, lists and dicts, and nothing else.
_ALLOWED: Final = frozenset(
    (
        "PROTO", "FRAME", "STOP", "MARK", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "STRING",
        "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "UNICODE", "BINUNICODE",
        "SHORT_BINUNICODE", "BINUNICODE8", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST",
        "LIST", "APPEND", "APPENDS", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "MEMOIZE", "PUT", "BINPUT",
        "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET",
    )
)  # fmt: skip
_PUTS: Final = ("PUT", "BINPUT", "LONG_BINPUT")


class Example(NamedTuple):
    """One example of a package: the label of its style, and an encoded picture."""

    label: int
    image: bytes


class _Unpickler(pickle.Unpickler):
    """Refuses every class and function; with the opcodes checked before, none is asked for."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("a persistent id")


def read_package(path: Path, *, max_bytes: int = MOST_BYTES) -> Iterator[Example]:
    """Examples of a package, one after the other: pickles of (label, picture), or one pickled list or dict of them.

    A dict maps labels to pictures or to lists of pictures. A file that was cut exactly between two pickles looks whole.

    Raises:
        DataError: not a package, larger than `max_bytes`, or cut short, with the record (counted from 0) and the byte.
    """
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise DataError(f"package {path}: {size:,} bytes, more than the {max_bytes:,} allowed; raise --max-bytes")
        if not size:
            raise DataError(f"package {path}: the file is empty")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            record = 0
            while data.tell() < size:
                start = data.tell()
                where = f"package {path}: record {record} at byte {start:,}"
                _check(data, where)
                try:
                    value = _Unpickler(io.BytesIO(data[start : data.tell()]), encoding="bytes").load()
                except Exception as error:  # opcodes that are allowed but make no sense together
                    raise DataError(f"{where}: not a pickled example ({error or type(error).__name__})") from None
                for example in _examples(value, where):
                    record += 1
                    yield example
    except OSError as error:
        raise DataError(f"package {path}: cannot be read: {error.strerror}") from error


def _check(data: mmap.mmap, where: str) -> None:
    """Go through one pickle up to its end, and refuse what does more than build plain values."""
    opcode = None
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):  # type: ignore[arg-type]
            if opcode.name in ("GLOBAL", "STACK_GLOBAL", "INST"):
                what = str(argument).replace(" ", ".") if argument else "a class or function"
                raise DataError(f"{where}: asks for {what}, which is never loaded; only labels and picture bytes are")
            if opcode.name not in _ALLOWED:
                raise DataError(f"{where}: uses {opcode.name}, which an example has no need of; it is not read")
            if opcode.name in _PUTS and isinstance(argument, int) and argument > count:
                raise DataError(f"{where}: not a pickled example (memo entry {argument})")
    except DataError:
        raise
    except Exception as error:  # pickletools lets whatever its readers meet in a damaged file escape
        raise DataError(f"{where}: cut short or damaged ({error}); get the file again") from None
    if opcode is None or opcode.name != "STOP":
        raise DataError(f"{where}: cut short; get the file again")


def _examples(value: Any, where: str) -> Iterator[Example]:
    if isinstance(value, tuple | list) and len(value) == 2 and isinstance(value[1], bytes):
        yield _example(value, where)
    elif isinstance(value, dict):
        for label, pictures in value.items():
            for picture in pictures if isinstance(pictures, list) else [pictures]:
                yield _example((label, picture), where)
    elif isinstance(value, list | tuple):
        for item in value:
            yield _example(item, where)
    else:
        raise DataError(f"{where}: holds {type(value).__name__}, not a label and a picture")


def _example(value: Any, where: str) -> Example:
    if isinstance(value, tuple | list) and len(value) == 2:
        label, image = value
        if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < 2**31 and isinstance(image, bytes):
            return Example(label, image)
    raise DataError(f"{where}: not a label (a whole number from 0 on) and the bytes of a picture")
