"""Both READMEs say the same, their links lead somewhere, and the Python lines run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from support.readmes import CHINESE, ENGLISH, FENCED, ROOT, blocks, in_code, prose

# A whole number or a decimal one, the 2 of 2nd too, but no part of a name such as zi2zi.
NUMBER = re.compile(r"(?<![A-Za-z0-9.])\d+(?:\.\d+)?(?=(?:st|nd|rd|th)?(?![A-Za-z0-9]))")


def links(text: str) -> list[str]:
    return re.findall(r"(!?\[[^\]]*\]\([^)\s]+\))", prose(text))


def targets(text: str) -> list[str]:
    """Where the links lead, those of the pictures marked, a page in either language being one."""
    found = [("!" if link[0] == "!" else "") + link.rpartition("(")[2][:-1] for link in links(text)]
    found = [target.replace(".zh-TW.md", ".md") for target in found if not target.startswith("README")]
    return sorted(target for target in found if target not in {"README.md", "README.zh-TW.md"})


def test_each_readme_links_to_the_other() -> None:
    assert "[繁體中文](README.zh-TW.md)" in ENGLISH.splitlines()[:3]
    assert CHINESE.splitlines()[0] == "[English](README.md)"


def test_both_readmes_show_the_same_blocks() -> None:
    assert FENCED.findall(CHINESE) == FENCED.findall(ENGLISH)
    assert CHINESE.count("```") == ENGLISH.count("```") == 2 * len(FENCED.findall(ENGLISH)) > 0


def test_both_readmes_link_to_the_same_pages_and_pictures() -> None:
    assert targets(CHINESE) == targets(ENGLISH)


def test_both_readmes_have_the_same_sections_and_tables() -> None:
    for pattern in (r"^#+(?= )", r"^\|(?: `\w+` \||-)?", r"^- "):
        one, two = (re.findall(pattern, prose(text), flags=re.MULTILINE) for text in (ENGLISH, CHINESE))
        assert one == two
        assert one


def test_both_readmes_name_the_same_code_and_figures() -> None:
    assert sorted(in_code(CHINESE)) == sorted(in_code(ENGLISH))
    one, two = (sorted(NUMBER.findall(re.sub(r"`[^`]+`", "", prose(text)))) for text in (ENGLISH, CHINESE))
    assert one == two


@pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["English", "Chinese"])
def test_links_resolve(text: str) -> None:
    for link in links(text):
        target = link.rpartition("(")[2][:-1]
        assert target.startswith("https://") or (ROOT / target).exists(), link


def test_the_python_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (lines,) = blocks(ENGLISH, "python")
    code = compile(lines.replace("...  # your", "opt_d.step()  # your"), "README.md", "exec")
    opt_d, opt_g = (torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=2e-4) for _ in "dg")
    names: dict[str, Any] = {
        "opt_d": opt_d, "opt_g": opt_g, "epoch": 0, "adv": 0.7, "l1": 0.1,
        "real_logits": torch.ones(4), "fake_logits": -torch.ones(4),
    }  # fmt: skip
    exec(code, names)
    balance = names["balance"]
    balance.end_run()
    assert names["g_loss"] == pytest.approx(balance.lambda_adv * 0.7 + 10)
    assert balance.last_row["lr/d"] == pytest.approx(0.25 * 2e-4)
    assert (tmp_path / "runs/mine/signals.bin").is_file()
