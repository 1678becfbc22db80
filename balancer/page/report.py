"""The report about runs: each one judged, its decisions folded, its sample sheets made small, its settings."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

from balancer.diagnosis.diagnose import Diagnosis, diagnose
from balancer.errors import ConfigError
from balancer.page.folded_decisions import folded_decisions
from balancer.page.page import page_words, render_page, view_of
from balancer.page.sheets import page_sheets
from balancer.page.view import ConfigChange, RunView
from balancer.record.config_changes import differences
from balancer.record.config_files import run_segments
from balancer.record.decisions import read_notes
from balancer.record.folder import DECISIONS
from balancer.record.outputs import write_atomically
from balancer.show.words import Words, check_language

MOST_NOTES: Final = 20  # of one run


@dataclass(frozen=True)
class Report:
    """Runs and logs side by side, each with its diagnosis; `html` is the page in the language `lang`."""

    diagnoses: Sequence[Diagnosis]
    lang: str = "en"

    def html(self) -> str:
        """One self-contained HTML page: balance, shares, knobs, decisions, sheets, findings, settings.

        Raises:
            ConfigError: a run directory that holds no signals, or no such language.
        """
        words = page_words(self.lang)
        return render_page([run_view(diagnosis, words) for diagnosis in self.diagnoses], words)

    def write(self, path: str | Path) -> None:
        """Write the page to a file, whole or not at all.

        Raises:
            ConfigError: see `html`.
            OSError: the file cannot be written.
        """
        write_atomically(Path(path), self.html().encode())


def report(runs: Iterable[str | Path | Diagnosis], *, lang: str = "en") -> Report:
    """Judge runs for a page about them, side by side; logs of other codes may stand among them.

    Args:
        runs: run directories or logs, or what `balancer.diagnose` returned for them.
        lang: "en" or "zh-TW".

    Raises:
        ConfigError: no such language, or no such run.
        DataError: it is not a log, or a damaged one.
    """
    check_language(lang)
    return Report([run if isinstance(run, Diagnosis) else diagnose(run) for run in runs], lang)


def run_view(diagnosis: Diagnosis, words: Words) -> RunView:
    """A diagnosis as the page shows it, with what a run directory of ours holds besides its signals.

    Raises:
        ConfigError: a run directory without signals, or with a config that cannot be read.
    """
    source, view = diagnosis.case.source, view_of(diagnosis, words)
    return view if source.kind != "run" or source.folder is None else with_run(view, source.folder)


def with_run(view: RunView, folder: Path) -> RunView:
    """The view with a run directory's decisions, notes, sheets and changed settings; bounded however long the run is.

    Raises:
        ConfigError: not a run directory, no signals, or a config that cannot be read.
    """
    segments = run_segments(folder)
    if not view.history.rows:
        raise ConfigError(f"{folder} holds no signals: nothing was logged there yet, so there is nothing to report")
    notes = read_notes(folder)
    noted = list(itertools.islice(notes, MOST_NOTES))
    changed = ((after.first, differences(before.tables, after.tables)) for before, after in pairwise(segments))
    sheets, found, unreadable = page_sheets(folder, view.steps_per_epoch)
    return replace(
        view,
        changes=[ConfigChange(step, fields) for step, fields in changed if fields],
        decisions=folded_decisions(folder / DECISIONS, view.history),
        notes=noted,
        notes_left_out=sum(1 for _ in notes),
        sheets=sheets,
        sheets_found=found,
        sheets_unreadable=unreadable,
    )
