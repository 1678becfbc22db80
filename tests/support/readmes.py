"""Both READMEs, and what is taken out of such a page: its blocks, its prose, the code that it names."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENGLISH, CHINESE = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-TW.md"))
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language, as their texts."""
    return [body for found, body in FENCED.findall(text) if found == language]


def prose(text: str) -> str:
    """The page without its fenced blocks."""
    return FENCED.sub("", text)


def in_code(text: str) -> list[str]:
    """What the prose sets in code, each on one line."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(text))]
