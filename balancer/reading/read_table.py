"""CSV and JSON lines: a column (or key) for each name, sparse or not, with or without a step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from balancer.errors import DataError
from balancer.reading.csv_tables import (
    COLUMNS,
    cell_number,
    cells,
    delimiter,
    header_names,
    is_rule,
    numbered_row,
    table_rows,
    without_run,
)
from balancer.reading.figures import has_decimal_commas, with_points
from balancer.reading.growing import CAUGHT_UP
from balancer.reading.json_objects import figures_of, is_spread, line_objects, object_on, spread_objects
from balancer.reading.lines import lines
from balancer.reading.loss_names import STEP_NAMES
from balancer.reading.names import LISTED_NAMES, REMEMBERED_NAMES, Names, one_line
from balancer.reading.raw_bytes import LogBytes
from balancer.reading.sniff import SAMPLE_LINES, beginning
from balancer.reading.source import OnBytes, Row, Source
from balancer.reading.step_axis import HIGHEST_STEP, StepAxis
from balancer.reading.tags import counter, plain
from balancer.reading.writers import RANK_NAMES, Chains, first_of, place_of, writers_among

NOT_A_STEP: Final = "a step that is not a number"


class TableReader:
    """Reads rows of named figures.

    The best name for a step that the beginning holds is the step; without one, rows are numbered. A row whose
    step falls supersedes those from there on, unless the epoch grew, which then restarts the count.
    """

    def __init__(self, source: Source, data: LogBytes, given: Mapping[str, str], progress: OnBytes | None) -> None:
        self.source = source
        self._data: Final = data
        self._progress: Final = progress
        filled = [line for line in beginning(data) if line.strip()]
        self._mark: Final = delimiter(filled) if source.kind == "csv" else None
        self._spread: Final = self._mark is None and is_spread(data)
        # What columns are called, by their names; others are left out.
        self._columns: dict[str, str] = {}
        # The header, and rows below it.
        self._table_head: list[list[str]] = []
        self._commas: Final = self._mark not in (None, *",;") and has_decimal_commas(filled)
        if self._commas:
            filled = [with_points(line) for line in filled]
        if self._mark is not None:
            self._table_head = table_rows(filled, self._mark)[:SAMPLE_LINES]
            self._columns = without_run(source.path, header_names(self._table_head[0]), given)
            given = {signal: self._columns.get(name, name) for signal, name in given.items()}
        self._names: Final = Names(given, source)
        self._step: str | None = None
        # Where several processes wrote: the column that tells them apart and whom to read, or nothing but their steps.
        self._rank: str | None = None
        self._taken = ""
        self._chains: Chains | None = None
        self._axis: Final = StepAxis(source)
        self._learn(filled)

    def rows(self) -> Iterator[Row]:
        """Row after row.

        Raises:
            ConfigError: a name that the user gave is not in the log.
            DataError: no name became a signal, or no row holds a figure.
        """
        source, axis = self.source, self._axis
        for line, step, row in self._table() if self._mark is not None else self._objects():
            if step is not None and not abs(step) <= HIGHEST_STEP:
                source.unread.note(line, one_line(str(step)), NOT_A_STEP)
                continue
            self._names.add_up(row)
            if not row:
                if not line:
                    yield CAUGHT_UP
                continue
            if self._chains is not None and step is not None:
                place = place_of({**row, "step": step})
                if place is not None and self._chains.put(place):
                    self._leave_out()
                    continue
            epoch = row.get("epoch")
            if epoch is not None and not math.isfinite(epoch):
                del row["epoch"]
                epoch = None
            at = axis.place(step, epoch)
            if epoch is not None:
                row["epoch"] = axis.epoch_of(epoch)
            source.rows += 1
            yield at, row
        self.conclude(source)

    def conclude(self, source: Source) -> None:
        """Put into a source what only the rows so far say together.

        Raises:
            ConfigError, DataError: as for `rows`.
        """
        source.steps_per_epoch = self._axis.steps_per_epoch
        source.numbered = self._axis.numbered
        self._names.check(source)
        if set(source.tags) <= {"epoch"}:
            raise DataError(
                f"{source.path}: {source.kind.upper()}, with no name that is recognisably a loss of D or G: "
                f"{self._names.shown()}; say which is which with --tag, such as --tag d_loss=NAME --tag adv=NAME"
            )
        if not source.kept:
            raise DataError(f"{source.path}: {source.kind.upper()} without a row of figures: has the run begun?")

    def _learn(self, filled: Sequence[str]) -> None:
        counts: dict[str, int] = {}
        if self._mark is not None:
            table = self._table_head
            header = header_names(table[0])
            self.source.other_tags += [name for name in header if name not in self._columns][:LISTED_NAMES]
            counts = dict.fromkeys(self._columns.values(), 0)
            for row in table[1:]:
                for name, cell in zip(header, row, strict=False):
                    if name in self._columns:
                        counts[self._columns[name]] += bool(cell.strip())
        else:
            for found in self._sample(filled):
                for name in figures_of(found):
                    if name in counts or len(counts) < REMEMBERED_NAMES:
                        counts[name] = counts.get(name, 0) + 1
        self._step = self._step_of(counts)
        self._names.learn({name: count for name, count in counts.items() if name != self._step})
        self._rank = next((name for name in counts if counter(name, RANK_NAMES) is not None), None)
        self._take_one_writer(filled)

    def _take_one_writer(self, filled: Sequence[str]) -> None:
        """Read one of the processes that write the table at once, if there are several."""
        if self._mark is not None:
            header = [self._columns.get(name) for name in header_names(self._table_head[0])]
            cut = (dict(zip(header, row, strict=False)) for row in self._table_head[1:])
            sample = [{name: cell_number(cell, self._mark) for name, cell in row.items() if name} for row in cut]
        else:
            sample = [dict(figures_of(found)) for found in self._sample(filled)]
        epoch = self.source.tags.get("epoch", "")
        rows = []
        for figures in sample:
            named = {"step": figures.get(self._step or ""), "epoch": figures.get(epoch)}
            place = place_of({name: value for name, value in named.items() if value is not None})
            if place is not None:
                rows.append((_rank_text(figures.get(self._rank or "")), place))
        marks, count = writers_among(rows)
        if count > 1:
            self.source.writers = count
            self._taken = first_of(marks)
            self._chains = None if marks else Chains(count)

    def _step_of(self, counts: Mapping[str, int]) -> str | None:
        """The name of the step: what the user gave, else the best one that most rows have."""
        wanted = self._names.given.get("step")
        if wanted is not None:
            alike = [name for name in counts if plain(name) == plain(wanted) != ""]
            found = wanted if wanted in counts else next(iter(alike), None)
            if found is not None:
                self.source.tags["step"] = found
            return found
        places = {name: place for name in counts if (place := counter(name, STEP_NAMES)) is not None}
        given = set(self._names.wanted)
        often = max(counts.values(), default=0) / 2
        fit = [name for name in places if name not in given]
        return min([name for name in fit if counts[name] >= often] or fit, key=places.__getitem__, default=None)

    def _leave_out(self) -> None:
        self.source.rows += 1
        self.source.drop("other_writer")

    def _sample(self, filled: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        if self._spread:
            sampled = spread_objects([self._data.head], Source(self.source.path, ""))
            yield from (found for _, found in islice(sampled, SAMPLE_LINES))
        else:
            yield from (found for line in filled if (found := object_on(line)) is not None)

    def _table(self) -> Iterator[tuple[int, float | None, dict[str, float]]]:
        assert self._mark is not None
        mark, source = self._mark, self.source
        chosen: list[tuple[int, str]] | None = None
        at, rank, width = -1, -1, 0
        for_readers = mark in COLUMNS
        header: list[str] = []
        for first, block in lines(self._data.blocks(self._progress), source.unread):
            if not block:
                yield 0, None, {}
            for line, text in enumerate(block, first):
                if not text or text.isspace() or text[0] == "#":
                    continue
                if for_readers and is_rule(text):
                    continue
                row = cells(with_points(text) if self._commas else text, mark)
                if for_readers and (chosen is None or len(row) not in (width, width + 1)):
                    if chosen is not None or row != self._table_head[0]:
                        source.skipped += 1
                        continue
                elif for_readers:
                    row = numbered_row(row, width)
                if chosen is None:
                    header, width = row, len(row)
                    names = [self._columns.get(name) for name in header_names(row)]
                    at = names.index(self._step) if self._step in names else -1
                    rank = names.index(self._rank) if self._rank in names else -1
                    chosen = [
                        (place, signal)
                        for place, name in enumerate(names)
                        if name is not None and place != at and (signal := self._names.signal(name)) is not None
                    ]
                    continue
                if len(row) != width:
                    source.unread.note(line, one_line(text), "a row with another number of cells")
                    continue
                if self._taken and _rank_text(cell_number(row[rank], mark)) != self._taken:
                    self._leave_out()
                    continue
                figures: dict[str, float] = {}
                wrong = ""
                for place, signal in chosen:
                    cell = row[place]
                    try:
                        figures[signal] = float(cell)
                    except ValueError:
                        value = cell_number(cell, mark)
                        if value is not None:
                            figures[signal] = value
                        elif not cell.isspace() and cell:
                            wrong = cell
                step = cell_number(row[at], mark) if at >= 0 else None
                if wrong or (step is None and at >= 0):
                    if row == header:
                        # The file was appended to.
                        source.skipped += 1
                        continue
                    source.unread.note(line, one_line(text), "a cell that is not a number")
                    if step is None and at >= 0:
                        continue
                yield line, step, figures

    def _objects(self) -> Iterator[tuple[int, float | None, dict[str, float]]]:
        source, known, signal_of = self.source, self._names.known, self._names.signal
        blocks = self._data.blocks(self._progress)
        for line, found in spread_objects(blocks, source) if self._spread else line_objects(blocks, source):
            figures: dict[str, float] = {}
            step: float | None = None
            if not line:
                yield 0, None, {}
                continue
            named = figures_of(found)
            if self._taken and _rank_text(named.get(self._rank or "")) != self._taken:
                self._leave_out()
                continue
            for name, value in named.items():
                if name == self._step:
                    step = value
                    continue
                signal = known[name] if name in known else signal_of(name)
                if signal is not None:
                    figures[signal] = value
            if step is None and self._step is not None and figures:
                source.unread.note(line, one_line(str(found)), "a row without a step")
                continue
            yield line, step, figures


def _rank_text(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
