"""A run directory of ours: its signals in blocks, under the names that the diagnosis uses, and its config."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from balancer.contract.signals import STANDARD_SIGNALS
from balancer.errors import ConfigError, DataError, suggestion
from balancer.reading.source import Progress, Row, Source
from balancer.reading.step_axis import EpochLength
from balancer.record.signals import COLUMNS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BLOCK: Final = 4096  # rows
WIDEST: Final = 10_000  # columns
CONFIG: Final = "config.toml"
KNOBS: Final = ("epoch", "adv_effective", "real_label", "fake_label")
HIGHEST: Final = 2.0**53  # steps that float64 tells apart


class RunReader:
    """Reads `signals.bin`; `blocks` has the same rows as `rows`, as columns.

    What a step did not measure is NaN there. A step of which every loss is NaN measured something all the
    same: then they were not finite.
    """

    def __init__(self, folder: Path, told: Mapping[str, str], progress: Progress | None) -> None:
        columns, self._file = _header(folder)
        self._progress: Final = progress
        self._width: Final = len(columns)
        self._step: Final = columns.index("step")
        self._columns: Final[dict[str, int]] = {}
        self._losses: Final = [place for place, name in enumerate(columns) if _is_loss(name)]
        config = _config(folder / CONFIG)
        family = (config or {}).get("run", {}).get("model", "")
        self.source = Source(str(folder), "run", family=str(family), config=config, folder=folder)
        for wanted, name in told.items():
            if name not in columns:
                raise ConfigError(f"{folder}: --tag {wanted}={name}: no such column: {suggestion(name, columns)}")
        renamed: dict[str, str | None] = {name: wanted for wanted, name in told.items()}
        for place, name in enumerate(columns):
            known = _signal(name)
            signal = renamed.get(name, None if known in told else known)
            if signal is not None and signal not in self._columns:
                self._columns[signal] = place
                self.source.tags[signal] = name
            elif place != self._step:
                self.source.other_tags.append(name)

    def rows(self) -> Iterator[Row]:
        """Row after row, of what each step measured.

        Raises:
            DataError: there are none.
        """
        for steps, columns in self.blocks():
            names = list(columns)
            table = np.stack([columns[name] for name in names], axis=1) if names else np.empty((len(steps), 0))
            for step, values in zip(steps.tolist(), table.tolist(), strict=True):
                # What is not equal to itself is NaN.
                yield step, {name: value for name, value in zip(names, values, strict=True) if value == value}

    def blocks(self) -> Iterator[tuple[Floats, dict[str, Floats]]]:
        """Some thousand rows at a time: their steps, and each signal's values, NaN where it was not measured.

        Raises:
            DataError: there are none.
        """
        source, length = self.source, EpochLength()
        measured = np.zeros(len(self._losses), dtype=bool)
        last, offset = -math.inf, 0
        try:
            with self._file.open("rb") as file:
                while raw := file.read(8 * self._width * BLOCK):
                    if self._progress is not None:
                        self._progress(len(raw))
                    whole = len(raw) // (8 * self._width) * (8 * self._width)
                    if whole < len(raw):
                        source.unread.note(offset + whole, self._file.name, "the beginning of a row at its end")
                    offset += len(raw)
                    table = np.frombuffer(raw[:whole], dtype="<f8").reshape(-1, self._width)
                    table = self._sound(table, last)
                    if not len(table):
                        continue
                    steps = table[:, self._step]
                    last = float(steps[-1])
                    columns = {signal: table[:, place] for signal, place in self._columns.items()}
                    self._put_infinite(table, columns, measured)
                    if "epoch" in columns:
                        _put_epochs(length, steps, columns["epoch"])
                    source.rows += len(steps)
                    yield steps, columns
        except OSError as error:
            raise DataError(f"{self._file} cannot be read: {error.strerror}") from None
        source.steps_per_epoch = length.steps
        if not source.rows:
            raise DataError(f"{self._file} holds no step: has the run begun?")

    def _sound(self, table: Floats, last: float) -> Floats:
        """The rows whose step is one, above those before."""
        steps = table[:, self._step]
        sound = (steps >= 0) & (steps < HIGHEST)
        before = np.maximum.accumulate(np.concatenate([[last], np.where(sound, steps, -math.inf)]))[:-1]
        sound &= steps > before
        if not sound.all():
            for place in np.flatnonzero(~sound).tolist():
                self.source.unread.note(self.source.rows + place, f"step {steps[place]:g}", "a step out of order")
            return table[sound]
        return table

    def _put_infinite(self, table: Floats, columns: dict[str, Floats], measured: NDArray[np.bool_]) -> None:
        """Put infinity where losses were measured and are not finite; `measured` are those that ever were."""
        if not self._losses:
            return
        losses = table[:, self._losses]
        seen = ~np.isnan(losses)
        ever = np.logical_or.accumulate(np.vstack([measured, seen]))
        measured |= ever[-1]
        bad = ~seen.any(axis=1) & ever[:-1].any(axis=1)
        if not bad.any():
            return
        places = {place: index for index, place in enumerate(self._losses)}
        for signal, place in self._columns.items():
            if place in places:
                hit = bad & ever[:-1, places[place]]
                columns[signal] = np.where(hit, math.inf, columns[signal])


def _put_epochs(length: EpochLength, steps: Floats, epochs: Floats) -> None:
    changes = np.flatnonzero(np.diff(epochs, prepend=math.nan) != 0)
    for place in changes.tolist():
        if math.isfinite(epochs[place]):
            length.put(float(steps[place]), float(epochs[place]))


def _signal(column: str) -> str | None:
    """The signal in a column of signals.bin; None for what plugins bring, which is no term of G's loss."""
    if column.startswith("loss_"):
        return column.removeprefix("loss_")
    known = column in KNOBS or column in STANDARD_SIGNALS
    return column if known or column.startswith(("d_", "lambda_", "lr_")) or column.endswith("_share") else None


def _is_loss(column: str) -> bool:
    return column.startswith(("loss_", "d_loss")) or column in ("g_loss", "d_adv")


def _header(folder: Path) -> tuple[list[str], Path]:
    """The columns of a run's signals, and the file that holds them.

    Raises:
        DataError: the header is damaged, or its file is missing.
    """
    path = folder / COLUMNS
    try:
        header: Any = json.loads(path.read_text(encoding="utf-8"))
        columns, name = header["columns"], header["file"]
        sound = isinstance(columns, list) and all(isinstance(column, str) for column in columns)
        if not sound or "step" not in columns or not 0 < len(columns) <= WIDEST or len(set(columns)) < len(columns):
            raise ValueError
        if not isinstance(name, str) or Path(name).name != name:
            raise ValueError
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DataError(f"{path} does not name the columns of a run's signals: it is damaged") from None
    if not (folder / name).is_file():
        raise DataError(f"{folder / name} is missing: the run's signals are gone")
    return columns, folder / name


def _config(path: Path) -> Mapping[str, Any] | None:
    """A run's config; None where there is none that can be read, as in the log_dir of a script of one's own."""
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError):
        return None
    return config if all(isinstance(config.get(table, {}), dict) for table in ("run", "train", "model")) else None
