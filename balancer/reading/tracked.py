"""What trackers keep on this machine: databases of trackio and MLflow, and MLflow's folders; read as JSON lines."""

from __future__ import annotations

import heapq
import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from balancer.errors import ConfigError, DataError
from balancer.reading.contained import Contained
from balancer.reading.csv_tables import RUN_MARK, without_run
from balancer.reading.source import OnBytes

SQLITE: Final = b"SQLite format 3\x00"
LISTED_RUNS: Final = 6
MOST_RUNS: Final = 1000
MOST_NAMES: Final = 1000  # names of metrics that are looked at
MOST_DAMAGED: Final = 1000  # lines that are remembered
_METRICS: Final = "metrics"  # MLflow's folder, with a file for each metric
_BLOCK_ROWS: Final = 1000
# Rows of a step and its figures.
_Rows = Iterator[tuple[float, Mapping[str, Any]]]


def database(path: str, given: Mapping[str, str]) -> tuple[Contained, dict[str, str], str]:
    """The rows of the one run in a database, or of the one that `given` names; names by signal in it; whose it is.

    Raises:
        ConfigError: it holds several runs, and it is unclear which one is meant.
        DataError: it is a database of something else, or damaged.
    """
    try:
        with closing(_connection(path)) as base:
            columns = {row[1] for row in base.execute("PRAGMA table_info(metrics)")}
            tracker = _tracker(path, columns)
            names = {f"{run}{RUN_MARK}{name}": (run, name) for run, name in _names(base, tracker)}
    except sqlite3.Error as error:
        raise DataError(f"{path}: a SQLite database that cannot be read: {error}") from None
    if not names:
        raise DataError(f"{path}: a database of {tracker} without metrics: has the run begun?")
    meant = {name: f"{run}{RUN_MARK}{metric}" for name, (run, metric) in names.items()}
    called = without_run(path, list(meant), given) if len({run for run, _ in names.values()}) > 1 else {}
    run = next(names[name][0] for name in called or names if not called or called[name] != name)
    tags = {signal: called.get(name, name) for signal, name in given.items()}
    return Contained(lambda progress: _lines(_database_rows(path, tracker, run), progress)), tags, tracker


def mlflow_folder(folder: Path) -> Path | None:
    """Where a folder, or one that it holds, keeps the metrics of an MLflow run; None where it does not.

    Raises:
        ConfigError: there are several runs.
    """
    if folder.name == _METRICS and (folder.parent / "meta.yaml").is_file():
        return folder
    found = [run / _METRICS for run in (folder, *_below(folder)) if (run / "meta.yaml").is_file()]
    found = [metrics for metrics in found if metrics.is_dir()]
    if len(found) > 1:
        shown = ", ".join(str(metrics.parent) for metrics in found[:LISTED_RUNS])
        more = f", and {len(found) - LISTED_RUNS} more" if len(found) > LISTED_RUNS else ""
        raise ConfigError(f"{folder} holds {len(found)} runs of MLflow: name one of them: {shown}{more}")
    return found[0] if found else None


def mlflow_metrics(folder: Path) -> Contained:
    """The rows of MLflow's files of metrics, merged by their steps.

    Raises:
        DataError: there are none.
    """
    files = [path for path in sorted(folder.rglob("*"))[:MOST_NAMES] if path.is_file()]
    if not files:
        raise DataError(f"{folder}: a run of MLflow without metrics: has it begun?")
    return Contained(lambda progress: _merged(folder, files, progress))


def _below(folder: Path) -> list[Path]:
    """Folders in a folder and in those, as mlruns/EXPERIMENT/RUN."""
    try:
        inner = [path for path in sorted(folder.iterdir()) if path.is_dir()]
        return [*inner, *(path for each in inner for path in sorted(each.iterdir()) if path.is_dir())][:MOST_RUNS]
    except OSError:
        return []


