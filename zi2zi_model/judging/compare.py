"""Two settings side by side, each with one run or with several that differ in their seed: figures, and a picture.

What two runs of one setting differ by is noise. So a figure says who came closer only where several seeds on each side
agree on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from balancer import paired_interval
from balancer.errors import ConfigError
from zi2zi_model.data.picture_files import picture, write
from zi2zi_model.data.sheet import contact_sheet, evenly_spaced
from zi2zi_model.drawing.inference import TrainedRun, trained_run
from zi2zi_model.judges.figures import FIGURES
from zi2zi_model.judging.evaluation import HeldOut, held_out
from zi2zi_model.network.model import SAMPLES

CONFIDENCE: Final = 0.95  # of all figures together
_SAME_GLYPHS: Final = ("characters", "labels", "held_out", "target_index", "source", "target")


@dataclass(frozen=True)
class Side:
    """One setting: its folder, and its runs by their seed."""

    folder: Path
    runs: dict[int, TrainedRun]

    @property
    def first(self) -> TrainedRun:
        """The run of the lowest seed."""
        return next(iter(self.runs.values()))


def compare_runs(first: Path, second: Path, out: Path) -> dict[str, Any]:
    """Compare two settings on the same held-out glyphs: figures, and a picture (source, first, second, target).

    `first` and `second` are each a run directory, or a folder of run directories that differ in `train.seed` alone;
    both sides have the same seeds then. A figure is a run's mean over styles; the picture, in the format of `out`'s
    suffix, shows the lowest seed. With two seeds or more each figure gets an interval of how much closer to the target
    the second side is, paired by seed; all intervals together hold with 95 %.

    Raises:
        ConfigError: the runs were not trained on the same glyphs, those of a side differ in more than their seed, the
            sides have other seeds, or `out` cannot be written.
        CheckpointError, DataError: a run's checkpoints or its data cannot be used.
    """
    if first.resolve() == second.resolve():
        raise ConfigError(f"{first} and {second} are one and the same run")
    sides = one, two = _side(first), _side(second)
    several = len(one.runs) > 1 or len(two.runs) > 1
    if several and list(one.runs) != list(two.runs):
        seeds = " and ".join(f"{list(side.runs)} in {side.folder}" for side in sides)
        raise ConfigError(f"the two sides are paired by their seeds, which differ: {seeds}")
    for side in sides:
        for run in side.runs.values():
            for name in _SAME_GLYPHS:
                if not np.array_equal(getattr(one.first.data, name), getattr(run.data, name)):
                    raise ConfigError(
                        f"{first} and {second} cannot be compared: they differ in their glyph data ({name})"
                    )
    styles = list(held_out(one.first.data))
    rows = [[_figures(run, styles) for run in side.runs.values()] for side in sides]
    labels = _labels(one, two)
    _draw(out, one, two, labels)
    names = [name for name in FIGURES if all(name in row for side in rows for row in side)]
    closer, intervals = {}, {}
    for name in names:
        gains = [
            FIGURES[name].distance(before[name]) - FIGURES[name].distance(after[name])
            for before, after in zip(*rows, strict=True)
        ]
        interval = paired_interval(gains, 1 - (1 - CONFIDENCE) / len(names))
        intervals[name] = interval
        closer[name] = (
            None if interval is None else labels[1] if interval[0] > 0 else labels[0] if interval[1] < 0 else None
        )
    return {
        "characters": sum(len(style.items) for style in styles),
        "seeds": list(one.runs) if several else [],
        "runs": [
            {
                "run": str(side.folder),
                "label": label,
                "step": side.first.step,
                "average": side.first.averaged,
                "figures": {name: float(np.mean([row[name] for row in figures])) for name in names},
                "of each run": figures,
            }
            for side, label, figures in zip(sides, labels, rows, strict=True)
        ],
        "closer by": intervals,
        "closer": closer,
        "verdict": verdict(labels, closer, len(one.runs)),
        "picture": str(out),
    }


def verdict(labels: Sequence[str], closer: dict[str, str | None], seeds: int) -> str:
    """One plain sentence: who came closer by which figures, or why nobody is named."""
    if seeds == 1:
        return "One run a side names no winner: two seeds of one setting differ too. Train several seeds of both."
    won = {label: [name for name, which in closer.items() if which == label] for label in labels}
    found = [f"{label} came closer to the target by {', '.join(names)}" for label, names in won.items() if names]
    if not found:
        return f"Neither came closer: over {seeds} seeds no figure differs by more than seeds do."
    return f"{'; '.join(found)}: over {seeds} seeds, all figures together with {CONFIDENCE:.0%} confidence."


def comparison_lines(result: dict[str, Any]) -> list[str]:
    """The figures as lines of text."""
    runs, seeds = result["runs"], len(result["seeds"])
    width = max(14, *(len(run["label"]) for run in runs))
    lines = [f"{result['characters']} held-out glyphs after {runs[0]['step']} and {runs[1]['step']} steps"]
    lines[0] += f", {seeds} seeds a side" if seeds else ""
    columns = [*(run["label"] for run in runs), *(["closer by"] if seeds else [])]
    lines.append(f"{'':<18}" + "".join(f"{column:>{width + 2}}" for column in columns))
    for name, interval in result["closer by"].items():
        values = "".join(f"{run['figures'][name]:>{width + 2}.4f}" for run in runs)
        gain = "" if interval is None else f"{f'{interval[0]:+.4f} … {interval[1]:+.4f}':>{width + 2}}"
        lines.append(f"{name:<18}{values}{gain}  ({FIGURES[name].meaning})")
    averaged = [run["label"] for run in runs if run["average"]]
    if len(averaged) == 1:
        lines.append(f"{averaged[0]} alone draws with an average of G's weights (train.ema_half_life)")
    return lines


def _side(folder: Path) -> Side:
    """The run in a folder, or those in its folders.

    Raises:
        ConfigError: no run there, two of one seed, or they differ in more than the seed.
    """
    inner = sorted(path.parent for path in folder.glob("*/config.toml"))
    folders = [folder] if (folder / "config.toml").exists() or not inner else inner
    runs: dict[int, TrainedRun] = {}
    settings: dict[int, dict[str, Any]] = {}
    for path in folders:
        run = trained_run(path)
        seed = run.config["train"]["seed"]
        if seed in runs:
            raise ConfigError(f"{folder}: two of its runs have the seed {seed}, {runs[seed].name} and {run.name}")
        runs[seed], settings[seed] = run, _without_seed(run)
    reference = next(iter(settings.values()))
    for table in settings.values():
        differing = sorted(key for key in {*reference, *table} if reference.get(key) != table.get(key))
        if differing:
            raise ConfigError(f"{folder}: its runs differ in more than their seed: {', '.join(differing)}")
    return Side(folder, dict(sorted(runs.items())))


def _without_seed(run: TrainedRun) -> dict[str, Any]:
    """What a run was made with, by `table.key`, but for its seed, and how far it is."""
    tables = {name: table for name, table in run.config.items() if name != "run"}
    flat = {f"{name}.{key}": value for name, table in tables.items() for key, value in table.items()}
    flat.pop("train.seed")
    return {**flat, "run.plugins": list(run.plugins), "steps done": run.step}


def _figures(run: TrainedRun, styles: Sequence[HeldOut]) -> dict[str, float]:
    """A run's figures, the mean over styles of those that each has."""
    rows = [held.targets.measure(held.drawn(run)).figures for held in styles]
    return {name: float(np.mean([row[name] for row in rows])) for name in FIGURES if all(name in row for row in rows)}


def _labels(one: Side, two: Side) -> list[str]:
    names = [side.folder.resolve().name for side in (one, two)]
    return names if names[0] != names[1] else [str(side.folder) for side in (one, two)]


def _draw(out: Path, one: Side, two: Side, labels: Sequence[str]) -> None:
    """Held-out glyphs as the source has them, as the runs of the lowest seed draw them, and as the target has them."""
    data = one.first.data
    items = evenly_spaced(data.held_out_items, SAMPLES)
    source, target, label = data.batch(items)
    drawn = [side.first.draw(source, torch.from_numpy(label + side.first.settings.style_offset)) for side in (one, two)]
    rows = [list(row) for row in (source, *drawn, target)]
    try:
        write(out, picture(contact_sheet(rows, ["source", *labels, "target"], zoom=2), out.suffix))
    except ValueError as error:
        raise ConfigError(f"--out {out}: cannot be written: {error}") from None
