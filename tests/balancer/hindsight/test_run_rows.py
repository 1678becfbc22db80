"""Rows of a run, as replays take them: read in blocks, signals alone, a torn one passed over."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.point_runs import SKIP, ran

from balancer.hindsight.replay_run import replay_run
from balancer.record import folder as names
from balancer.record.signals import BLOCK_ROWS, SignalRows, read_signals
from balancer.testing import recorded


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ran(tmp_path_factory.mktemp("rows") / "run", "d_skip,dynamic_lambda", SKIP)


def test_the_rows_of_a_run_are_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Path) -> None:
    whole = list(SignalRows(run))
    assert BLOCK_ROWS >= 1000
    monkeypatch.setattr("balancer.record.signals.BLOCK_ROWS", 7)
    again = SignalRows(run)
    assert [*again] == whole
    assert len(again) == 40
    columns = read_signals(run)
    assert [row["d_adv"] for row in again.rows(["d_adv"])] == columns["d_adv"].tolist()
    assert set(next(again.rows(["d_adv"]))) == {"step", "epoch", "d_adv"}
    column = again.column("lambda_adv")
    assert column is not None
    assert column.tolist() == columns["lambda_adv"].tolist()
    assert again.column("none") is None


def test_rows_hold_signals_and_no_knobs(run: Path) -> None:
    phases = recorded(run).phases
    assert phases["d_adv"] == phases["d_category"] == "d"
    assert phases["adv"] == phases["g_loss"] == phases["category_share"] == "g"
    assert not {"lambda_adv", "d_update", "lr_d", "adv_effective", "step", "loss_adv"} & set(phases)


def test_a_torn_row_is_passed_over(run: Path, tmp_path: Path) -> None:
    for name in ("signals.json", names.SIGNALS, names.COMPOSITIONS):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    with (tmp_path / names.SIGNALS).open("ab") as file:
        file.write(b"torn")
    assert len(replay_run(tmp_path, []).replay) == 40
