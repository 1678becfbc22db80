"""Two runs side by side: one picture of held-out characters, the same figures for both, and which came closer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from balancer.errors import ConfigError
from zi2zi_model.data.picture_files import picture, write
from zi2zi_model.data.sheet import contact_sheet, evenly_spaced
from zi2zi_model.drawing.inference import trained_run
from zi2zi_model.judging.measures import MEASURES, measure
from zi2zi_model.network.model import SAMPLES

# How far a figure is from that of the target itself; the smaller, the closer.
_DISTANCE: Final = {
    "L1": lambda value: value,
    "SSIM": lambda value: 1.0 - value,
    "patch distance": lambda value: value,
    "edge sharpness": lambda value: abs(value - 1.0),
}


def compare_runs(first: Path, second: Path, out: Path) -> dict[str, Any]:
    """Compare two runs on the same held-out glyphs: figures, and a picture (source, first, second, target).

    The picture goes to `out`, in the format of its suffix.

    Raises:
        ConfigError: the runs were not trained on the same glyphs, or `out` cannot be written.
        CheckpointError, DataError: a run's checkpoints or its data cannot be used.
    """
    if first.resolve() == second.resolve():
        raise ConfigError(f"{first} and {second} are one and the same run")
    runs = one, two = trained_run(first), trained_run(second)
    for name in ("characters", "labels", "held_out", "target_index", "source", "target"):
        if not np.array_equal(getattr(one.data, name), getattr(two.data, name)):
            raise ConfigError(f"{first} and {second} cannot be compared: they differ in their glyph data ({name})")
    items = one.data.held_out_items
    source, target, _ = one.data.batch(items)
    outputs = [run.held_out() for run in runs]
    figures = [measure(output, target) for output in outputs]
    labels = ["with plugins" if run.plugins else "baseline" for run in runs]
    if labels[0] == labels[1]:
        labels = [str(first), str(second)] if one.name == two.name else [one.name, two.name]
    places = evenly_spaced(np.arange(len(items)), SAMPLES)
    rows = [list(row[places]) for row in (source, *outputs, target)]
    try:
        write(out, picture(contact_sheet(rows, ["source", *labels, "target"], zoom=2), out.suffix))
    except ValueError as error:
        raise ConfigError(f"--out {out}: cannot be written: {error}") from None
    closer = {name: closer_of(name, figures[0][name], figures[1][name]) for name in _DISTANCE}
    return {
        "characters": len(items),
        "runs": [
            {"run": str(folder), "label": label, "step": run.step, "figures": values}
            for folder, label, run, values in zip((first, second), labels, runs, figures, strict=True)
        ],
        "closer": {name: ("neither" if which is None else labels[which]) for name, which in closer.items()},
        "verdict": who_came_closer(labels, closer),
        "picture": str(out),
    }


def closer_of(name: str, first: float, second: float) -> int | None:
    """0 or 1 for the run whose figure is closer to the target, None where they differ by less than 2 %."""
    one, two = _DISTANCE[name](first), _DISTANCE[name](second)
    if abs(one - two) < 0.02 * max(one, two):
        return None
    return 0 if one < two else 1


def who_came_closer(labels: list[str], closer: dict[str, int | None]) -> str:
    """One plain sentence: who came closer by which figures."""
    won = [[name for name, which in closer.items() if which == index] for index in (0, 1)]
    if len(won[0]) == len(won[1]):
        return f"Neither came closer: {labels[0]} by {_names(won[0])}, {labels[1]} by {_names(won[1])}."
    best = 0 if len(won[0]) > len(won[1]) else 1
    against = f", but not by {_names(won[1 - best])}" if won[1 - best] else ""
    return f"{labels[best]} came closer to the target, by {_names(won[best])}{against}. One seed: a hint, not a proof."


def comparison_lines(result: dict[str, Any]) -> list[str]:
    """The figures as lines of text."""
    runs = result["runs"]
    width = max(14, *(len(run["label"]) for run in runs))
    lines = [f"{result['characters']} held-out characters after {runs[0]['step']} and {runs[1]['step']} steps"]
    lines.append(f"{'':<16}" + "".join(f"{run['label']:>{width + 2}}" for run in runs) + f"{'closer':>{width + 2}}")
    for name, meaning in MEASURES.items():
        values = "".join(f"{run['figures'][name]:>{width + 2}.4f}" for run in runs)
        lines.append(f"{name:<16}{values}{result['closer'][name]:>{width + 2}}  ({meaning})")
    return lines


def _names(names: list[str]) -> str:
    return " and ".join(names) if names else "nothing"
