"""Logs whose lines the user's own regular expression reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from balancer.errors import ConfigError
from balancer.reading.families import LineParser

LONGEST_FOR_PATTERN: Final = 2000  # characters of a line; a user's own expression may take their square


class PatternParser(LineParser):
    """Takes lines that the user's regular expression matches; its groups are the signals.

    Raises:
        ConfigError: it is not a regular expression, or has no named groups.
    """

    def __init__(self, pattern: str, given: Mapping[str, str]) -> None:
        try:
            self._pattern: Final = re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ConfigError(f"--pattern {pattern!r} is not a regular expression: {error}") from None
        if not set(self._pattern.groupindex) - {"step", "epoch"}:
            raise ConfigError(
                f"--pattern {pattern!r} names no signal: put figures in named groups, such as (?P<d_loss>[0-9.]+)"
            )
        self.signals: Final = {group: signal for signal, group in given.items()}
        for group in self.signals:
            if group not in self._pattern.groupindex:
                raise ConfigError(f"--tag {self.signals[group]}={group}: --pattern has no group of that name")

    def feed(self, line: str) -> Mapping[str, float] | None:
        """Take the next line: a row, or None."""
        if len(line) > LONGEST_FOR_PATTERN:
            raise ValueError(f"a line too long for --pattern ({LONGEST_FOR_PATTERN} characters)")
        match = self._pattern.search(line)
        if match is None:
            return None
        try:
            return {
                self.signals.get(name, name): float(text)
                for name, text in match.groupdict().items()
                if text is not None and text.strip()
            }
        except ValueError:
            raise ValueError("a group of --pattern that is not a number") from None

    @property
    def groups(self) -> Sequence[str]:
        """The groups that are signals."""
        return [name for name in self._pattern.groupindex if name not in ("step", "epoch")]
