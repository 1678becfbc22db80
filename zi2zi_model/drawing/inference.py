"""Drawing with a trained run: its settings, its generator and where its glyphs stand, read from the run directory."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from balancer import load_run
from balancer.errors import CheckpointError, ConfigError, DataError, suggestion
from zi2zi_model.data import dataset
from zi2zi_model.data.charsets import load_charset
from zi2zi_model.data.font_data import EMBEDDED_SOURCE, EMBEDDED_TARGETS, open_typeface
from zi2zi_model.data.glyphs import Pixels, Typeface, draw_glyph, ink_extent
from zi2zi_model.data.pairs import GlyphData
from zi2zi_model.data.placement import EM_BOX, InkBox, Placement, align_to_source
from zi2zi_model.network.model import DRAWN_AT_ONCE, draw, load_data
from zi2zi_model.network.networks import Generator
from zi2zi_model.settings import Zi2ziSettings


@dataclass(frozen=True)
class TrainedRun:
    """A generator at a checkpoint, in evaluation mode: the average of G's weights where the run keeps one.

    Attributes:
        averaged: whether it is the average.
        styles: name of each style of its data.
        rows: row of each style in G's embedding.
        config: the tables of its `config.toml`.
        record: what the checkpoint says of the data.
    """

    name: str
    step: int
    plugins: tuple[str, ...]
    settings: Zi2ziSettings
    generator: Generator
    averaged: bool
    styles: tuple[str, ...]
    rows: tuple[int, ...]
    config: Mapping[str, Any]
    record: dict[str, Any]

    @cached_property
    def data(self) -> GlyphData:
        """The data it was trained on, read again.

        Raises:
            DataError: its fonts or pairs are gone.
        """
        return load_data(self.settings)

    def draw(self, source: Pixels, styles: Tensor) -> Pixels:
        """What G draws for sources (n, S, S): rows of the embedding (n,), or style vectors (n, style_dim)."""
        return draw(self.generator, source, styles, self.settings.channels)

    def row(self, style: str | None) -> int:
        """Row of the embedding for a style by its name or its row; of the data's first style where None.

        Raises:
            ConfigError: there is none.
        """
        if style is None:
            return self.rows[0]
        if style in self.styles:
            return self.rows[self.styles.index(style)]
        if style.isdecimal() and int(style) < self.settings.styles:
            return int(style)
        known = ", ".join(f"{row} ({name})" for row, name in zip(self.rows, self.styles, strict=True))
        raise ConfigError(f"style {style!r}: {suggestion(style, self.styles)}; run {self.name} learned {known}")

    def remarks(self, *rows: int) -> list[str]:
        """A sentence for each of these rows that no style of the data trained."""
        start = self.settings.start
        of = "" if start is None else f"; of those of {start.name}, evaluate says which are still drawn"
        return [f"row {row} is not a style that this run was trained on{of}" for row in rows if row not in self.rows]

    def vector(self, row: int) -> Tensor:
        """The style vector (style_dim,) of a row of the embedding."""
        vector: Tensor = self.generator.embedding.weight[row].detach()
        return vector

    def placement(self, row: int) -> Placement | None:
        """Where a style's glyphs stand in the frame; None where the data does not say."""
        if row in self.rows and self.record["typefaces"]:
            return _placement(self.record["typefaces"][1 + self.rows.index(row)])
        return None


class SourceTypeface:
    """The typeface that G redraws, placed as it was in training.

    Without `path` it is the run's own. Another one, or the font behind pairs, is placed so that its mean ink box meets
    that of the source pictures trained on.

    Raises:
        DataError: the run's own source is gone or has changed, or pairs were trained on and no font is given.
    """

    def __init__(self, run: TrainedRun, path: Path | None) -> None:
        recorded = run.record["typefaces"]
        if path is None and not recorded:
            raise DataError(f"run {run.name} was trained on pairs, which hold no font: give the source with --source")
        self.typeface: Typeface = open_typeface(path if path is not None else typeface_path(run, 0))
        same = bool(recorded) and self.typeface.identity() == recorded[0]["sha256"]
        if path is None and not same:
            raise DataError(
                f"source font {typeface_path(run, 0)}: has changed since run {run.name} was trained; "
                "bring it back, or name one with --source"
            )
        self.placement = _placement(recorded[0]) if same else self._like(run.data.source)

    def draw(self, characters: Sequence[str], size: int) -> Pixels:
        """The characters as G sees them: (n, size, size)."""
        return np.stack([draw_glyph(self.typeface, c, size, self.placement) for c in characters])

    def _like(self, pictures: Pixels) -> Placement:
        extents = [EM_BOX.to_em(*box[:2]) + EM_BOX.to_em(*box[2:]) for box in map(ink_extent, pictures)]
        left, top, right, bottom = np.mean(extents, axis=0).tolist()
        usable = self.typeface.usable(load_charset("demo"))
        if not usable:
            raise DataError(f"font {self.typeface.name}: draws none of 256 common characters")
        return align_to_source(self.typeface.mean_box(usable), InkBox(left, bottom, right, top), EM_BOX)


def in_batches(
    run: TrainedRun, source: SourceTypeface, characters: Sequence[str], style: Tensor
) -> Iterator[tuple[str, Pixels]]:
    """Each character with what G draws for it in a style vector (style_dim,), a batch at a time: (S, S)."""
    for first in range(0, len(characters), DRAWN_AT_ONCE):
        here = characters[first : first + DRAWN_AT_ONCE]
        glyphs = run.draw(source.draw(here, run.settings.image_size), style.expand(len(here), -1))
        yield from zip(here, glyphs, strict=True)


def trained_run(folder: Path, device: str = "cpu") -> TrainedRun:
    """Read a zi2zi run at its newest good checkpoint.

    Raises:
        ConfigError: no zi2zi run there.
        CheckpointError: no good checkpoint.
    """
    run = load_run(folder, "zi2zi")
    generator = Generator(run.settings)
    try:
        generator.load_state_dict(run.generator if run.average is None else run.average)
        styles, rows = tuple(map(str, run.data["styles"])), tuple(map(operator.index, run.data["rows"]))
        for face in run.data["typefaces"]:
            _placement(face).to_em(0.0, 0.0)
        if not rows or len(styles) != len(rows) or not all(0 <= row < run.settings.styles for row in rows):
            raise ValueError(f"styles {styles!r:.60} and rows {rows!r:.60} do not go together")
    except Exception as error:  # whatever content of another form leads to
        why = f"does not fit the settings in {folder / 'config.toml'}: {type(error).__name__}: {error}"
        raise CheckpointError(f"{run.checkpoint} {why}") from None
    generator.eval().to(device)
    return TrainedRun(
        folder.resolve().name,
        run.step,
        run.plugins,
        run.settings,
        generator,
        run.average is not None,
        styles,
        rows,
        run.config,
        dict(run.data),
    )


def typeface_path(run: TrainedRun, number: int) -> Path:
    """Where a typeface that a run was trained on was read from: 0 is the source's, the styles' follow."""
    if run.settings.data is not None:
        return Path(dataset.read_manifest(run.settings.data)["typefaces"][number]["path"])
    return (run.settings.source or EMBEDDED_SOURCE, *(run.settings.targets or EMBEDDED_TARGETS))[number]


def _placement(record: dict[str, Any]) -> Placement:
    return Placement(*record["placement"])
