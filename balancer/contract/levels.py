"""Levels of D's and G's adversarial loss that mean something, and where each comes from."""

from __future__ import annotations

import math
from typing import Final

# D's adversarial loss oscillates in this band in a healthy run, by the source document, whose loss is BCE.
HEALTHY_D_ADV: Final = (0.1, 0.4)
SATURATED_BELOW: Final = 0.05  # the document's lowest of three bands
RECOVERED_ABOVE: Final = HEALTHY_D_ADV[0]  # a D that was saturated is so no more
CHANCE: Final = math.log(2.0)
# Balanced runs have a cheat loss of 1 to 4, by the source document; the starved one had 4 to 12.
STARVED_ABOVE: Final = 4.0
