"""Follows a log: looks at it again and again, and judges it where something came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from balancer.diagnosis.diagnose import Diagnosis, diagnose_history
from balancer.diagnosis.units import Units
from balancer.errors import ConfigError, DataError
from balancer.reading.opening import NO_TAGS
from balancer.reading.source import OnBytes
from balancer.watching.open_trail import open_trail
from balancer.watching.trails import NotYet, Trail


class Follower:
    """One log that is followed.

    Args:
        path: as for `balancer.diagnose`, but for standard input; nothing need be there yet.
        stated: units that the user states.

    Attributes:
        progress: is called with numbers of bytes, if set before the log is opened.
        waits: why there is nothing to judge, as of the last look; "" where there is.
    """

    def __init__(
        self,
        path: str,
        *,
        stated: Units | None = None,
        tags: Mapping[str, str] = NO_TAGS,
        pattern: str | None = None,
    ) -> None:
        self.waits = ""
        self._path: Final = path
        self._stated: Final = stated
        self._tags: Final = tags
        self._pattern: Final = pattern
        self.progress: OnBytes | None = None
        self._trail: Trail | None = None

    def look(self) -> Diagnosis | None:
        """Read what came since the last look; None where nothing came, or there is nothing to judge yet.

        Raises:
            ConfigError, DataError: what is there will be no log, or cannot be followed.
        """
        trail = self._grown()
        if trail is None:
            return None
        try:
            history, source = trail.so_far()
        except NotYet as error:
            self.waits = str(error)
            return None
        except BaseException:
            self.close()
            raise
        self.waits = ""
        return diagnose_history(history, source, stated=self._stated)

    def end(self) -> Diagnosis:
        """Read to the end, which is final now: the diagnosis is that of the whole log.

        Raises:
            ConfigError, DataError: there is no log, or a damaged one.
        """
        self._grown()
        if self._trail is None:
            raise DataError(f"{self.waits or self._path}: nothing was written there")
        try:
            history, source = self._trail.end()
        finally:
            self.close()
        return diagnose_history(history, source, stated=self._stated)

    def close(self) -> None:
        """Let go of the log."""
        if self._trail is not None:
            self._trail.close()
            self._trail = None

    def _grown(self) -> Trail | None:
        """The log, where something new is there."""
        if self._trail is not None:
            try:
                if not self._trail.grew():
                    return None
            except (ConfigError, DataError, OSError) as error:
                # Such as of a folder that is made anew right now.
                self.waits = str(error)
                self.close()
                return None
            if self._trail.is_tentative:
                self.close()
        if self._trail is None:
            found = open_trail(self._path, self._tags, self._pattern, self.progress)
            if isinstance(found, str):
                self.waits = found
                return None
            self._trail = found
            found.grew()
        return self._trail
