"""Charsets: their sizes are the standards', files are read as written, every refusal says what to do."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.errors import DataError
from zi2zi_model.data.charsets import CHARSETS, characters_in, choose, is_held_out, load_charset

COUNTS = {"demo": 256, "gb2312-1": 3755, "gb2312-2": 3008, "big5-1": 5401, "big5-2": 7652, "jis-1": 2965}


@pytest.mark.parametrize("name", CHARSETS)
def test_size_is_the_standards(name: str) -> None:
    characters = load_charset(name)
    assert len(characters) == len(set(characters)) == COUNTS[name]


def test_level_ones_share_1583_and_the_demo_is_from_them() -> None:
    shared = {*load_charset("big5-1")} & {*load_charset("gb2312-1")} & {*load_charset("jis-1")}
    assert len(shared) == 1583
    assert {"永", "和"} < {*load_charset("demo")} <= shared


def test_levels_of_one_standard_do_not_overlap() -> None:
    assert not {*load_charset("gb2312-1")} & {*load_charset("gb2312-2")}
    assert not {*load_charset("big5-1")} & {*load_charset("big5-2")}


def test_file_keeps_order_and_drops_whitespace_and_repeats(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("\ufeff永 和\n一\u3000永\t𠀀\n", encoding="utf-8")
    assert load_charset(str(file)) == ("永", "和", "一", "𠀀")


@pytest.mark.parametrize(
    "mark", ["\ufeff", "\ufe00", "\U000e0100", "\u200b", "\u200d", "\u2060", "\u00ad", "\x1a", "\x00"]
)
def test_what_shows_nothing_by_itself_is_no_character(tmp_path: Path, mark: str) -> None:
    file = tmp_path / "joined.txt"
    file.write_text(f"永{mark}和\n{mark}一", encoding="utf-8")
    assert load_charset(str(file)) == characters_in(f"永{mark}和\n{mark}一") == ("永", "和", "一")
    file.write_text(f"{mark}\n{mark}", encoding="utf-8")
    with pytest.raises(DataError, match="holds no characters"):
        load_charset(str(file))


def test_all_that_the_named_charsets_hold_is_visible() -> None:
    for name in CHARSETS:
        assert characters_in("".join(load_charset(name))) == load_charset(name)


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(DataError, match=r"'JIS1': no such file.*did you mean jis-1\?"):
        load_charset("JIS1")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"", "holds no characters"), (b" \n\t", "holds no characters"), ("永和".encode("big5"), "not UTF-8")],
)
def test_unusable_file_is_refused_by_name(tmp_path: Path, content: bytes, complaint: str) -> None:
    file = tmp_path / "mine.txt"
    file.write_bytes(content)
    with pytest.raises(DataError, match=rf"mine\.txt.*{complaint}"):
        load_charset(str(file))


def test_unreadable_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        load_charset(str(tmp_path))


@given(st.sets(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), min_size=1))
def test_choosing_more_only_adds(characters: set[str]) -> None:
    ordered = sorted(characters)
    few, more = choose(ordered, len(ordered) // 2), choose(ordered, len(ordered))
    assert set(few) <= set(more) == characters
    assert len(few) == len(ordered) // 2
    assert list(few) == sorted(few)


@given(st.integers(0, 0x10FFFF), st.floats(0, 1), st.floats(0, 1))
def test_a_greater_share_only_adds_to_the_held_out(key: int, share: float, other: float) -> None:
    low, high = sorted((share, other))
    assert is_held_out(key, low) <= is_held_out(key, high)


def test_share_is_about_what_was_asked() -> None:
    held = sum(is_held_out(ord(c), 0.1) for c in load_charset("big5-1"))
    assert 0.08 < held / 5401 < 0.12


def test_the_split_and_the_choice_never_change() -> None:
    """A resumed run is refused where its split has changed, so one of another version would be."""
    demo = load_charset("demo")
    assert "".join(c for c in demo if is_held_out(ord(c), 0.1)) == "口丙劣同合弛牟臣妓肝身京忽染凌匙距魂翰衡檀"
    assert "".join(choose(demo, 8)) == "凹禾弛旨泡咳秘筑"


def test_charsets_are_joined_in_order_and_a_character_of_both_comes_once() -> None:
    both = load_charset("demo+jis-1")
    assert both[:256] == load_charset("demo")
    assert len(both) == len({*both}) == len({*load_charset("demo"), *load_charset("jis-1")})
    assert len(load_charset("gb2312-1+gb2312-2")) == 6763
    with pytest.raises(DataError, match="charset 'demo\\+jis': no such file"):
        load_charset("demo+jis")
