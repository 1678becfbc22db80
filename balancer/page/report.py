"""The report about runs: each one judged, its decisions folded, its sample sheets made small, its settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from balancer.diagnosis.diagnose import Diagnosis, diagnose
from balancer.errors import ConfigError
from balancer.page.folded_decisions import folded_decisions
from balancer.page.page import page_words, render_page, view_of
from balancer.page.sheets import page_sheets
from balancer.page.view import Change, RunView
from balancer.reading.history import History
from balancer.record.config import differences
from balancer.record.files import write_atomically
from balancer.record.recorder import DECISIONS, SHEETS
from balancer.record.segments import Segment, run_segments
from balancer.show.words import Words, check_language


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
        return render_page([_view(diagnosis, words) for diagnosis in self.diagnoses], words)

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


def _view(diagnosis: Diagnosis, words: Words) -> RunView:
    source, view = diagnosis.case.source, view_of(diagnosis, words)
    if source.kind != "run" or source.folder is None:
        return view
    seen = collect(source.folder, diagnosis.case.history)
    return replace(
        seen,
        diagnosis=view.diagnosis,
        tone=view.tone,
        marks=view.marks,
        config=view.config or seen.config,
        steps_per_epoch=view.steps_per_epoch or seen.steps_per_epoch,
    )


def collect(folder: Path, history: History) -> RunView:
    """What a run directory holds besides its signals; memory stays bounded however long the run is.

    Raises:
        ConfigError: not a run directory, no signals, or a config that cannot be read.
    """
    segments = run_segments(folder)
    if not history.rows:
        raise ConfigError(f"{folder} holds no signals: nothing was logged there yet, so there is nothing to report")
    steps_per_epoch = _steps_per_epoch(history)
    sheets, found, unreadable = page_sheets(folder / SHEETS, steps_per_epoch)
    return RunView(
        name=folder.resolve().name,
        history=history,
        path=str(folder),
        steps_per_epoch=steps_per_epoch,
        config=segments[-1].tables if segments else None,
        changes=_changes(segments),
        decisions=folded_decisions(folder / DECISIONS, history, segments),
        sheets=sheets,
        sheets_found=found,
        sheets_unreadable=unreadable,
    )


def _changes(segments: Sequence[Segment]) -> list[Change]:
    made = []
    for before, after in pairwise(segments):
        fields = differences(before.tables, after.tables)
        if fields:
            made.append(Change(after.first, fields))
    return made


def _steps_per_epoch(history: History) -> float | None:
    """From where the last epoch that began did so; None before the second."""
    if "epoch" not in history:
        return None
    series = history["epoch"]
    last = float(series.high.max())
    whole = np.flatnonzero(series.low >= last)
    if last < 1 or not len(whole):
        return None
    return round(float(series.steps[whole[0]]) / last) or None
