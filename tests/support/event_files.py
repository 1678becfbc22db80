"""Event files that a test writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

Values = Iterable[tuple[int, Mapping[str, float]]]


def write(path: Path, values: Values, began: float = 1000.0) -> Path:
    """An event file with one record for each value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=began, file_version="brain.Event:2").SerializeToString())
        for count, (step, row) in enumerate(values):
            for tag, value in row.items():
                summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
                writer.write(Event(wall_time=began + count, step=step, summary=summary).SerializeToString())
    return path


def losses(first: int, last: int, scale: float = 1.0) -> Values:
    return [(step, {"train/d_loss": scale * step, "train/g_loss": 2 * scale * step}) for step in range(first, last)]
