"""Recipes of other codes: their logs in the forms they are printed in, what is read of them, and in which units."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import balancer
from balancer.errors import ConfigError

STEPS = range(100, 6100, 100)
# What a D that slowly wins pays for one half of its images, in BCE.
HALF = [math.log(2) * math.exp(-step / 1200) + 0.02 for step in STEPS]


def taming() -> Iterator[str]:
    """metrics.csv of Lightning: G's and D's values in rows of their own; D is trained from step 2,000 on."""
    losses = ("total_loss", "quant_loss", "nll_loss", "rec_loss", "p_loss", "d_weight", "disc_factor", "g_loss")
    columns = [f"train/{name}" for name in (*losses, "disc_loss", "logits_real", "logits_fake")]
    yield ",".join(["epoch", "step", *columns])
    for step, half in zip(STEPS, HALF, strict=True):
        on = float(step >= 2000)
        yield f"0,{step},{0.62 + on * 0.8 * 0.25},0.02,0.6,0.6,0.3,0.8,{on},0.25,,,"
        yield f"0,{step},,,,,,,,,{on * half / math.log(2)},{1.5 - half},{half - 1.5}"


def hifigan() -> Iterator[str]:
    yield "checkpoints directory :  cp_hifigan"
    yield "Epoch: 1"
    for step in STEPS:
        mel = 0.3 + math.exp(-step / 1000)
        total = 45 * mel + 16
        yield f"Steps : {step:d}, Gen Loss Total : {total:4.3f}, Mel-Spec. Error : {mel:4.3f}, s/b : 0.310"


def parallel_wavegan() -> Iterator[str]:
    for step, half in zip(STEPS, HALF, strict=True):
        level = half / math.log(2) * 0.25 * 8
        values = {
            "adversarial_loss": 6.0, "mel_loss": 0.4, "feature_matching_loss": 1.0, "generator_loss": 26.0,
            "real_loss": level, "fake_loss": level, "discriminator_loss": 2 * level,
        }  # fmt: skip
        for name, value in values.items():
            yield f"2021-03-01 10:00:00,123 (train:512) INFO: (Steps: {step}) train/{name} = {value:.4f}."


def basicsr() -> Iterator[str]:
    yield "2021-06-15 10:00:00,101 INFO: Model [ESRGANModel] is created."
    for step, half in zip(STEPS, HALF, strict=True):
        yield (
            f"2021-06-15 10:02:02,345 INFO: [052_E..][epoch:{step // 800:3d}, iter:{step:8,d}, "
            "lr:(1.000e-04,1.000e-04,)] [eta: 1 day, 2:03:04, time (data): 0.301 (0.002)] "
            f"l_g_pix: 3.0000e-04 l_g_percep: 1.2000e+00 l_g_gan: 2.0000e-02 l_d_real: {half:.4e} "
            f"out_d_real: 5.0000e+00 l_d_fake: {half:.4e} out_d_fake: -5.0000e+00 "
        )


def read(tmp_path: Path, lines: Iterator[str], **options: Any) -> balancer.Diagnosis:
    log = tmp_path / "train.log"
    log.write_text("\n".join(lines) + "\n")
    return balancer.diagnose(log, **options)


@pytest.mark.parametrize(
    ("lines", "recipe", "names", "adv_share"),
    [
        (
            taming, "vqgan",
            {
                "g_loss": "train/total_loss", "adv": "train/g_loss", "lambda_adv": "train/d_weight",
                "nll": "train/nll_loss", "rec": "train/rec_loss", "perceptual": "train/p_loss",
                "d_loss": "train/disc_loss", "d_logit_real": "train/logits_real", "d_logit_fake": "train/logits_fake",
            },
            0.2 / 0.8,
        ),
        (
            parallel_wavegan, "vocoder",
            {
                "adv": "train/adversarial_loss", "mel": "train/mel_loss", "fm": "train/feature_matching_loss",
                "g_loss": "train/generator_loss", "d_loss_real": "train/real_loss", "d_loss_fake": "train/fake_loss",
                "d_loss": "train/discriminator_loss",
            },
            6 / 26,
        ),
        (
            basicsr, "esrgan",
            {
                "l1": "l_g_pix", "perceptual": "l_g_percep", "adv": "l_g_gan", "d_loss_real": "l_d_real",
                "d_loss_fake": "l_d_fake", "d_logit_real": "out_d_real", "d_logit_fake": "out_d_fake",
            },
            0.02 / 1.2203,
        ),
    ],
)  # fmt: skip
def test_a_recipe_knows_the_units_and_the_reader_the_names(
    lines: Callable[[], Iterator[str]], recipe: str, names: dict[str, str], adv_share: float, tmp_path: Path
) -> None:
    found = read(tmp_path, lines(), recipe=recipe)
    assert names.items() <= found.case.source.tags.items()
    history = found.case.history
    began = 2000 if lines is taming else 100
    expected = [half for step, half in zip(STEPS, HALF, strict=True) if step >= began]
    assert history["d_adv"].values.tolist() == pytest.approx(expected, abs=1e-3)
    assert history["adv_share"].values.tolist() == pytest.approx([adv_share] * len(expected), abs=1e-3)
    assert {"saturated", "saturated.lasting"} <= found.keys


def test_without_the_recipe_the_same_levels_are_not_known(tmp_path: Path) -> None:
    plain = read(tmp_path, parallel_wavegan())
    assert plain.case.history["d_adv"].values[0] > 1, "the halves of eight discriminators, added up"
    assert "adv_share" not in plain.case.history


def test_a_vocoder_that_logs_nothing_of_d_is_not_judged_by_it(tmp_path: Path) -> None:
    found = read(tmp_path, hifigan(), recipe="vocoder")
    assert found.case.source.tags == {"g_loss": "Gen Loss Total", "mel": "Mel-Spec. Error"}
    assert "saturated" in {left.rule for left in found.not_judged}


def test_what_is_said_goes_before_the_recipe(tmp_path: Path) -> None:
    found = read(tmp_path, parallel_wavegan(), recipe="vocoder", discriminators=4, weights={"mel": 0.0})
    assert found.case.history["d_adv"].values[0] == pytest.approx(2 * HALF[0], rel=1e-3)
    assert found.case.history["adv_share"].values[0] == pytest.approx(6 / 8, rel=1e-3)


def test_a_recipe_without_units_and_units_out_of_form_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"recipe document says nothing of logs: it has no table \[log\]"):
        read(tmp_path, basicsr(), recipe="document")
    mine = tmp_path / "mine.toml"
    mine.write_text('[log]\nd_loss = "max"\n')
    with pytest.raises(ConfigError, match=r"log\.d_loss: .*'mean' or 'sum', got 'max'"):
        read(tmp_path, basicsr(), recipe=str(mine))
