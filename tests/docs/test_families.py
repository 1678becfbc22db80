"""docs/families.md: its calls of Balancer compose, and its table says what the recipes say."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import torch

from balancer import Balancer
from balancer.contract.registry import find_config

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
