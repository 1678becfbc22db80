"""Text logs whose counters start over: with each epoch, each progress bar, each start; and lines that were broken."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest

from balancer.reading.history import History
from balancer.reading.lines import NumberedLines
from balancer.reading.new_start import NewStart
from balancer.reading.opening import open_source, read
from balancer.reading.source import Row, Source
from balancer.reading.superseded import without_superseded
from balancer.reading.wrapped import joined, width


def reading(path: Path, text: str) -> tuple[History, Source, list[Row]]:
    """What is read, and the rows that last, whose steps always rise."""
    path.write_text(text, encoding="utf-8", newline="")
    reader = open_source(str(path))
    history = read(reader)
    rows = list(without_superseded(open_source(str(path)).rows(), reader.source.restarts))
    steps = [step for step, _ in rows]
    assert all(before < after for before, after in pairwise(steps))
    return history, reader.source, rows


def pix2pix(epochs: Iterable[int], d_loss: float = 0.5, **_: float) -> str:
    """A line each 100 of an epoch's 400 images."""
    return "".join(
        f"(epoch: {epoch}, iters: {iters}, time: 0.045, data: 0.3) G_GAN: 1.022 G_L1: 27.172 D: {d_loss:.3f} \n"
        for epoch in epochs
        for iters in range(100, 401, 100)
    )


class TestEpochs:
    """Steps that count within the epoch stand where the printed epoch says."""

    def test_a_run_resumed_at_an_earlier_epoch_supersedes_what_came_after(self, tmp_path: Path) -> None:
        text = pix2pix(range(1, 61)) + pix2pix(range(51, 111), 0.25)
        history, source, rows = reading(tmp_path / "a.log", text)
        assert source.restarts == [(24_000, 20_100)] and source.steps_per_epoch == 400
        assert [step for step, _ in rows] == history["d_loss"].steps.tolist() == list(range(100, 44_001, 100))
        assert [row["d_loss"] for _, row in rows] == [0.5] * 200 + [0.25] * 240
        assert history["epoch"].values[-1] == 110

    def test_a_run_resumed_within_its_last_epoch(self, tmp_path: Path) -> None:
        text = pix2pix(range(1, 6))
        history, source, _ = reading(tmp_path / "a.log", text + pix2pix([5, 6], 0.25))
        assert source.restarts == [(2000, 1700)] and history.last_step == 2400

    def test_one_that_is_ahead_of_where_the_resumed_one_begins(self, tmp_path: Path) -> None:
        # The run before ended early in epoch 6, and the next one's first line is further on in its epoch.
        torn = pix2pix(range(1, 7)).splitlines(keepends=True)[:-3]
        later = pix2pix([4, 5, 6]).splitlines(keepends=True)[1:]
        history, source, _ = reading(tmp_path / "a.log", "".join(torn + later))
        assert source.restarts == [(2100, 1400)] and history.last_step == 2400

    def test_a_log_that_begins_later_begins_at_its_epoch(self, tmp_path: Path) -> None:
        history, source, _ = reading(tmp_path / "a.log", "=== Loss ===\n" + pix2pix(range(101, 161)))
        assert (history.first_step, history.last_step) == (40_100, 64_000) and not source.restarts

    def test_and_stays_where_it_is_where_steps_count_on(self, tmp_path: Path) -> None:
        text = "".join(f"epoch: {100 + n // 10} step: {1000 + n} d_loss: 1\n" for n in range(100))
        history, source, _ = reading(tmp_path / "a.log", text)
        assert (history.first_step, history.last_step) == (1000, 1099) and source.steps_per_epoch == 10

    def test_the_steps_of_all_epochs_behind_the_counter_are_not_those_of_one(self, tmp_path: Path) -> None:
        text = "".join(f"epoch: {1 + n // 10} step: {n}/900 d_loss: 1\n" for n in range(100))
        assert reading(tmp_path / "a.log", text)[1].steps_per_epoch == 10

    def test_epochs_without_steps_go_back_too(self, tmp_path: Path) -> None:
        text = "".join(f"Epoch {n:03d}/110 | loss_D: {n} | loss_G: 1\n" for n in [*range(1, 61), *range(51, 111)])
        history, source, _ = reading(tmp_path / "a.log", text)
        assert source.restarts == [(59, 50)] and history["d_loss"].values.tolist() == list(range(1, 111))


