"""Where a log may be: standard input, pipes, and paths where none is."""

from __future__ import annotations

import io
import sys
import types
from pathlib import Path

import pytest
from support.written_logs import reading

from balancer.errors import ConfigError, DataError
from balancer.reading import raw_bytes
from balancer.reading.opening import open_source, read
from balancer.reading.source import Source


class TestOtherPlaces:
    """Standard input, pipes, and paths where no log is."""

    def stdin(self, monkeypatch: pytest.MonkeyPatch, data: bytes) -> Source:
        monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(data)))
        reader = open_source("-")
        read(reader)
        return reader.source

    def test_standard_input(self, monkeypatch: pytest.MonkeyPatch) -> None:
        line = b"step: 1 d_loss: 0.5 g_loss: 2\n"
        source = self.stdin(monkeypatch, line * 20_000)
        assert (source.path, source.kind, source.rows) == ("-", "log", 20_000)
        assert self.stdin(monkeypatch, b"step,d_loss\n1,2\n3,4\n").kind == "csv"
        assert self.stdin(monkeypatch, b'{"d_loss": 1}\n').kind == "jsonl"
        with pytest.raises(DataError, match="standard input is empty"):
            self.stdin(monkeypatch, b"")

    def test_paths_where_no_log_is(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import os

        monkeypatch.setattr(raw_bytes, "PIPE_WAIT_SECONDS", 0.0)
        (tmp_path / "empty.log").touch()
        (tmp_path / "blank.log").write_text("\n \n\n")
        (tmp_path / "a.gz").write_bytes(b"\x1f\x8b\x08\0abc")
        (tmp_path / "a.pt").write_bytes(b"PK\x03\x04" + b"\0" * 100)
        (tmp_path / "a.bin").write_bytes(bytes(range(256)) * 100)
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "train.log").touch()
        for name, message in (
            ("missing.log", "No such file or directory"),
            ("empty.log", "is empty"),
            ("blank.log", "holds no text"),
            ("a.gz", "compressed with gzip.*zcat"),
            ("a.pt", "--checkpoint"),
            ("a.bin", "binary data"),
            ("pipe", "nobody writes into this pipe"),
            ("sub", r"neither a run .*train\.log"),
            ("empty.log/x", "Not a directory"),
            ("n" * 300, "too long"),
            ("a\0b", "null"),
        ):
            with pytest.raises((ConfigError, DataError), match=message) as caught:
                open_source(str(tmp_path / name))
            assert "\n" not in str(caught.value)
        with pytest.raises(ConfigError, match="it is a device"):
            open_source("/dev/zero")

    def test_a_pipe_with_a_writer(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import os
        import threading

        monkeypatch.setattr(raw_bytes, "PIPE_WAIT_SECONDS", None)  # until somebody writes
        os.mkfifo(tmp_path / "pipe")

        def write() -> None:
            (tmp_path / "pipe").write_bytes(b"step: 1 d_loss: 0.5\n" * 20_000)  # more than a pipe holds

        thread = threading.Thread(target=write)
        thread.start()
        reader = open_source(str(tmp_path / "pipe"))
        read(reader)
        thread.join()
        assert reader.source.rows == 20_000

    def test_progress_counts_every_byte(self, tmp_path: Path) -> None:
        seen: list[int] = []
        path = tmp_path / "a.log"
        reading(path, "step: 1 d_loss: 0.5\n" * 100_000, progress=seen.append)
        assert sum(seen) == path.stat().st_size and len(seen) > 1
