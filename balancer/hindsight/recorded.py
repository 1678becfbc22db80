"""The signals of a run directory, read back row by row in the form that `replay` takes."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from balancer.contract.knobs import STANDARD_KNOBS
from balancer.contract.signals import STANDARD_SIGNALS, Phase
from balancer.errors import ConfigError
from balancer.record.signals import COLUMNS

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Rows held at a time.
BLOCK: Final = 4096


class Recorded:
    """Every step's signals in `signals.bin`, with its `step` and `epoch`; a value that was not measured is left out.

    It can be gone through more than once, and holds a few thousand rows at a time, however long the run was.

    Attributes:
        columns: names of the file's columns.
        phases: the signals among them, by name, each with the phase of a step in which it is measured.

    Raises:
        ConfigError: the folder keeps no signals, or they cannot be read.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder: Final = Path(folder)
        header = _header(self.folder)
        self.columns: Final[list[str]] = header["columns"]
        self.phases: Final[dict[str, Phase]] = {}
        self._places: Final = {"step": self.columns.index("step"), "epoch": self.columns.index("epoch")}
        for place, column in enumerate(self.columns):
            if (signal := _signal(column)) is not None:
                self.phases[signal] = _phase(column)
                self._places[signal] = place
        self._path: Final = self.folder / header["file"]
        width = 8 * len(self.columns)
        try:
            # A run that was killed may have left the beginning of a row.
            self._count: Final[int] = self._path.stat().st_size // width
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be read: {error.strerror}") from None

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[dict[str, float]]:
        return self.rows()

    def rows(self, signals: Collection[str] | None = None) -> Iterator[dict[str, float]]:
        """The rows in order; of these signals only, where they are named."""
        chosen = [
            (name, place)
            for name, place in self._places.items()
            if signals is None or name in signals or name in ("step", "epoch")
        ]
        for block in self._blocks():
            for row in block.tolist():
                # What is not equal to itself is NaN.
                yield {name: value for name, place in chosen if (value := row[place]) == value}

    def column(self, name: str) -> NDArray[np.float64] | None:
        """All values of one column of the file, of shape (steps,), or None where there is none of that name."""
        if name not in self.columns:
            return None
        place = self.columns.index(name)
        return np.concatenate([np.empty(0), *(block[:, place].copy() for block in self._blocks())])

    def steps_per_epoch(self, first: int, until: int | None) -> int | None:
        """Steps in an epoch of our own loop, from where the epoch first changes among these steps; None: it does not.

        The loop's position in its data follows from the step alone: epoch e begins with step e times this.
        """
        before = np.nan
        for block in self._blocks():
            steps, epochs = block[:, self._places["step"]], block[:, self._places["epoch"]]
            changes = epochs - np.append(before, epochs[:-1]) == 1
            found = np.flatnonzero(changes & (steps > first) & (steps < (np.inf if until is None else until)))
            if len(found):
                return int(steps[found[0]] // epochs[found[0]])
            before = epochs[-1]
        return None

    def _blocks(self) -> Iterator[NDArray[np.float64]]:
        width = len(self.columns)
        with self._path.open("rb") as file:
            for first in range(0, self._count, BLOCK):
                rows = min(BLOCK, self._count - first)
                yield np.fromfile(file, dtype="<f8", count=rows * width).reshape(rows, width)


def recorded(folder: str | Path) -> Recorded:
    """The signals of every step of a run directory, in the form `replay` takes."""
    return Recorded(folder)


def _header(folder: Path) -> Mapping[str, Any]:
    path = folder / COLUMNS
    try:
        header: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not {"step", "epoch"} <= set(header["columns"]) or not isinstance(header["file"], str):
            raise ValueError
    except FileNotFoundError:
        raise ConfigError(f"{folder} keeps no signals: {COLUMNS} is missing") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(f"{path} does not name the columns of a run's signals: it is damaged") from None
    return header


def _signal(column: str) -> str | None:
    """The signal that a column of signals.bin holds; None for a knob, a rate and the like."""
    if column in ("step", "epoch", "adv_effective") or column in STANDARD_KNOBS or column.startswith("lambda_"):
        return None
    return column.removeprefix("loss_")


def _phase(column: str) -> Phase:
    if column.startswith("loss_") or column.endswith("_share"):
        return "g"
    # What a script or a plugin brings besides was there when D's laws acted.
    return STANDARD_SIGNALS[column].phase if column in STANDARD_SIGNALS else "d"
