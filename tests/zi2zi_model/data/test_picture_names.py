"""Names of picture files: which character each tells, and when numbers are decimal."""

from __future__ import annotations

import pytest

from zi2zi_model.data.charsets import load_charset
from zi2zi_model.data.picture_names import are_decimal, character_named, file_name


@pytest.mark.parametrize(
    ("stem", "character"),
    [
        ("永", "永"), ("U+6C38", "永"), ("u+6c38", "永"), ("uni6C38", "永"), ("u6c38", "永"), ("6C38", "永"),
        ("0x6c38", "永"), ("永_001", "永"), ("永-scan", "永"), ("U+6C38_2", "永"), ("6c38 copy", "永"), ("20000", "𠀀"),
        ("a", "a"), ("abc", None), ("永和", None), ("0_12", None), ("D800", None), ("110000", None), ("", None),
        ("scan 永", None), ("1234567", None), ("か\u3099", "が"), ("葛\U000e0100", None), ("\uf900", "\uf900"),
        ("0001", None), ("U+0041", "A"), ("\udcff", None), ("永 (2)", "永"), ("U+12", None), ("\x7f", None),
    ],
)  # fmt: skip
def test_names_tell_characters(stem: str, character: str | None) -> None:
    assert character_named(stem) == character


@pytest.mark.parametrize("character", ["永", "𠀀", "a", "/", ".", "A", "é"])
def test_the_names_we_give_are_understood(character: str) -> None:
    assert character_named(file_name(character)) == character
    assert "/" not in file_name(character)


@pytest.mark.parametrize(
    ("stems", "decimal"),
    [
        (["27704"], True), (["27704", "21644", "65", "8230"], True), (["27704_1", "21644 copy"], True),
        (["27704", "6C38"], False), (["5341"], False), (["20000", "2A6DF"], False), (["0001", "0002"], False),
        (["5341", "6703", "27704"], False), (["永", "27704"], True), (["U+6C38", "27704"], True), ([], False),
        (["12", "13", "14"], False),
    ],
)  # fmt: skip
def test_numbers_are_decimal_where_that_gives_more_ideographs(stems: list[str], decimal: bool) -> None:
    assert are_decimal(stems) is decimal


def test_decimal_names_tell_characters() -> None:
    named = {
        stem: character_named(stem, decimal=True) for stem in ("27704", "65", "12354_2", "永", "U+6C38", "uni6C38")
    }
    assert named == {"27704": "永", "65": "A", "12354_2": "あ", "永": "永", "U+6C38": "永", "uni6C38": "永"}
    assert [character_named(stem, decimal=True) for stem in ("10", "55296", "6C38", "1234567")] == [None] * 4


@pytest.mark.parametrize("name", ["demo", "big5-1", "gb2312-2"])
def test_whole_charsets_are_told_apart(name: str) -> None:
    characters = load_charset(name)
    assert are_decimal([str(ord(c)) for c in characters])
    assert not are_decimal([f"{ord(c):x}" for c in characters])
