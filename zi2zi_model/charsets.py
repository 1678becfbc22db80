"""Where `zi2zi_model.data.charsets` was before; until 0.3."""

import warnings

from balancer.errors import Deprecated
from zi2zi_model.data.charsets import CHARSETS, DEMO_SIZE, choose, is_held_out, load_charset

__all__ = ["CHARSETS", "DEMO_SIZE", "choose", "is_held_out", "load_charset"]

warnings.warn(
    "zi2zi_model.charsets is now zi2zi_model.data.charsets, and goes with 0.3",
    Deprecated,
    stacklevel=2,
)
