"""The former place of `balancer.record.signals`; it goes with 0.3."""

import warnings

from balancer.errors import Deprecated
from balancer.record.folder import COLUMNS, SIGNALS
from balancer.record.signals import SignalLog, read_signals

__all__ = ["COLUMNS", "SIGNALS", "SignalLog", "read_signals"]

warnings.warn(
    "balancer.signal_log is balancer.record.signals now: take read_signals from balancer",
    Deprecated,
    stacklevel=2,
)
