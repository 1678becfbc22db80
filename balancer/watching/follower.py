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
from balancer.watching.trails import REOPENED, How, NotYet, Trail


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
        family: str | None = None,
    ) -> None:
        self.waits = ""
        self._path: Final = path
        self._stated: Final = stated
        self._tags: Final = tags
        self._how: Final = How(pattern, family)
        self.progress: OnBytes | None = None
        self._trail: Trail | None = None
        self._was_log = False

    def look(self) -> Diagnosis | None:
        """Read what came since the last look; None where nothing came, or there is nothing to judge yet.

        Once there was a log, what is there later and is none is waited for too.

        Raises:
            ConfigError, DataError: what is there will be no log, or cannot be followed.
        """
        try:
            trail = self._grown()
            if trail is None:
                return None
            history, source = trail.so_far()
        except NotYet as error:
            self.waits = str(error)
            return None
        except (ConfigError, DataError, OSError) as error:
            self.close()
            if not self._was_log and not isinstance(error, OSError):
                raise
            # Such as of a folder that is made anew right now.
            self.waits = str(error)
            return None
        self.waits, self._was_log = "", True
        return diagnose_history(history, source, stated=self._stated)

    def end(self) -> Diagnosis:
        """Read to the end, which is final now: the diagnosis is that of the whole log.

        Raises:
            ConfigError, DataError: there is no log, or a damaged one.
        """
        self._grown()
        if self._trail is not None and self._trail.outgrew(1):
            self.close()
        if self._trail is None and self._opened() is None:
            raise DataError(f"{self.waits or self._path}: nothing was written there")
        assert self._trail is not None
        try:
            history, source = self._trail.end()
        except OSError as error:
            raise DataError(f"{self._path} cannot be read to its end: {error.strerror}") from None
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
            if not self._trail.grew():
                return None
            if self._trail.outgrew(REOPENED):
                self.close()
        return self._trail or self._opened()

    def _opened(self) -> Trail | None:
        """The log, where it is there."""
        found = open_trail(self._path, self._tags, self._how, self.progress)
        if isinstance(found, str):
            self.waits = found
            return None
        self._trail = found
        found.grew()
        return found
