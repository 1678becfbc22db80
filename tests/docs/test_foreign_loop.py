"""docs/foreign-loop.md: without its marked lines its script is the one that it was, to the bit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from support.stripped import marked, stripped

PAGE = (Path(__file__).parents[2] / "docs" / "foreign-loop.md").read_text(encoding="utf-8")
SCRIPT = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)[0]


def run(source: str) -> dict[str, Any]:
    left: dict[str, Any] = {}
    exec(compile(source, "foreign-loop.md", "exec"), left)
    return left


def weights(names: dict[str, Any]) -> list[torch.Tensor]:
    return [value for name in ("G", "D") for value in names[name].state_dict().values()]


def test_stripped_of_its_marked_lines_it_is_a_script_that_knows_nothing_of_balancer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = stripped(SCRIPT)
    assert "balance" not in before.lower()
    assert len(marked(SCRIPT)) <= 13
    names = run(before)
    assert sorted(torch.load("mine.pt")) == ["D", "G", "opt_d", "opt_g"]
    assert [*tmp_path.iterdir()] == [tmp_path / "mine.pt"]
    assert "g_loss" in names


def test_without_plugins_it_has_the_bits_of_the_stripped_script_and_with_them_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = weights(run(stripped(SCRIPT)))
    named = '["dynamic_lambda", "d_lr_ratio", "d_skip"],  # balancer\n'
    setting = '                   settings={"dynamic_lambda": {"warmup_steps": 5}},  # balancer\n'
    assert named + setting in SCRIPT
    watched = weights(run(SCRIPT.replace(named + setting, "[],  # balancer\n").replace("runs/mine", "runs/plain")))
    assert all(map(torch.equal, before, watched))
    balanced = weights(run(SCRIPT))
    assert not all(map(torch.equal, before, balanced))
