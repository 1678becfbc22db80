"""docs/families.md: its calls of Balancer compose, and its table says what the recipes say."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import torch

from balancer import Balancer
from balancer.contract.registry import find_config
from balancer.reading.codes import meanings, our_codes
from balancer.reading.tags import guess

PAGE = (Path(__file__).parents[2] / "docs" / "families.md").read_text(encoding="utf-8")
CALLS = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("call", CALLS, ids=["vqgan", "vocoder", "esrgan"])
def test_a_call_holds_d_back_at_first(call: str) -> None:
    opt_g, opt_d = (torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))]) for _ in range(2))
    names = {"Balancer": Balancer, "opt_g": opt_g, "opt_d": opt_d}
    exec(call, names)
    balance = names["balance"]
    assert isinstance(balance, Balancer)
    balance.start_step()
    assert not balance.d_update
    assert balance.lambda_adv == 0
    balance.end_run()


@pytest.mark.parametrize("name", ["vqgan", "vocoder", "esrgan"])
def test_the_table_has_the_numbers_of_the_recipe(name: str) -> None:
    recipe = tomllib.loads(find_config(name).read_text(encoding="utf-8"))
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
    assert f"| {recipe['train']['lambda_adv']:g} | {recipe['adversarial_start']['step']:,} |" in row


def test_names_of_the_table_mean_what_it_says() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith(("| `g_loss` |", "| reconstruction", "| feature"))]
    vocoders = {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[3])}
    assert {name: found.signal for name in vocoders if (found := guess(name)) is not None} == {
        "Gen Loss Total": "g_loss",
        "gen_loss_total": "g_loss",
        "generator_loss": "g_loss",
        "loss/g/total": "g_loss",
        "Mel-Spec. Error": "mel",
        "mel_spec_error": "mel",
        "mel_loss": "mel",
        "loss/g/mel": "mel",
        "mel": "mel",
        "feature_matching_loss": "fm",
        "loss/g/fm": "fm",
        "fm": "fm",
    }
    diffusion = ["train/aeloss", "train/g_loss", "train/discloss", "train/rec_loss", "train/d_weight"]
    meant = {"train/aeloss": "g_loss", "train/g_loss": "adv", "train/d_weight": "lambda_adv"}
    assert meanings(our_codes()["taming"], diffusion) == meant
