"""How good a run's held-out glyphs are, style by style, and a sheet with the worst first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch

from balancer.errors import ConfigError
from zi2zi_model.data.glyphs import Pixels
from zi2zi_model.data.pairs import GlyphData, Items
from zi2zi_model.data.picture_files import png, write
from zi2zi_model.data.sheet import COLUMNS, contact_sheet, evenly_spaced
from zi2zi_model.drawing.inference import TrainedRun, trained_run
from zi2zi_model.judges.figures import FIGURES, Targets
from zi2zi_model.judging.old_styles import old_style_lines, old_styles

BANDS: Final = 6  # of the sheet: each a row of sources, of outputs and of targets
LISTED: Final = 10
OTHERS: Final = 200  # training glyphs of a style, at most, for which a held-out one may be taken


class HeldOut(NamedTuple):
    """The held-out glyphs of one style: its number, their items (n, 2), sources (n, S, S), labels (n,) and targets."""

    style: int
    items: Items
    source: Pixels
    label: torch.Tensor
    targets: Targets

    def drawn(self, run: TrainedRun) -> Pixels:
        """What a run draws for them: (n, S, S)."""
        return run.draw(self.source, self.label + run.settings.style_offset)


def held_out(data: GlyphData) -> Iterator[HeldOut]:
    """Each style that has held-out glyphs."""
    for style in range(len(data.styles)):
        items, training = (part[part[:, 1] == style] for part in (data.held_out_items, data.train_items))
        if not len(items):
            continue
        source, target, label = data.batch(items)
        others = evenly_spaced(training, OTHERS)
        shown, further = ([data.characters[row] for row, _ in part] for part in (items, others))
        targets = Targets(shown, target, data.batch(others)[1], further)
        yield HeldOut(style, items, source, torch.from_numpy(label), targets)


def evaluate_run(
    folder: Path, out: Path | None = None, *, style: str | None = None, device: str = "cpu"
) -> dict[str, Any]:
    """Figures of every style (or of one, by name or row) on held-out characters, and a sheet with the worst first.

    Beside the figures of what G draws stand those of the source left as it is. A glyph may be taken for any held-out
    character of its style or for one of up to 200 that were trained on. The sheet goes to `out` (`evaluation.png` in
    the run if not given).

    Raises:
        ConfigError: no run, no such style, or `out` cannot be written.
        CheckpointError, DataError: the run's checkpoints or its data cannot be used.
    """
    run = trained_run(folder, device)
    row = None if style is None else run.row(style)
    data = run.data
    styles = {}
    bands: list[list[Pixels]] = []
    headings = {}
    for held in held_out(data):
        if row is not None and run.rows[held.style] != row:
            continue
        output, target = held.drawn(run), held.targets.pictures
        measured = held.targets.measure(output)
        distance = np.abs(output.astype(float) - target).mean((1, 2)) / 255
        order = np.lexsort((measured.cosine, measured.margin >= 0))
        glyphs = [
            {
                "character": held.targets.characters[i],
                "L1": float(distance[i]),
                "content cosine": float(measured.cosine[i]),
                "content margin": float(measured.margin[i]),
                "taken for": measured.taken[i],
            }
            for i in order.tolist()
        ]
        styles[data.styles[held.style]] = {
            "row": run.rows[held.style],
            "characters": len(output),
            "figures": measured.figures,
            "source as it is": held.targets.measure(held.source).figures,
            "glyphs": glyphs,
        }
        headings[len(bands)] = f"style {run.rows[held.style]}: {data.styles[held.style]}"
        for first in range(0, min(len(order), COLUMNS * BANDS), COLUMNS):
            chosen = order[first : first + COLUMNS]
            bands += [list(pictures[chosen]) for pictures in (held.source, output, target)]
    if not styles:
        raise ConfigError(
            f"run {run.name}: row {row} is not a style of its data; those are {', '.join(map(str, run.rows))}"
        )
    labels = ["source", "output", "target"] * (len(bands) // 3)
    path = out or folder / "evaluation.png"
    letters = dict(zip(data.characters, data.source, strict=True))
    sheet = contact_sheet(bands, labels, headings=headings, letters=letters, zoom=max(1, 64 // data.size))
    write(path, png(sheet), follow=out is not None)
    old, remarks = old_styles(run, device) if row is None else ([], [])
    return {
        "run": run.name,
        "step": run.step,
        "average": run.averaged,
        "styles": styles,
        "sheet": str(path),
        "old styles": old,
        "remarks": remarks,
    }


def figures_of_run(folder: Path) -> dict[str, dict[str, float]]:
    """The figures of every style by its name, on held-out characters.

    Raises:
        ConfigError, CheckpointError, DataError: as `evaluate_run`.
    """
    run = trained_run(folder)
    return {run.data.styles[held.style]: held.targets.measure(held.drawn(run)).figures for held in held_out(run.data)}


def evaluation_lines(result: dict[str, Any]) -> list[str]:
    """The figures as lines of text."""
    drawn = ", drawn with the average of G's weights" if result["average"] else ""
    text = [f"{result['run']} at step {result['step']}{drawn}"]
    for name, style in result["styles"].items():
        text.append(f"style {style['row']} {name}: {style['characters']} held-out characters, never trained on")
        text.append(f"{'':<18}{'run':>9}{'source as it is':>18}")
        for figure, value in style["figures"].items():
            other = style["source as it is"][figure]
            text.append(f"{figure:<18}{value:>9.4f}{other:>18.4f}  ({FIGURES[figure].meaning})")
        worst = [
            f"{glyph['character']} ({glyph['content cosine']:.2f}"
            + (f", taken for {glyph['taken for']})" if glyph["taken for"] != glyph["character"] else ")")
            for glyph in style["glyphs"][:LISTED]
        ]
        text.append(f"worst, by content cosine, wrong characters first: {', '.join(worst)}")
    return [*text, *old_style_lines(result["old styles"]), *result["remarks"]]