def _connection(path: str) -> sqlite3.Connection:
    where = f"file:{quote(str(Path(path).absolute()))}?mode=ro"
    base = sqlite3.connect(where, uri=True)
    try:
        base.execute("SELECT name FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.OperationalError:
        # A write-ahead log cannot be opened in a folder that is read-only; then nobody writes there.
        base.close()
        base = sqlite3.connect(f"{where}&immutable=1", uri=True)
    return base


def _tracker(path: str, columns: set[Any]) -> str:
    if {"run_name", "step", "metrics"} <= columns:
        return "trackio"
    if {"key", "value", "step", "run_uuid"} <= columns:
        return "mlflow"
    raise DataError(f"{path} is a SQLite database, not one of trackio or MLflow: name a log")


def _names(base: sqlite3.Connection, tracker: str) -> Iterator[tuple[str, str]]:
    """Runs, each with the names of its metrics."""
    if tracker == "mlflow":
        yield from base.execute("SELECT DISTINCT run_uuid, key FROM metrics LIMIT ?", (MOST_NAMES,))
        return
    runs = base.execute("SELECT DISTINCT run_name FROM metrics LIMIT ?", (MOST_RUNS,)).fetchall()
    for (run,) in runs:
        seen: set[str] = set()
        for (text,) in base.execute("SELECT metrics FROM metrics WHERE run_name = ? LIMIT 200", (run,)):
            seen |= _object(text).keys()
        yield from ((str(run), name) for name in seen)


def _database_rows(path: str, tracker: str, run: str) -> _Rows:
    try:
        with closing(_connection(path)) as base:
            if tracker == "trackio":
                # Later rows of a step supersede earlier ones, as where a run was resumed.
                for step, text in base.execute(
                    "SELECT step, metrics FROM metrics WHERE run_name = ? ORDER BY id", (run,)
                ):
                    yield step, _object(text)
                return
            query = "SELECT step, key, value, is_nan FROM metrics WHERE run_uuid = ? ORDER BY step, timestamp"
            for step, rows in groupby(base.execute(query, (run,)), key=lambda row: row[0]):
                yield step, {key: math.nan if is_nan else value for _, key, value, is_nan in rows}
    except sqlite3.Error as error:
        raise DataError(f"{path}: a SQLite database that cannot be read to its end: {error}") from None


def _merged(folder: Path, files: Iterable[Path], progress: OnBytes | None) -> Iterator[bytes]:
    damaged: list[str] = []
    named = [(path, path.relative_to(folder).as_posix()) for path in files]
    values = heapq.merge(*(_values(path, name, progress, damaged) for path, name in named))
    rows = ((step, {name: value for _, name, value in row}) for step, row in groupby(values, key=lambda row: row[0]))
    yield from _lines(rows, None)
    # They look like no row, so that whoever reads the rows counts them.
    yield from (f"{{{text}\n".encode() for text in damaged)


def _values(path: Path, name: str, progress: OnBytes | None, damaged: list[str]) -> Iterator[tuple[float, str, float]]:
    """Step, name and value of each line of a file; early versions wrote no step. Other lines are put into `damaged`."""
    with path.open("rb") as file:
        for number, line in enumerate(file):
            if progress is not None:
                progress(len(line))
            try:
                cells = [float(cell) for cell in line.split()]
            except ValueError:
                cells = []
            if len(cells) in (2, 3):
                yield (cells[2] if len(cells) == 3 else float(number)), name, cells[1]
            elif len(damaged) < MOST_DAMAGED:
                damaged.append(f"{name}: {line[:80].decode(errors='replace').strip()}")


def _object(text: Any) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _lines(rows: _Rows, progress: OnBytes | None) -> Iterator[bytes]:
    held: list[str] = []
    for step, figures in rows:
        held.append(json.dumps({**figures, "global_step": step}) + "\n")
        if len(held) == _BLOCK_ROWS:
            block = "".join(held).encode()
            held.clear()
            if progress is not None:
                progress(len(block))
            yield block
    yield "".join(held).encode()
