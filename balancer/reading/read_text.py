"""Text logs: by the parser of the family of codes that reads most of it, by names beside figures, or by a pattern."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from balancer.errors import ConfigError, DataError
from balancer.reading.alike import Alike
from balancer.reading.families import LogFamily
from balancer.reading.growing import CAUGHT_UP
from balancer.reading.names import Names, one_line
from balancer.reading.new_start import FIRST_ROWS, LAST_ROWS, NewStart
from balancer.reading.parser_choice import ParserChoice
from balancer.reading.raw_bytes import LogBytes
from balancer.reading.row_blocks import RowBlock, placed, row_at
from balancer.reading.source import Fact, OnBytes, Row, Source
from balancer.reading.step_axis import HIGHEST_STEP, StepAxis

if TYPE_CHECKING:
    from balancer.reading.row_blocks import Table

MOST_FACTS: Final = 10_000  # so many are kept


class TextReader:
    """Reads the rows and facts of a log's lines.

    A step that falls to where the log began belongs to another run, which supersedes the first; or, where the lines
    before it or its losses say so, to a new start of the same run: then steps go on from the last one. A fact `resumed`
    gives the step at which the rows after it go on. Rows after any other fall supersede those from there on. Lines
    that a terminal broke are joined.
    """

    def __init__(
        self,
        source: Source,
        data: LogBytes,
        given: Mapping[str, str],
        pattern: str | None,
        progress: OnBytes | None,
        families: Mapping[str, LogFamily],
    ) -> None:
        self.source = source
        self._data: Final = data
        self._progress: Final = progress
        self._pattern: Final = pattern
        self._names: Final = Names(given if pattern is None else {}, source)
        self._broken = False
        self._axis = StepAxis(source)
        self._choice: Final = ParserChoice(source, data, self._names, given, pattern, families, self._failed)

    def rows(self) -> Iterator[Row]:
        """Row after row.

        Raises:
            ConfigError: a name that the user gave is not in the log, or a pattern that finds nothing.
            DataError: no line is a row.
        """
        for part in self.parts():
            if isinstance(part, RowBlock):
                yield from part.rows()
            else:
                yield part

    def parts(self) -> Iterator[Row | RowBlock]:
        """Rows, one by one or many at once.

        Raises:
            ConfigError, DataError: as for `rows`.
        """
        source, choice, start = self.source, self._choice, NewStart()
        parser = choice.parser
        feed = parser.feed
        row: dict[str, float] = {}

        table: Table | None = None
        at_row = 0

        def begin(place: int) -> None:
            nonlocal row, at_row
            assert table is not None
            row, at_row = row_at(table, place), place

        def goes_on() -> bool:
            if table is not None:
                for place in range(max(at_row - LAST_ROWS, 0), at_row):
                    start.put(row_at(table, place))
            return start.goes_on(source.rows + at_row, row)

        axis, alike = StepAxis(source, goes_on=goes_on, origin=choice.origin), Alike(parser)
        self._axis = axis
        numbered = choice.lines(self._data.blocks(self._progress), source.unread)
        for first, segment, table in alike.segments(numbered, lambda: not axis.awaits_resume):
            if table is not None:
                blocks = placed(table, axis, parser.steps_per_epoch, begin)
                for place in sorted({*range(FIRST_ROWS), *range(len(segment) - LAST_ROWS, len(segment))}):
                    if 0 <= place < len(segment):
                        start.put(row_at(table, place))
                source.rows += len(segment)
                yield from blocks
                continue
            if not segment:
                yield CAUGHT_UP
                continue
            at_row, known = 0, ""
            for line, text in enumerate(segment, first):
                try:
                    said = feed(text)
                except ValueError as error:
                    source.unread.note(line, one_line(text, 80), str(error))
                    continue
                except (Exception, SystemExit) as error:
                    self._failed(error, source.family)
                    source.unread.note(line, one_line(text, 80), type(error).__name__)
                    continue
                if said is None:
                    if text and not text.isspace():
                        source.skipped += 1
                        start.put_text(source.rows, text)
                    continue
                if not (type(said) is dict or isinstance(said, Mapping)):
                    self._take(said, axis)
                    start.put_facts(source.rows, said)
                    continue
                row = {**said}
                step, epoch = row.pop("step", None), row.get("epoch")
                if not (step is None or abs(step) <= HIGHEST_STEP) or not (epoch is None or math.isfinite(epoch)):
                    source.unread.note(line, one_line(text, 80), "a step that is not a number")
                    continue
                at = axis.place(step, epoch, parser.steps_per_epoch)
                if epoch is not None:
                    row["epoch"] = axis.epoch_of(epoch)
                start.put(row)
                source.rows += 1
                known = text
                yield at, row
            if known:
                alike.learn(known)
        self.conclude(source)

    def conclude(self, source: Source) -> None:
        """Put into a source what only the rows so far say together.

        Raises:
            ConfigError, DataError: as for `rows`.
        """
        axis, parser = self._axis, self._choice.parser
        for why, count in parser.dropped.items():
            source.drop(why, count)
            source.rows += count
            source.skipped -= count
        source.numbered = axis.numbered
        source.format = parser.format
        if source.family or axis.counts_within:
            source.steps_per_epoch = parser.steps_per_epoch or axis.steps_per_epoch
        else:
            # What follows the counter may be the steps of all epochs.
            source.steps_per_epoch = axis.steps_per_epoch or parser.steps_per_epoch
        self._names.check(source)
        if not source.kept:
            raise self._nothing()

    def _failed(self, error: BaseException, family: str) -> None:
        if not self._broken:
            self._broken = True
            cause = one_line(f"{type(error).__name__}: {error}", 120)
            warnings.warn(f"diagnosis {family}: its parser failed: {cause}", stacklevel=2)

    def _take(self, facts: Sequence[Fact], axis: StepAxis) -> None:
        for fact in facts:
            if len(self.source.facts) < MOST_FACTS:
                self.source.facts.append(Fact(fact.kind, axis.step, fact.values))
            step = fact.values.get("step")
            if fact.kind == "resumed" and isinstance(step, int | float):
                axis.resumed(float(step))

    def _nothing(self) -> Exception:
        where = "standard input" if self.source.path == "-" else self.source.path
        if self._pattern is not None:
            return ConfigError(
                f"{where}: --pattern {self._pattern!r} finds nothing on any line, such as: {self._line()}"
            )
        if self.source.unread.count:
            why = ", ".join(f"{reason} ({count})" for reason, count in self.source.unread.why.items())
            return DataError(f"{where}: a text log of which nothing could be read: {why}")
        others = self._choice.names()
        if self._names.known or others:
            return DataError(
                f"{where}: a text log on which no line names a loss of D or G; it names {self._names.shown(others)}: "
                "say which is which with --tag, such as --tag d_loss=NAME --tag adv=NAME, or give --pattern"
            )
        return DataError(
            f"{where}: a text log without names beside figures, such as: {self._line()}; give --pattern, a regular "
            "expression with named groups, such as '(?P<step>[0-9]+) (?P<d_loss>[0-9.]+)'"
        )

    def _line(self) -> str:
        return one_line(next((line for line in self._choice.first if line.strip()), "(no text)"))
