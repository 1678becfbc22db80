"""docs/diagnose.md lists the known codes as the program does."""

from __future__ import annotations

from pathlib import Path

import pytest

from balancer.reading.families import codes
from balancer.show.families import families_markdown
from balancer.show.words import load

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("page", "language"), [("diagnose.md", "en"), ("diagnose.zh-TW.md", "zh-TW")])
def test_the_table_of_known_codes_is_the_programs(page: str, language: str) -> None:
    assert "\n".join(families_markdown(codes(), load(language))) in (DOCS / page).read_text(encoding="utf-8")
