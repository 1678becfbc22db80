"""Which parser reads a text log, and whether a terminal broke its lines: settled by the log's first lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from balancer.reading.families import LineParser, LogFamily, PatternFamily
from balancer.reading.figures import MARKED, SPACED, behind, has_decimal_commas
from balancer.reading.lines import NumberedLines, lines
from balancer.reading.names import Names
from balancer.reading.pairs import Form, PairParser
from balancer.reading.pattern import PatternParser
from balancer.reading.raw_bytes import LogBytes
from balancer.reading.sniff import beginning
from balancer.reading.source import Source, Unread
from balancer.reading.step_axis import HIGHEST_STEP, StepAxis
from balancer.reading.wrapped import Width, joined, width
from balancer.reading.writers import OneWriter, writers_of

# A family that knows its own logs reads at least so much of what names beside figures give.
FAMILY_SHARE: Final = 0.5
FEWEST_SPACED: Final = 3  # rows of names and figures with nothing but blanks between them


class ParserChoice:
    """How a text log is read.

    A pattern takes precedence; else the family of codes whose parser reads most of the first lines, or names beside
    figures. A family whose parser fails is left out.

    Args:
        source: its `family` and `tags` are filled in.
        names: signals by the names of the log, for a log of no family; learned from the first lines.
        given: names by signal, as the user gave them.
        failed: is called with what a family's parser raised, and the family's name.

    Attributes:
        parser: a fresh one.
        first: the first lines, joined where they were broken.
        origin: the steps before the log's first epoch.
    """

    def __init__(
        self,
        source: Source,
        data: LogBytes,
        names: Names,
        given: Mapping[str, str],
        pattern: str | None,
        families: Mapping[str, LogFamily],
        failed: Callable[[BaseException, str], None],
    ) -> None:
        self._source: Final = source
        self._names: Final = names
        self._given: Final = given
        self._failed: Final = failed
        self._width: Width | None = None
        self.first: list[str] = beginning(data)
        self.parser: LineParser
        # Makes another parser like it.
        self._another: Callable[[], LineParser | None]
        if pattern is not None:
            found = self._take_pattern(pattern)
        else:
            broken = width(self.first)
            if broken is not None and broken.sure:
                self._join(broken)
            elif broken is not None and not given:
                self._join_for(families, broken)
            found = self._choose({} if given else families)
        self._take_one_writer(data)
        self.origin: Final = self._origin_of(found, data)

    def lines(self, blocks: Iterable[bytes], unread: Unread) -> Iterator[NumberedLines]:
        """The lines of the log, joined where a terminal broke them."""
        numbered = lines(blocks, unread)
        return numbered if self._width is None else joined(numbered, self._width)

    def names(self) -> list[str]:
        """The names beside figures on the first lines, whatever they mean."""
        parser = PairParser(Names(self._given, Source("", "")), Form(SPACED, has_decimal_commas(self.first)))
        found = (name for line in self.first for name, _, _ in parser.beside(line, validation=True))
        return list(dict.fromkeys(found))

    def _take_pattern(self, pattern: str) -> Survey:
        parser = PatternParser(pattern, self._given)
        self.parser, self._another = parser, lambda: PatternParser(pattern, self._given)
        self._source.tags |= {parser.signals.get(group, group): group for group in parser.groups}
        return survey(PatternParser(pattern, self._given), self.first)

    def _join(self, broken: Width) -> None:
        self._width = broken
        self.first = [line for _, block in joined([(1, self.first)], broken) for line in block if line]

    def _join_for(self, families: Mapping[str, LogFamily], broken: Width) -> None:
        """Join lines where a family reads them only then."""
        whole = [line for _, block in joined([(1, self.first)], broken) for line in block]
        for name, family in families.items():
            try:
                apart, together = family.parser(), family.parser()
                if apart is None or together is None or survey(apart, self.first).rows:
                    continue
                rows = survey(together, whole).rows
            except (Exception, SystemExit) as error:
                self._failed(error, name)
                continue
            if rows >= FAMILY_SHARE * sum(line.startswith(broken.begin) for line in whole):
                self._join(broken)
                return

    def _choose(self, families: Mapping[str, LogFamily]) -> Survey:
        """Take the parser that reads most of the log's beginning."""
        form, trial, best = self._form()
        generic = PairParser(self._names, form)
        self._names.learn(generic.counted(self.first), self.first)
        generic.counters.learn(best.rows, trial.counters)
        self.parser, self._another = generic, lambda: self._trial(form, generic)
        if generic.counters.takes_leads:
            best = survey(self._trial(form, generic), self.first)
        most = FAMILY_SHARE * best.rows
        for name, family in families.items():
            if isinstance(family, PatternFamily) and not family.may_be(self.first):
                continue
            try:
                parser = family.parser()
                again = family.parser()
                if parser is None or again is None:
                    continue
                found = survey(parser, self.first)
            except (Exception, SystemExit) as error:
                self._failed(error, name)
                continue
            if found.rows and found.rows >= most:
                most, best = found.rows, found
                self.parser, self._another = again, family.parser
                self._source.family, self._source.code = name, None
                self._source.tags.clear()
                self._source.other_tags.clear()
                if isinstance(family, PatternFamily) and isinstance(again, PatternParser):
                    self._source.family, self._source.code = "", family.code
                    self._source.tags |= {group: group for group in again.groups}
        return best

    def _take_one_writer(self, data: LogBytes) -> None:
        """Read one of the processes that write the log at once, if there are several."""
        try:
            another = self._another()
            marks, count = writers_of(another, self._head(data)) if another is not None else ([], 1)
        except (Exception, SystemExit) as error:
            self._failed(error, self._source.family)
            return
        if count > 1:
            first = self.parser
            self._source.writers = count
            self.parser = OneWriter(lambda: self._another() or first, first, marks, count)

    def _head(self, data: LogBytes) -> Iterable[str]:
        return (line for _, block in self.lines([data.head], Unread()) for line in block)

    def _form(self) -> tuple[Form, PairParser, Survey]:
        """How figures are written here: behind marks, or blanks where that reads far more, or both; with its trial."""
        commas = has_decimal_commas(self.first)
        marked, spaced = Form(MARKED, commas), Form(SPACED, commas)
        trial = self._trial(marked)
        best = survey(trial, self.first)
        other = self._trial(spaced)
        found = survey(other, self.first)
        names = other.unmarked(self.first, trial.signals)
        # A word of prose before a number is no row.
        rows = found.wide > found.rows / 2 or other.counters.led > 4 * other.counters.unled
        if names and found.figures > 2 * best.figures and rows and found.rows >= FEWEST_SPACED:
            return spaced, other, found
        if not names or not best.rows:
            return marked, trial, best
        both = Form(behind(names), commas)
        trial = self._trial(both)
        return both, trial, survey(trial, self.first)

    def _trial(self, form: Form, like: PairParser | None = None) -> PairParser:
        """A parser by names beside figures whose names are its own, with counters `like` another's."""
        names = Names(self._given, Source("", "", code=self._source.code, codes=self._source.codes))
        parser = PairParser(names, form)
        names.learn(parser.counted(self.first), self.first)
        if like is not None:
            parser.counters.counts_epochs = like.counters.counts_epochs
            parser.counters.takes_leads = like.counters.takes_leads
        return parser

    def _origin_of(self, found: Survey, data: LogBytes) -> float:
        """The steps before the log's first epoch; a later one takes a look at more of the log."""
        if found.first_epoch is None or found.first_epoch <= 1:
            return 0.0
        try:
            parser = self._another()
            return survey(parser, self._head(data)).origin if parser is not None else 0.0
        except (Exception, SystemExit) as error:
            self._failed(error, self._source.family)
            return 0.0


