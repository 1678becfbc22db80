"""Glyphs aligned font by font against glyphs in their em boxes: same steps, figures in one common frame.

    python benchmarks/alignment.py [--source FONT --targets FONT,FONT] [--steps 1200] [--seeds 0,1]

Each setting trains the plain baseline (tiny preset, lambda_adv 1) on the same characters. Every held-out output is then
shown in the em box of its font at twice the size, as the font itself would be, and compared there: both ways are
resampled alike. A third setting adds paired augmentation to the alignment.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from balancer.record.run_config import make_config
from balancer.train.run import train
from zi2zi_model.data.font_data import EMBEDDED_SOURCE, EMBEDDED_TARGETS, open_typeface
from zi2zi_model.data.glyphs import draw_glyph, reframe
from zi2zi_model.data.placement import EM_BOX
from zi2zi_model.drawing.inference import trained_run
from zi2zi_model.judges.figures import FIGURES, Targets

ENLARGED = 2
SETTINGS: dict[str, dict[str, Any]] = {
    "aligned": {},
    "raw em boxes": {"align": "none"},
    "aligned, augmented": {"augment_shift": 0.05, "augment_scale": 0.1},
}


def figures(folder: Path, targets: list[Path]) -> list[dict[str, float]]:
    """Of every style: held-out outputs beside their targets, both in the em box."""
    run = trained_run(folder)
    rows = []
    for index, path in enumerate(targets):
        typeface = open_typeface(path)
        items = run.data.held_out_items[run.data.held_out_items[:, 1] == index]
        source, _, label = run.data.batch(items)
        drawn = run.draw(source, torch.from_numpy(label))
        placement = run.placement(index)
        assert placement is not None
        size = ENLARGED * run.data.size
        output = np.stack([reframe(glyph, placement, EM_BOX, size) for glyph in drawn])
        characters = [run.data.characters[row] for row, _ in items]
        target = np.stack([draw_glyph(typeface, c, size, EM_BOX) for c in characters])
        rows.append(Targets(characters, target, target[:0], ()).measure(output).figures)
    return rows


def main() -> None:
    """Train each setting with each seed, and print the figures' means over styles."""
    parser = argparse.ArgumentParser(description="aligned against raw glyphs, in one common frame")
    parser.add_argument("--source", type=Path, default=EMBEDDED_SOURCE)
    parser.add_argument("--targets", default=",".join(map(str, EMBEDDED_TARGETS)))
    parser.add_argument("--charset", default="demo")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--seeds", default="0,1")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    targets = [Path(path) for path in arguments.targets.split(",")]
    print(f"{'':<20}{'seed':>5}" + "".join(f"{name:>18}" for name in FIGURES))
    for seed in map(int, arguments.seeds.split(",")):
        for name, settings in SETTINGS.items():
            model = {
                "source": str(arguments.source),
                "targets": [str(path) for path in targets],
                "charset": arguments.charset,
                **settings,
            }
            options = {"steps": arguments.steps, "seed": seed, "device": "cpu", "threads": 1, "sheet_every": 1000}
            config = make_config({}, {"model": model, "train": options}, plugins=[], model="zi2zi")
            with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(None):
                train(config, out=Path(folder) / "run", resume=None, quiet=True)
                rows = figures(Path(folder) / "run", targets)
            means: dict[str, list[float]] = defaultdict(list)
            for row in rows:
                for figure, value in row.items():
                    means[figure].append(value)
            print(
                f"{name:<20}{seed:>5}" + "".join(f"{np.mean(means[figure]):>18.4f}" for figure in FIGURES), flush=True
            )


if __name__ == "__main__":
    main()
