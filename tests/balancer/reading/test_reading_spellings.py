"""Logs that write names and figures otherwise: full-width, Chinese, without marks, as objects, with decimal commas."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.written_logs import reading

from balancer.errors import DataError

ROWS = range(1, 41)
WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}


def figures(n: int) -> dict[str, float]:
    """The values of a row."""
    return {"d": round(0.7 - n / 100, 3), "g": round(1 + n / 50, 3), "l": round(9.5 - n / 10, 3)}


def epoch_and_batch(n: int) -> tuple[int, int]:
    """Ten rows in an epoch of a hundred batches, from 1."""
    return (n - 1) // 10 + 1, 10 * ((n - 1) % 10 + 1)


def written(form: str) -> str:
    lines = []
    for n in ROWS:
        epoch, batch = epoch_and_batch(n)
        lines.append(form.format(**figures(n), e=epoch, b=batch, n=10 * n))
    return "\n".join(lines) + "\n"


USUAL = "epoch: {e} iters: {b} D_loss: {d} G_loss: {g} G_L1: {l}"


@pytest.mark.parametrize(
    "form",
    [
        USUAL,
        USUAL.replace(":", "："),
        USUAL.translate({ord(":"): "：", ord(" "): "　"}),
        "epoch {e} iters {b} D_loss {d} G_loss {g} G_L1 {l}",
        "epoch {e}\titers {b}\tD_loss {d}\tG_loss {g}\tG_L1 {l}",
        "2024-01-02 10:00:00 | epoch {e} | iters {b} | D_loss {d} | G_loss {g} | G_L1 {l}",
        "[epoch {e}][iters {b}] D_loss {d} (0.51) G_loss {g} (1.4) G_L1 {l} (9.1)",
        "epoch {e} iters {b}: {{'D_loss': np.float64({d}), 'G_loss': np.float32({g}), 'G_L1': numpy.float32({l})}}",
        "epoch {e} it {b}: {{'D_loss': array({d}, dtype=float32), 'G_loss': array([{g}], dtype=float32), 'G_L1': {l}}}",
        "epoch {e} it {b} D_loss=tensor({d}, device='cuda:0') G_loss=tensor([{g}], grad_fn=<MeanBackward0>) G_L1={l}",
        "epoch {e} iters {b} D_loss=<tf.Tensor: shape=(), dtype=float32, numpy={d}> G_loss={g} G_L1={l}",
        "epoch {e} iters {b} D_loss: Array({d}, dtype=float32) G_loss: Array({g}, dtype=float32) G_L1: {l}",
        "第 {e} 輪 步數：{b}，判別器損失：{d}，生成器損失：{g}，G_L1：{l}",
        "第{e}轮，迭代{b}，判别器损失={d}，生成器损失={g}，L1损失={l}",
        "輪次 [{e}/9] 迭代 [{b}/100] 鑑別器損失 {d} 產生器損失 {g} L1損失 {l}",
        "轮次：{e}　批次：{b}/100　判别器误差：{d}　生成器误差：{g}　L1误差：{l}",
        "epoch {e} 第 {b} 步 判別網路損失: {d} 生成網路損失: {g} L1: {l}",
    ],
)
def test_a_row_is_the_same_however_it_is_written(tmp_path: Path, form: str) -> None:
    history, source = reading(tmp_path / "a.log", written(form))
    assert source.tags.keys() == {"d_loss", "g_loss", "l1"}
    assert (source.rows, source.kept, source.numbered) == (40, 40, False)
    for signal, key in (("d_loss", "d"), ("g_loss", "g"), ("l1", "l")):
        assert history[signal].values.tolist() == [figures(n)[key] for n in ROWS]
    assert history["epoch"].values.tolist() == [float(epoch_and_batch(n)[0]) for n in ROWS]
    assert history["d_loss"].steps.tolist() == [10.0 * n for n in ROWS] and source.steps_per_epoch == 100


def test_full_width_figures_and_letters(tmp_path: Path) -> None:
    text = written("epoch {e} iters {b} D_loss: {d} G_loss: {g}").translate(WIDE)
    history, source = reading(tmp_path / "a.log", text)
    assert source.tags == {"d_loss": "D_loss", "g_loss": "G_loss"}
    assert history["d_loss"].values.tolist() == [figures(n)["d"] for n in ROWS]


def test_decimal_commas(tmp_path: Path) -> None:
    for form in ("epoch: {e} iters: {b} D_loss: {d} G_loss: {g}", "epoch {e} iters {b} D_loss {d} G_loss {g}"):
        history, _ = reading(tmp_path / "a.log", written(form).replace(".", ","))
        assert history["d_loss"].values.tolist() == [figures(n)["d"] for n in ROWS]
        assert history["g_loss"].values.tolist() == [figures(n)["g"] for n in ROWS]
        assert history["d_loss"].steps.tolist() == [10.0 * n for n in ROWS]


def test_commas_between_figures_and_in_thousands_are_not_decimal(tmp_path: Path) -> None:
    text = "".join(f"step: {n},{500 + n} D_loss: 0.5, G_loss: 1,3 workers\n" for n in ROWS)
    history, _ = reading(tmp_path / "a.log", text)
    assert history["d_loss"].steps.tolist() == [1000.0 * n + 500 + n for n in ROWS]
    assert history["g_loss"].values.tolist() == [1.0] * 40


CHINESE = {
    "d_loss": "判別器損失 判别器损失 鑑別器損失 判別器總損失 訓練/判別器損失 D損失 d_損失",
    "g_loss": "生成器損失 生成器总损失 產生器損失 G損失",
    "adv": "對抗損失 对抗损失 生成器對抗損失 對抗",
    "d_loss_real": "判別器真實損失 判别器真样本损失 真實損失",
    "d_loss_fake": "判別器假樣本損失 判别器假损失",
    "rec": "重建損失 重构损失",
    "perceptual": "感知損失",
    "category": "類別損失 分类损失",
    "cycle": "循環一致性損失",
    "lr": "學習率 学习率 當前學習率",
    "lr_d": "判別器學習率",
    "lambda_adv": "對抗權重",
}


@pytest.mark.parametrize(
    ("signal", "name"), [(signal, name) for signal, names in CHINESE.items() for name in names.split()]
)
def test_chinese_names(tmp_path: Path, signal: str, name: str) -> None:
    _, source = reading(tmp_path / "a.log", "".join(f"步數：{n}，{name}：0.5，loss_G_fake：1\n" for n in ROWS))
    assert source.tags.get(signal) == name
    table = f"步數,{name},D_fake\n" + "".join(f"{10 * n},0.5,1\n" for n in ROWS)
    history, source = reading(tmp_path / "a.csv", table)
    assert source.tags.get(signal) == name and history[signal].steps.tolist() == [10.0 * n for n in ROWS]


@pytest.mark.parametrize("name", ["損失", "驗證判別器損失", "判別器梯度範數", "文字損失", "時間", "判別器最佳損失"])
def test_chinese_names_of_other_things(tmp_path: Path, name: str) -> None:
    _, source = reading(tmp_path / "a.csv", f"step,{name},D_loss\n" + "".join(f"{n},0.5,1\n" for n in ROWS))
    assert source.tags == {"d_loss": "D_loss"} and source.other_tags == [name]


def test_a_chinese_name_that_the_user_gives(tmp_path: Path) -> None:
    text = "".join(f"步數：{n}，品質：0.5\n" for n in ROWS)
    history, source = reading(tmp_path / "a.log", text, tags={"d_loss": "品質"})
    assert source.tags == {"d_loss": "品質"} and history["d_loss"].steps.tolist() == list(map(float, ROWS))


def test_lines_of_validation_in_chinese(tmp_path: Path) -> None:
    text = "".join(f"步數：{n}，判別器損失：0.5\n驗證 步數：{n}，判別器損失：9\n" for n in ROWS)
    history, source = reading(tmp_path / "a.log", text)
    assert set(history["d_loss"].values.tolist()) == {0.5} and source.dropped == {"validation": 40}


def test_settings_are_no_row(tmp_path: Path) -> None:
    settings = "Namespace(lr=0.0002, adv=1.0, gan_loss=3.0, D_loss=5, lambda_l1=100.0, step=9000)\n"
    history, source = reading(tmp_path / "a.log", settings + written(USUAL))
    assert history["d_loss"].values.tolist() == [figures(n)["d"] for n in ROWS]
    assert source.rows == 40 and source.skipped == 1 and "adv" not in source.tags


def test_prose_with_figures_is_no_row(tmp_path: Path) -> None:
    text = "generator 54 layers\ndiscriminator 12 layers\nfound 3 gpus\nD 5 heads\n" * 10
    with pytest.raises(DataError):
        reading(tmp_path / "a.log", text)
