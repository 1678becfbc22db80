"""Glyph data from pair pictures of zi2zi: twice as wide as high, left the target, right the source."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from PIL import Image

from balancer import read_input
from balancer.errors import DataError
from zi2zi_model.data.charsets import is_held_out
from zi2zi_model.data.glyphs import Pixels, is_blank
from zi2zi_model.data.packages import MOST_BYTES, read_package
from zi2zi_model.data.pairs import GlyphData
from zi2zi_model.data.pictures import MOST_PICTURE_BYTES, read_grey

_PAIR_NAME: Final = re.compile(r"([0-9]{1,9})_([0-9]+)\.(?:png|jpe?g)", re.IGNORECASE)


class _Pair(NamedTuple):
    label: int
    name: str
    where: str
    image: bytes
    held_out: bool | None  # None: what the source glyph shows decides


def from_pairs(folder: str | Path, *, size: int = 64, held_out: float = 0.1) -> GlyphData:
    """Pictures `{label}_{index}.png` or `.jpg` in a folder.

    They are read in grey and resized to `size`. A label is the row of its style in G's embedding. The split goes by
    index, which zi2zi's tools count over the characters of a font.

    Raises:
        DataError: no such pictures, two of one label and index, one with another name or shape, one that cannot be
            read or shows nothing, or a style or the held-out set would be empty.
    """
    found = sorted(_find_pairs(Path(folder)))
    if not found:
        raise DataError(f"folder {folder}: holds no pictures named like 0_12.png or 0_12.jpg (label, index)")
    for (*one, first), (*other, second) in pairwise(found):
        if one == other:
            raise DataError(f"folder {folder}: {first.name} and {second.name} are one label and index; remove one")

    def pairs() -> Iterator[_Pair]:
        for label, index, path in found:
            try:
                image = read_input(path, MOST_PICTURE_BYTES)
            except OSError as error:
                raise DataError(f"picture {path}: cannot be read: {error.strerror}") from error
            yield _Pair(label, path.stem, f"picture {path}", image, is_held_out(index, held_out))

    return _collect(pairs(), len(found), size, held_out)


def from_packages(
    training: Sequence[Path],
    validation: Sequence[Path] = (),
    *,
    size: int = 64,
    held_out: float = 0.1,
    max_bytes: int = MOST_BYTES,
) -> GlyphData:
    """Packages of zi2zi (`train.obj`, `val.obj`): pickled pairs of a label and a picture's bytes.

    They hold no characters. Where no validation package is given, the source glyph decides what is held out, so that
    one character is on the same side in all styles. With one, its pairs are the held-out ones.

    Raises:
        DataError: as `from_pairs`; a package that is cut short, too large, or holds anything else.
    """
    pairs = []
    for paths, held in ((training, False if validation else None), (validation, True)):
        for path in paths:
            stem = path.stem.encode(errors="replace").decode()  # a file's name may be bytes that are not text
            for number, example in enumerate(read_package(path, max_bytes=max_bytes)):
                pairs.append(
                    _Pair(example.label, f"{stem} {number}", f"package {path}: record {number}", example.image, held)
                )
    if not pairs:
        raise DataError(f"package {training[0]}: holds no pictures")
    return _collect(iter(pairs), len(pairs), size, held_out)


def _collect(pairs: Iterator[_Pair], count: int, size: int, share: float) -> GlyphData:
    pictures = np.empty((2, count, size, size), np.uint8)
    label_of, names, held_out = np.empty(count, np.int64), [], np.empty(count, np.bool_)
    digest = hashlib.sha256()
    for row, pair in enumerate(pairs):
        halves = split_pair(pair.image, pair.where)
        for side, (half, which) in enumerate(zip(halves, ("left (target)", "right (source)"), strict=True)):
            pictures[side, row] = np.asarray(Image.fromarray(half).resize((size, size), Image.Resampling.LANCZOS))
            if is_blank(pictures[side, row]):
                raise DataError(f"{pair.where}: its {which} half is blank; leave it out")
        label_of[row] = pair.label
        names.append(pair.name)
        digest.update(f"{pair.name} {len(pair.image)} ".encode() + pair.image)
        if pair.held_out is None:
            held_out[row] = is_held_out(_glyph_number(halves[1]), share)
        else:
            held_out[row] = pair.held_out
    labels = np.unique(label_of)
    return GlyphData(
        characters=tuple(names),
        styles=tuple(str(label) for label in labels),
        source=pictures[1],
        target=pictures[0],
        target_index=np.where(label_of[:, None] == labels, np.arange(count)[:, None], -1),
        held_out=held_out,
        labels=tuple(labels.tolist()),
        origin=digest.hexdigest(),
    )


def _find_pairs(folder: Path) -> Iterator[tuple[int, int, Path]]:
    """Label, index and path of every picture in a folder; other files are passed over."""
    try:
        files = list(folder.iterdir())
    except OSError as error:
        raise DataError(f"folder {folder}: cannot be read: {error.strerror}") from error
    for file in files:
        if named := _PAIR_NAME.fullmatch(file.name):
            yield int(named[1]), int(named[2]), file
        elif file.suffix.lower() in {".png", ".jpg", ".jpeg"}:
            raise DataError(f"picture {file}: its name is not like 0_12{file.suffix} (label, index); rename or move it")


def split_pair(data: bytes, where: str) -> tuple[Pixels, Pixels]:
    """Target and source of a pair picture, each (S, S); `where` names it in errors."""
    picture = read_grey(BytesIO(data), where)
    height, width = picture.shape
    if width != 2 * height:
        raise DataError(f"{where}: {width}x{height} pixels; a pair is twice as wide as high")
    return picture[:, :height], picture[:, height:]


def _glyph_number(source: Pixels) -> int:
    """A number that tells a source glyph from others, whatever target it was paired with.

    Its left edge is passed over: there a JPEG's blocks, 16 pixels wide, may reach into the target.
    """
    shown = source[:, min(16, len(source) // 4) :]
    return int.from_bytes(hashlib.blake2b(shown.tobytes(), digest_size=8).digest(), "big")
