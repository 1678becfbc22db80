"""Commands that are run when a finding appears, without waiting for them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from balancer.diagnosis.diagnose import Diagnosis
from balancer.diagnosis.finding import Finding
from balancer.errors import one_line

QUIET_LOOKS: Final = 5  # looks in a row without a finding, after which it appears anew
MOST_AT_ONCE: Final = 8  # commands of one alert that still run


class Stretches:
    """Tells which findings appear: those that were in none of the last 5 looks at which the log had grown.

    So a finding at the edge of a threshold, which comes and goes, appears once.
    """

    def __init__(self) -> None:
        # How many looks ago each finding was there last.
        self._absent: dict[str, int] = {}

    def appeared(self, keys: Collection[str]) -> set[str]:
        """Take the findings of one look; those of them that appear."""
        new = {key for key in keys if key not in self._absent}
        looks = {key: count + 1 for key, count in self._absent.items() if count < QUIET_LOOKS}
        self._absent = looks | dict.fromkeys(keys, 1)
        return new


@dataclass(frozen=True)
class Alert:
    """A command, and the findings by whose appearance it is run, as `Diagnosis.keys` names them."""

    keys: frozenset[str]
    command: str


class Alerts:
    """Runs commands in a shell when findings appear.

    What comes from a log reaches them in no way but as BALANCER_FINDING (such as saturated.lasting), BALANCER_STEP (the
    last step that was read) and BALANCER_PATH in their environment, on one line and without control characters. They
    get no input, and a group of their own, so that they outlive the one who watches.

    Args:
        alerts: what to run, and when.
        path: the log's.
        quiet: whether what they print is thrown away, since it would fall into a live view.
    """

    def __init__(self, alerts: Sequence[Alert], path: str, *, quiet: bool = False) -> None:
        self._alerts: Final = alerts
        self._path: Final = path
        self._output: Final = subprocess.DEVNULL if quiet else None
        self._stretches: Final = Stretches()
        self._running: list[tuple[Alert, subprocess.Popen[bytes]]] = []

    def look(self, diagnosis: Diagnosis) -> Iterator[str]:
        """Run what belongs to the findings that appear; a remark for each command that cannot be run."""
        new = self._stretches.appeared(diagnosis.keys - {"any"})
        step = f"{diagnosis.case.history.last_step:.0f}"
        for alert in self._alerts:
            for words in sorted({one.words for one in diagnosis.findings if _meant(one, alert, new)}):
                yield from self._run(alert, words, step)

    @property
    def running(self) -> int:
        """How many commands still run, as far as `ended` saw."""
        return len(self._running)

    def ended(self) -> Iterator[str]:
        """A remark for each command that failed since this was asked last."""
        running, self._running = self._running, []
        for alert, process in running:
            status = process.poll()
            if status is None:
                self._running.append((alert, process))
            elif status:
                yield f"--run {one_line(alert.command)}: it ended with status {status}"

    def _run(self, alert: Alert, words: str, step: str) -> Iterator[str]:
        if sum(one is alert for one, _ in self._running) >= MOST_AT_ONCE:
            yield f"--run {one_line(alert.command)}: not run for {words}, since {MOST_AT_ONCE} of it still run"
            return
        said = {"BALANCER_FINDING": words, "BALANCER_STEP": step, "BALANCER_PATH": self._path}
        try:
            process = subprocess.Popen(
                alert.command,
                shell=True,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                start_new_session=True,
                env={**os.environ, **{name: one_line(text) for name, text in said.items()}},
            )
        except (OSError, ValueError) as error:
            yield f"--run {one_line(alert.command)}: it cannot be run: {error}"
            return
        self._running.append((alert, process))


def _meant(finding: Finding, alert: Alert, new: Collection[str]) -> bool:
    """Whether a finding appears that an alert names."""
    keys = {finding.rule, finding.words}
    return any(key in new and key in alert.keys for key in keys) or ("any" in alert.keys and finding.rule in new)
