"""What fine-tuning left of the styles of the run that it started from: each drawn again, beside what that run draws."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch

from balancer.errors import BalancerError
from zi2zi_model.data.sheet import evenly_spaced
from zi2zi_model.drawing.inference import TrainedRun, trained_run
from zi2zi_model.judges.figures import FIGURES, Targets

DRAWN: Final = 64  # held-out characters, at most
# Two sets of 60 glyphs of one font were 0.07 to 0.17 apart (docs/tutorial.md); the cosine of another font's form of a
# character is about 0.93, that of one with a band of strokes missing 0.73 (docs/figures.md).
STILL: Final = {"style distance": 0.17, "content cosine": 0.93}
_SHOWN: Final = ("L1", *STILL)


def old_styles(run: TrainedRun, device: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Of each style of the runs that `run` started from, one after another: its row, and how `run` draws it now.

    Where no later run took the row, figures on this run's held-out characters with what the old run draws as the
    target, and whether that is `still drawn`: by the bounds of `STILL`. The sentences say which runs could not be read.
    """
    found: list[dict[str, Any]] = []
    taken = dict(zip(run.rows, run.styles, strict=True))
    passed = {run.settings.start}
    start = run.settings.start
    while start is not None:
        try:
            base = trained_run(start, device)
        except BalancerError as error:
            return found, [f"what is left of the styles of {start.name} cannot be said: {error}"]
        for name, row in zip(base.styles, base.rows, strict=True):
            style = {"style": name, "row": row, "run": base.name}
            found.append(style | ({"trained as": taken[row]} if row in taken else _drawn_as(base, run, row)))
        taken |= {row: name for name, row in zip(base.styles, base.rows, strict=True) if row not in taken}
        start = base.settings.start
        if start in passed:
            break
        passed.add(start)
    return found, []


def _drawn_as(base: TrainedRun, run: TrainedRun, row: int) -> dict[str, Any]:
    data = run.data
    chosen = evenly_spaced(np.unique(data.held_out_items[:, 0]), DRAWN)
    source, characters = data.source[chosen], [data.characters[number] for number in chosen]
    style = torch.full((len(source),), row)
    then, now = (drawn_by.draw(source, style) for drawn_by in (base, run))
    measured = Targets(characters, then, then[:0], []).measure(now).figures
    figures = {figure: measured[figure] for figure in _SHOWN}
    still = all(FIGURES[f].distance(figures[f]) <= FIGURES[f].distance(bound) for f, bound in STILL.items())
    return {"figures": figures, "still drawn": still}


def old_style_lines(found: list[dict[str, Any]]) -> list[str]:
    """The same as lines of text."""
    lines = []
    for style in found:
        of = f"style {style['row']} {style['style']} of {style['run']}"
        if "trained as" in style:
            lines.append(f"{of}: its row was trained on as {style['trained as']}")
            continue
        figures = ", ".join(f"{figure} {value:.4f}" for figure, value in style["figures"].items())
        lines.append(f"{of}: {'still' if style['still drawn'] else 'no longer'} drawn as there ({figures})")
    return lines
