"""Anybody's TensorBoard event files: scalars of TF1 and TF2, of one run in one or several files, by step."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from balancer.errors import DataError
from balancer.reading.event_file import EventFile, begun, first_tags
from balancer.reading.event_scalars import event_of, scalars_of
from balancer.reading.growing import CAUGHT_UP, Following
from balancer.reading.names import LISTED_NAMES, REMEMBERED_NAMES, Names
from balancer.reading.source import OnBytes, Row, Source
from balancer.reading.step_axis import MOST_RESTARTS, EpochLength
from balancer.record.damage import between

SAMPLED_FILES: Final = 16  # whose beginnings settle which tag is which signal
# When it was written, its step, and its scalars by tag.
Scalars = tuple[float, int, Sequence[tuple[str, float]]]


class EventReader:
    """Reads the event files of one run, in time order.

    A tag that goes back in steps supersedes what it said from there on, as in TensorBoard: then a row's step
    is lower than the one before. Scalars of one step that stand together are one row.

    Args:
        files: the run's event files.
        beside: those in folders beside them, of which what `add_scalars` wrote is read.
    """

    def __init__(
        self,
        source: Source,
        files: Sequence[Path],
        given: Mapping[str, str],
        progress: OnBytes | None,
        beside: Sequence[Path] = (),
    ) -> None:
        self.source = source
        self._progress: Final = progress
        self._names: Final = Names(given, source)
        # Of a run that is followed: until when.
        self.following: Following | None = None
        # The row that the next scalar may still belong to.
        self.held: Row | None = None
        self.files: Final[list[tuple[float, str, Path]]] = sorted((begun(path), path.name, path) for path in files)
        self._opened: Final[dict[Path, EventFile]] = {}
        self._length: Final = EpochLength()
        # Files whose tags are named by their folder.
        self._beside: Final[set[Path]] = set()
        counts = self._sample()
        others = self._look_beside(beside, counts)
        self._names.learn(counts)
        source.other_tags += others

    def rows(self) -> Iterator[Row]:
        """Row after row.

        Raises:
            ConfigError: a tag that the user gave is not in the log.
            DataError: no scalar became a signal.
        """
        source, following = self.source, self.following
        # Step and number of restarts at each signal's last value.
        last: dict[str, tuple[int, int]] = {}
        while following is not None and not following.ended:
            yield from self._new_rows(last, ends=False)
            yield CAUGHT_UP
        yield from self._new_rows(last, ends=True)
        if self.held is not None:
            source.rows += 1
            self.add_up(self.held[1])
            yield self.held
            self.held = None
        self.conclude(source)

    def conclude(self, source: Source) -> None:
        """Put into a source what only the rows so far say together.

        Raises:
            ConfigError, DataError: as for `rows`.
        """
        source.steps_per_epoch = self._length.steps
        self._names.check(source)
        if not source.rows:
            raise DataError(self._nothing())

    def add_up(self, row: dict[str, float]) -> None:
        """Put the sums that the user gave into a row."""
        self._names.add_up(row)

    @property
    def is_void(self) -> bool:
        """Whether what was read is no longer there, as where a resume cut it."""
        return any(file.is_void for file in self._opened.values())

    @property
    def grew(self) -> bool:
        """Whether there are bytes that were not read."""
        return len(self._opened) < len(self.files) or any(file.grew for file in self._opened.values())

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(path.stat().st_size for _, _, path in self.files)

    def take(self, path: Path) -> None:
        """Take a file that came later, where it lies in a folder of which one was read already."""
        known = {each for _, _, each in self.files}
        if path in known or path.parent not in {each.parent for each in known}:
            return
        if path.parent in {each.parent for each in self._beside}:
            self._beside.add(path)
        self.files.append((begun(path), path.name, path))
        self.files.sort()

    def _new_rows(self, last: dict[str, tuple[int, int]], *, ends: bool) -> Iterator[Row]:
        source, signal_of, known, length = self.source, self._names.signal, self._names.known, self._length
        at, row = (int(self.held[0]), self.held[1]) if self.held is not None else (0, {})
        for _, step, scalars in self._by_time(ends):
            for tag, value in scalars:
                signal = known[tag] if tag in known else signal_of(tag)
                if signal is None:
                    continue
                if row and (step != at or signal in row):
                    source.rows += 1
                    self._names.add_up(row)
                    yield float(at), row
                    row = {}
                if signal in last and step < last[signal][0]:
                    self._restarted(last[signal], step)
                last[signal] = step, len(source.restarts)
                at = step
                row[signal] = value
                if signal == "epoch" and math.isfinite(value):
                    length.put(step, value)
        self.held = (float(at), row) if row else None

    def _restarted(self, last: tuple[int, int], step: int) -> None:
        before, count = last
        restarts = self.source.restarts
        if restarts and count < len(restarts):
            # The same one, met by the next tag.
            restarts[-1] = max(restarts[-1][0], before), min(restarts[-1][1], step)
        elif len(restarts) < MOST_RESTARTS:
            restarts.append((before, step))

    def _by_time(self, ends: bool) -> Iterator[Scalars]:
        """The events of all files that were not read yet; a file is opened when its time has come."""
        waiting = self.files[::-1]
        opened: list[tuple[float, int, Scalars, Iterator[Scalars]]] = []
        count = 0
        while waiting or opened:
            while waiting and (not opened or waiting[-1][0] <= opened[0][0]):
                events = self._events(waiting.pop()[2], ends)
                count += 1
                for event in events:
                    heapq.heappush(opened, (event[0], count, event, events))
                    break
            if not opened:
                continue
            _, number, event, events = opened[0]
            yield event
            if len(opened) == 1:
                until = waiting[-1][0] if waiting else math.inf
                for event in events:
                    if event[0] >= until:
                        break
                    yield event
                else:
                    opened.clear()
                    continue
                opened[0] = event[0], number, event, events
                continue
            following = next(events, None)
            if following is None:
                heapq.heappop(opened)
            else:
                heapq.heapreplace(opened, (following[0], number, following, events))

    def _events(self, path: Path, ends: bool) -> Iterator[Scalars]:
        unread, folder = self.source.unread, path.parent.name
        file = self._opened.setdefault(path, EventFile(path, self._progress))
        records = file.records
        try:
            for _, payloads in records.blocks(ends=ends):
                for payload in payloads:
                    event = event_of(payload)
                    if event is None:
                        unread.note(0, path.name, "a record that is not an event")
                        continue
                    for gap in records.gaps[file.named :]:
                        unread.note(gap.start, f"{between(file.step, event.step)}, {path.name}", gap.why)
                    file.step, file.named = event.step, len(records.gaps)
                    scalars = scalars_of(event)
                    if path in self._beside:
                        scalars = [(name, value) for tag, value in scalars if (name := _shown_name(folder, tag))]
                    if scalars:
                        yield event.wall_time, event.step, scalars
        except OSError as error:
            unread.note(0, path.name, f"cannot be read: {error.strerror}")
        for gap in records.gaps[file.named :] if ends else ():
            unread.note(gap.start, f"{between(file.step, None)}, {path.name}", f"{gap.why}; nothing after it was read")

    def _sample(self) -> dict[str, int]:
        """Tags in the beginning of the files, each with the number of its values there."""
        counts: dict[str, int] = {}
        for _, _, path in self.files[:SAMPLED_FILES]:
            for tag in first_tags(path):
                if tag in counts or len(counts) < REMEMBERED_NAMES:
                    counts[tag] = counts.get(tag, 0) + 1
        return counts

    def _look_beside(self, files: Sequence[Path], counts: dict[str, int]) -> list[str]:
        """Take the files that `add_scalars` wrote; the names of the other folders."""
        others: list[str] = []
        known: dict[str, bool] = {}
        for path in files:
            folder = path.parent.name
            if folder not in known:
                tags = [tag for tag in first_tags(path) if _shown_name(folder, tag) is not None]
                known[folder] = bool(tags)
                if tags:
                    counts[folder] = len(tags)
                elif len(others) < LISTED_NAMES:
                    others.append(f"{folder}/*")
            if known[folder]:
                self._beside.add(path)
                self.files.append((begun(path), path.name, path))
        self.files.sort()
        return others

    def _nothing(self) -> str:
        where = self.source.path
        if not self._names.known:
            damage = f"; {next(iter(self.source.unread.why))}" if self.source.unread.count else ""
            return f"{where}: TensorBoard event files without scalars{damage}: log the losses of D and G as scalars"
        return (
            f"{where}: TensorBoard scalars, none of which is recognisably a loss of D or G: {self._names.shown()}; "
            "say which is which with --tag, such as --tag d_loss=NAME --tag adv=NAME"
        )


def _shown_name(folder: str, tag: str) -> str | None:
    """What a tag is called that stands in a folder beside a run's own event files; None where it is another run's.

    `SummaryWriter.add_scalars("loss", {"D": …})` writes the tag `loss` into a folder `loss_D`.
    """
    return folder if folder.startswith(tag.replace("/", "_") + "_") else None
