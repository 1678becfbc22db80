"""What every figure of `balancer zi2zi evaluate` says of glyphs of which it is known what is wrong with them.

The cases are those of tests/support/known_cases.py. By default on the embedded fonts, which no judge was trained on,
with the source's horizontal strokes thinned for another style; --target and --wrong-style name fonts of one's own:

    python benchmarks/known_cases.py
    python benchmarks/known_cases.py --source FONT --target FONT --wrong-style FONT

Prints a table in Markdown: a row for each case, a column for each figure.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from zi2zi_model.data.font_data import EMBEDDED_SOURCE, EMBEDDED_TARGETS, from_fonts
from zi2zi_model.data.glyphs import Pixels
from zi2zi_model.data.sheet import evenly_spaced
from zi2zi_model.judges.figures import FIGURES, Targets

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from known_cases import known_cases, stroked


def cases_of(
    source: Path, target: Path, wrong_style: Path | None, count: int, size: int
) -> tuple[Targets, dict[str, Pixels]]:
    """Targets, and the known cases of `count` demo characters that all fonts draw; the others may be taken for them."""
    faces = [target] if wrong_style is None else [target, wrong_style]
    data = from_fonts(source, faces, size=size)
    rows = np.flatnonzero((data.target_index >= 0).all(1))
    chosen = evenly_spaced(rows, count)
    glyphs = [data.target[data.target_index[:, style]] for style in range(len(faces))]
    others = np.setdiff1d(rows, chosen)
    names = data.characters
    targets = Targets([names[i] for i in chosen], glyphs[0][chosen], glyphs[0][others], [names[i] for i in others])
    another = stroked(data.source[chosen]) if wrong_style is None else glyphs[1][chosen]
    return targets, known_cases(data.source[chosen], glyphs[0][chosen], another)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="every figure on glyphs whose faults are known")
    parser.add_argument("--source", type=Path, default=EMBEDDED_SOURCE)
    parser.add_argument("--target", type=Path, default=EMBEDDED_TARGETS[0])
    parser.add_argument("--wrong-style", type=Path)
    parser.add_argument("--count", type=int, default=75)
    parser.add_argument("--size", type=int, default=64)
    given = parser.parse_args()
    torch.set_num_threads(1)
    targets, cases = cases_of(given.source, given.target, given.wrong_style, given.count, given.size)
    print(f"| | {' | '.join(FIGURES)} |\n|---{'|---' * len(FIGURES)}|")
    for case, output in cases.items():
        values = targets.measure(output).figures
        print(f"| {case} | {' | '.join(f'{values[name]:.3f}' for name in FIGURES)} |", flush=True)


if __name__ == "__main__":
    main()
