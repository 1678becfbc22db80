"""Bytes of a text log: encodings, colours, lines too long, and none that takes more time than its length."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.work import assert_in_proportion
from support.written_logs import reading


@pytest.mark.parametrize(
    "encoded",
    [
        lambda text: text.encode(),
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace("note", "字型訓練").encode("big5"),
        lambda text: text.replace("note", "字体训练").encode("gbk"),
        lambda text: text.replace("d_loss", "\x1b[1;31md_loss\x1b[0m").encode(),
        lambda text: text.encode()[:40] + b"\n" + text.encode()[40:].replace(b"note", b"n\0o\0t\0e"),
    ],
)
def test_encodings(tmp_path: Path, encoded: Callable[[str], bytes]) -> None:
    text = "".join(f"note {n * 7}\nstep: {n} d_loss: 0.5 g_loss: 2\n" for n in range(3000))
    history, source = reading(tmp_path / "a.log", encoded(text))
    assert 2999 <= history["d_loss"].count <= 3000
    assert history.last_step == 2999 and not source.unread.count


def test_lines_too_long_are_skipped_and_told(tmp_path: Path) -> None:
    row = "step: {} d_loss: 0.5 g_loss: 2\n"
    parts = [row.format(1), "x" * 70_000 + " d_loss: 3\n", row.format(2), "y" * 5_000_000 + "\n", row.format(3)]
    history, source = reading(tmp_path / "a.log", "".join(parts))
    assert history["d_loss"].steps.tolist() == [1, 2, 3]
    assert source.unread.why == {"a line of more than 64 KiB": 2}
    assert [line for line, _ in source.unread.examples] == [2, 4]


@pytest.mark.parametrize(
    "line",
    [
        "d_loss: " * 8000,
        "a " * 30_000,
        "a" * 60_000,
        "d_loss: 1 " * 6000,
        "1/" * 30_000,
        "1 / " * 15_000,
        "d_loss" + " " * 60_000 + ": 3",
        "d_loss: " + "9" * 60_000,
        "epoch " * 10_000,
        "step: 1 d_loss: 0.5 [" * 3000,
        "\x1b[" * 30_000,
        "\x1b[" + "1;" * 30_000,
        "d_loss=" + "tensor(" * 8000,
        ".".join("a" * 30_000),
        "'" * 60_000 + ":",
    ],
)
def test_no_line_takes_more_than_its_length(tmp_path: Path, line: str) -> None:
    def read_lines(length: int) -> None:
        text = "step: 1 d_loss: 0.5\n" + (line[:length] + "\n") * 20 + "step: 1000 d_loss: 0.5\n"
        history, _ = reading(tmp_path / "a.log", text)
        assert (history.first_step, history.last_step) == (1, 1000)

    assert_in_proportion(read_lines, 15_000)
