"""What tables of codes say in words is said in Chinese too, with the same flags and figures."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import balancer
from balancer.reading.codes import OURS
from balancer.reading.families import families

TABLES = [OURS, *(family.codes for family in families().values() if family.codes is not None)]
# Values of flags: the only words of small letters in a text that needs no twin.
VALUES = {"ls", "lsgan", "true", "vanilla"}


def texts_of(table: Path) -> set[str]:
    codes = tomllib.loads(table.read_text(encoding="utf-8")).values()
    found = {text for code in codes for text in (code["title"], *code.get("flags", {}).values())}
    return found | {code["healthy_source"] for code in codes if "healthy_source" in code}


def has_words(text: str) -> bool:
    without_urls = re.sub(r"https://\S+", "", text)
    return not VALUES.issuperset(re.findall(r"(?<![\w./=-])[a-z]+(?![\w./=-])", without_urls))


def flags_and_figures(text: str) -> list[str]:
    pieces = (piece.rstrip(".:") for piece in re.findall(r"[\w./:=-]+", text, flags=re.ASCII))
    return sorted(piece for piece in pieces if piece.startswith("--") or re.search(r"[\d_./=]", piece))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: str(table.parent.name))
def test_what_a_table_says_in_words_has_a_twin_with_the_same_flags_and_figures(table: Path) -> None:
    texts = texts_of(table)
    twins = tomllib.loads(table.with_suffix(".zh-TW.toml").read_text(encoding="utf-8"))
    assert {text for text in texts if has_words(text)} <= twins.keys() <= texts
    for text, twin in twins.items():
        assert re.search("[\u4e00-\u9fff]", twin), text
        assert flags_and_figures(twin) == flags_and_figures(text)
        # No English word is left that is not a name.
        assert all(word in text for word in re.findall("[A-Za-z]{2,}", twin)), twin


@pytest.mark.parametrize(("language", "here"), [("en", 0), ("zh-TW", 1)])
def test_a_code_is_said_in_the_language(language: str, here: int, tmp_path: Path) -> None:
    path = tmp_path / "loss_log.txt"
    rows = (
        f"(epoch: 1, iters: {100 * n + 100}, time: 0.081, data: 0.002) "
        f"G_GAN: 6.{n % 7}01 G_L1: 17.{n % 9}00 D_real: 0.002 D_fake: 0.00{1 + n % 3} "
        for n in range(60)
    )
    path.write_text("\n".join(rows) + "\n")
    text = balancer.as_text(balancer.diagnose(path), language, width=1000)
    for said in (
        (
            "a smaller lr for optimizer_D in models/pix2pix_model.py",
            "在 models/pix2pix_model.py 把 optimizer_D 的 lr 調小",
        ),
        ("issues/1334 (its author: fine while above 0.01)", "issues/1334 作者說：高於 0.01 就沒問題"),
        ("A log of pix2pix of pytorch-CycleGAN-and-pix2pix", "這份紀錄來自：pytorch-CycleGAN-and-pix2pix 的 pix2pix"),
    ):
        assert said[here] in text and said[1 - here] not in text


@pytest.mark.parametrize(("kind", "said"), [("sum", "D 真、假兩半損失的總和"), ("mean", "D 真、假兩半損失的平均")])
def test_what_d_loss_adds_up_is_said_in_the_language(kind: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text("".join(f"step {n}: d_loss: 0.{50 + n % 7} g_loss: 1.{n % 9}\n" for n in range(60)))
    text = balancer.as_text(balancer.diagnose(path, d_loss=kind), "zh-TW", width=1000)
    assert said in text and f"的 {kind}" not in text
