"""Trackers that accelerate knows (W&B, MLflow, trackio, …): they get every logged row too, and never stop a run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import LoggerType

from balancer.errors import ConfigError, suggestion


def check_trackers(names: Sequence[str]) -> None:
    """See that accelerate knows each, and that its package is installed.

    Raises:
        ConfigError: says what to install.
    """
    available = {str(name) for name in get_available_trackers()}
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            known = suggestion(name, sorted(LOGGER_TYPE_TO_CLASS))
            raise ConfigError(f"train.trackers: accelerate knows no tracker {name!r}: {known}")
        # One that somebody registered with accelerate brings its own package.
        if name in LoggerType.list() and name not in available:
            raise ConfigError(f"train.trackers: {name} is not installed: pip install {name}")


class Trackers:
    """The trackers that an accelerator was made for; one that fails is given up with a warning."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator: Final = accelerator

    def start(self, project: str, settings: Mapping[str, Any]) -> None:
        """Begin a run of the project in each, with these settings, flat.

        Raises:
            ConfigError: one cannot begin, such as for want of a login; nothing is trained then.
        """
        if not self._accelerator.log_with:
            return
        plain = {k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in settings.items()}
        try:
            self._accelerator.init_trackers(project, plain)
        except Exception as error:
            names = ", ".join(map(str, self._accelerator.log_with))
            cause = f"{type(error).__name__}: {error}"
            raise ConfigError(f"train.trackers: {names} cannot begin a run, leave out which fails: {cause}") from error

    def __bool__(self) -> bool:
        return bool(self._accelerator.trackers)

    def log(self, step: int, row: Mapping[str, float]) -> None:
        """Hand a step's values over, by TensorBoard tag."""
        self._each(lambda tracker: tracker.log(dict(row), step=step))

    def finish(self) -> None:
        """End the run in each. One that an error broke off is left to what a tracker does when the process ends."""
        self._each(lambda tracker: tracker.finish())
        self._accelerator.trackers = []  # accelerate would end them again

    def _each(self, action: Callable[[Any], object]) -> None:
        for tracker in list(self._accelerator.trackers):
            try:
                action(tracker)
            except Exception as error:
                self._accelerator.trackers.remove(tracker)
                cause = " ".join(f"{type(error).__name__}: {error}".split())
                warnings.warn(f"tracker {tracker.name} is given up in this run: {cause}", stacklevel=4)
