"""`.obj` packages of zi2zi: pickled examples, read without running what a pickle may hold."""

from __future__ import annotations

import codecs
import mmap
import pickle
import pickletools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from balancer.errors import DataError

MOST_BYTES: Final = 4 * 2**30
MOST_PICTURE_BYTES: Final = 64 * 2**20
_MOST_STEPS: Final = 5_000_000  # opcodes in one pickle; an example takes about seven, an empty list 56 bytes of memory
_MOST_INTEGER: Final = 8  # bytes; longer ones could all share one hash, and a dict of those takes hours
_MOST_NAME: Final = 1000  # bytes of a class's name
_MOST_TEXT: Final = 2 * MOST_PICTURE_BYTES  # as which Python 3 writes bytes in protocols before 3, each as a character

# Opcodes by what they build; a number is how many bytes their value, or their length, takes.
_INTEGERS: Final = {pickle.BININT: 4, pickle.BININT1: 1, pickle.BININT2: 2}
_BYTES: Final = {
    pickle.BINSTRING: 4,  # text of Python 2, which had no other bytes
    pickle.SHORT_BINSTRING: 1,
    pickle.BINBYTES: 4,
    pickle.SHORT_BINBYTES: 1,
    pickle.BINBYTES8: 8,
}
_TEXTS: Final = {pickle.BINUNICODE: 4, pickle.SHORT_BINUNICODE: 1}
_TUPLES: Final = {pickle.EMPTY_TUPLE: 0, pickle.TUPLE1: 1, pickle.TUPLE2: 2, pickle.TUPLE3: 3}
_PUTS: Final = {pickle.BINPUT: 1, pickle.LONG_BINPUT: 4}
_GETS: Final = {pickle.BINGET: 1, pickle.LONG_BINGET: 4}
_NAMES: Final = {opcode.code.encode("latin-1"): opcode.name for opcode in pickletools.opcodes}

_CUT: Final = "cut short; get the file again"
_NONSENSE: Final = "not a pickled example"
_ENCODE: Final = object()  # stands for `_codecs.encode`, whose one use here is known: see `_reduced`
_NO_EXAMPLE: Final = "not a label (a whole number from 0 on) and the bytes of a picture"


class Example(NamedTuple):
    """One example of a package: the label of its style, and an encoded picture."""

    label: int
    image: bytes


class _Refused(Exception):
    """Why a pickle is not read."""


