"""`.obj` packages of zi2zi, written as Python 3 and as Python 2 wrote them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

EXAMPLES = [(0, b"first"), (7, b"second" * 50), (300, b"\x00\xff third")]


def write(path: Path, *values: Any, protocol: int = 4) -> Path:
    """A file of these values, each pickled by itself."""
    with path.open("wb") as file:
        for value in values:
            pickle.dump(value, file, protocol=protocol)
    return path


def as_python_2(label: int, image: bytes) -> bytes:
    """An example in protocol 0, the default of Python 2, in which zi2zi was first written."""
    text = "".join(chr(byte) if 32 <= byte < 127 and byte not in b"\\'" else f"\\x{byte:02x}" for byte in image)
    return f"(I{label}\nS'{text}'\np1\ntp2\n.".encode()
