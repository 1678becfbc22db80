"""The former place of `balancer.train.progress`, until 0.3."""

import warnings

from balancer.errors import Deprecated
from balancer.train.progress import Progress, figures

__all__ = ["Progress", "figures"]

warnings.warn(
    "balancer.progress is now balancer.train.progress; the old name goes with 0.3",
    Deprecated,
    stacklevel=2,
)
