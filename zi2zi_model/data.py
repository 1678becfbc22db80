"""What zi2zi learns from: pairs of source and target glyphs in memory, split by character."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from balancer.errors import DataError
from zi2zi_model.charsets import choose, is_held_out, load_charset
from zi2zi_model.glyphs import EM_BOX, Font, Pixels, Placement, centre_in_frame, draw_glyph, is_blank, meet

Align = Literal["font", "none"]
Items = npt.NDArray[np.int64]

_FONTS: Final = Path(__file__).parent / "fonts"
EMBEDDED_SOURCE: Final = _FONTS / "source.ttf"
EMBEDDED_TARGETS: Final = (_FONTS / "target.ttf",)

_PAIR_NAME: Final = re.compile(r"(\d+)_(\d+)\.(?:png|jpe?g)", re.IGNORECASE)
_ON_DAMAGED: Final = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


@dataclass(frozen=True, eq=False)
class GlyphData:
    """Source glyphs, what each style draws for them, and the split into training and held-out characters.

    Attributes:
        characters: name of each of N rows: the character, or the file's stem where pairs were read.
        styles: name of each style, in the order of the style index.
        source: (N, S, S) uint8, paper 255 and ink 0.
        target: (T, S, S) uint8, the target glyphs that exist.
        target_index: (N, styles); where in `target` a style's glyph is, -1 where the style lacks it.
        held_out: (N,) bool; rows never trained on.
        placements: of the source font and of every style's font, to draw and undo by; empty for pairs.
        missing: number of characters asked for that a font lacks, by font; fonts that lack none are left out.
        clipped: number of target glyphs that reach over the picture's edge, by font; likewise.
    """

    characters: tuple[str, ...]
    styles: tuple[str, ...]
    source: Pixels
    target: Pixels
    target_index: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.bool_]
    placements: tuple[Placement, ...] = ()
    missing: tuple[tuple[str, int], ...] = ()
    clipped: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        counts = Counter(self.train_items[:, 1].tolist())
        untrained = [style for index, style in enumerate(self.styles) if not counts[index]]
        if untrained:
            raise DataError(f"style {untrained[0]}: no training characters are left; add characters or hold out fewer")
        if not len(self.held_out_items):
            raise DataError(
                "no held-out characters: hold out a greater share, such as model.held_out=0.3, or add characters"
            )

    @cached_property
    def train_items(self) -> Items:
        """(n, 2): row and style of every training pair that exists, in row order."""
        return np.argwhere((self.target_index >= 0) & ~self.held_out[:, None])

    @cached_property
    def held_out_items(self) -> Items:
        """(m, 2): row and style of every held-out pair that exists, in row order."""
        return np.argwhere((self.target_index >= 0) & self.held_out[:, None])

    def batch(self, items: Items) -> tuple[Pixels, Pixels, npt.NDArray[np.int64]]:
        """Source (B, S, S), target (B, S, S) and style (B,) of items (B, 2) taken from either item list."""
        rows, styles = items[:, 0], items[:, 1]
        return self.source[rows], self.target[self.target_index[rows, styles]], styles

    @property
    def counts(self) -> dict[str, int]:
        """Figures by name."""
        parts = (self.characters, self.styles, self.train_items, self.held_out_items)
        return dict(zip(("characters", "styles", "training items", "held-out items"), map(len, parts), strict=True))

    @property
    def summary(self) -> tuple[str, ...]:
        """What was built, for the user: one line of figures, then one for each thing worth knowing."""
        size, megabytes = self.source.shape[-1], (self.source.nbytes + self.target.nbytes) / 1e6
        figures = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        lacks = (f"{font} lacks {count} of the characters asked for" for font, count in self.missing)
        cut = (f"{font} reaches over the picture's edge in {count} characters" for font, count in self.clipped)
        return f"{figures}; {size} px, {megabytes:.0f} MB in memory", *lacks, *cut


def from_fonts(
    source: str | Path | None = None,
    targets: Sequence[str | Path] = (),
    *,
    charset: str = "demo",
    size: int = 64,
    align: Align = "font",
    held_out: float = 0.1,
    max_characters: int | None = None,
    seed: int = 0,
) -> GlyphData:
    """Glyphs drawn from font files.

    Args:
        source: font whose characters are redrawn (`file.ttc:3` for a face of a collection).
        targets: fonts to imitate, one style each. Embedded fonts stand in where source or both are left out.
        charset: a name in `charsets.CHARSETS` or a text file.
        size: side S of the pictures in pixels.
        align: `font` lays each target's mean ink box on the source's, over training characters; `none`
            draws all fonts in their em box on a common baseline.
        held_out: share of the characters never trained on.
        max_characters: at most this many, chosen by seed and code point.
        seed: of the split and of that choice.

    Raises:
        DataError: a font or the charset cannot be used, or a style or the held-out set would be empty.
    """
    if source is not None and not targets:
        raise DataError("no target font: name at least one to imitate, as model.targets=FONT")
    asked = load_charset(charset)
    if source is None:  # the embedded source holds the demo characters only
        demo = frozenset(load_charset("demo"))
        asked = tuple(c for c in asked if c in demo) or asked
    source_font = Font(source if source is not None else EMBEDDED_SOURCE)
    fonts = [Font(path) for path in targets or EMBEDDED_TARGETS]
    drawn = _usable(source_font, asked, f"charset {charset}")
    drawn_by = [frozenset(_usable(font, drawn, f"charset {charset} that {source_font.name} draws")) for font in fonts]
    missing = [(font.name, len(asked) - len(font.usable(asked))) for font in (source_font, *fonts)]
    characters = [c for c in drawn if any(c in held for held in drawn_by)]
    if max_characters is not None:
        characters = list(choose(characters, max_characters, seed))
    split = np.array([is_held_out(ord(c), held_out, seed) for c in characters])
    training = [c for c, out in zip(characters, split, strict=True) if not out]
    placements = _placements(source_font, fonts, [[c for c in training if c in held] for held in drawn_by], align)

    exists = np.array([[c in held for held in drawn_by] for c in characters])
    items = np.argwhere(exists)
    target_index = np.where(exists, np.cumsum(exists).reshape(exists.shape) - 1, -1)
    target = np.empty((len(items), size, size), np.uint8)
    clipped: Counter[str] = Counter()
    for index, (row, style) in enumerate(items):
        font, placement = fonts[style], placements[1 + style]
        target[index] = draw_glyph(font, characters[row], size, placement)
        clipped[font.name] += not placement.fits(font.ink_box(characters[row]))
    return GlyphData(
        characters=tuple(characters),
        styles=tuple(font.name for font in fonts),
        source=np.stack([draw_glyph(source_font, c, size, placements[0]) for c in characters]),
        target=target,
        target_index=target_index,
        held_out=split,
        placements=placements,
        missing=tuple((font, count) for font, count in missing if count),
        clipped=tuple((font, count) for font, count in clipped.items() if count),
    )


def from_pairs(folder: str | Path, *, size: int = 64, held_out: float = 0.1, seed: int = 0) -> GlyphData:
    """Pictures `{label}_{index}.png` or `.jpg` of zi2zi: twice as wide as high, left the target, right the source.

    They are read in grey and resized to `size`. Labels become style indices in ascending order. The split
    goes by index, which zi2zi's tools count over the characters of a font.

    Raises:
        DataError: no such pictures, one with another name or shape, one that cannot be read or shows nothing,
            or a style or the held-out set would be empty.
    """
    pairs = sorted(_find_pairs(Path(folder)))
    if not pairs:
        raise DataError(f"folder {folder}: holds no pictures named like 0_12.png or 0_12.jpg (label, index)")
    label_of = np.array([label for label, _, _ in pairs])
    labels = np.unique(label_of)
    pictures = np.empty((2, len(pairs), size, size), np.uint8)
    for row, (_, _, path) in enumerate(pairs):
        pictures[:, row] = _read_pair(path, size)
    return GlyphData(
        characters=tuple(path.stem for _, _, path in pairs),
        styles=tuple(str(label) for label in labels),
        source=pictures[1],
        target=pictures[0],
        target_index=np.where(label_of[:, None] == labels, np.arange(len(pairs))[:, None], -1),
        held_out=np.array([is_held_out(index, held_out, seed) for _, index, _ in pairs]),
    )


def _usable(font: Font, characters: Sequence[str], of_what: str) -> tuple[str, ...]:
    usable = font.usable(characters)
    if not usable:
        lacking = f"draws none of the {len(characters)} characters of {of_what}"
        raise DataError(f"font {font.name}: {lacking}; choose another of the two")
    return usable


def _placements(
    source: Font, targets: Sequence[Font], training: Sequence[Sequence[str]], align: Align
) -> tuple[Placement, ...]:
    """Placement of the source and of every target, from the training characters that each target draws."""
    everything = list(dict.fromkeys(c for characters in training for c in characters))
    if align == "none" or not everything:
        return (EM_BOX,) * (1 + len(targets))
    first = centre_in_frame(source.mean_box(everything))
    return first, *(
        meet(font.mean_box(characters), source.mean_box(characters), first) if characters else EM_BOX
        for font, characters in zip(targets, training, strict=True)
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


def _read_pair(path: Path, size: int) -> Pixels:
    """Target and source of a pair picture: (2, size, size)."""
    try:
        with Image.open(path, formats=["PNG", "JPEG"]) as image:
            paper = Image.new("RGBA", image.size, "white")  # under transparent parts
            picture = Image.alpha_composite(paper, image.convert("RGBA")).convert("L")
    except UnidentifiedImageError as error:
        raise DataError(f"picture {path}: not a PNG or JPEG file") from error
    except _ON_DAMAGED as error:
        raise DataError(f"picture {path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    width, height = picture.size
    if width != 2 * height:
        raise DataError(f"picture {path}: {width}x{height} pixels; a pair is twice as wide as high")
    boxes = ((0, 0, height, height), (height, 0, width, height))
    halves = np.stack([np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS, box)) for box in boxes])
    for half, name in zip(halves, ("left (target)", "right (source)"), strict=True):
        if is_blank(half):
            raise DataError(f"picture {path}: its {name} half is blank; remove the file")
    return halves
