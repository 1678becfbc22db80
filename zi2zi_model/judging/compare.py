"""Two runs side by side: one picture of held-out characters, the same figures for both, and which came closer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from balancer.errors import ConfigError
from zi2zi_model.data.sheet import contact_sheet, evenly_spaced
from zi2zi_model.drawing.inference import TrainedRun, trained_run
from zi2zi_model.judging.measures import measure
from zi2zi_model.network.model import SAMPLES

if TYPE_CHECKING:
    from PIL.Image import Image

# How far a figure is from that of the target itself; the smaller, the closer.
_DISTANCE: Final = {
    "L1": lambda value: value,
    "SSIM": lambda value: 1.0 - value,
    "patch distance": lambda value: value,
    "edge sharpness": lambda value: abs(value - 1.0),
}
_MEANING: Final = {
    "L1": "0 is the target; rewards blur",
    "SSIM": "1 is the target; rewards blur",
    "patch distance": "0 is the target; stroke style",
    "edge sharpness": "1 is as sharp as the target",
}


def compare_runs(first: Path, second: Path, out: Path) -> dict[str, Any]:
    """Compare two runs and write the picture to `out`, in the format of its suffix.

    Returns the figures of `compare`, and the picture's path under `picture`.

    Raises:
        ConfigError: the runs were not trained on the same glyphs, or `out` cannot be written.
        CheckpointError, DataError: a run's checkpoints or its data cannot be used.
    """
    picture, result = compare(first, second)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        picture.save(out)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--out {out}: cannot be written: {error}") from None
    return {**result, "picture": str(out)}


def compare(first: Path, second: Path) -> tuple[Image, dict[str, Any]]:
    """The picture (source, first, second, target) and the figures of two runs on the same held-out glyphs.

    Raises:
        ConfigError: the runs were not trained on the same glyphs.
    """
    if first.resolve() == second.resolve():
        raise ConfigError(f"{first} and {second} are one and the same run")
    one = trained_run(first)
    two = trained_run(second)
    for name in ("characters", "labels", "held_out", "target_index", "source", "target"):
        if not np.array_equal(getattr(one.data, name), getattr(two.data, name)):
            raise ConfigError(f"{first} and {second} cannot be compared: they differ in their glyph data ({name})")
    items = one.data.held_out_items
    source, target, _ = one.data.batch(items)
    outputs = [run.held_out() for run in (one, two)]
    figures = [measure(output, target) for output in outputs]
    shown = evenly_spaced(items, SAMPLES)
    places = [next(i for i, item in enumerate(items) if (item == wanted).all()) for wanted in shown]
    labels = [label(run) for run in (one, two)]
    if labels[0] == labels[1]:
        labels = [str(first), str(second)] if one.name == two.name else [one.name, two.name]
    rows = [source, *outputs, target]
    picture = contact_sheet([list(row[places]) for row in rows], ["source", *labels, "target"], zoom=2)
    closer = {name: closer_of(name, figures[0][name], figures[1][name]) for name in _DISTANCE}
    return picture, {
        "characters": len(items),
        "runs": [
            {"run": str(folder), "label": text, "step": run.step, "figures": values}
            for folder, text, run, values in zip((first, second), labels, (one, two), figures, strict=True)
        ],
        "closer": {name: ("neither" if which is None else labels[which]) for name, which in closer.items()},
        "verdict": who_came_closer(labels, closer),
    }


def label(run: TrainedRun) -> str:
    """What a run is called in the picture."""
    return "with plugins" if run.plugins else "baseline"


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
    for name, meaning in _MEANING.items():
        values = "".join(f"{run['figures'][name]:>{width + 2}.4f}" for run in runs)
        lines.append(f"{name:<16}{values}{result['closer'][name]:>{width + 2}}  ({meaning})")
    return lines


def _names(names: list[str]) -> str:
    return " and ".join(names) if names else "nothing"
