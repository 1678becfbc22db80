"""The run directory while a run goes on: the same one that it began in, and its checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from balancer.errors import CheckpointError
from balancer.record import checkpoint
from balancer.record.folder import CHECKPOINTS

RETRY_AFTER: Final = 1.0  # seconds: what is short passes


class Place:
    """Where a run writes to. One that was removed, moved or replaced meanwhile is noticed, not made anew."""

    def __init__(self, folder: Path) -> None:
        self.folder: Final = folder
        self._is: Final = _identity(folder)

    def require(self) -> None:
        """Insist that the directory is still there; it is looked for once more a second later.

        Raises:
            CheckpointError: says what is saved, and how to go on.
        """
        if _identity(self.folder) == self._is:
            return
        time.sleep(RETRY_AFTER)
        if _identity(self.folder) != self._is:
            raise CheckpointError(
                f"run directory {self.folder} was removed, moved or replaced while the run went on: what came after "
                "its newest checkpoint is not saved; if it was moved, go on with --resume and its new place"
            )

    def save(self, step: int, state: Mapping[str, Any], *, keep: int) -> None:
        """Write a checkpoint; where the disk refuses, once more a second later.

        Raises:
            CheckpointError: it cannot be written, or the directory is gone.
        """
        self.require()
        try:
            checkpoint.save(self.folder / CHECKPOINTS, step, state, keep=keep)
        except CheckpointError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            time.sleep(RETRY_AFTER)
            self.require()
            checkpoint.save(self.folder / CHECKPOINTS, step, state, keep=keep)


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
