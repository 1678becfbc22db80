"""traceback.txt: where in its code the plugin failed that ended a run; written here."""

from __future__ import annotations

import traceback
from pathlib import Path

from balancer.errors import printable
from balancer.record import files
from balancer.record.folder import TRACEBACK


def keep_traceback(folder: Path, error: BaseException, *, more: bool) -> Path | None:
    """Write an exception's traceback into a run directory; None where the disk refuses.

    It replaces what an earlier end left there; one `more` of the same end is added.
    """
    try:
        text = printable("".join(traceback.format_exception(error)))
        files.replace(folder, TRACEBACK, (files.read(folder, TRACEBACK) + b"\n" if more else b"") + text.encode())
    except Exception:  # the error itself matters more, and a foreign exception may refuse to be shown
        return None
    return folder / TRACEBACK
