"""A run directory of ours: its signals in blocks, under the names that the diagnosis uses, and its config."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from balancer.contract.adversarial import AdversarialLoss
from balancer.contract.signals import Key
from balancer.errors import CheckpointError, ConfigError, DataError, suggestion
from balancer.reading.growing import Following
from balancer.reading.run_place import RunPlace
from balancer.reading.source import OnBytes, Row, Source
from balancer.reading.step_axis import EpochLength
from balancer.record.compositions import read_compositions
from balancer.record.config_files import read_own, warn_of_edited
from balancer.record.files import exists
from balancer.record.folder import COMPOSITIONS, CONFIG
from balancer.record.run_config import check_shape, read_toml
from balancer.record.signals import STEP, SignalRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from balancer.reading.series import Floats

OF_D: Final = ("d_loss", "d_adv", "critic_gap")
HIGHEST: Final = 2.0**53  # steps that float64 tells apart


class RunReader:
    """Reads `signals.bin` in blocks of columns; `rows` gives the same one by one, as every `Reader` does.

    What a step did not measure is NaN in a block. A step of which every loss is NaN measured something all the
    same: then they were not finite.
    """

    def __init__(self, folder: Path, tags: Mapping[str, str], progress: OnBytes | None) -> None:
        # Of a run that is followed: until when.
        self.following: Following | None = None
        self._recorded: Final = SignalRows(folder)
        self._length: Final = EpochLength()
        self._place: Final = RunPlace(self._recorded)
        self._torn = 0
        columns = self._recorded.columns
        self._progress: Final = progress
        self._step: Final = self._recorded.keys.index(STEP)
        self._columns: Final[dict[str, int]] = {}
        self._losses: Final = [place for place, key in enumerate(self._recorded.keys) if _is_loss(key)]
        self.source = Source(str(folder), "run", folder=folder)
        self.source.config = self._config(folder)
        warn_of_edited(folder)
        self.source.family = str((self.source.config or {}).get("run", {}).get("model", ""))
        self.source.loss = self._loss(folder)
        for wanted, name in tags.items():
            if name not in columns:
                raise ConfigError(f"{folder}: --tag {wanted}={name}: no such column: {suggestion(name, columns)}")
        renamed: dict[str, str | None] = {name: wanted for wanted, name in tags.items()}
        for place, (name, key) in enumerate(zip(columns, self._recorded.keys, strict=True)):
            known = _signal(key)
            signal = renamed.get(name, None if known in tags else known)
            if signal is not None and signal not in self._columns:
                self._columns[signal] = place
                self.source.tags[signal] = name
            elif key[0] not in ("clock", "base", "updates"):
                self.source.other_tags.append(name)

    def rows(self) -> Iterator[Row]:
        """Row after row, of what each step measured.

        Raises:
            DataError: there are none.
        """
        for steps, columns in self.blocks():
            for place, step in enumerate(steps.tolist()):
                row = {name: float(values[place]) for name, values in columns.items()}
                yield step, {name: value for name, value in row.items() if not math.isnan(value)}

    def blocks(self) -> Iterator[tuple[Floats, dict[str, Floats]]]:
        """Some thousand rows at a time: their steps, and each signal's values, NaN where it was not measured.

        Of a run that is followed there are none in a block wherever all that was there was read.

        Raises:
            DataError: there are none at all.
        """
        following, recorded = self.following, self._recorded
        measured = np.zeros(len(self._losses), dtype=bool)
        last = -math.inf
        while following is not None and not following.ended:
            last = yield from self._blocks(recorded, measured, last)
            self._place.reached(recorded)
            yield np.empty(0), {}
            recorded = SignalRows(recorded.folder, self._place.rows)
        yield from self._blocks(recorded, measured, last)
        self._torn = recorded.torn
        self.conclude(self.source)

    def conclude(self, source: Source) -> None:
        """Put into a source what only the rows so far say together.

        Raises:
            DataError: there are none.
        """
        recorded = self._recorded
        for where in recorded.damage.places:
            source.unread.note(0, f"{where}, {recorded.path.name}", "a damaged row")
        if self._torn:
            place = recorded.path.stat().st_size - self._torn
            source.unread.note(place, recorded.path.name, "the beginning of a row at its end")
        source.steps_per_epoch = self._length.steps
        if not source.rows:
            why = "each is damaged" if recorded.damage.count else "has the run begun?"
            raise DataError(f"{recorded.path} holds no step: {why}")

    @property
    def is_void(self) -> bool:
        """Whether what was read is no longer there, as where a resume cut it, or is no longer all that it was."""
        return self._place.is_void

    @property
    def grew(self) -> bool:
        """Whether there are rows that were not read."""
        return self._place.grew

    def _blocks(
        self, recorded: SignalRows, measured: NDArray[np.bool_], last: float
    ) -> Generator[tuple[Floats, dict[str, Floats]], None, float]:
        """Blocks of rows above the step `last`; returns the last step then."""
        source, length = self.source, self._length
        try:
            for whole in recorded.tables(self._progress):
                table = self._sound(whole, last)
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
            raise DataError(f"{recorded.path} cannot be read: {error.strerror}") from None
        return last

    def _config(self, folder: Path) -> Mapping[str, Any] | None:
        """A run's config; None where there is none that can be read, as in the log_dir of a script of one's own."""
        if not exists(folder, CONFIG):
            return None
        try:
            config = read_toml(folder / CONFIG, read_own)
            check_shape(config)
        except ConfigError as error:
            self.source.unread.note(0, str(error), CONFIG)
            return None
        return config

    def _loss(self, folder: Path) -> AdversarialLoss | None:
        """The adversarial loss of a run; None where its record does not say, or is damaged."""
        try:
            compositions = read_compositions(folder)
        except CheckpointError as error:
            self.source.unread.note(0, str(error), f"the adversarial loss in {COMPOSITIONS}")
            return None
        return compositions[-1].host.adversarial if compositions else None

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


def _signal(key: Key) -> str | None:
    """The signal that a value is to the diagnosis; None for what plugins bring, which is not a term of G's loss."""
    kind, name = key
    if kind in ("g", "derived", "val") or name in ("epoch", "real_label", "fake_label"):
        return name
    return name if kind in ("d", "knob") and name.startswith(("d_", "critic_gap", "lambda_", "lr_")) else None


def _is_loss(key: Key) -> bool:
    kind, name = key
    return (kind == "g" and not name.endswith("_share")) or (kind == "d" and name.startswith(OF_D))
