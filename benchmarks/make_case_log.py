"""Rebuild a training log from the figures of the source document's case: docs/case.log. It is not a recording of a run.

python benchmarks/make_case_log.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

EPOCHS, BATCHES, EVERY = 12, 416, 100  # 6,645 characters in batches of 16
RESUMED = 64010
RATE = 2.5e-4  # of both networks, as in the document's example
L1_WEIGHT, CONST_WEIGHT = 90, 5  # with these the logged sums are 27 to 36, as in the document


def lines() -> list[str]:
    """The log, line by line, in the format of max32002/zi2zi-pytorch."""
    random = np.random.default_rng(0)
    made = [
        "(rebuilt from the figures in the source document; no recording of a run)",
        "[Network G] Total number of parameters : 52.875 M",
        "[Network D] Total number of parameters : 4.412 M",
        f"Resumed model from step/epoch: {RESUMED}",
    ]
    total = EPOCHS * BATCHES
    seconds = 0.0
    for epoch in range(EPOCHS):
        for batch in range(0, BATCHES, EVERY):
            t = (epoch * BATCHES + batch) / total
            level = np.log(0.01) + (np.log(0.0003) - np.log(0.01)) * t
            d_loss = float(np.clip(np.exp(level + random.normal(0, 0.4)), 0.0003, 0.01))
            cheat = float(np.clip(4 + 8 * t + random.normal(0, 0.3), 3.9, 12.1))
            const, l1 = 0.275 + 0.01 * t + random.normal(0, 0.003), 0.245 + 0.01 * t + random.normal(0, 0.002)
            g_loss = cheat + L1_WEIGHT * l1 + CONST_WEIGHT * const
            seconds = (epoch * BATCHES + batch) * 1.31
            made.append(
                f"Epoch: [{epoch:2d}], [{batch:4d}/{BATCHES:4d}] time: {seconds:5.0f}, d_loss: {d_loss:.4f}, "
                f"g_loss: {g_loss:.4f}, category_loss: 0.0000, cheat_loss: {cheat:.4f}, const_loss: {const:.4f}, "
                f"l1_loss: {l1:.4f}"
            )
        for network in "GD":
            old, new = (RATE * 0.99**e for e in (epoch, epoch + 1))
            made.append(f"Decay net_{network} learning rate from {old:.6f} to {new:.6f}.")
        made.append(f"--- End of Epoch {epoch} --- Time: {BATCHES * 1.31:.0f}s ---")
        if epoch % 4 == 3:
            made.append(f"Checkpoint: save checkpoint step {RESUMED + (epoch + 1) * BATCHES}")
    return made


if __name__ == "__main__":
    path = Path(__file__).parents[1] / "docs" / "case.log"
    path.write_text("\n".join(lines()) + "\n", encoding="utf-8")
    print(f"{path}: {len(lines())} lines")
