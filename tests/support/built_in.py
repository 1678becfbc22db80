"""The built-in plugins, as `pyproject.toml` registers them."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path
from typing import Final

_PROJECT: Final = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]

BUILT_IN: Final = tuple(sorted(_PROJECT["entry-points"]["balancer.plugins"]))
# Closed loops that each turn lambda_adv, of which a run takes one; the others go together.
LOOPS_ON_LAMBDA: Final = ("dynamic_lambda", "autobalance", "gradient_balance")
TOGETHER: Final = tuple(name for name in BUILT_IN if name not in LOOPS_ON_LAMBDA[1:])
# What the points model does not take, whose D sees no condition.
CONDITIONAL: Final = ("matching_aware",)
ON_POINTS: Final = tuple(name for name in BUILT_IN if name not in CONDITIONAL)
PAIRS_ON_POINTS: Final = tuple(
    pair for pair in itertools.combinations(ON_POINTS, 2) if len({*pair} & {*LOOPS_ON_LAMBDA}) < 2
)
