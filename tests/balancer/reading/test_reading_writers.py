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


SHUFFLED = {
    "dcgan.log": "[{e}/9][{i}/20]\tLoss_D: 0.5\tLoss_G: 2.0\n",
    "pix2pix.log": "(epoch: {e}, iters: {i}00, time: 0.1) G_GAN: 2.0 D_real: 0.5 D_fake: 0.4\n",
    "steps.log": "INFO step {n}00 | d_loss=0.5 | g_loss=2.0\n",
    "bar.log": "\r train:  12%|#2  | {n}/400 [00:12<01:00, 8.1it/s, d_loss=0.5, g_loss=2.0]",
    "rows.jsonl": '{{"global_step": {n}, "d_loss": 0.5, "g_loss": 2.0}}\n',
    "rows.csv": "{n},0.5,2.0\n",
}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", SHUFFLED)
def test_the_rows_of_one_writer_in_no_order_have_no_axis(tmp_path: Path, name: str, seed: int) -> None:
    draw, count = random.Random(seed), 60
    lines = [SHUFFLED[name].format(n=n, e=n // 20, i=n % 20) for n in range(count)]
    draw.shuffle(lines)
    head = "step,d_loss,g_loss\n" * name.endswith("csv")
    _, source = reading(tmp_path / name, head + "".join(lines))
    assert source.writers == 1 and source.is_tangled
    assert source.rows == count == source.kept + source.dropped["superseded"]


def test_rows_in_no_order_are_several_writers_no_more_than_of_one(tmp_path: Path) -> None:
    lines = [line for writer in (0, 1) for line in rows(writer)]
    random.Random(0).shuffle(lines)
    _, source = reading(tmp_path / "a.log", "".join(lines))
    assert source.writers == 1 and source.is_tangled


@pytest.mark.parametrize("window", [3, 6, 20])
@pytest.mark.parametrize("seed", range(4))
def test_rows_that_came_a_little_late_are_no_other_writer(tmp_path: Path, window: int, seed: int) -> None:
    draw = random.Random(seed)
    order = sorted(range(60), key=lambda n: n + draw.uniform(0, window))
    _, source = reading(tmp_path / "a.log", "".join(f"step {n}: d_loss: 0.5\n" for n in order))
    assert source.writers == 1 and source.restarts


def test_writers_that_go_through_steps_of_their_own(tmp_path: Path) -> None:
    """Such as a run that was resumed at epoch 40 beside one that begins."""
    text = "".join(f"step {n + 4000}: d_loss: 0.25\nstep {n}: d_loss: 0.5\n" for n in range(0, 2000, 50))
    history, source = reading(tmp_path / "a.log", text)
    assert source.writers == 2 and not source.restarts
    assert history["d_loss"].values.tolist() == [0.25] * 40


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
