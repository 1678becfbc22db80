"""Pictures that are damaged, made to fill memory, or of another kind than their name says."""

from __future__ import annotations

import os
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from zi2zi_model.data.charsets import load_charset
from zi2zi_model.data.font import Font
from zi2zi_model.data.font_data import EMBEDDED_TARGETS
from zi2zi_model.data.placement import EM_BOX

# Both embedded fonts draw them, and some of them are held out.
CHARACTERS = "".join(sorted({"永", "和", *load_charset("demo")[::16]}))
SIGNATURE = b"\x89PNG\r\n\x1a\n"
Put = Callable[[Path], object]


def glyphs(size: int = 64, *, wide: bool = False) -> dict[str, Image.Image]:
    """Good pictures of single characters, or of pairs."""
    font = Font(EMBEDDED_TARGETS[0])
    drawn = {c: font.drawn(c, size, EM_BOX) for c in font.usable(CHARACTERS)}
    return {c: Image.fromarray(np.hstack([p, p]) if wide else p) for c, p in drawn.items()}


def saved(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """A picture as a file."""
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes, *, depth: int = 8, colour: int = 0, more: bytes = b"") -> bytes:
    """A PNG file that says it has this size, whatever its data."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", head) + more + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")


@cache
def bomb() -> bytes:
    """What unpacks to 2 GiB of zeros."""
    packer = zlib.compressobj(1)
    zeros = bytes(2**24)
    return b"".join([*(packer.compress(zeros) for _ in range(128)), packer.flush()])


def strange(good: Image.Image) -> Iterator[tuple[str, bytes | Callable[[], bytes]]]:
    """Files each of which is strange in its own way; `good` is a grey picture."""
    for side in (0, 1, 4096, 4097, 65535, 2**31 - 1, 2**32 - 1):
        yield f"{side}x{side}", png(side, side, b"\0" * 100)
    yield "0 high", png(64, 0, b"")
    yield "0 wide", png(0, 64, b"")
    yield "4096x1", png(4096, 1, b"\0" + b"\xff" * 4096)
    yield "16-bit RGBA bomb", png(4096, 4096, b"\0" * (4096 * (8 * 4096 + 1)), depth=16, colour=6)
    for kind, body in ((b"zTXt", b"a\0\0"), (b"iCCP", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0")):
        yield (
            f"{kind.decode()} bomb",
            lambda kind=kind, body=body: png(64, 64, b"\xff" * 65 * 64, more=chunk(kind, body + bomb())),
        )
    yield "data bomb", lambda: png(64, 64, b"", more=chunk(b"IDAT", bomb()))
    yield "wrong depth", png(64, 64, b"\0" * 65 * 64, depth=3)
    yield "wrong colour", png(64, 64, b"\0" * 65 * 64, colour=5)
    yield "no palette", png(64, 64, b"\0" * 65 * 64, colour=3)
    yield "long chunk", SIGNATURE + struct.pack(">I", 2**31 - 1) + b"IHDR" + b"\0" * 30
    yield "many chunks", png(64, 64, b"\xff" * 65 * 64, more=chunk(b"tEXt", b"a\0b") * 50_000)
    info = PngImagePlugin.PngInfo()
    info.add_text("\x1b[2J", "\x1b]0;x\x07")
    yield "steering text", saved(good, pnginfo=info)
    for mode in ("1", "P", "LA", "RGB", "RGBA", "I;16"):
        yield f"mode {mode}", saved(good.convert(mode))
    palette = good.convert("P")
    yield "transparent palette", saved(palette, transparency=bytes(range(256)))
    yield "animated", saved(good, save_all=True, append_images=[good] * 30)
    for kind in ("GIF", "BMP", "TIFF", "WEBP", "ICO", "PPM", "TGA", "PCX", "DDS", "ICNS", "EPS", "PDF"):
        yield kind, saved(good.convert("RGB"), kind)
    yield "CMYK", saved(good.convert("CMYK"), "JPEG")
    yield "YCbCr", saved(good.convert("YCbCr"), "JPEG")
    yield "progressive", saved(good, "JPEG", progressive=True)[:900]
    yield "MPO", saved(good, "MPO", save_all=True, append_images=[good])
    jpeg = saved(good, "JPEG")
    at = jpeg.index(b"\xff\xc0") + 5
    for side in (0, 1, 65535):
        yield f"JPEG of {side}", jpeg[:at] + struct.pack(">HH", side, side) + jpeg[at + 4 :]
    for orientation in (0, 3, 6, 9, 65535):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"orientation {orientation}", saved(good, "JPEG", exif=exif)
    yield "damaged EXIF", jpeg[:2] + b"\xff\xe1\x00\x20Exif\0\0II*\0\xff\xff\xff\xff" + b"\xff" * 16 + jpeg[2:]
    yield "empty", b""
    yield "SVG", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    yield "PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(outside/ran) (w) file\n"
    yield "noise", random.Random(0).randbytes(5000)


def changed(data: bytes, choice: random.Random) -> tuple[str, bytes]:
    """A file cut short, or with some bits flipped or bytes of another value, its PNG checksums right or wrong."""
    if choice.random() < 0.25:
        at = choice.randrange(len(data))
        return f"cut at {at}", data[:at]
    new = bytearray(data)
    for _ in range(choice.choice((1, 3, 30))):
        new[choice.randrange(len(new))] ^= 1 << choice.randrange(8)
    return "bits flipped", mended(bytes(new)) if choice.random() < 0.7 else bytes(new)


def mended(data: bytes) -> bytes:
    """A PNG file with right checksums, so that a reader goes on to what is wrong."""
    out, at = bytearray(data[:8]), 8
    while data[:8] == SIGNATURE and at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + size > len(data):
            break
        out += chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + size])
        at += 12 + size
    return bytes(out) + data[at:] if data[:8] == SIGNATURE else data


def put(data: bytes | Callable[[], bytes]) -> Put:
    """What writes these bytes."""
    return lambda path: path.write_bytes(data() if callable(data) else data)


# In a picture's place, what is none.
PLACES: dict[str, Put] = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link outside": lambda path: path.symlink_to("../../outside/victim"),
    "sparse": lambda path: (path.touch(), os.truncate(path, 2**40)),
}
