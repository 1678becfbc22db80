"""A damaged row of signals.bin is left out and named, stays so whatever becomes of the file, and the rest is used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.sealed_rows import table_of

from balancer.contract.signals import Key
from balancer.errors import BalancerWarning, DataError
from balancer.record import signals
from balancer.record.folder import COLUMNS, SIGNALS
from balancer.record.recorder import Recorder
from balancer.record.signals import SignalRows, read_signals

D_ADV: Key = ("d", "d_adv")


def logged(folder: Path, first: int, last: int, *more: Key) -> Path:
    """A run whose `d_adv` is a tenth of the step."""
    recorder = Recorder(folder, 100)
    for step in range(first, last):
        recorder.step(step, 0, {D_ADV: step / 10, **dict.fromkeys(more, 1.0)})
    recorder.close()
    return folder


def flip(path: Path, *places: int) -> None:
    data = bytearray(path.read_bytes())
    for place in places:
        data[place] ^= 1
    path.write_bytes(data)


def told(folder: Path) -> tuple[list[int], str]:
    """The steps that are read, and what is said."""
    with pytest.warns(BalancerWarning) as caught:
        columns = read_signals(folder)
    assert columns["d_adv"].tolist() == [step / 10 for step in columns["step"].tolist()]
    (said,) = {str(warning.message) for warning in caught}
    return list(map(int, columns["step"])), said


WIDTH = 32  # checksum, step, epoch, d_adv


@pytest.mark.parametrize(
    ("places", "lost", "said"),
    [
        ([5 * WIDTH], [5], "a damaged row is left out (step 5)"),
        ([5 * WIDTH + 9], [5], "a damaged row is left out (step 5)"),
        ([5 * WIDTH + 31, 6 * WIDTH, 8 * WIDTH], [5, 6, 8], "3 damaged rows are left out (steps 5 to 6; step 8)"),
        ([8], [0], "a damaged row is left out (before step 1)"),
        ([19 * WIDTH], [19], "a damaged row is left out (after step 18)"),
    ],
)
def test_damaged_rows_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, places: list[int], lost: list[int], said: str
) -> None:
    monkeypatch.setattr(signals, "BLOCK_ROWS", 6)
    flip(logged(tmp_path, 0, 20) / SIGNALS, *places)
    steps, sentence = told(tmp_path)
    assert steps == [step for step in range(20) if step not in lost]
    assert sentence == f"{tmp_path / SIGNALS}: {said}, the rest is used"


def test_a_run_that_goes_on_says_it_and_keeps_the_rest(tmp_path: Path) -> None:
    flip(logged(tmp_path, 0, 20) / SIGNALS, 5 * WIDTH + 9, 15 * WIDTH + 9)
    recorder = Recorder(tmp_path, 100)
    with pytest.warns(BalancerWarning, match=r"2 damaged rows are left out \(step 5; step 15\)"):
        recorder.cut(12)
    logged(tmp_path, 12, 18)
    assert told(tmp_path) == ([*range(5), *range(6, 18)], str(SignalRows(tmp_path).damage))
    # Wider rows do not make a damaged one sound.
    logged(tmp_path, 18, 20, ("plugin", "late"))
    assert told(tmp_path)[0] == [*range(5), *range(6, 20)]
    assert table_of(tmp_path).shape == (20, 4)


def test_rows_from_before_get_checksums_when_the_run_goes_on(tmp_path: Path) -> None:
    logged(tmp_path, 0, 20)
    table_of(tmp_path).tofile(tmp_path / SIGNALS)
    header = {"dtype": "<f8", "file": SIGNALS, "columns": ["step", "epoch", "d_adv"], "kinds": ["clock", "clock", "d"]}
    (tmp_path / COLUMNS).write_text(json.dumps(header))
    assert read_signals(tmp_path)["step"].tolist() == list(range(20))
    Recorder(tmp_path, 100).cut(15)
    logged(tmp_path, 15, 20)
    assert read_signals(tmp_path)["step"].tolist() == list(range(20))
    assert not (tmp_path / SIGNALS).exists()
    flip(SignalRows(tmp_path).path, 3 * WIDTH + 9)
    assert told(tmp_path)[0] == [step for step in range(20) if step != 3]


def test_no_flipped_bit_of_the_header_is_believed(tmp_path: Path) -> None:
    logged(tmp_path, 0, 3)
    whole = (tmp_path / COLUMNS).read_bytes()
    expected = {name: values.tolist() for name, values in read_signals(tmp_path).items()}
    refused = 0
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        (tmp_path / COLUMNS).write_bytes(flipped)
        try:
            read = read_signals(tmp_path)
        except DataError:
            refused += 1
        else:
            assert {name: values.tolist() for name, values in read.items()} == expected
    assert refused > 8 * len(whole) - 200


def test_more_damage_than_is_looked_for_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = logged(tmp_path, 0, 20) / SIGNALS
    path.write_bytes(np.random.default_rng(0).bytes(20 * WIDTH))
    monkeypatch.setattr(signals, "MOST_DAMAGED", 10)
    with pytest.raises(DataError, match="more than 10 rows are damaged"):
        read_signals(tmp_path)
