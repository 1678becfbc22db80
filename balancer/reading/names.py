"""Which signal each name of one log became: what the user gave, else the best guess; settled while the log is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from balancer.errors import ConfigError
from balancer.reading.codes import meanings, recognised
from balancer.reading.loss_names import EPOCH_NAMES
from balancer.reading.source import Source
from balancer.reading.tags import counter, guess, is_critics, is_of_a_gan, plain

REMEMBERED_NAMES: Final = 10_000  # names that are remembered
LISTED_NAMES: Final = 1000  # names listed that became no signal
SHOWN_NAMES: Final = 8  # names in an error
SUM: Final = "+"  # stands between the parts of a signal, such as --tag d_loss=D_real+D_fake


class Names:
    """Signals by the names of a log.

    The beginning of the log settles which of several names for one signal is meant; one that comes later
    is taken where its signal has none yet.

    Args:
        given: names by signal, as the user gave them.
        source: its `tags` and `other_tags` are filled in.
    """

    def __init__(self, given: Mapping[str, str], source: Source) -> None:
        self.given: Final = dict(given)
        # What the user gave a sum for, with the signals that stand for its parts.
        self.sums: Final[dict[str, list[str]]] = {}
        self._source: Final = source
        self._dialect: dict[str, str | None] = {}
        # Whether a critic is the D of a GAN.
        self._critic_is_d = True
        # Every name met, and its signal; for names that are looked up again and again.
        self.known: Final[dict[str, str | None]] = {}

    def learn(self, counts: Mapping[str, int], lines: Sequence[str] = ()) -> None:
        """Take the names in the beginning of the log, each with the number of its values there, and its first lines."""
        code = self._source.code or recognised(counts, lines, self._source.codes)
        if code is not None:
            self._source.code, self._dialect = code, meanings(code, counts)
        for signal, given in list(self.given.items()):
            parts = [part.strip() for part in given.split(SUM)]
            if len(parts) > 1 and all(parts) and given not in counts:
                self.sums[signal] = [f"{signal}{SUM}{place}" for place in range(len(parts))]
                del self.given[signal]
                self.given.update(zip(self.sums[signal], parts, strict=True))
        self._critic_is_d = is_of_a_gan(counts)
        found = {name: guess(name) for name in counts}
        ranks = {name: (9, 9, 9) if fit is None else fit.rank for name, fit in found.items()}
        # The best fit first; among equals the one of each step (as Lightning has it) before the mean of an epoch, then
        # the one with most values, then the one that comes first.
        order = sorted(counts, key=lambda name: (ranks[name], name.endswith("_epoch"), -counts[name]))
        exact = set(self.given.values())
        for name in sorted(order, key=lambda name: name not in exact):
            self.signal(name)
        # Listed in the order of the log.
        source, place = self._source, {name: index for index, name in enumerate(counts)}
        source.other_tags.sort(key=lambda name: place.get(name, len(place)))
        tags = sorted(source.tags.items(), key=lambda item: place.get(item[1], len(place)))
        source.tags.clear()
        source.tags.update(tags)

    def signal(self, name: str) -> str | None:
        """The signal that a name means, or None."""
        if name in self.known:
            return self.known[name]
        signal = self._of(name)
        if signal is not None and self._source.tags.setdefault(signal, name) != name:
            signal = None
        if signal is None and len(self._source.other_tags) < LISTED_NAMES:
            self._source.other_tags.append(name)
        if signal is not None or len(self.known) < REMEMBERED_NAMES:
            self.known[name] = signal
        return signal

    @property
    def wanted(self) -> Iterator[str]:
        """Every name that the user gave, those in sums too."""
        for given in self.given.values():
            yield given
            yield from (part.strip() for part in given.split(SUM))

    def add_up(self, row: dict[str, float]) -> None:
        """Put the sums that the user gave into a row, in place of their parts."""
        for signal, parts in self.sums.items():
            found = [row.pop(part) for part in parts if part in row]
            if len(found) == len(parts):
                row[signal] = sum(found)

    def check(self, source: Source) -> None:
        """See that the log held what the user gave, and name sums by their parts in its source, or in a copy of that.

        Raises:
            ConfigError: a name that it does not hold.
        """
        for signal, given in self.given.items():
            if signal not in source.tags:
                near = get_close_matches(given, self.known, n=3, cutoff=0.4)
                listed = f"nearest are {', '.join(near)}" if near else f"it holds {self.shown()}"
                told = signal.partition(SUM)[0]
                raise ConfigError(f"{source.path}: --tag {told}={given}: there is no such name in it; {listed}")
        for signal, parts in self.sums.items():
            source.tags[signal] = f" {SUM} ".join(source.tags.pop(part) for part in parts)

    def shown(self, others: Iterable[str] = ()) -> str:
        """The first names that were met, and then others, for an error."""
        names = list(dict.fromkeys([*self.known, *others]))
        first = [one_line(name) for name in names[:SHOWN_NAMES]]
        return (", ".join(first) + (", …" if len(names) > SHOWN_NAMES else "")) if first else "no names"

    def _of(self, name: str) -> str | None:
        for signal, given in self.given.items():
            if name == given or (signal not in self._source.tags and plain(name) == plain(given) != ""):
                return signal
        if name in self._dialect:
            return self._dialect[name]
        if not self._critic_is_d and is_critics(name):
            return None
        found = guess(name)
        meant = found.signal if found is not None else "epoch" if counter(name, EPOCH_NAMES) is not None else None
        return None if meant in self.given or meant in self.sums else meant


def one_line(text: str, length: int = 60) -> str:
    """Text of a log, fit for a message."""
    clean = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * length])
    clean = " ".join(clean.split())
    return clean if len(clean) <= length else clean[: length - 1] + "…"