def steps(count: int, d_loss: float, g_loss: float, drift: float = 0.0) -> str:
    draw = random.Random(count)
    lines = []
    for n in range(0, 10 * count, 10):
        swing = draw.uniform(0.9, 1.1)
        lines.append(f"step: {n} loss_D: {d_loss * swing:.4f} loss_G: {(g_loss + drift * n) * swing:.4f}\n")
    return "".join(lines)


class TestNewStarts:
    """A counter that starts over from the very beginning is another run, unless something says that it goes on."""

    BROKEN = 'Traceback (most recent call last):\n  File "train.py", line 3\nKeyboardInterrupt\n'

    def test_of_two_runs_the_last_is_read(self, tmp_path: Path) -> None:
        text = steps(200, 0.002, 9) + self.BROKEN + steps(300, 0.5, 1.5)
        history, source, rows = reading(tmp_path / "a.log", text)
        assert source.restarts == [(1990, 0)] and source.rows == 500
        assert history.last_step == 2990 and history["d_loss"].low.min() > 0.4
        assert len(rows) == 300

    def test_also_where_steps_count_within_the_epoch(self, tmp_path: Path) -> None:
        history, source, _ = reading(tmp_path / "a.log", pix2pix(range(1, 20)) + pix2pix(range(1, 31), 0.25))
        assert source.restarts == [(7600, 100)] and history.last_step == 12_000
        assert set(history["d_loss"].values) == {0.25}

    @pytest.mark.parametrize(
        "said",
        [
            "loading the model from ./checkpoints/x/latest_net_G.pth",
            "INFO - Resuming from checkpoint epoch 12",
            "restored model unet_model-4000",
            "=> loaded checkpoint 'runs/a/last.ckpt'",
        ],
    )
    def test_it_goes_on_where_a_line_says_that_it_was_loaded(self, tmp_path: Path, said: str) -> None:
        history, source, _ = reading(tmp_path / "a.log", steps(100, 0.5, 2) + f"{said}\nstart\n" + steps(50, 0.5, 2))
        assert source.restarts == [(990, 991)] and history.last_step == 1481

    @pytest.mark.parametrize(
        "said",
        [
            "saving the latest model (epoch 3, total_steps 990)",
            "continue_train: False  resume: None",
            "failed to restore model",
            "loading pretrained VGG19 weights",
            "loading data",
        ],
    )
    def test_and_not_where_it_says_something_else(self, tmp_path: Path, said: str) -> None:
        _, source, _ = reading(tmp_path / "a.log", steps(100, 0.5, 2) + f"{said}\n" + steps(50, 0.5, 2))
        assert source.restarts == [(990, 0)]

    def test_it_goes_on_where_its_losses_do(self, tmp_path: Path) -> None:
        falling = steps(300, 0.5, 40, drift=-0.012)
        assert reading(tmp_path / "a.log", falling + steps(50, 0.5, 4))[1].restarts == [(2990, 2991)]
        assert reading(tmp_path / "a.log", falling + steps(50, 0.5, 40))[1].restarts == [(2990, 0)]

    def test_lines_are_remembered_in_bounded_memory(self) -> None:
        start = NewStart()
        for _ in range(100_000):
            start.put_text(0, "x" * 10_000)
        assert not start.goes_on(0, {"d_loss": 1.0})


