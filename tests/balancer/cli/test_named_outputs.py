"""Where a command writes a named output: devices and pipes are written to, links stay, a refusal leaves nothing."""

from __future__ import annotations

import os
import resource
import signal
import stat
import threading
from pathlib import Path

import pytest
from support.broken_saves import checked_in_child
from support.point_runs import ran
from support.refusals import Cli, assert_refused, everything

WRITERS = {
    "report": lambda run, out: ("report", run, "--out", out),
    "diagnose": lambda run, out: ("diagnose", run, "--html", out),
    "replay": lambda run, out: ("replay", run, "--csv", out),
}
writers = pytest.mark.parametrize("writer", WRITERS)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ran(tmp_path_factory.mktemp("runs") / "run", "dynamic_lambda", steps=20)


@writers
def test_a_link_stays_and_what_it_leads_to_is_replaced(writer: str, run: Path, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "page").write_bytes(b"old")
    (tmp_path / "link").symlink_to("far/page")
    (tmp_path / "dangling").symlink_to("far/new")
    for name, target in (("link", "page"), ("dangling", "new")):
        assert cli(*WRITERS[writer](run, tmp_path / name)).status == 0
        assert (tmp_path / name).is_symlink()
        assert len((tmp_path / "far" / target).read_bytes()) > 100
    assert sorted(path.name for path in (tmp_path / "far").iterdir()) == ["new", "page"]


@writers
def test_a_pipe_is_written_to(writer: str, run: Path, tmp_path: Path, cli: Cli) -> None:
    os.mkfifo(tmp_path / "pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()), daemon=True)
    reader.start()
    # A writer of our own, so that the reader ends whatever the command does.
    keep = os.open(tmp_path / "pipe", os.O_RDWR)
    assert cli(*WRITERS[writer](run, tmp_path / "pipe")).status == 0
    os.close(keep)
    reader.join(30)
    assert len(read[0]) > 100
    assert stat.S_ISFIFO((tmp_path / "pipe").lstat().st_mode)


@writers
def test_a_device_is_written_to_and_stays_one(writer: str, run: Path, tmp_path: Path, cli: Cli) -> None:
    for name, minor, status in (("null", 3, 0), ("full", 7, 2)):
        node = tmp_path / name
        try:
            os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(1, minor))
            node.open("rb").close()
        except PermissionError as error:
            pytest.skip(f"nobody may make a device here: {error}")
        result = cli(*WRITERS[writer](run, node))
        assert result.status == status
        if status:
            assert "No space left on device" in assert_refused(*result)
        assert stat.S_ISCHR(node.lstat().st_mode)
    assert len(list(tmp_path.iterdir())) == 2


@writers
def test_a_file_that_cannot_be_written_is_one_line_and_the_old_one_stays(
    writer: str, run: Path, tmp_path: Path
) -> None:
    (tmp_path / "page.html").write_bytes(b"old")

    def limited() -> str:
        import sys

        from balancer.cli.main import main

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
        (read_end, write_end), status = os.pipe(), 0
        os.dup2(write_end, 2)
        sys.stderr = os.fdopen(2, "w")
        sys.argv = ["balancer", *map(str, WRITERS[writer](run, tmp_path / "page.html"))]
        try:
            main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        sys.stderr.flush()
        return f"{status} {os.read(read_end, 5000).decode()}"

    answer = checked_in_child(limited)
    assert answer.startswith("2 balancer: ")
    assert "File too large" in answer
    assert answer.count("\n") == 1
    assert everything(tmp_path) == {"page.html": b"old"}


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="no /sys here")
@writers
def test_a_place_where_nobody_may_write(writer: str, run: Path, cli: Cli) -> None:
    assert "/sys/kernel/x.html cannot be written" in assert_refused(*cli(*WRITERS[writer](run, "/sys/kernel/x.html")))
