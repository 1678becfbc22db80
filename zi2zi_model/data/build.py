"""A data-set folder made from whatever glyphs are named: fonts, pictures, pairs or packages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from balancer.errors import ConfigError
from zi2zi_model.data import dataset
from zi2zi_model.data.font_data import from_fonts
from zi2zi_model.data.packages import MOST_BYTES
from zi2zi_model.data.pair_data import from_packages, from_pairs
from zi2zi_model.data.pairs import GlyphData


def build_data(
    out: Path,
    *,
    source: Path | None = None,
    targets: Sequence[str | Path] = (),
    charset: str = "big5-1",
    pairs: Path | None = None,
    packages: Sequence[Path] = (),
    validation: Sequence[Path] = (),
    max_bytes: int = MOST_BYTES,
    size: int = 64,
    align: str = "font",
    held_out: float = 0.1,
    max_characters: int | None = None,
) -> GlyphData:
    """Make the data-set folder `out`: of `source` and `targets` (see `from_fonts`), of `pairs`, or of `packages`.

    Raises:
        ConfigError: more than one of these, or a value out of range.
        DataError: the glyphs cannot be used, or the folder cannot be written.
    """
    kinds = {"--source and --targets": source is not None or bool(targets), "--pairs": pairs is not None}
    kinds["--obj"] = bool(packages)
    named = [name for name, given in kinds.items() if given]
    if len(named) > 1:
        raise ConfigError(f"{named[0]} and {named[1]}: give one of them")
    if validation and not packages:
        raise ConfigError("--val-obj goes with --obj")
    if align not in ("font", "none"):
        raise ConfigError(f"--align {align}: is font or none")
    if not 0 < held_out < 1:
        raise ConfigError(f"--held-out {held_out:g}: a share between 0 and 1, such as 0.1")
    if pairs is not None:
        data = from_pairs(pairs, size=size, held_out=held_out)
    elif packages:
        data = from_packages(packages, validation, size=size, held_out=held_out, max_bytes=max_bytes)
    else:
        data = from_fonts(
            source,
            targets,
            charset=charset,
            size=size,
            align=align,
            held_out=held_out,
            max_characters=max_characters,
        )
    dataset.save(data, out)
    return data
