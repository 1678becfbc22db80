"""Where glyphs go in a picture: ink boxes in the em, and one placement for all glyphs of a font.

Coordinates. The *em* of a font is its design square: x to the right and y upwards from the glyph's origin on
the baseline, in units of the em (font units divided by `Font.units_per_em`). The *frame* is the picture: x to
the right and y downwards from its top left corner, in units of its side. A `Placement` maps one to the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

BASELINE: Final = 0.88  # from the em box's top; the usual CJK division 880:120
FILL: Final = 0.75  # of the frame's side for the source's mean ink box: then nearly all of a cursive brush font fits


class InkBox(NamedTuple):
    """Extent of a glyph's ink in em units, y upwards from the baseline."""

    left: float
    bottom: float
    right: float
    top: float

    @property
    def size(self) -> tuple[float, float]:
        """Width and height."""
        return self.right - self.left, self.top - self.bottom

    @property
    def centre(self) -> tuple[float, float]:
        """Horizontal and vertical middle."""
        return (self.left + self.right) / 2, (self.bottom + self.top) / 2


@dataclass(frozen=True)
class Placement:
    """Where every glyph of one font goes in the frame: one isotropic scale and one offset.

    The same placement draws training pictures and places what G draws: `to_em` undoes `to_frame`, so a point
    (x, y) of a generated picture of S pixels is at `to_em(x / S, y / S)` times the units per em in font units.

    Attributes:
        scale: frame sides per em.
        x: frame coordinate of the glyph's origin.
        y: frame coordinate of the baseline.
    """

    scale: float = 1.0
    x: float = 0.0
    y: float = BASELINE

    @property
    def offset(self) -> tuple[float, float]:
        """Where the glyph's origin is in the frame."""
        return self.x, self.y

    def to_frame(self, x: float, y: float) -> tuple[float, float]:
        """A point of the em (y upwards) in the frame (y downwards)."""
        return self.x + self.scale * x, self.y - self.scale * y

    def to_em(self, x: float, y: float) -> tuple[float, float]:
        """A point of the frame (y downwards) in the em (y upwards): the inverse of `to_frame`."""
        return (x - self.x) / self.scale, (self.y - y) / self.scale

    def fits(self, box: InkBox) -> bool:
        """Whether a glyph with this ink box lies inside the frame."""
        corners = *self.to_frame(box.left, box.top), *self.to_frame(box.right, box.bottom)
        return min(corners) >= 0 and max(corners) <= 1


EM_BOX: Final = Placement()  # no alignment: the em fills the frame, all fonts on a common baseline


def centre_in_frame(mean: InkBox) -> Placement:
    """Placement of a source font: its mean ink box in the frame's middle, the longer side filling `FILL` of it."""
    scale = FILL / max(mean.size)
    x, y = mean.centre
    return Placement(scale, 0.5 - scale * x, 0.5 + scale * y)


def align_to_source(mean: InkBox, source_mean: InkBox, source: Placement) -> Placement:
    """Placement of a target font: its mean ink box on the source font's, of equal area and with the same centre.

    Both means are over the same characters. Against a common em box this improved every metric of held-out
    characters, and it can be undone at inference, as a fit per glyph cannot (methods.md, "Alignment").
    """
    scale = source.scale * math.sqrt(math.prod(source_mean.size) / math.prod(mean.size))
    frame_x, frame_y = source.to_frame(*source_mean.centre)
    x, y = mean.centre
    return Placement(scale, frame_x - scale * x, frame_y + scale * y)
