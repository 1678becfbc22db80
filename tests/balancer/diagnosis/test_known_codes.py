"""Known training codes are recognised by their logs, and judged and advised in their own terms."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.known_logs import LINES, logged

import balancer
from balancer.diagnosis.diagnose import Diagnosis
from balancer.diagnosis.remedies import FLAGGED, REMEDIES
from balancer.errors import ConfigError, PluginError
from balancer.reading.codes import OURS, Code, our_codes, read_codes
from balancer.reading.families import codes


def judged(path: Path, code: str, **options: object) -> Diagnosis:
    return balancer.diagnose(logged(path, code), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", LINES)
def test_a_code_is_known_by_its_log_and_chance_is_chance(name: str, tmp_path: Path) -> None:
    made = judged(tmp_path / "train.log", name)
    assert made.case.source.code is not None and made.case.source.code.name == name
    # A log whose steps stand below their rows may lose two of them at its beginning.
    assert made.case.source.rows >= 60 and made.case.source.kept >= made.case.source.rows - 2
    d_adv = made.case.history["d_adv"].values
    assert np.median(d_adv) == pytest.approx(math.log(2), rel=0.05)


@pytest.mark.parametrize("name", LINES)
def test_a_d_that_has_won_is_found_unless_its_authors_call_that_right(name: str, tmp_path: Path) -> None:
    code = our_codes()[name]
    adv = {"bce": 6.0, "lsgan": 1.0, "hinge": 1.5}.get(code.losses[0], 6.0)
    made = balancer.diagnose(logged(tmp_path / "train.log", name, halves=(0.004, 0.004, adv)))
    right = code.healthy is not None and code.healthy[0] == 0
    assert ("saturated.lasting" in made.keys) == (not right)
    assert "-0%" not in balancer.as_text(made)


def test_every_code_says_where_it_is_from_and_what_its_remedies_are_called() -> None:
    said = {name for code in our_codes().values() for name in code.flags}
    assert said <= REMEDIES.keys() and set(FLAGGED) <= said
    assert all(code.source.startswith("https://") for code in our_codes().values())


@pytest.mark.parametrize(
    ("code", "flags"), [("pix2pix", "--gan_mode lsgan"), ("taming", "disc_start"), ("rvc", "pretrainD")]
)
def test_a_flag_for_what_only_some_codes_have_is_said(code: str, flags: str, tmp_path: Path) -> None:
    if code == "taming":
        rows = [f"step {n}: train/aeloss=0.4{n % 9} train/discloss=0.00{1 + n % 3}" for n in range(60)]
        path = tmp_path / "train.log"
        path.write_text("\n".join(rows) + "\n")
    else:
        path = logged(tmp_path / "train.log", code, halves=(0.002, 0.002, 6.0 if code == "pix2pix" else 1.0))
    assert flags in balancer.as_text(balancer.diagnose(path), width=200)
    assert flags not in balancer.as_text(balancer.diagnose(path, family="none"), width=200)


def test_terms_that_are_printed_multiplied_are_weighed_as_they_are(tmp_path: Path) -> None:
    """pix2pix prints L1 times 100: of G's loss of 0.7 + 18.5 the adversarial part is 4 %, not 0.04 %."""
    made = judged(tmp_path / "loss_log.txt", "pix2pix")
    share = made.calibrate({"adv": 0.1})
    rows = {row.term: row for row in share.weights}
    assert rows["l1"].weight == 100 and rows["adv"].share == pytest.approx(0.69 / 19.2, rel=0.1)
    assert rows["l1"].raw == pytest.approx(0.185, rel=0.1)
    other = judged(tmp_path / "loss_log.txt", "pix2pix", weights={"l1": 10.0}).calibrate({"adv": 0.1})
    assert {row.term: row.share for row in other.weights}["adv"] == pytest.approx(rows["adv"].share)


def test_the_loss_is_told_by_the_figures_where_the_code_has_several(tmp_path: Path) -> None:
    """D's half on generated images of 0.09 beside G's loss: 0.5 is what least squares make of it, BCE 2.5."""
    for adv, loss in ((0.5, "lsgan"), (2.5, "bce")):
        made = balancer.diagnose(logged(tmp_path / "loss_log.txt", "pix2pix", halves=(0.1, 0.09, adv)))
        assert (made.case.units.adversarial, made.case.units.adversarial_basis) == (loss, "measured")


