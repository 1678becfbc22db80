"""Text logs: by the parser of the family of codes that reads most of it, by names beside figures, or by a pattern."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from balancer.errors import ConfigError, DataError
from balancer.reading.families import LineParser, LogFamily
from balancer.reading.lines import lines
from balancer.reading.names import Names, one_line
from balancer.reading.new_start import FIRST, NewStart
from balancer.reading.pairs import PairParser, PatternParser
from balancer.reading.raw_bytes import RawBytes
from balancer.reading.sniff import beginning
from balancer.reading.source import Fact, Progress, Row, Source, Unread
from balancer.reading.step_axis import HIGHEST, Axis
from balancer.reading.survey import Survey, survey
from balancer.reading.wrapped import Width, joined, width

FACTS: Final = 10_000  # so many are kept
# An family that knows its own logs reads at least so much of what names beside figures give.
SHARE: Final = 0.5


class TextReader:
    """Reads the rows and facts of a log's lines.

    A step that falls to where the log began is another run, which supersedes; or a new start of the same one, for
    which the lines before it or its losses speak: then steps go on from the last one. A fact `resumed` says at which
    step the rows after it go on. One that falls otherwise supersedes. Lines that a terminal broke are joined.
    """

    def __init__(
        self,
        source: Source,
        data: RawBytes,
        told: Mapping[str, str],
        pattern: str | None,
        progress: Progress | None,
        families: Mapping[str, LogFamily],
    ) -> None:
        self.source = source
        self._data: Final = data
        self._progress: Final = progress
        self._pattern: Final = pattern
        self._told: Final = told
        self._names: Final = Names(told if pattern is None else {}, source)
        self._broken = False
        self._first: list[str] = beginning(data)
        self._width: Width | None = None
        # Makes another parser like the one that reads the log.
        self._another: Callable[[], LineParser | None]
        if pattern is not None:
            parser = PatternParser(pattern, told)
            self._parser: LineParser = parser
            self._another = lambda: PatternParser(pattern, told)
            source.tags |= {parser.signals.get(group, group): group for group in parser.groups}
            found = survey(PatternParser(pattern, told), self._first)
        else:
            broken = width(self._first)
            if broken is not None and broken.sure:
                self._join(broken)
            elif broken is not None and not told:
                self._join_for(families, broken)
            found = self._choose({} if told else families)
        self._origin: Final = self._origin_of(found)

    def rows(self) -> Iterator[Row]:
        """Row after row.

        Raises:
            ConfigError: a name that the user told is nowhere, or a pattern that finds nothing.
            DataError: no line is a row.
        """
        source, feed, parser, start = self.source, self._parser.feed, self._parser, NewStart()
        row: dict[str, float] = {}
        axis = Axis(source, goes_on=lambda: start.goes_on(source.rows, row), origin=self._origin)
        numbered = lines(self._data.blocks(self._progress), source.unread)
        put: Callable[[dict[str, float]], None] = start.put
        for first, block in numbered if self._width is None else joined(numbered, self._width):
            for line, text in enumerate(block, first):
                try:
                    made = feed(text)
                except ValueError as error:
                    source.unread.note(line, one_line(text, 80), str(error))
                    continue
                except Exception as error:
                    self._failed(error)
                    source.unread.note(line, one_line(text, 80), type(error).__name__)
                    continue
                if made is None:
                    if text and not text.isspace():
                        source.skipped += 1
                        start.hear(source.rows, text)
                    continue
                if not (type(made) is dict or isinstance(made, Mapping)):
                    self._take(made, axis)
                    start.facts(source.rows, made)
                    continue
                row = {**made}
                step, epoch = row.pop("step", None), row.get("epoch")
                if not (step is None or abs(step) <= HIGHEST) or not (epoch is None or math.isfinite(epoch)):
                    source.unread.note(line, one_line(text, 80), "a step that is no number")
                    continue
                at = axis.place(step, epoch, parser.steps_per_epoch)
                if epoch is not None:
                    row["epoch"] = axis.epoch_of(epoch)
                put(row)
                source.rows += 1
                if source.rows == FIRST:
                    put = start.put_later
                yield at, row
        source.format = parser.format
        if source.family or axis.counts_within:
            source.steps_per_epoch = parser.steps_per_epoch or axis.steps_per_epoch
        else:
            # What follows the counter may be the steps of all epochs.
            source.steps_per_epoch = axis.steps_per_epoch or parser.steps_per_epoch
        self._names.check()
        if not source.rows:
            raise self._nothing()

    def _join(self, broken: Width) -> None:
        self._width = broken
        self._first = [line for _, block in joined([(1, self._first)], broken) for line in block if line]

    def _join_for(self, families: Mapping[str, LogFamily], broken: Width) -> None:
        """Join lines where an family reads them only then."""
        whole = [line for _, block in joined([(1, self._first)], broken) for line in block]
        for name, family in families.items():
            try:
                apart, together = family.parser(), family.parser()
                if apart is None or together is None or survey(apart, self._first).rows:
                    continue
                rows = survey(together, whole).rows
            except Exception as error:
                self._failed(error, name)
                continue
            if rows >= SHARE * sum(line.startswith(broken.begin) for line in whole):
                self._join(broken)
                return

    def _choose(self, families: Mapping[str, LogFamily]) -> Survey:
        """Take the parser that reads most of the log's beginning."""
        generic, trial = PairParser(self._names), PairParser(Names(self._told, Source("", "")))
        self._names.learn(generic.counted(self._first))
        self._parser, self._another = generic, lambda: PairParser(Names(self._told, Source("", "")))
        best = survey(trial, self._first)
        generic.take_fractions_for_epochs(best.rows, trial)
        most = SHARE * best.rows
        for name, family in families.items():
            try:
                parser = family.parser()
                again = family.parser()
                if parser is None or again is None:
                    continue
                found = survey(parser, self._first)
            except Exception as error:
                self._failed(error, name)
                continue
            if found.rows and found.rows >= most:
                most, best = found.rows, found
                self._parser, self._another = again, family.parser
                self.source.family = name
                self.source.tags.clear()
                self.source.other_tags.clear()
        return best

    def _origin_of(self, found: Survey) -> float:
        """The steps before the log's first epoch; a later one takes a look at more of the log."""
        if found.first_epoch is None or found.first_epoch <= 1:
            return 0.0
        numbered = lines([self._data.head], Unread())
        whole = numbered if self._width is None else joined(numbered, self._width)
        try:
            parser = self._another()
            return survey(parser, (line for _, block in whole for line in block)).origin if parser is not None else 0.0
        except Exception as error:
            self._failed(error)
            return 0.0

    def _failed(self, error: Exception, name: str = "") -> None:
        if not self._broken:
            self._broken = True
            cause = one_line(f"{type(error).__name__}: {error}", 120)
            warnings.warn(f"diagnosis {name or self.source.family}: its parser failed: {cause}", stacklevel=2)

    def _take(self, facts: Sequence[Fact], axis: Axis) -> None:
        for fact in facts:
            if len(self.source.facts) < FACTS:
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
        if self._names.known:
            return DataError(
                f"{where}: a text log on which no line names a loss of D or G; it names {self._names.shown()}: say "
                "which is which with --tag, such as --tag d_loss=NAME --tag adv=NAME, or give --pattern"
            )
        return DataError(
            f"{where}: a text log without names beside figures, such as: {self._line()}; give --pattern, a regular "
            "expression with named groups, such as '(?P<step>[0-9]+) (?P<d_loss>[0-9.]+)'"
        )

    def _line(self) -> str:
        return one_line(next((line for line in self._first if line.strip()), "(no text)"))
