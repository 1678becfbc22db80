"""Where a plugin that chooses a value by itself ends, beside the best fixed value that keeps content."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from evidence_words import Evidence

from balancer.lab.tables import Arm, Task, distance

LOST: Final = 0.02  # of content cosine, beside the fixed value with most of it: what keeps content loses no more


def landing(evidence: Evidence) -> Iterator[str]:
    """A table in Markdown: tasks, and how much larger the style distance of each arm is than the best one's."""
    arms = [*evidence.arms["landing"]["arms"], *evidence.arms["landing"]["wrong"]]
    rows = [row for task in evidence.tasks if (row := _row(task, arms)) is not None]
    if not rows:
        return
    yield ""
    yield "How far it lands from the best fixed `lambda_adv` among those that lose at most"
    yield f"{LOST:g} of content cosine: by how much its Fréchet distance is larger, and in brackets its content cosine"
    yield "less that of the fixed value with most of it. Beside it fixed values as they are."
    yield ""
    yield f"| task | pairs | best | {' | '.join(arms)} |"
    yield "|" + "---|" * (len(arms) + 3)
    yield from rows


def _row(task: Task, names: Sequence[str]) -> str | None:
    fixed = [arm for arm in task.arms if arm.place is not None and arm.runs]
    others = [task.arm(name) for name in names if any(arm.name == name for arm in task.arms)]
    pairs = [pair for pair in task.pairs if all(pair in arm.runs for arm in [*fixed, *others])]
    if not pairs or len(others) < len(names):
        return None

    def mean(arm: Arm, axis: int) -> float:
        name = task.axes[axis]
        found = [distance(arm.runs[pair], name, task.specs[name]) for pair in pairs]
        return float(np.mean([one for one in found if one is not None]))

    least = min(mean(arm, 0) for arm in fixed)
    best = min((arm for arm in fixed if mean(arm, 0) <= least + LOST), key=lambda arm: mean(arm, 1))
    cells = [f"{mean(arm, 1) / mean(best, 1) - 1:+.0%} ({least - mean(arm, 0):+.3f})" for arm in others]
    text = " | ".join(cell.replace("-", "−") for cell in cells)
    return f"| {task.name} | {len(pairs)} | {best.name}: {mean(best, 1):.3g} | {text} |"
