"""Several processes that write one log: one of them is read, and the rows of the others are counted."""

from __future__ import annotations

import json
import random
from itertools import zip_longest
from pathlib import Path

import pytest
from support.written_logs import reading

MARKS = [
    "[rank{}] ",
    "[rank {}]: ",
    "Rank {} | ",
    "[GPU{}] ",
    "{}: ",
    "[1,{}]<stdout>:",
    "trainer-{}  | ",
    "[default{}]:",
    "2024-01-02 10:00:00 worker={} ",
]


def rows(writer: int, count: int = 80) -> list[str]:
    """What one process prints: 400 steps in an epoch, a row every 40."""
    return [
        f"(epoch: {n // 10 + 1}, iters: {40 * (n % 10 + 1)}) G_GAN: {1 + n / 100 + writer:.3f} D_real: {0.5 + writer}\n"
        for n in range(count)
    ]


def together(processes: int, lag: int, marks: str = "") -> str:
    """The lines of several processes, each some rows behind the one before."""
    written = [[""] * (lag * one) + [marks.format(one) + line for line in rows(one)] for one in range(processes)]
    return "".join(line or "" for at in zip_longest(*written) for line in at)


@pytest.mark.parametrize("marks", MARKS)
@pytest.mark.parametrize(("processes", "lag"), [(2, 0), (2, 3), (4, 1)])
def test_the_first_of_marked_writers_is_read(tmp_path: Path, marks: str, processes: int, lag: int) -> None:
    history, source = reading(tmp_path / "a.log", together(processes, lag, marks))
    assert source.writers == processes and not source.restarts and not source.is_tangled
    assert source.rows == 80 * processes and source.dropped == {"other_writer": 80 * (processes - 1)}
    assert history["adv"].values.tolist() == [round(1 + n / 100, 3) for n in range(80)]
    assert history["adv"].steps.tolist() == [40.0 * n for n in range(1, 81)]


@pytest.mark.parametrize(("processes", "lag"), [(2, 1), (2, 3), (3, 2), (2, 30)])
def test_writers_without_marks_are_told_apart_by_their_steps(tmp_path: Path, processes: int, lag: int) -> None:
    history, source = reading(tmp_path / "a.log", together(processes, lag))
    assert source.writers == processes and not source.restarts
    assert source.rows == 80 * processes == source.kept + source.dropped["other_writer"]
    assert history["adv"].steps.tolist() == [40.0 * n for n in range(1, 81)]
    assert history["adv"].values.tolist() == [round(1 + n / 100, 3) for n in range(80)]


def test_one_writer_that_went_back_or_began_anew(tmp_path: Path) -> None:
    first = "".join(rows(0, 40))
    for text in (first + first, "".join(rows(0, 40) + rows(0, 40)[20:] + rows(0, 80)[30:])):
        _, source = reading(tmp_path / "a.log", text)
        assert source.writers == 1 and source.restarts and not source.is_tangled
        assert source.rows == source.kept + source.dropped["superseded"]


def test_bars_and_epochs_that_count_anew_are_one_writer(tmp_path: Path) -> None:
    bars = "".join(f"{n}/100 [d_loss=0.5, g_loss={n}]\n" for _ in range(20) for n in range(10, 101, 10))
    critic = "".join(f"critic {k}/5 iter: {k} d_loss: 0.{k}\n" for _ in range(40) for k in range(1, 6))
    for text in (bars, "".join(rows(0)), critic):
        _, source = reading(tmp_path / "a.log", text)
        assert source.writers == 1


def test_marks_of_one_writer_are_left_alone(tmp_path: Path) -> None:
    """Such as the thread that loaded the batch."""
    draw = random.Random(0)
    text = "".join(f"[worker {draw.randrange(4)}] step {n}: d_loss: 0.5\n" for n in range(80))
    history, source = reading(tmp_path / "a.log", text)
    assert source.writers == 1 and source.kept == len(history["d_loss"].values) == 80


def test_steps_that_fall_at_random_are_no_axis(tmp_path: Path) -> None:
    draw = random.Random(0)
    text = "".join(f"step {draw.randrange(100000)}: d_loss: 0.5\n" for _ in range(400))
    _, source = reading(tmp_path / "a.log", text)
    assert source.is_tangled and source.rows == 400 == source.kept + source.dropped["superseded"]


@pytest.mark.parametrize("ranks", [True, False])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_writers_of_one_table(tmp_path: Path, name: str, ranks: bool) -> None:
    """The second is three rows behind; both write their rank, or neither does."""
    written = []
    for n in range(83):
        for rank, row in ((0, n), (1, n - 3)):
            if 0 <= row < 80:
                figures = {"step": 50 * row, "d_loss": 0.5 + rank} | ({"rank": rank} if ranks else {})
                written.append(figures)
    if name.endswith("csv"):
        text = "\n".join([",".join(written[0]), *(",".join(map(str, row.values())) for row in written)])
    else:
        text = "\n".join(map(json.dumps, written))
    history, source = reading(tmp_path / name, text)
    assert source.writers == 2 and not source.restarts
    assert (source.rows, source.kept, source.dropped) == (160, 80, {"other_writer": 80})
    assert history["d_loss"].values.tolist() == [0.5] * 80
    assert history["d_loss"].steps.tolist() == [50.0 * n for n in range(80)]