class TestBars:
    """Progress bars, which start anew with each epoch."""

    def test_the_end_of_a_bar_is_the_beginning_of_the_next_one(self, tmp_path: Path) -> None:
        bar = "\rEpoch {}/3:  1%|#  | {}/200 [00:00<00:20,  9.81it/s, loss_D={:.4f}, loss_G=43.2]"
        text = "\n".join("".join(bar.format(e, n, e + n / 1000) for n in range(0, 201, 2)) for e in (1, 2, 3))
        history, source, rows = reading(tmp_path / "a.log", text)
        assert history["d_loss"].steps.tolist() == list(range(0, 601, 2)) and source.steps_per_epoch == 200
        assert len(rows) == 301 and not source.restarts

    def test_a_bar_that_is_drawn_again(self, tmp_path: Path) -> None:
        bar = "\r{}%|##| {}/100 [00:10<00:12, 44.0it/s, d_loss={:.3f}, g_loss=2.0]"
        text = "".join(bar.format(n, n, x) for _ in range(3) for n in range(1, 101) for x in (n, n, n + 0.5))
        history, source, rows = reading(tmp_path / "a.log", text)
        assert [step for step, _ in rows] == list(range(1, 301)) and source.steps_per_epoch == 100
        assert rows[0][1]["d_loss"] == 1.5 and history["d_loss"].count == 600

    def test_keras_with_a_line_for_each_epoch(self, tmp_path: Path) -> None:
        bar = "469/469 [=====] - 21s 45ms/step - d_loss: {:.4f} - g_loss: 1.1 - val_d_loss: 0.01\n"
        text = "".join(f"Epoch {n}/30\n" + bar.format(n / 100) for n in range(1, 31))
        history, source, _ = reading(tmp_path / "a.log", text)
        assert history["d_loss"].steps.tolist() == list(range(469, 469 * 31, 469)) and source.steps_per_epoch == 469
        assert history["epoch"].values.tolist() == list(range(1, 31))
        without = "".join(line for line in text.splitlines(keepends=True) if line.startswith("469"))
        assert reading(tmp_path / "a.log", without)[0]["d_loss"].steps.tolist() == list(range(469, 469 * 31, 469))

    @pytest.mark.parametrize("epoch", ["Ep 1/1", "[1/1]", "[{}/3]"])
    def test_a_fraction_that_stands_still_is_no_step(self, tmp_path: Path, epoch: str) -> None:
        text = "".join(f"12:00:11 | {epoch.format(n // 20)} | {n / 2}% | D: {n} G: 1.7\n" for n in range(60))
        history, source, _ = reading(tmp_path / "a.log", text)
        assert history["d_loss"].steps.tolist() == list(range(60)) and not source.restarts

    def test_a_fraction_that_comes_twice_is_no_epoch(self, tmp_path: Path) -> None:
        text = "".join(f"G_step [{n}/900], D_step [{n}/900], d_loss: 1, g_loss: 2\n" for n in range(0, 900, 10))
        history, source, _ = reading(tmp_path / "a.log", text)
        assert history["d_loss"].steps.tolist() == list(range(0, 900, 10)) and "epoch" not in history
        assert source.steps_per_epoch is None

    def test_losses_below_their_step(self, tmp_path: Path) -> None:
        text = "".join(f"Epoch: [{n // 4}], [{n % 4 * 100}/ 400] | 1s\nd_loss: 1, g_loss: 2\n" for n in range(40))
        history, source, _ = reading(tmp_path / "a.log", text)
        assert history["d_loss"].steps.tolist() == list(range(0, 4000, 100)) and source.steps_per_epoch == 400


@pytest.mark.parametrize(
    ("line", "first", "last"),
    [
        ("[train..][epoch:  0, iter: {:9,d}, lr:(1.000e-04,)] [time (data): 0.5 (0.003)] l_d_real: 1\n", 500, 20_000),
        ("iter: {:,d}, d_loss: 0.4\n", 500, 20_000),
        ("{:,d}/20,000 d_loss: 0.4\n", 500, 20_000),
        ("iter {},500,0.25 d_loss: 0.4\n", 500, 20_000),
        ("iter {},5 d_loss: 0.4\n", 500, 20_000),
    ],
)
def test_thousands(tmp_path: Path, line: str, first: int, last: int) -> None:
    history, source, _ = reading(tmp_path / "a.log", "".join(line.format(n) for n in range(first, last + 1, 500)))
    assert (history.first_step, history.last_step) == (first, last)
    assert "data)" not in source.other_tags


