"""A run directory as the report shows it: its decisions folded, its sample sheets made small, its settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from balancer.errors import ConfigError
from balancer.page.folded_decisions import folded_decisions
from balancer.page.page import render, view_of
from balancer.page.sheets import page_sheets
from balancer.page.view import Change, RunView
from balancer.reading.history import History
from balancer.record.config import differences
from balancer.record.folder import DECISIONS, SHEETS
from balancer.record.segments import Segment, run_segments
from balancer.show.words import Words

if TYPE_CHECKING:
    from balancer.diagnosis.judging import Diagnosis


def report_page(found: Sequence[Diagnosis], words: Words) -> str:
    """The page about runs whose logs were judged, side by side; a log of another code's run may stand among them.

    Raises:
        ConfigError: a run directory that holds no signals.
    """
    views = []
    for diagnosis in found:
        source = diagnosis.case.source
        told = view_of(diagnosis, words)
        if source.kind != "run" or source.folder is None:
            views.append(told)
            continue
        seen = collect(source.folder, diagnosis.case.history)
        names = ("decisions", "changes", "sheets", "sheets_found", "sheets_unreadable")
        more = {name: getattr(seen, name) for name in names}
        epoch = told.steps_per_epoch or seen.steps_per_epoch
        config = told.config or seen.config
        views.append(
            dataclasses.replace(told, name=seen.name, path=seen.path, config=config, steps_per_epoch=epoch, **more)
        )
    return render(views, words)


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
