"""A run directory is read in blocks, under the diagnosis's names; so is the log_dir of a script of one's own."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from support.sealed_rows import put_table, table_of

from balancer.contract.signals import Key
from balancer.errors import BalancerWarning, ConfigError, DataError
from balancer.reading.opening import open_source, read
from balancer.record.signals import EPOCH, STEP, SignalLog
from balancer.testing import toy_trainer
from balancer.train.progress import Progress

CONFIG = """
[run]
model = "zi2zi"
plugins = ["dynamic_lambda"]
[train]
lambda_adv = 1.0
[model]
lambda_l1 = 100.0
"""


def key(column: str) -> Key:
    if column.startswith("loss_") or column.endswith("_share") or column == "g_loss":
        return "g", column.removeprefix("loss_")
    if column.startswith(("lambda_", "lr_")) or column == "d_update":
        return "knob", column
    return "plugin" if column == "stranger" else "d", column


def write(folder: Path, rows: list[Mapping[str, float]]) -> Path:
    folder.mkdir(exist_ok=True)
    log = SignalLog(folder)
    for step, row in enumerate(rows):
        log.append({STEP: step, EPOCH: step // 40, **{key(name): value for name, value in row.items()}})
    assert log.file is not None
    log.file.close()
    return folder


def rows(count: int) -> list[Mapping[str, float]]:
    return [
        {
            "d_adv": 0.3,
            "d_loss": 0.5,
            "loss_adv": step,
            "loss_l1": 0.25,
            "g_loss": 26.0,
            "adv_share": 0.1,
            "lambda_adv": 1.0,
            "d_update": 1.0,
            "lr_d": 2e-4,
            "stranger": 7.0,
        }
        for step in range(count)
    ]


def test_columns_get_the_diagnosis_names(tmp_path: Path) -> None:
    write(tmp_path, rows(10_000))
    (tmp_path / "config.toml").write_text(CONFIG)
    reader = open_source(str(tmp_path))
    history = read(reader)
    source = reader.source
    assert (source.kind, source.family, source.folder, source.rows) == ("run", "zi2zi", tmp_path, 10_000)
    assert source.config is not None and source.config["model"]["lambda_l1"] == 100
    assert source.steps_per_epoch == 40
    assert set(history) == {
        *("epoch", "d_adv", "d_loss", "adv", "l1", "g_loss", "adv_share", "lambda_adv", "d_update", "lr_d")
    }
    assert source.tags["adv"] == "loss_adv" and source.other_tags == ["stranger"]
    assert history["adv"].count == 10_000 and history["adv"].high.max() == 9999
    assert history.last_step == 9999


def test_rows_and_blocks_are_the_same(tmp_path: Path) -> None:
    write(tmp_path, [{"d_loss": 0.5} if step % 2 else {"d_loss": 0.5, "loss_adv": 1.0} for step in range(300)])
    found = list(open_source(str(tmp_path)).rows())
    assert found[0] == (0, {"epoch": 0, "d_loss": 0.5, "adv": 1.0})
    assert found[299] == (299, {"epoch": 7, "d_loss": 0.5})
    history = read(open_source(str(tmp_path)))
    assert history["adv"].count == 150 and history["d_loss"].count == 300


def test_a_run_of_ours(tmp_path: Path) -> None:
    toy_trainer(["lambda_schedule"], folder=tmp_path, steps=12).run(12, Progress(12, quiet=True))
    reader = open_source(str(tmp_path))
    history = read(reader)
    assert {"d_adv", "d_loss", "adv", "lambda_adv", "lr_g", "d_acc"} <= set(history)
    assert history["d_adv"].count == 12 and history["adv"].steps.tolist() == list(range(12))


def test_losses_that_were_not_finite_are_told_from_those_not_measured(tmp_path: Path) -> None:
    """A critic's steps without G measure D alone; a step that measures nothing at all went wrong."""
    bad = {"d_loss": math.nan, "loss_adv": math.nan, "lambda_adv": 1.0}
    write(tmp_path, [{"d_loss": 0.5, "lambda_adv": 1.0}, {"d_loss": 0.5, "loss_adv": 1.0}] * 20 + [bad] * 3)
    history = read(open_source(str(tmp_path)))
    assert (history["d_loss"].count, history["d_loss"].nonfinite, history["d_loss"].first_nonfinite) == (40, 3, 40)
    assert (history["adv"].count, history["adv"].nonfinite) == (20, 3)
    assert history["lambda_adv"].count == 23 and not history["lambda_adv"].nonfinite


