"""How good a run's held-out glyphs are: structure, sharpness, stroke style, and whether each is the right character."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from balancer.errors import ConfigError
from zi2zi_model.data.glyphs import Pixels
from zi2zi_model.data.picture_files import png, write
from zi2zi_model.data.sheet import COLUMNS, contact_sheet
from zi2zi_model.drawing.inference import trained_run
from zi2zi_model.judging.judges import recognise, style_distance
from zi2zi_model.judging.measures import MEASURES, measure

BANDS: Final = 6  # of the sheet: each a row of sources, of outputs and of targets
LISTED: Final = 10

_MEASURED: Final = ("L1", "SSIM", "edge sharpness")
MEANING: Final = {
    **{name: MEASURES[name] for name in _MEASURED},
    "style distance": "0 is the target; 1 is as far as two fonts usually are",
    "content accuracy": "share recognised as the right character",
}


def figures_of(
    output: Pixels,
    target: Pixels,
    characters: Sequence[str],
    references: Pixels,
    reference_characters: Sequence[str],
) -> tuple[dict[str, float], list[str]]:
    """The figures of drawn glyphs (n, S, S) beside their targets, and the character that each is taken for.

    `references` (m, S, S) are pictures of known characters, among them those that should be recognised.
    """
    taken = recognise(output, characters, references, reference_characters)
    measured = measure(output, target)
    right = [one == two for one, two in zip(taken, characters, strict=True)]
    figures = {name: measured[name] for name in _MEASURED}
    figures["style distance"] = style_distance(output, target)
    figures["content accuracy"] = sum(right) / len(right)
    return figures, taken


def evaluate_run(
    folder: Path, out: Path | None = None, *, style: str | None = None, device: str = "cpu"
) -> dict[str, Any]:
    """Figures of every style (or of one, by name or row) on held-out characters, and a sheet with the worst first.

    A character is recognised among all that the run's data holds, as the source draws them and, where they were
    held out, as the target does. Beside the figures of what G draws stand those of the source left as it is. The
    sheet goes to `out` (`evaluation.png` in the run if not given).

    Raises:
        ConfigError: no run, no such style, or `out` cannot be written.
        CheckpointError, DataError: the run's checkpoints or its data cannot be used.
    """
    run = trained_run(folder, device)
    row = None if style is None else run.row(style)
    data = run.data
    styles = {}
    bands: list[list[Pixels]] = []
    for index, name in enumerate(data.styles):
        items = data.held_out_items[data.held_out_items[:, 1] == index]
        if not len(items) or (row is not None and run.rows[index] != row):
            continue
        source, target, label = data.batch(items)
        output = run.draw(source, torch.from_numpy(label + run.settings.style_offset))
        characters = [data.characters[item] for item, _ in items]
        references = np.concatenate([data.source, target])
        known = [*data.characters, *characters]
        figures, taken = figures_of(output, target, characters, references, known)
        untouched, _ = figures_of(source, target, characters, references, known)
        distance = np.abs(output.astype(float) - target).mean((1, 2)) / 255
        wrong = np.array([one != two for one, two in zip(taken, characters, strict=True)])
        order = np.lexsort((-distance, ~wrong))
        glyphs = [{"character": characters[i], "L1": float(distance[i]), "taken for": taken[i]} for i in order.tolist()]
        styles[name] = {
            "row": run.rows[index],
            "characters": len(items),
            "figures": figures,
            "source as it is": untouched,
            "glyphs": glyphs,
        }
        for first in range(0, min(len(order), COLUMNS * BANDS), COLUMNS):
            chosen = order[first : first + COLUMNS]
            bands += [list(pictures[chosen]) for pictures in (source, output, target)]
    if not styles:
        raise ConfigError(
            f"run {run.name}: row {row} is not a style of its data; those are {', '.join(map(str, run.rows))}"
        )
    labels = ["source", "output", "target"] * (len(bands) // 3)
    path = out or folder / "evaluation.png"
    write(path, png(contact_sheet(bands, labels, zoom=max(1, 64 // data.size))), follow=out is not None)
    return {"run": run.name, "step": run.step, "styles": styles, "sheet": str(path)}


def evaluation_lines(result: dict[str, Any]) -> list[str]:
    """The figures as lines of text."""
    text = [f"{result['run']} at step {result['step']}"]
    for name, style in result["styles"].items():
        text.append(f"style {style['row']} {name}: {style['characters']} held-out characters, never trained on")
        text.append(f"{'':<18}{'run':>9}{'source as it is':>18}")
        for figure, meaning in MEANING.items():
            values = style["figures"][figure], style["source as it is"][figure]
            text.append(f"{figure:<18}{values[0]:>9.4f}{values[1]:>18.4f}  ({meaning})")
        worst = [
            f"{glyph['character']} ({glyph['L1']:.3f}"
            + (f", taken for {glyph['taken for']})" if glyph["taken for"] != glyph["character"] else ")")
            for glyph in style["glyphs"][:LISTED]
        ]
        text.append(f"worst, by L1, wrong characters first: {', '.join(worst)}")
    return text
