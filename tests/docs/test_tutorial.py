"""The tutorial's commands, run in order on the embedded fonts; both languages show the same ones."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.port_networks import PortDiscriminator, PortGenerator

Cli = Callable[..., Any]
ROOT = Path(__file__).parents[2]
ENGLISH, CHINESE = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("tutorial.md", "tutorial.zh-TW.md"))
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"(?<![A-Za-z0-9.])\d+(?:\.\d+)?(?=(?:st|nd|rd|th)?(?![A-Za-z0-9]))")
COMMANDS = [
    shlex.split(line) for language, body in FENCED.findall(ENGLISH) if language == "sh" for line in body.splitlines()
]
# Long enough to have every part in it.
SHORT = {"1500": "6", "300": "3", "64020": "64012"}


def prose(text: str) -> str:
    return FENCED.sub("", text)


def in_code(text: str) -> list[str]:
    return sorted(" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(text)))


def targets(text: str) -> list[str]:
    found = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", prose(text))
    return sorted(target for target in found if not target.startswith("tutorial") or target.endswith(".png"))


def test_both_languages_show_the_same() -> None:
    assert FENCED.findall(CHINESE) == FENCED.findall(ENGLISH)
    assert in_code(CHINESE) == in_code(ENGLISH)
    assert targets(CHINESE) == targets(ENGLISH)
    one, two = (sorted(NUMBER.findall(re.sub(r"`[^`]+`", "", prose(text)))) for text in (ENGLISH, CHINESE))
    assert one == two
    for pattern in (r"^#+(?= )", r"^\|", r"^- "):
        assert len(re.findall(pattern, CHINESE, flags=re.MULTILINE)) == len(
            re.findall(pattern, ENGLISH, flags=re.MULTILINE)
        )


@pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["English", "Chinese"])
def test_links_and_pictures_are_there(text: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        assert (ROOT / "docs" / target.partition("#")[0]).exists(), target


def port_files(folder: Path) -> None:
    """A port's checkpoint, with networks of its layout at 64 px."""
    torch.manual_seed(0)
    G = PortGenerator(fork=True, downs=5, width=8, styles=40, style_dim=16, attention={5: 0.5})
    D = PortDiscriminator(batch_norm=False, size=64, width=8, styles=40)
    torch.save(G.state_dict(), folder / "64010_net_G.pth")
    torch.save(D.state_dict(), folder / "64010_net_D.pth")


def test_every_command_works(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("zi2zi_model", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    port_files(tmp_path)
    for words in COMMANDS:
        if words[0] == "balancer":
            arguments = [SHORT.get(word, word) for word in words[1:]]
            result = cli(*arguments)
            assert result.status == 0, f"{shlex.join(words)}: {result.err}"
        elif words[0] == "pip":
            assert words[1:] == ["install", "-e", ".[all]", "-c", "constraints.txt"]
        elif words[0] == "pyftsubset":
            subprocess.run([sys.executable, "-m", "fontTools.subset", *words[1:]], check=True)
        else:
            assert words[0] == "cp"
            subprocess.run(words, check=True)
    for made in ("data/mine.png", "runs/mine/evaluation.png", "drawn/永.png", "drawn/永.svg", "between/between.gif",
                 "MyFont.ttf", "MyFont.png", "runs/finetuned/checkpoints", "runs/imported/checkpoints"):  # fmt: skip
        assert (tmp_path / made).exists(), made
