"""Long logs are read many lines at a time, with the same result as line by line."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from support.written_logs import reading

from balancer.reading.opening import open_source

COUNT = 6000


def zi2zi(n: int) -> str:
    epoch, batch = divmod(n, 416)
    return (
        f"Epoch: [{epoch:2d}], [{batch:4d}/ 416] time: {n % 97:7.2f}, d_loss: {n % 11 / 7:.5f}, "
        f"g_loss: {20 + n / 8:.5f}, category_loss: 0.00000, cheat_loss: {n % 5 / 3:.5f}, const_loss: 0.25000, "
        f"l1_loss: {9 + n % 13 / 11:.5f}"
    )


def pix2pix(n: int) -> str:
    epoch, batch = divmod(n, 13)
    return (
        f"(epoch: {epoch + 1}, iters: {100 * (batch + 1)}, time: 0.123) G_GAN: {n % 7 / 3 - 1:.3f} "
        f"G_L1: {9 + n / 9:.3f} D_real: {n % 11 / 7:.3f} D_fake: 0.500 "
    )


def usual(n: int) -> str:
    return f"2024-01-02 step {10 * n}/90000 loss_D={n % 11 / 7:.4f} loss_G={n / 8!r}"


# A line's signal, and its value in row n.
FORMS: dict[str, tuple[Callable[[int], str], str, Callable[[int], float]]] = {
    "zi2zi": (zi2zi, "l1", lambda n: float(f"{9 + n % 13 / 11:.5f}")),
    "pix2pix": (pix2pix, "adv", lambda n: float(f"{n % 7 / 3 - 1:.3f}")),
    "usual": (usual, "g_loss", lambda n: n / 8),
}
STEPS: dict[str, Callable[[int], float]] = {
    "zi2zi": lambda n: n,
    "pix2pix": lambda n: 1300 * (n // 13) + 100 * (n % 13 + 1),
    "usual": lambda n: 10 * n,
}


def rows_of(path: Path, lines: list[str], signal: str) -> list[tuple[float, float]]:
    """Steps and values as they come, and the source's count of rows."""
    path.write_text("\n".join(lines) + "\n")
    reader = open_source(str(path))
    found = [(step, row[signal]) for step, row in reader.rows() if signal in row]
    assert reader.source.rows >= len(found)
    return found


@pytest.mark.parametrize("form", FORMS)
def test_a_long_log(tmp_path: Path, form: str) -> None:
    write, signal, value = FORMS[form]
    expected = [(STEPS[form](n), value(n)) for n in range(COUNT)]
    assert rows_of(tmp_path / "a.log", [write(n) for n in range(COUNT)], signal) == expected
    history, source = reading(tmp_path / "a.log", "\n".join(map(write, range(COUNT))) + "\n")
    assert (source.rows, source.kept, source.skipped, source.unread.count) == (COUNT, COUNT, 0, 0)
    assert history[signal].count == COUNT and history.last_step == STEPS[form](COUNT - 1)
    assert source.steps_per_epoch == {"zi2zi": 416, "pix2pix": 1300, "usual": None}[form]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("every", [7, 300, 2500])
def test_other_text_between(tmp_path: Path, form: str, every: int) -> None:
    write, signal, value = FORMS[form]
    lines = [line for n in range(COUNT) for line in ([write(n)] if n % every else ["saved a checkpoint", write(n)])]
    assert rows_of(tmp_path / "a.log", lines, signal) == [(STEPS[form](n), value(n)) for n in range(COUNT)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("other", ["nan", "inf", "1e-05", "-7", "2", "2.", ".5"])
def test_a_figure_of_another_form(tmp_path: Path, form: str, other: str) -> None:
    """One row in the middle, whose last figure but one looks otherwise."""
    write, signal, value = FORMS[form]
    lines = [write(n) for n in range(COUNT)]
    name = {"zi2zi": "const_loss", "pix2pix": "D_real", "usual": "loss_D"}[form]
    mark = "=" if form == "usual" else ": "
    before, _, behind = lines[4321].partition(f"{name}{mark}")
    figure = behind.split(",")[0].split(" ")[0]
    lines[4321] = before + name + mark + behind.replace(figure, other, 1)
    key = {"const_loss": "const", "D_real": "d_loss_real", "loss_D": "d_loss"}[name]
    found = rows_of(tmp_path / "a.log", lines, key)
    assert len(found) == COUNT and found[4321][0] == STEPS[form](4321)
    assert math.isnan(found[4321][1]) if other == "nan" else found[4321][1] == float(other)
    assert rows_of(tmp_path / "a.log", lines, signal) == [(STEPS[form](n), value(n)) for n in range(COUNT)]


def test_a_row_of_zi2zi_that_was_cut_off_is_refused_among_thousands(tmp_path: Path) -> None:
    lines = [zi2zi(n) for n in range(COUNT)]
    lines[3456] = lines[3456][:-2]
    lines[5000] = lines[5000][:40]
    lines[5100] = lines[5100].replace("/ 416]", "/  16]")
    history, source = reading(tmp_path / "a.log", "\n".join(lines) + "\n")
    assert source.family == "zi2zi" and source.rows == COUNT - 3 and source.unread.count == 3
    assert source.unread.examples[0][0] == 3457
    assert history["l1"].count == COUNT - 3


def test_digits_in_names_tell_names_apart(tmp_path: Path) -> None:
    lines = [f"step {n} loss_D: 0.5 l1_loss: 0.25" for n in range(COUNT)]
    lines[4000] = "step 4000 loss_D: 0.5 l2_loss: 9.00"
    found = rows_of(tmp_path / "a.log", lines, "l1")
    assert len(found) == COUNT - 1 and {value for _, value in found} == {0.25}


def test_a_figure_that_is_missing_and_one_too_many_do_not_make_up_for_each_other(tmp_path: Path) -> None:
    lines = [f"step {n}, loss_D: 0.5, count: {n}, loss_G: 1.5" for n in range(COUNT)]
    lines[4000] = "step 4000, loss_D: 0.5, count: , loss_G: 1.5"
    lines[4001] = "step 4001, loss_D: 0.5, count: 7 8, loss_G: 1.5"
    assert rows_of(tmp_path / "a.log", lines, "g_loss") == [(n, 1.5) for n in range(COUNT)]


@pytest.mark.parametrize("form", FORMS)
def test_a_run_that_went_back_or_began_anew(tmp_path: Path, form: str) -> None:
    write = FORMS[form][0]
    back = [*range(5000), *range(4200, COUNT)]
    history, source = reading(tmp_path / "a.log", "\n".join(map(write, back)) + "\n")
    assert source.restarts == [(STEPS[form](4999), STEPS[form](4200))]
    assert source.rows == len(back) and source.dropped.keys() == {"superseded"}
    assert history.last_step == STEPS[form](COUNT - 1)
    again = [*range(5000), *range(3000)]
    history, source = reading(tmp_path / "a.log", "\n".join(map(write, again)) + "\n")
    assert len(source.restarts) == 1 and source.kept == 3000 and history.last_step == STEPS[form](2999)


def test_a_run_that_was_loaded_goes_on(tmp_path: Path) -> None:
    lines = [usual(n) for n in range(5000)] + ["Loading checkpoint latest.pth"] + [usual(n) for n in range(3000)]
    history, source = reading(tmp_path / "a.log", "\n".join(lines) + "\n")
    assert len(source.restarts) == 1 and source.kept == 8000
    assert history.last_step > STEPS["usual"](4999) + STEPS["usual"](2999) - 20
