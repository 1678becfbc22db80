"""Logs within other files: notebooks, the JSON of containers, and what MLflow and trackio keep."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from support.written_logs import reading

from balancer.errors import BalancerError, ConfigError, DataError
from balancer.reading.history import History
from balancer.reading.opening import open_source, read
from balancer.reading.source import Source

ROWS = range(1, 61)
LINES = [f"step {50 * n}: D_loss: {0.7 - n / 200:.3f} G_loss: {1 + n / 50:.3f}\n" for n in ROWS]


def assert_read(history: History, source: Source, within: str) -> None:
    assert source.within == within and source.kept == 60
    assert history["d_loss"].steps.tolist() == [50.0 * n for n in ROWS]
    assert history["d_loss"].values.tolist() == [float(f"{0.7 - n / 200:.3f}") for n in ROWS]
    assert history["g_loss"].values.tolist() == [float(f"{1 + n / 50:.3f}") for n in ROWS]


def docker(lines: list[str]) -> str:
    return "".join(
        json.dumps({"log": line, "stream": "stdout", "time": "2024-01-02T10:00:00.123456789Z"}) + "\n" for line in lines
    )


def test_the_log_of_a_container(tmp_path: Path) -> None:
    history, source = reading(tmp_path / "abc-json.log", docker(["Using device: cuda\n", *LINES]))
    assert_read(history, source, "container")
    assert source.kind == "log" and source.skipped == 1


def test_a_container_that_cuts_lines_or_prints_json(tmp_path: Path) -> None:
    cut = [part for line in LINES for part in (line[:20], line[20:])]
    assert_read(*reading(tmp_path / "a.log", docker(cut)), "container")
    rows = [
        json.dumps({"step": 50 * n, "D_loss": round(0.7 - n / 200, 3), "G_loss": round(1 + n / 50, 3)}) + "\n"
        for n in ROWS
    ]
    history, source = reading(tmp_path / "a.log", docker(rows))
    assert_read(history, source, "container")
    assert source.kind == "jsonl"


@pytest.mark.parametrize("key", ["message", "msg", "textPayload"])
def test_loggers_that_write_json(tmp_path: Path, key: str) -> None:
    text = "".join(json.dumps({"ts": "2024-01-02", "level": "INFO", key: line.rstrip()}) + "\n" for line in LINES)
    assert_read(*reading(tmp_path / "a.jsonl", text + '{"ts": "2024'), "container")


def test_figures_beside_a_message_are_the_rows(tmp_path: Path) -> None:
    text = "".join(json.dumps({"message": "step 7: D_loss: 9", "step": n, "D_loss": 0.5}) + "\n" for n in ROWS)
    history, source = reading(tmp_path / "a.jsonl", text)
    assert not source.within and history["d_loss"].values.tolist() == [0.5] * 60


def test_the_log_of_a_container_through_a_pipe(tmp_path: Path) -> None:
    code = "import balancer; print(balancer.diagnose('-').case.source.kept)"
    run = subprocess.run([sys.executable, "-c", code], input=docker(LINES), capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["60"]


def notebook(*outputs: dict[str, object]) -> str:
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# D_loss: 99\n"]},
        {"cell_type": "code", "execution_count": 1, "metadata": {}, "source": ["train()"], "outputs": list(outputs)},
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1)


def test_a_notebook(tmp_path: Path) -> None:
    stream = {"name": "stdout", "output_type": "stream", "text": LINES[:40]}
    picture = {
        "data": {"image/png": "iVBORw0KGgo=", "text/plain": ["<Figure size 640x480>"]},
        "output_type": "display_data",
    }
    rest = {"name": "stdout", "output_type": "stream", "text": "".join(LINES[40:])}
    history, source = reading(tmp_path / "a.ipynb", notebook(stream, picture, rest))
    assert_read(history, source, "notebook")
    assert source.kind == "log"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (notebook(), "hold no output as text"),
        (notebook({"output_type": "stream", "text": LINES})[:-40], "damaged"),
        (notebook({"output_type": "stream", "text": 5}), "damaged"),
        ('{"cells": 5, "nbformat": 4}', "damaged"),
        ('{"cells": ' + "[" * 100_000, "damaged"),
    ],
)
def test_a_damaged_notebook(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(DataError, match=why):
        reading(tmp_path / "a.ipynb", text)


def mlflow(folder: Path) -> Path:
    """A run as MLflow's file store lays it out: a file for each metric, with time, value and step on each line."""
    for name in ("D_loss", "train/G_loss"):
        path = folder / "metrics" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = [0.7 - n / 200 if name == "D_loss" else 1 + n / 50 for n in ROWS]
        path.write_text(
            "".join(f"17040000{n:05} {value:.3f} {50 * n}\n" for n, value in zip(ROWS, values, strict=True))
        )
    (folder / "meta.yaml").write_text("run_id: abc\n")
    return folder