def test_a_family_is_chosen_by_name_or_none(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text("\n".join(f"step {n}: d_loss: {1.38 + n % 5 / 100:.3f} g_loss: 0.7{n % 9}" for n in range(60)))
    assert balancer.diagnose(path).case.source.code is None
    made = balancer.diagnose(path, family="lightning-gan", d_loss="sum")
    assert made.case.source.code is not None
    assert np.median(made.case.history["d_adv"].values) == pytest.approx(0.7, abs=0.02)
    logged(path, "pix2pix")
    assert balancer.diagnose(path, family="none").case.source.code is None
    with pytest.raises(ConfigError, match="--family pix2pics: no such code: did you mean pix2pix"):
        balancer.diagnose(path, family="pix2pics")


def test_a_remedy_is_said_in_the_terms_of_the_code(tmp_path: Path) -> None:
    made = balancer.diagnose(logged(tmp_path / "train.log", "pix2pixhd", halves=(0.002, 0.002, 1.0)))
    text = " ".join(balancer.as_text(made, width=300).split())
    assert "in this code: --num_D 1, --n_layers_D 2, --ndf 32" in text
    assert "Mescheder et al. 2018" in text and "--family none" in text
    first = text.split("→")[1]
    assert "worse than" not in first


@pytest.mark.parametrize(
    "line",
    [
        "step {n}: d_loss: {d:.3f} g_loss: {g:.3f}",
        "epoch 1 iter {n} loss_D {d:.3f} loss_G {g:.3f} loss_L1 0.2",
        "Epoch: 001/100 | Batch {n}/400 | Gen/Dis Loss: {g:.3f}/{d:.3f}",
        "[{n}/900] D_loss={d:.3f} G_loss={g:.3f} loss_gen={g:.3f} loss_dis={d:.3f}",
        "step {n} loss_disc: {d:.3f} loss_gen: {g:.3f} loss_mel: 20.1 loss_fm: 1.1",
        "iter {n} adv_loss: {g:.3f} rec_loss: 0.3 disc_loss: {d:.3f} total_loss: 1.2",
        "it {n} GAN: {g:.3f} L1: 0.3 D: {d:.3f}",
    ],
)
def test_names_that_anybody_uses_are_no_known_code(line: str, tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text("".join(line.format(n=n, d=0.5 + n % 7 / 100, g=1.2 + n % 5 / 50) + "\n" for n in range(60)))
    assert balancer.diagnose(path).case.source.code is None


def test_the_list_of_families_is_printed_with_sources(cli: Callable[..., Any]) -> None:
    listed = cli("diagnose", "--families")
    assert listed.status == 0 and all(code.source in listed.out for code in codes().values())
    data = json.loads(cli("diagnose", "--families", "--json").out)
    assert {table["name"] for table in data} == codes().keys()
    assert "兩半的總和" in cli("diagnose", "--families", "--lang", "zh-TW").out
    assert cli("diagnose").status == 2


def test_a_table_that_is_none_is_refused_in_a_line(tmp_path: Path) -> None:
    for text, said in (
        ("[a]\ntitle = 1\n", "title"),
        ('[a]\ntitle = "x"\nsource = "https://x"\nline = "("\n', "no regular expression"),
        ('[a]\ntitle = "x"\nsource = "https://x"\nhealthy = [0.1, 0.4]\n', "has a source"),
        ("[a\n", "cannot be read"),
        ("a = 1\n", "cannot be read"),
    ):
        path = tmp_path / f"{len(said)}{len(text)}.toml"
        path.write_text(text)
        with pytest.raises(PluginError, match=said) as refused:
            read_codes(path)
        assert "\n" not in str(refused.value)
    assert read_codes(OURS) and all(isinstance(code, Code) for code in our_codes().values())


def test_the_code_is_told_as_data_too(tmp_path: Path) -> None:
    assert balancer.as_data(judged(tmp_path / "train.log", "pix2pix"))["code"] == "pix2pix"
    assert balancer.as_data(judged(tmp_path / "train.log", "pix2pix", family="none"))["code"] is None
