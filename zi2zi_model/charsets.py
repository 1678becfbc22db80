"""Where `zi2zi_model.data.charsets` was before; kept for one release."""

import warnings

from zi2zi_model.data.charsets import CHARSETS, DEMO_SIZE, choose, is_held_out, load_charset

__all__ = ["CHARSETS", "DEMO_SIZE", "choose", "is_held_out", "load_charset"]

warnings.warn(
    "zi2zi_model.charsets is now zi2zi_model.data.charsets, and goes with the next release",
    DeprecationWarning,
    stacklevel=2,
)