def read_package(path: Path, *, max_bytes: int = MOST_BYTES) -> Iterator[Example]:
    """Examples of a package, one after the other: pickles of (label, picture), or one pickled list or dict of them.

    A dict maps labels to pictures or to lists of pictures, or anything to examples. Packages of any protocol and of
    Python 2 are read.
    A file that was cut exactly between two pickles looks whole.

    Raises:
        DataError: not a package, larger than `max_bytes`, or cut short, with the record (counted from 0) and the byte
            where its pickle begins.
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
                try:
                    value = _load(data)
                    # Pictures that refer to one another could be more than fits in memory.
                    left = data.tell() - start
                    for example in _examples(value):
                        left -= len(example.image)
                        if left < 0:
                            raise _Refused("holds the same picture many times over; it is not read")
                        yield example
                        record += 1
                except _Refused as refusal:
                    raise DataError(f"package {path}: record {record} at byte {start:,}: {refusal}") from None
    except OSError as error:
        raise DataError(f"package {path}: cannot be read: {error.strerror}") from error


def _load(data: mmap.mmap) -> Any:
    """What the next pickle builds; only opcodes that make numbers, bytes, text, tuples, lists and dicts are known.

    Python's own unpickler is not used: even without classes, a dict whose key is a deep tuple makes it crash.
    """
    stack: list[Any] = []
    marks: list[int] = []  # how high the stack was, innermost last
    memo: dict[int, Any] = {}

    def pop(count: int) -> list[Any]:
        bottom = len(stack) - count
        if bottom < (marks[-1] if marks else 0):
            raise _Refused(_NONSENSE)
        items = stack[bottom:]
        del stack[bottom:]
        return items

    def pop_to_mark() -> list[Any]:
        if not marks:
            raise _Refused(_NONSENSE)
        items = stack[marks[-1] :]
        del stack[marks.pop() :]
        return items

    def top(kind: type) -> Any:
        (item,) = pop(1)
        if not isinstance(item, kind):
            raise _Refused(_NONSENSE)
        stack.append(item)
        return item

    def put(index: int) -> None:
        memo[index] = top(object)

    def get(index: int) -> None:
        if index not in memo:
            raise _Refused(_NONSENSE)
        stack.append(memo[index])

    for _ in range(_MOST_STEPS):
        code = _read(data, 1)
        if size := _INTEGERS.get(code):
            stack.append(int.from_bytes(_read(data, size), "little", signed=code == pickle.BININT))
        elif size := _BYTES.get(code):
            stack.append(_read(data, _number(data, size)))
        elif size := _TEXTS.get(code):
            stack.append(_read(data, _number(data, size), _MOST_TEXT).decode(errors="replace"))
        elif code in _TUPLES:
            stack.append(tuple(pop(_TUPLES[code])))
        elif size := _PUTS.get(code):
            put(_number(data, size))
        elif size := _GETS.get(code):
            get(_number(data, size))
        elif code == pickle.MEMOIZE:
            put(len(memo))
        elif code == pickle.STOP:
            (value,) = pop(1)
            return value
        elif code == pickle.PROTO:
            if _number(data, 1) > pickle.HIGHEST_PROTOCOL:
                raise _Refused(_NONSENSE)
        elif code == pickle.FRAME:
            _number(data, 8)
        elif code == pickle.MARK:
            marks.append(len(stack))
        elif code == pickle.TUPLE:
            stack.append(tuple(pop_to_mark()))
        elif code == pickle.EMPTY_LIST:
            stack.append([])
        elif code == pickle.LIST:
            stack.append(pop_to_mark())
        elif code in (pickle.APPEND, pickle.APPENDS):
            items = pop(1) if code == pickle.APPEND else pop_to_mark()
            top(list).extend(items)
        elif code == pickle.EMPTY_DICT:
            stack.append({})
        elif code == pickle.DICT:
            stack.append(_dict(pop_to_mark()))
        elif code in (pickle.SETITEM, pickle.SETITEMS):
            items = pop(2) if code == pickle.SETITEM else pop_to_mark()
            top(dict).update(_dict(items))
        elif code in (pickle.INT, pickle.LONG):
            stack.append(_whole(data))
        elif code == pickle.LONG1:
            stack.append(int.from_bytes(_read(data, _number(data, 1), _MOST_INTEGER), "little", signed=True))
        elif code == pickle.STRING:
            stack.append(_quoted(data))
        elif code == pickle.PUT:
            put(_whole(data))
        elif code == pickle.GET:
            get(_whole(data))
        elif code == pickle.UNICODE:
            stack.append(_line(data, 3 * _MOST_TEXT).decode("raw-unicode-escape", errors="replace"))
        elif code in (pickle.GLOBAL, pickle.INST):
            stack.append(_known(*(_line(data, _MOST_NAME).decode(errors="replace") for _ in range(2))))
        elif code == pickle.STACK_GLOBAL:
            stack.append(_known(*pop(2)))
        elif code == pickle.REDUCE:
            stack.append(_reduced(*pop(2)))
        elif name := _NAMES.get(code):
            raise _Refused(f"uses {name}, which an example has no need of; it is not read")
        else:
            raise _Refused(_NONSENSE)
    raise _Refused(f"takes more than {_MOST_STEPS:,} steps; it is not read")


def _read(data: mmap.mmap, count: int, most: int = MOST_PICTURE_BYTES) -> bytes:
    if count > most:
        raise _Refused(f"damaged, or holds {count:,} bytes in one piece, more than the {most:,} allowed")
    piece = data.read(count)
    if len(piece) < count:
        raise _Refused(_CUT)
    return piece


def _number(data: mmap.mmap, size: int) -> int:
    return int.from_bytes(_read(data, size), "little")


def _line(data: mmap.mmap, most: int) -> bytes:
    start = data.tell()
    end = data.find(b"\n", start, start + most + 1)
    if end < 0:
        raise _Refused(_CUT if len(data) - start <= most else _NONSENSE)
    return data.read(end + 1 - start)[:-1]


def _whole(data: mmap.mmap) -> int:
    """A number as text; `01`, which is how Python 2 and protocol 0 write True, is none."""
    digits = _line(data, 20).removesuffix(b"L")
    if not digits.isdigit() or (digits.startswith(b"0") and digits != b"0"):
        raise _Refused(_NO_EXAMPLE)
    return int(digits)


def _quoted(data: mmap.mmap) -> bytes:
    """Bytes as Python 2 wrote them in protocol 0: a literal between quotes, at most four characters to the byte."""
    line = _line(data, 4 * MOST_PICTURE_BYTES + 2)
    if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
        raise _Refused(_NONSENSE)
    try:
        return codecs.escape_decode(line[1:-1])[0]
    except (ValueError, DeprecationWarning):  # an escape that Python does not write
        raise _Refused(_NONSENSE) from None


def _dict(items: list[Any]) -> dict[Any, Any]:
    keys, values = items[::2], items[1::2]
    if len(keys) != len(values) or not all(isinstance(key, int | bytes | str) for key in keys):
        raise _Refused(_NONSENSE)
    return dict(zip(keys, values, strict=True))


def _known(module: Any, name: Any) -> object:
    """What stands for a class or function that a pickle asks for: one is known, and it is not loaded either."""
    what = f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else "a class or function"
    if what != "_codecs.encode":
        raise _Refused(f"asks for {ascii(what[:100])[1:-1]}, which is never loaded; only labels and picture bytes are")
    return _ENCODE


def _reduced(function: Any, arguments: Any) -> bytes:
    """Bytes as Python 3 writes them in protocols before 3: a text whose characters they are, to be encoded so."""
    match arguments:
        case (str() as text, "latin1") if function is _ENCODE and (not text or max(text) <= "\xff"):
            return text.encode("latin-1")
    raise _Refused(_NONSENSE)


def _examples(value: Any) -> Iterator[Example]:
    if _is_pair(value):
        yield _example(value)
    elif isinstance(value, dict):
        for label, held in value.items():
            if _is_pair(held):
                yield _example(held)
            else:
                for picture in held if isinstance(held, list) else [held]:
                    yield _example((label, picture))
    elif isinstance(value, list | tuple):
        for item in value:
            yield _example(item)
    else:
        raise _Refused(f"holds {type(value).__name__}, not a label and a picture")


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2 and isinstance(value[1], bytes) and _is_label(value[0])


def _is_label(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < 2**31


def _example(value: Any) -> Example:
    if not _is_pair(value) or not value[1]:
        raise _Refused(_NO_EXAMPLE)
    return Example(*value)