def test_a_folder_of_mlflow(tmp_path: Path) -> None:
    run = mlflow(tmp_path / "mlruns" / "0" / "0f3a")
    (tmp_path / "mlruns" / "0" / "meta.yaml").write_text("name: Default\n")
    for path in (run, run / "metrics", tmp_path / "mlruns", tmp_path / "mlruns" / "0"):
        reader = open_source(str(path))
        assert_read(read(reader), reader.source, "mlflow")
    with (run / "metrics" / "D_loss").open("a") as file:
        file.write("1704 0.")
        file.write("3x\n")
    reader = open_source(str(run))
    assert_read(read(reader), reader.source, "mlflow")
    assert reader.source.unread.count == 1
    mlflow(tmp_path / "mlruns" / "0" / "17bc")
    with pytest.raises(ConfigError, match=r"holds 2 runs of MLflow: name one of them: .*0f3a, .*17bc"):
        open_source(str(tmp_path / "mlruns"))


def trackio(path: Path, *runs: str) -> Path:
    """A database with the tables of trackio 0.43."""
    with closing(sqlite3.connect(path)) as base, base:
        base.execute(
            "CREATE TABLE metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, "
            "timestamp TEXT NOT NULL, run_name TEXT NOT NULL, step INTEGER NOT NULL, "
            "metrics TEXT NOT NULL, log_id TEXT, space_id TEXT)"
        )
        for n in ROWS:
            for run in runs:
                figures = {"D_loss": round(0.7 - n / 200, 3), "G_loss": round(1 + n / 50, 3), "note": "x", "lr": "NaN"}
                base.execute(
                    "INSERT INTO metrics (run_id, timestamp, run_name, step, metrics) VALUES (?, ?, ?, ?, ?)",
                    (run, "2024-01-02T10:00:00", run, 50 * n, json.dumps(figures)),
                )
    return path


def test_a_database_of_trackio(tmp_path: Path) -> None:
    reader = open_source(str(trackio(tmp_path / "project.db", "brave-fox")))
    assert_read(read(reader), reader.source, "trackio")


def test_several_runs_in_a_database(tmp_path: Path) -> None:
    path = str(trackio(tmp_path / "project.db", "brave-fox", "calm-owl"))
    with pytest.raises(ConfigError, match=r"a chart of 2 runs: brave-fox, calm-owl; pick one with --tag"):
        open_source(path)
    reader = open_source(path, tags={"d_loss": "calm-owl - D_loss"})
    assert_read(read(reader), reader.source, "trackio")


def test_a_database_of_mlflow(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as base, base:
        base.execute(
            "CREATE TABLE metrics (key VARCHAR(250), value FLOAT, timestamp BIGINT, run_uuid VARCHAR(32), step BIGINT, "
            "is_nan BOOLEAN)"
        )
        for n in ROWS:
            for name, value in (("D_loss", round(0.7 - n / 200, 3)), ("G_loss", round(1 + n / 50, 3))):
                base.execute("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, 0)", (name, value, n, "0f3a", 50 * n))
    reader = open_source(str(path))
    assert_read(read(reader), reader.source, "mlflow")


def test_other_databases_and_damaged_ones(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as base, base:
        base.execute("CREATE TABLE things (id INTEGER)")
    with pytest.raises(DataError, match="not one of trackio or MLflow"):
        open_source(str(other))
    whole = trackio(tmp_path / "whole.db", "run").read_bytes()
    for cut in (16, 100, 5000, len(whole) // 2):
        (tmp_path / "cut.db").write_bytes(whole[:cut])
        try:
            reader = open_source(str(tmp_path / "cut.db"))
            read(reader)
        except BalancerError as error:
            assert "cut.db" in str(error) and "\n" not in str(error)
