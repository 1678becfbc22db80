"""Figures behind a blank among figures behind marks: those of losses are read, those of other things are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.written_logs import reading

from balancer.reading.opening import open_source

ROWS = range(1, 41)


def losses(n: int) -> dict[str, float]:
    """D's loss and its halves, and G's, of a row."""
    return {"d": round(1.3 - n / 100, 3), "r": round(0.8 - n / 90, 4), "f": round(-0.5 + n / 80, 4), "g": 0.7 + n / 50}


def written(form: str, count: int = 40) -> str:
    return "".join(form.format(n=n, **losses(n % 97)) + "\n" for n in range(1, count + 1))


NAMED = {"d_loss": "d", "g_loss": "g", "d_loss_real": "r", "d_loss_fake": "f"}


@pytest.mark.parametrize(
    "form",
    [
        "[0/9][{n}/90][7] Loss_D: {d} Loss_G: {g} Loss_D_real: {r} Loss_D_fake {f}",
        "step {n} | D loss {d} | G loss: {g} | D real loss: {r} | D fake loss {f}",
        "it={n} lossD={d} lossG {g} lossD_real={r} lossD_fake={f} (took 0.412 s, 5.2 GB)",
        "step: {n} d loss {d} g loss: {g} d real loss {r} d fake loss: {f}",
        "step: {n}, d_loss: tensor({d}), g_loss tensor({g}, device='cuda:0'), d_loss_real: {r}, d_loss_fake: {f}",
        "step: {n} errD {d} (1.21) errG: {g} (0.9) errD_real {r} errD_fake: {f}",
        "step: {n} time: 0.412 s D_loss {d} G_loss: {g} D_real: {r} D_fake: {f}",
        "iter {n}: D_loss - {d}; G_loss = {g}; D_real = {r}; D_fake - {f}",
        "iter {n}: D_loss -> {d}, G_loss = {g}, D_real: {r}, D_fake -> {f}",
        "iter: {n} D_loss: {d} G_loss[{g}] D_real: {r} D_fake[{f}]",
        "第 {n} 步 判別器損失：{d} 生成器損失 {g} 判別器真實損失：{r} 判別器假損失：{f}",
    ],
)
def test_a_loss_without_a_mark_is_read(tmp_path: Path, form: str) -> None:
    history, source = reading(tmp_path / "a.log", written(form))
    assert source.tags.keys() == NAMED.keys()
    for signal, key in NAMED.items():
        assert history[signal].values.tolist() == [losses(n)[key] for n in ROWS], signal
        assert history[signal].steps.tolist() == [float(n) for n in ROWS]


def test_a_name_of_two_figures_without_a_mark(tmp_path: Path) -> None:
    text = written("step {n} | GP: 0.1 | L1: 0.2 | D/G loss {d} / {g}")
    history, source = reading(tmp_path / "a.log", text)
    assert source.tags.keys() == {"d_gp", "l1", "d_loss", "g_loss"}
    assert history["d_loss"].values.tolist() == [losses(n)["d"] for n in ROWS]
    assert history["g_loss"].values.tolist() == [losses(n)["g"] for n in ROWS]


@pytest.mark.parametrize(
    "other",
    [
        "generator 0.12 s, discriminator 0.21 s",
        "generator 12.5 ms/it",
        "G 52.9 M parameters, D 4.4 M",
        "G 1.52 GB",
        "generator 54 layers",
        "G 5 steps",
        "epoch 3 of 10",
        "took 12.31 s",
        "critic 5/5",
        "lambda 0.5x",
        "G {n}",
        "at 3.1 images/s",
    ],
)
def test_other_figures_behind_a_blank_are_no_losses(tmp_path: Path, other: str) -> None:
    text = written("step: {n} D_loss: {d} | D_real: {r} | " + other)
    history, source = reading(tmp_path / "a.log", text)
    assert source.tags == {"d_loss": "D_loss", "d_loss_real": "D_real"}
    assert history["d_loss"].steps.tolist() == [float(n) for n in ROWS]


def test_a_name_that_stands_there_now_and_then_is_no_loss(tmp_path: Path) -> None:
    rows = [f"step: {n} D_loss: 0.5 D_real: 0.2" + " best G loss 0.25" * (n % 5 == 0) for n in ROWS]
    _, source = reading(tmp_path / "a.log", "\n".join(rows))
    assert source.tags == {"d_loss": "D_loss", "d_loss_real": "D_real"}


def test_a_name_with_a_mark_is_not_read_without_one_too(tmp_path: Path) -> None:
    """Such as the mean of what follows."""
    text = written("step: {n} mean D_loss 9.25; D_loss: {d} G_loss: {g}")
    history, _ = reading(tmp_path / "a.log", text)
    assert history["d_loss"].values.tolist() == [losses(n)["d"] for n in ROWS]


def test_a_name_that_the_user_gives_needs_no_mark(tmp_path: Path) -> None:
    for form, values in (("{g}", [losses(n)["g"] for n in ROWS]), ("{n}", [float(n) for n in ROWS])):
        for mark in (": ", " "):
            text = written(f"step: {{n}} D_loss{mark}{{d}} fool {form}")
            history, source = reading(tmp_path / "a.log", text, tags={"adv": "fool"})
            assert source.tags == {"d_loss": "D_loss", "adv": "fool"}
            assert history["adv"].values.tolist() == values


def test_a_unit_is_no_part_of_the_next_name(tmp_path: Path) -> None:
    text = written("step: {n} time: 0.412 s D_loss: {d}, G_loss: {g} -- mean_D_loss: 1.2, mean_G_loss: 0.9")
    history, source = reading(tmp_path / "a.log", text)
    assert source.tags == {"d_loss": "D_loss", "g_loss": "G_loss"}
    assert history["d_loss"].values.tolist() == [losses(n)["d"] for n in ROWS]


def test_a_long_log_is_read_alike(tmp_path: Path) -> None:
    """Thousands of lines that are read at once, and one among them without the name."""
    lines = written("[0/9][{n}/9000] Loss_D: {d:.4f} Loss_G: {g:.4f} Loss_D_fake {f:.4f}", 6000).splitlines()
    lines[4321] = lines[4321].partition("Loss_D_fake")[0]
    history, source = reading(tmp_path / "a.log", "\n".join(lines))
    assert (source.kept, history["d_loss"].count, history["d_loss_fake"].count) == (6000, 6000, 5999)
    reader = open_source(str(tmp_path / "a.log"))
    values = [row.get("d_loss_fake") for _, row in reader.rows()]
    assert values == [float(f"{losses(n % 97)['f']:.4f}") if n != 4322 else None for n in range(1, 6001)]


@pytest.mark.parametrize(
    "form",
    [
        "{n:08d}) perceptual - 84.51; gen_gan - {g:.5f}; disc_gan - {d:.5f}; equivariance - 0.21",
        "Gen. ({g:.5f}) | Discrim. ({d:.5f}):  12%|#2   | {n}/300 [00:12<01:00, 8.1it/s]",
        ">{n}, d[{d:.5f}] g[{g:.5f}]",
        "step {n}: d_loss -> {d:.5f}, g_loss -> {g:.5f}",
    ],
)
def test_logs_without_any_mark(tmp_path: Path, form: str) -> None:
    history, source = reading(tmp_path / "a.log", written(form))
    signals = {"d_loss", "adv" if "gan" in form else "g_loss"}
    assert signals <= source.tags.keys() <= signals | {"perceptual"}
    assert history["d_loss"].values.tolist() == [losses(n)["d"] for n in ROWS]
    assert history["d_loss"].steps.tolist() == [float(n) for n in ROWS]
