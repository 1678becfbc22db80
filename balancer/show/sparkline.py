"""A curve in one line of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCKS: Final = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float] | NDArray[np.float64]) -> str:
    """Block characters, the lowest value at the bottom; a flat line where all are the same."""
    array = np.asarray(values, dtype=float)
    if len(array) == 0:
        return ""
    low, high = array.min(), array.max()
    # What differs by rounding alone is flat.
    if high - low <= 1e-9 * max(abs(high), abs(low)):
        return BLOCKS[0] * len(array)
    level = (array - low) / (high - low) * (len(BLOCKS) - 1)
    return "".join(BLOCKS[round(value)] for value in level)
