"""`explain` shows a run's notes, and takes none of them for a decision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from support.explained import assert_true
from support.point_runs import SKIP, ran

from balancer.contract.notes import Note
from balancer.hindsight.explain import MOST_NOTES, explain
from balancer.hindsight.replay import replay
from balancer.record.recorder import Recorder
from balancer.show.as_json import as_data
from balancer.show.explanation import explanation_lines


class Result(Protocol):
    """What the fixture `cli` returns."""

    status: int
    out: str


def noted(folder: Path, *notes: Note) -> Path:
    recorder = Recorder(folder, 10)
    for note in notes:
        recorder.note(note)
    recorder.close()
    return folder


def test_knobs_and_decisions_are_what_they_are_without_notes(tmp_path: Path) -> None:
    folder = ran(tmp_path / "run", "d_skip", SKIP)
    plain, played = explain(folder, 0, 39), replay(folder)
    noted(folder, Note(5, 0, "request", "d_skip", "d_update"), Note(39, 4, "audit", "balancer", "seen"))
    explained = explain(folder, 0, 39)
    assert (explained.first, explained.last, explained.decisions) == (plain.first, plain.last, plain.decisions)
    assert replay(folder).decisions == played.decisions
    assert_true(folder)


def test_it_lists_them_whatever_the_step_fit_for_a_terminal(tmp_path: Path, cli: Callable[..., Result]) -> None:
    evil = "sees \x1b[2Jred\nnot a line\r\x07 of its own, 真假對調"
    folder = noted(ran(tmp_path / "run", "", steps=3), Note(2, 0, "audit", "no\x1b[1mtch", evil))
    assert "notes of the run" not in "\n".join(explanation_lines(explain(ran(tmp_path / "other", "", steps=3), 0)))
    done = cli("explain", folder, "--step", 0)
    assert done.status == 0
    head, note = done.out.splitlines()[-2:]
    assert head == "notes of the run:"
    assert note == "  step 2, audit: no [1mtch: sees [2Jred not a line of its own, 真假對調"
    assert as_data(explain(folder, 0))["notes"][0]["text"] == evil


def test_of_very_many_the_first_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    notes = [Note(step, 0, "audit", "balancer", f"{step}: {'long ' * 500}") for step in range(MOST_NOTES + 7)]
    lines = list(explanation_lines(explain(noted(ran(tmp_path / "run", "", steps=3), *notes), 0)))
    assert lines[-1] == "  … 7 more in decisions.jsonl"
    assert lines[-2].startswith(f"  step {MOST_NOTES - 1}, audit: balancer: {MOST_NOTES - 1}: long long")
    assert max(map(len, lines)) < 500
