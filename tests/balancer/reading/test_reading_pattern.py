"""Text logs by the user's own pattern."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.written_logs import reading

from balancer.errors import ConfigError
from balancer.reading.opening import open_source


class TestPattern:
    """`--pattern` is the user's own parser."""

    TEXT = "".join(f"{n} | fonts | {0.5 + n} {2.5e-1}\nother\n" for n in range(20))

    def test_groups_are_signals(self, tmp_path: Path) -> None:
        pattern = r"(?P<step>\d+) \| .* \| (?P<d_loss>[\d.eE+-]+) (?P<adv>\S+)"
        history, source = reading(tmp_path / "a.log", self.TEXT, pattern=pattern)
        assert history["d_loss"].values.tolist() == [0.5 + n for n in range(20)]
        assert history["adv"].values.tolist() == [0.25] * 20 and source.skipped == 20
        assert source.tags == {"d_loss": "d_loss", "adv": "adv"}

    def test_tags_rename_groups(self, tmp_path: Path) -> None:
        history, _ = reading(tmp_path / "a.log", self.TEXT, pattern=r"\| (?P<x>[\d.]+)", tags={"g_loss": "x"})
        assert history["g_loss"].count == 20

    @pytest.mark.parametrize(
        ("pattern", "message"),
        [
            ("(", "is not a regular expression"),
            (r"\d+", "names no signal"),
            (r"(?P<step>\d+)", "names no signal"),
            (r"(?P<d_loss>xyz)", "finds nothing on any line, such as: 0 | fonts"),
            (r"(?P<d_loss>f\w+)", "nothing could be read|finds nothing"),
        ],
    )
    def test_a_pattern_that_does_not_do(self, tmp_path: Path, pattern: str, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            reading(tmp_path / "a.log", self.TEXT, pattern=pattern)

    def test_a_folder_has_no_lines(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="is a folder"):
            open_source(str(tmp_path), pattern="(?P<d_loss>x)")
