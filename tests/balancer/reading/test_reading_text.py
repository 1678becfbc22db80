"""Text logs by names beside figures, as many codes print them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.written_logs import reading

from balancer.errors import ConfigError, DataError
from balancer.reading.opening import open_source
from balancer.reading.superseded import without_superseded


def test_pix2pix_counts_images_within_the_epoch(tmp_path: Path) -> None:
    """416 images in an epoch, a line every hundred of all images."""
    lines = ["================ Training Loss (Mon) ================"]
    for image in range(100, 416 * 4, 100):
        epoch, iters = divmod(image - 1, 416)
        lines.append(
            f"(epoch: {epoch + 1}, iters: {iters + 1}, time: 0.281, data: 0.002) "
            f"G_GAN: {image / 1000:.3f} G_L1: 20.1 D_real: 0.5 D_fake: 0.4 "
        )
    history, source = reading(tmp_path / "loss_log.txt", "\n".join(lines) + "\n")
    assert source.kind == "log" and source.skipped == 1
    assert source.tags == {"adv": "G_GAN", "l1": "G_L1", "d_loss_real": "D_real", "d_loss_fake": "D_fake"}
    assert history["adv"].steps.tolist() == list(range(100, 1664, 100))
    assert source.steps_per_epoch == 416 and not source.restarts


def test_hifi_gan(tmp_path: Path) -> None:
    line = "Steps : {}, Gen Loss Total : 30.123, Mel-Spec. Error : 0.412, s/b : 0.3\n"
    history, source = reading(tmp_path / "a.log", "".join(line.format(step) for step in range(0, 500, 5)))
    assert source.tags == {"g_loss": "Gen Loss Total", "mel": "Mel-Spec. Error"} and source.other_tags == ["s/b"]
    assert history["mel"].steps.tolist() == list(range(0, 500, 5))


@pytest.mark.parametrize(
    "line",
    [
        "[{epoch}/25][{batch}/100]\tLoss_D: 0.5\tLoss_G: 2.0\tD(x): 0.6\tD(G(z)): 0.4 / 0.3",
        "[Epoch {epoch}/25] [Batch {batch}/100] [D loss: 0.5] [G loss: 2.0]",
        "Epoch [{epoch}/25], Step [{batch}/100], d_loss: 0.5, g_loss: 2.0, D(x): 0.60",
        "Epoch: [ {epoch}], [ {batch}/ 100] time:  52, d_loss: 0.5, g_loss: 2.0",
        "Epoch {epoch}: 45%|████▌ | {batch}/100 [00:10<00:12, 44.0it/s, d_loss=0.5, g_loss=2.0]",
        "2024-01-02 10:00:00,123 INFO trainer: epoch={epoch} iter={batch}/100 errD=0.5 errG=tensor(2.0, device='cuda')",
        "\x1b[32mepoch {epoch}\x1b[0m batch {batch} | discriminator loss = 5.0e-1 | generator loss = +2.",
    ],
)
def test_common_forms(tmp_path: Path, line: str) -> None:
    text = "\n".join(line.format(epoch=epoch, batch=batch) for epoch in range(3) for batch in range(0, 100, 4))
    history, source = reading(tmp_path / "a.log", text)
    assert set(source.tags) - {"d_prob_real", "d_prob_fake"} == {"d_loss", "g_loss"}
    assert history["d_loss"].values.tolist() == [0.5] * 75 and history["g_loss"].values.tolist() == [2.0] * 75
    assert history["d_loss"].steps.tolist() == list(range(0, 300, 4))
    assert source.steps_per_epoch == 100 and not source.restarts


def test_a_number_at_the_beginning_is_the_step(tmp_path: Path) -> None:
    history, _ = reading(
        tmp_path / "a.log", "".join(f"{n} [D loss: 0.69, acc.: 50.00%] [G loss: 0.7]\n" for n in range(0, 90, 3))
    )
    assert history["g_loss"].steps.tolist() == list(range(0, 90, 3))


@pytest.mark.parametrize("form", ["{n:08d}) D loss: 0.69; G loss: 0.7", ">{n}, D loss: 0.69 G loss: 0.7"])
def test_a_number_at_the_beginning_with_a_sign_is_the_step_too(tmp_path: Path, form: str) -> None:
    history, source = reading(tmp_path / "a.log", "".join(form.format(n=n) + "\n" for n in range(0, 90, 3)))
    assert history["g_loss"].steps.tolist() == list(range(0, 90, 3)) and not source.numbered


@pytest.mark.parametrize(
    "form",
    [
        "09/{day} 07:30:20 - INFO - Iter(train) [ {n}/2000]  loss_d: 0.5  loss_g: 0.7",
        "[09/{day} 07:30:20] trainer INFO {n}/2000 loss_d: 0.5 loss_g: 0.7",
        "{day}/09 07:30 {n}/2000 loss_d: 0.5 loss_g: 0.7",
    ],
)
def test_a_day_and_a_month_are_no_counter(tmp_path: Path, form: str) -> None:
    text = "".join(form.format(n=n, day=10 + n // 500) + "\n" for n in range(0, 2000, 50))
    history, source = reading(tmp_path / "a.log", text)
    assert history["d_loss"].steps.tolist() == list(range(0, 2000, 50))
    assert "epoch" not in history and source.steps_per_epoch is None and not source.restarts


def test_a_bar_that_starts_anew_goes_on(tmp_path: Path) -> None:
    bar = "\r{}%|##| {}/100 [00:10<00:12, 44.0it/s, d_loss=0.5, g_loss=2.0]"
    text = "".join(bar.format(n, n) for _ in range(3) for n in range(0, 101, 10))
    history, source = reading(tmp_path / "a.log", text)
    assert history["d_loss"].last_steps[-1] == 300 and not source.restarts and source.steps_per_epoch == 100


def test_keras(tmp_path: Path) -> None:
    lines = []
    for epoch in range(3):
        lines.append(f"Epoch {epoch + 1}/3")
        bars = [f" {n}/938 [=====>....] - ETA: 5s - d_loss: 0.6912 - g_loss: 0.8" for n in (1, 400, 800)]
        lines.append("\r".join([*bars, "938/938 [======] - 12s 13ms/step - d_loss: 0.69 - g_loss: 0.8"]))
    history, source = reading(tmp_path / "a.log", "\n".join(lines))
    assert source.tags == {"d_loss": "d_loss", "g_loss": "g_loss"} and not source.restarts
    assert history["d_loss"].steps.tolist() == [938 * epoch + n for epoch in range(3) for n in (1, 400, 800, 938)]


def test_losses_of_one_step_on_lines_of_their_own(tmp_path: Path) -> None:
    text = "".join(f"step: {n} d_loss: 0.5\n    g_loss: 2 l1_loss: 3\n" for n in range(0, 900, 100))
    history, source = reading(tmp_path / "a.log", text)
    assert history["g_loss"].steps.tolist() == history["d_loss"].steps.tolist() == list(range(0, 900, 100))
    rows = list(without_superseded(open_source(str(tmp_path / "a.log")).rows(), source.restarts))
    assert rows == [(n, {"d_loss": 0.5, "g_loss": 2, "l1": 3}) for n in range(0, 900, 100)]


def test_printed_dicts(tmp_path: Path) -> None:
    text = "".join(str({"loss_D": 0.5, "loss_G": 2.0, "epoch": step / 50}) + "\n" for step in range(200))
    history, source = reading(tmp_path / "a.log", text)
    assert history["d_loss"].count == 200 and source.steps_per_epoch == pytest.approx(50)


def test_lines_of_validation_are_no_rows(tmp_path: Path) -> None:
    text = (
        "step=1 d_loss=0.5\n[Validation] step=1 d_loss=9\nval_d_loss: 8 d_time: 1\nTest: d_loss: 7\nstep=2 d_loss=0.5\n"
    )
    history, source = reading(tmp_path / "a.log", text)
    assert history["d_loss"].values.tolist() == [0.5, 0.5]
    assert source.skipped == 1 and source.dropped == {"validation": 2} and (source.kept, source.rows) == (2, 4)


def test_told_names(tmp_path: Path) -> None:
    text = "".join(f"INFO step: {n} critic score: 0.5 foo: 2 D: 3\n" for n in range(5))
    history, source = reading(tmp_path / "a.log", text, tags={"adv": "foo", "d_loss": "critic score"})
    assert source.tags == {"d_loss": "critic score", "adv": "foo"}
    assert history["d_loss"].values[0] == 0.5 and history["adv"].values[0] == 2
    with pytest.raises(ConfigError, match=r"--tag adv=fooo.*nearest are foo"):
        reading(tmp_path / "a.log", text, tags={"adv": "fooo"})


def test_numbers_beyond_all_bounds_are_not_finite(tmp_path: Path) -> None:
    text = f"step: 1 d_loss: nan g_loss: -inf\nstep: 2 d_loss: {'9' * 400} g_loss: 1e999\nstep: 3 d_loss: 1 g_loss: 1\n"
    history, _ = reading(tmp_path / "a.log", text)
    assert history["d_loss"].nonfinite == 2 and history["g_loss"].nonfinite == 2 and history["d_loss"].count == 1


def test_a_new_start_goes_on_and_is_told(tmp_path: Path) -> None:
    one = "".join(f"step: {n} d_loss: 1 g_loss: 1\n" for n in range(0, 1000, 100))
    two = "".join(f"step: {n} d_loss: 2 g_loss: 1\n" for n in range(0, 500, 100))
    history, source = reading(tmp_path / "a.log", one + "loaded checkpoint\n" + two)
    assert source.restarts == [(900, 901)]
    assert history["d_loss"].steps.tolist() == [*range(0, 1000, 100), 901, *range(1001, 1400, 100)]


def test_the_probabilities_of_the_dcgan_example(tmp_path: Path) -> None:
    line = "[{}/5][{}/100]\tLoss_D: 1.6\tLoss_G: 5.2\tD(x): 0.6\tD(G(z)): 0.5 / 0.02\n"
    history, source = reading(tmp_path / "a.log", "".join(line.format(n // 10, n % 10 * 10) for n in range(50)))
    assert history["d_prob_real"].values.tolist() == [0.6] * 50
    assert history["d_prob_fake"].values.tolist() == [0.5] * 50
    assert history.last_step == 490 and not source.other_tags


def test_a_step_that_falls_to_the_middle_supersedes(tmp_path: Path) -> None:
    one = "".join(f"step: {n} d_loss: 1 g_loss: 1\n" for n in range(0, 1000, 100))
    two = "".join(f"step: {n} d_loss: 2 g_loss: 1\n" for n in range(500, 1500, 100))
    history, source = reading(tmp_path / "a.log", one + two)
    assert source.restarts == [(900, 500)]
    assert history["d_loss"].steps.tolist() == list(range(0, 1500, 100))
    again = list(without_superseded(open_source(str(tmp_path / "a.log")).rows(), source.restarts))
    assert [row["d_loss"] for _, row in again] == [1] * 5 + [2] * 10


def test_lines_of_ranks_out_of_order_are_no_new_starts(tmp_path: Path) -> None:
    lines = [f"step: {n - 1000 * (n % 3 == 0 and n > 3000)} d_loss: 1" for n in range(1000, 20_000, 1000)]
    history, _ = reading(tmp_path / "a.log", "\n".join(lines))
    assert history.last_step <= 19_000


def test_nothing_recognisable_says_what_was_found(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"a text log on which no line names a loss of D or G; it names foo, bar: say .*--tag"
    ):
        reading(tmp_path / "a.log", "foo: 3 bar: 4\n" * 30)
    with pytest.raises(
        DataError, match=r"a text log without names beside figures, such as: hello world; give --pattern"
    ):
        reading(tmp_path / "a.log", "hello world\n" * 30)


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ("Epoch {n} train_loss: 0.31 val_loss: 0.42", "train_loss, val_loss"),
        ("Epoch {n} train_loss 0.31 val_loss 0.42 took 12 s", "train_loss, val_loss"),
        ("step {n} | train/loss 0.31 | psnr: 25.1 | ssim 0.9", "psnr, train/loss, ssim"),
        ("Val: step {n} loss 0.31, acc 0.42", "loss, acc"),
        ("{n}) loss - 0.31; error - 0.42", "loss, error"),
        ("loss = 0.31, step = {n} (8.1 sec) critic 5", "loss"),
    ],
)
def test_names_that_are_no_losses_of_d_or_g_are_said(tmp_path: Path, form: str, names: str) -> None:
    text = "".join(form.format(n=n) + "\n" for n in range(30))
    with pytest.raises(DataError, match=rf"no line names a loss of D or G; it names {names}: say .*--tag"):
        reading(tmp_path / "a.log", text)


def test_prose_names_nothing(tmp_path: Path) -> None:
    text = "".join(f"epoch {n} of 30, took 12 s on 3 gpus, 0.31 GB\n" for n in range(30))
    with pytest.raises(DataError, match="a text log without names beside figures, such as: epoch 0 of 30"):
        reading(tmp_path / "a.log", text)
