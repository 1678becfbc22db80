"""The most memory that a process, or its accelerator, has held since a moment."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import torch

_STATUS, _CLEAR, _MEMORY = Path("/proc/self/status"), Path("/proc/self/clear_refs"), Path("/proc/meminfo")


class PeakMemory:
    """Of a run on a device: a GPU's memory there, and resident memory of this process on the CPU.

    Where a system cannot begin anew, the peak is that of the process's whole life.
    """

    def __init__(self, device: torch.device) -> None:
        self.on_gpu = device.type == "cuda"
        self._device = device

    def begin(self) -> None:
        """Count from now on."""
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats(self._device)
            return
        with contextlib.suppress(OSError):
            _CLEAR.write_text("5")  # proc(5): the peak becomes what is resident now

    def bytes(self) -> int:
        """The most since `begin`; 0 where a system does not say."""
        if self.on_gpu:
            return torch.cuda.max_memory_reserved(self._device)
        now = _kibibytes(_STATUS, "VmHWM")
        return _of_life() if now is None else now

    def free(self) -> int | None:
        """What is there to be had besides what is held now; None where a system does not say."""
        return torch.cuda.mem_get_info(self._device)[0] if self.on_gpu else _kibibytes(_MEMORY, "MemAvailable")


def _kibibytes(path: Path, name: str) -> int | None:
    """A figure of one of Linux' tables, in bytes."""
    try:
        found = [line.split()[1] for line in path.read_text().splitlines() if line.startswith(f"{name}:")]
    except OSError:
        return None
    return 1024 * int(found[0]) if found else None


def _of_life() -> int:
    if sys.platform == "win32":
        return 0
    import resource

    return (1 if sys.platform == "darwin" else 1024) * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