def test_rates_in_brackets_are_read(tmp_path: Path) -> None:
    history, _, _ = reading(
        tmp_path / "a.log", "iter: 1, lr:(1.000e-04,) l_d_real: 1\niter: 2, lr:(5e-05,) l_d_real: 1\n"
    )
    assert history["lr"].values.tolist() == [1e-4, 5e-5]


def test_a_name_has_no_half_a_bracket(tmp_path: Path) -> None:
    _, source, _ = reading(tmp_path / "a.log", "step: 1 [eta: 2, time (data): 3 (x: 4) y): 5 d_loss: 1\n" * 3)
    assert source.other_tags == ["eta", "time (data)", "x", "y"]


ZI2ZI = "Epoch: [{:2d}], [{:4d}/ 456] time: {:.2f}, d_loss: {:.5f}, g_loss: {:.5f}, category_loss: 0.01533, "
ZI2ZI += "cheat_loss: {:.5f}, const_loss: 0.67666, l1_loss: 25.43950, tv_loss: 0.00000"


class TestBrokenLines:
    """Lines that a terminal broke at its width, as they are copied out of it."""

    def rows(self) -> list[str]:
        draw = random.Random(1)
        return [
            ZI2ZI.format(
                n // 46, n % 46 * 10, n * 5.1, draw.uniform(0.1, 2), draw.uniform(8, 30), draw.uniform(0.5, 12)
            )
            for n in range(300)
        ]

    @pytest.mark.parametrize("ends", ["\n", "\r\n"])
    @pytest.mark.parametrize("columns", [120, 80, 60])
    @pytest.mark.parametrize("trimmed", [False, True])
    def test_they_are_joined(self, tmp_path: Path, columns: int, trimmed: bool, ends: str) -> None:
        pieces = ["unpickled total 7300 examples"]
        for row in self.rows():
            pieces += [row[at : at + columns] for at in range(0, len(row), columns)]
        pieces = [piece.rstrip() for piece in pieces] if trimmed else pieces
        history, source, _ = reading(tmp_path / "b.log", ends.join(pieces) + ends)
        whole, _, _ = reading(tmp_path / "a.log", "\n".join(self.rows()))
        assert (source.family, source.format, source.rows, source.unread.count) == ("zi2zi", "tf", 300, 0)
        for name in whole:
            assert history[name].values.tolist() == whole[name].values.tolist()

    def test_without_an_extension_too(self, tmp_path: Path) -> None:
        rows = [f"step: {n} " + f"d_loss: {n / 7:.4f} generator_loss: {n / 3:.4f} l1_loss: 1.5" for n in range(90)]
        text = "\n".join(piece for row in rows for piece in (row[:42], row[42:]) if piece)
        history, source, _ = reading(tmp_path / "a.log", text)
        assert set(source.tags) == {"d_loss", "g_loss", "l1"} and not source.other_tags
        assert history["g_loss"].steps.tolist() == list(range(90))

    def test_two_lines_for_each_row_are_left_alone(self) -> None:
        found = width([line for n in range(90) for line in (f"{'step':40} {n:5d}", "d_loss: 0.5 g_loss: 1")])
        assert found is not None and not found.sure
        assert width(["-" * 80, "epoch 1 d_loss: 0.5", "-" * 80, "step 2 d_loss: 0.5"] * 40) is None
        assert width([f"step {n:5d} " + "d_loss: 0.5 g_loss: 0.7 " * 3 for n in range(90)]) is None

    def test_blocks_may_end_anywhere(self) -> None:
        rows = self.rows()
        pieces = [row[at : at + 100] for row in rows for at in range(0, len(row), 100)]
        found = width(pieces)
        assert found is not None
        for size in (1, 2, 3, 7):
            blocks: list[NumberedLines] = [(at + 1, pieces[at : at + size]) for at in range(0, len(pieces), size)]
            made, number = [], 1
            for first, block in joined(blocks, found):
                assert first == number
                number += len(block)
                made += block
            assert len(made) == len(pieces) and [line for line in made if line] == rows
