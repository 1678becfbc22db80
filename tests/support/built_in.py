"""The built-in plugins, as `pyproject.toml` registers them."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path
from typing import Final

_PROJECT: Final = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]

BUILT_IN: Final = tuple(sorted(_PROJECT["entry-points"]["balancer.plugins"]))
# One of two laws that each turn lambda_adv; the others go together.
TOGETHER: Final = tuple(name for name in BUILT_IN if name != "gradient_balance")
# What the points model does not take, whose D sees no condition.
CONDITIONAL: Final = ("matching_aware",)
PAIRS_ON_POINTS: Final = tuple(
    pair
    for pair in itertools.combinations([name for name in BUILT_IN if name not in CONDITIONAL], 2)
    if pair != ("dynamic_lambda", "gradient_balance")
)