@dataclass(frozen=True)
class Survey:
    """What rows were read.

    Attributes:
        rows: how many.
        figures: of losses and what goes along with them.
        wide: rows with several names.
        first_epoch: the first epoch that a row names.
        per_epoch: steps in an epoch, where these count within it.
    """

    rows: int
    figures: int
    wide: int
    first_epoch: float | None
    per_epoch: float | None

    @property
    def origin(self) -> float:
        """The steps before the log's first epoch, as far as its beginning tells.

        The steps of a log that begins with epoch 1 or 0 begin there. Where it begins later, epochs are taken to be
        counted from 1, as most codes print them.
        """
        if self.first_epoch is None or self.first_epoch <= 1 or self.per_epoch is None:
            return 0.0
        return float(round((self.first_epoch - 1) * self.per_epoch))


def survey(parser: LineParser, lines: Iterable[str]) -> Survey:
    """Read lines with a parser made for that."""
    feed: Callable[[str], object] = parser.feed
    axis = StepAxis(Source("", ""))
    rows, figures, wide, first = 0, 0, 0, None
    for line in lines:
        try:
            row = feed(line)
        except ValueError:
            continue
        if not isinstance(row, Mapping):
            continue
        rows += 1
        figures += len(row.keys() - {"step", "epoch"})
        wide += len(row) > 1
        step, epoch = row.get("step"), row.get("epoch")
        if (step is None or abs(step) <= HIGHEST_STEP) and (epoch is None or math.isfinite(epoch)):
            axis.place(step, epoch, parser.steps_per_epoch)
            first = epoch if first is None else first
    return Survey(rows, figures, wide, first, axis.steps_per_epoch if axis.counts_within else None)
