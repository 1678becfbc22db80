"""benchmarks/README.md lists every script there, and each finds what it imports."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(path.name for path in BENCHMARKS.glob("*.py"))


def test_every_script_is_listed() -> None:
    text = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    assert {*re.findall(r"`(\w+\.py)`", text)} == {*SCRIPTS}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_finds_what_it_imports(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    runpy.run_path(str(BENCHMARKS / name), run_name="looked_at")
