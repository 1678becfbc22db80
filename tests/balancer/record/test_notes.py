"""Notes stand among the decisions of a run, and neither takes the other for its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.sealed_rows import unsealed
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from balancer.contract.knobs import Decision
from balancer.contract.notes import Note
from balancer.errors import BalancerWarning
from balancer.record.decisions import decision_lines, read_decisions, read_notes
from balancer.record.folder import DECISIONS
from balancer.record.recorder import Recorder

NOTES = (
    Note(0, 0, "audit", "balancer", "d_skip and d_lr_ratio read one signal: 判別器 <b>"),
    Note(3, 0, "audit", "balancer", "D's optimizer never steps"),
    Note(7, 1, "request", "notch", "asks for an end: d_adv has been 0 for 100 steps"),
)
DECISION = Decision(3, 0, "after_d_step", "notch", "lambda_adv", "max", None, 0.8, 0.8, {"d_acc": 0.9}, "note_kind")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three notes, and a decision after the second."""
    recorder = Recorder(tmp_path, 10)
    for note in NOTES:
        recorder.note(note)
        if note.step == DECISION.step:
            recorder.decision(DECISION)
    recorder.close()
    return tmp_path


def texts(folder: Path) -> dict[str, list[int]]:
    """Steps of the texts in TensorBoard, by tag."""
    seen = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    return {tag: [event.step for event in seen.Tensors(tag)] for tag in seen.Tags()["tensors"] if "notes/" in tag}


def test_both_are_read_back_as_they_were(folder: Path) -> None:
    assert tuple(read_notes(folder)) == NOTES
    assert list(read_decisions(folder)) == [DECISION]
    assert list(decision_lines(folder)) == [(3, DECISION)]
    assert list(read_notes(folder / "nowhere")) == []


def test_a_note_can_be_told_apart_by_its_key(folder: Path) -> None:
    rows = [json.loads(line) for line in (folder / DECISIONS).read_text(encoding="utf-8").splitlines()]
    assert [row.get("note_kind") for row in rows] == ["audit", "audit", None, "request"]
    assert set(rows[0]) == {"note_kind", "step", "epoch", "who", "text", "crc32"}


def test_tensorboard_shows_them_as_text_by_kind(folder: Path) -> None:
    assert texts(folder) == {"notes/audit": [0, 3], "notes/request": [7]}


@pytest.mark.parametrize("step", [0, 3, 4, 8])
def test_a_cut_cuts_both(folder: Path, step: int) -> None:
    Recorder(folder, 10).cut(step)
    assert list(read_notes(folder)) == [note for note in NOTES if note.step < step]
    assert list(read_decisions(folder)) == [DECISION] * (step > 3)
    assert sorted(at for steps in texts(folder).values() for at in steps) == [
        note.step for note in NOTES if note.step < step
    ]


def test_damaged_notes_are_damaged_lines(folder: Path) -> None:
    path = folder / DECISIONS
    good = path.read_bytes().splitlines()
    odd = [{"note_kind": "gossip"}, {"step": -1}, {"step": "x"}, {"who": 3}, {"text": None}, {"epoch": []}]
    damaged = [json.dumps({**unsealed(good[1]), **change}).encode() for change in odd]
    path.write_bytes(b"\n".join([good[0], *damaged, *good[1:], b'{"note_kind": "audit", "st']))
    told = r"decisions.jsonl: 6 damaged lines are left out \(lines 2 to 7, between steps 0 and 3\), the rest is used"
    for read, expected in ((read_notes, NOTES), (read_decisions, (DECISION,))):
        with pytest.warns(BalancerWarning, match=told):
            assert tuple(read(folder)) == expected
    with pytest.warns(BalancerWarning, match=told):
        assert [number for number, one in decision_lines(folder) if one is None] == [2, 3, 4, 5, 6, 7]


def test_a_line_number_counts_notes_too(folder: Path) -> None:
    with (folder / DECISIONS).open("a") as file:
        file.write("damaged\n")
    with pytest.warns(BalancerWarning, match=r"a damaged line is left out \(line 5, after step 7\)"):
        assert list(read_decisions(folder)) == [DECISION]


def test_what_cannot_be_written_is_told_once_and_at_the_end(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, 10)
    (tmp_path / DECISIONS).mkdir()
    with pytest.warns(UserWarning, match=f"the {DECISIONS} log") as caught:
        for note in NOTES:
            recorder.note(note)
        recorder.close()
    begun, end = (str(warning.message) for warning in caught)
    assert "log cannot be written now" in begun
    assert end.endswith(f"log is not whole: the disk refused {len(NOTES)} entries or more to the end")
    assert sum(map(len, texts(tmp_path).values())) == len(NOTES)


def test_a_text_that_utf_8_does_not_take_is_kept(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, 10)
    odd = Note(0, 0, "audit", "balancer", "half of a pair: \ud800")
    recorder.note(odd)
    recorder.close()
    assert list(read_notes(tmp_path)) == [odd]
    assert texts(tmp_path) == {"notes/audit": [0]}
