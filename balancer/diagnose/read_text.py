"""Text logs: by the parser of the family of codes that reads most of it, by names beside figures, or by a pattern."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from balancer.diagnose.extension import Extension, LineParser
from balancer.diagnose.lines import lines
from balancer.diagnose.names import Names, one_line
from balancer.diagnose.pairs import PairParser, PatternParser
from balancer.diagnose.raw_bytes import RawBytes
from balancer.diagnose.sniff import beginning
from balancer.diagnose.source import Fact, Progress, Row, Source
from balancer.diagnose.step_axis import Axis
from balancer.errors import ConfigError, DataError

FACTS: Final = 10_000  # so many are kept
# An extension that knows its own logs reads at least so much of what names beside figures give.
SHARE: Final = 0.5


class TextReader:
    """Reads the rows and facts of a log's lines.

    A step that falls back to where the log began is a new start, appended: steps go on from the last one.
    A fact `resumed` says at which step the rows after it go on. One that falls otherwise supersedes.
    """

    def __init__(
        self,
        source: Source,
        data: RawBytes,
        told: Mapping[str, str],
        pattern: str | None,
        progress: Progress | None,
        extensions: Mapping[str, Extension],
    ) -> None:
        self.source = source
        self._data: Final = data
        self._progress: Final = progress
        self._pattern: Final = pattern
        self._names: Final = Names(told if pattern is None else {}, source)
        self._broken = False
        self._first: Final = beginning(data)
        if pattern is not None:
            parser = PatternParser(pattern, told)
            self._parser: LineParser = parser
            source.tags |= {parser.signals.get(group, group): group for group in parser.groups}
            return
        generic = PairParser(self._names)
        self._names.learn(generic.counted(self._first))
        self._parser = generic
        if not told:
            self._choose(extensions)

    def rows(self) -> Iterator[Row]:
        """Row after row.

        Raises:
            ConfigError: a name that the user told is nowhere, or a pattern that finds nothing.
            DataError: no line is a row.
        """
        source, feed, parser = self.source, self._parser.feed, self._parser
        axis = Axis(source, appended=True)
        for first, block in lines(self._data.blocks(self._progress), source.unread):
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
                    source.skipped += 1 if text and not text.isspace() else 0
                    continue
                if not (type(made) is dict or isinstance(made, Mapping)):
                    self._take(made, axis)
                    continue
                row = {**made}
                step, epoch = row.pop("step", None), row.get("epoch")
                if not (step is None or math.isfinite(step)) or not (epoch is None or math.isfinite(epoch)):
                    source.unread.note(line, one_line(text, 80), "a step that is no number")
                    continue
                at = axis.place(step, epoch, parser.steps_per_epoch)
                if epoch is not None:
                    row["epoch"] = axis.epoch_of(epoch)
                source.rows += 1
                yield at, row
        source.format = parser.format
        source.steps_per_epoch = parser.steps_per_epoch or axis.steps_per_epoch
        self._names.check()
        if not source.rows:
            raise self._nothing()

    def _choose(self, extensions: Mapping[str, Extension]) -> None:
        """Take the parser that reads most of the log's beginning."""
        most = SHARE * _read(PairParser(Names({}, Source("", ""))), self._first)
        for name, extension in extensions.items():
            try:
                parser = extension.parser()
                again = extension.parser()
                if parser is None or again is None:
                    continue
                rows = _read(parser, self._first)
            except Exception as error:
                self._failed(error, name)
                continue
            if rows and rows >= most:
                most = rows
                self._parser = again
                self.source.family = name
                self.source.tags.clear()
                self.source.other_tags.clear()

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


def _read(parser: LineParser, sample: Sequence[str]) -> int:
    """How many of these lines are rows to a parser."""
    feed: Callable[[str], object] = parser.feed
    rows = 0
    for line in sample:
        try:
            rows += isinstance(feed(line), Mapping)
        except ValueError:
            continue
    return rows
