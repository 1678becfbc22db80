"""Where `font`, `glyphs` and `placement` of `zi2zi_model.data` were before; until 0.3."""

import warnings

from balancer.errors import Deprecated
from zi2zi_model.data.font import Font
from zi2zi_model.data.glyphs import Pixels, Typeface, draw_glyph, ink_extent, is_blank, reframe
from zi2zi_model.data.placement import BASELINE, EM_BOX, FILL, InkBox, Placement, align_to_source, centre_in_frame

__all__ = [
    "BASELINE",
    "EM_BOX",
    "FILL",
    "Font",
    "InkBox",
    "Pixels",
    "Placement",
    "Typeface",
    "centre_in_frame",
    "draw_glyph",
    "ink_extent",
    "is_blank",
    "meet",
    "reframe",
]

meet = align_to_source

warnings.warn(
    "zi2zi_model.glyphs is now zi2zi_model.data.font, .glyphs and .placement, and goes with 0.3",
    Deprecated,
    stacklevel=2,
)
