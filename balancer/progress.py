"""The former place of `balancer.train.progress`, kept for one release."""

import warnings

from balancer.train.progress import Progress, figures

__all__ = ["Progress", "figures"]

warnings.warn(
    "balancer.progress is now balancer.train.progress; the old name goes with the next release",
    DeprecationWarning,
    stacklevel=2,
)