def test_a_torn_last_row_is_told(tmp_path: Path) -> None:
    write(tmp_path, rows(50))
    path = tmp_path / "signals.bin"
    path.write_bytes(path.read_bytes()[:-20])
    reader = open_source(str(tmp_path))
    assert read(reader)["adv"].count == 49
    assert reader.source.unread.why == {"the beginning of a row at its end": 1}


def test_rows_out_of_order_are_told(tmp_path: Path) -> None:
    write(tmp_path, rows(50))
    table = table_of(tmp_path)
    table[[10, 20], 0] = [math.nan, 3]
    put_table(tmp_path, table)
    reader = open_source(str(tmp_path))
    assert read(reader)["adv"].count == 48
    assert reader.source.unread.why == {"a step out of order": 2}


def test_a_told_column_wins(tmp_path: Path) -> None:
    write(tmp_path, rows(5))
    history = read(open_source(str(tmp_path), tags={"adv": "stranger"}))
    assert history["adv"].values.tolist() == [7] * 5
    with pytest.raises(ConfigError, match=r"--tag adv=strange: no such column: did you mean stranger\?"):
        open_source(str(tmp_path), tags={"adv": "strange"})


@pytest.mark.parametrize(
    "header",
    [
        "",
        "[]",
        "{",
        "{}",
        '{"columns": [], "file": "signals.bin"}',
        '{"columns": ["step"], "file": "../signals.bin"}',
        '{"columns": ["step", 3], "file": "signals.bin"}',
        '{"columns": ["step", "step"], "file": "signals.bin"}',
        '{"columns": ["d_adv"], "file": "signals.bin"}',
        '{"columns": ["step"], "file": "gone.bin"}',
        '{"columns": 3, "file": 4}',
        "[" * 50_000,
    ],
)
def test_a_damaged_header_is_an_error(tmp_path: Path, header: str) -> None:
    write(tmp_path, rows(5))
    (tmp_path / "signals.json").write_text(header)
    with pytest.raises(DataError, match=r"damaged|is missing") as caught:
        read(open_source(str(tmp_path)))
    assert "\n" not in str(caught.value)


def test_a_run_that_has_not_begun(tmp_path: Path) -> None:
    write(tmp_path, rows(1))
    (tmp_path / "signals.bin").write_bytes(b"")
    with pytest.raises(DataError, match="holds no step: has the run begun"):
        read(open_source(str(tmp_path)))


@pytest.mark.parametrize("config", ["[run", "run = 3", "[run]\nmodel = 4"])
def test_a_config_that_cannot_be_read_is_as_none(tmp_path: Path, config: str) -> None:
    write(tmp_path, rows(5))
    (tmp_path / "config.toml").write_text(config)
    assert read(open_source(str(tmp_path)))["adv"].count == 5


def test_bytes_at_random_never_end_in_a_traceback(tmp_path: Path) -> None:
    write(tmp_path, rows(1))
    columns = json.loads((tmp_path / "signals.json").read_text())["columns"]
    for seed in range(20):
        data = np.random.default_rng(seed).bytes(8 * len(columns) * 100 + seed)
        (tmp_path / "signals.bin").write_bytes(data)
        with (
            pytest.warns(BalancerWarning, match="damaged rows are left out"),
            pytest.raises(DataError, match="is damaged"),
        ):
            read(open_source(str(tmp_path)))
