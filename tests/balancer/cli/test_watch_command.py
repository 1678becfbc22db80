"""`balancer watch` as people use it: in a terminal, in a pipe, in CI, ended by a signal."""

from __future__ import annotations

import http.client
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
CASE = (Path(__file__).parents[3] / "docs" / "case.log").read_text(encoding="utf-8")
EARLY = "".join(CASE.splitlines(keepends=True)[:14])
QUICK = ("--every", "0.05")


@pytest.fixture
def log(here: Path) -> Path:
    path = here / "case.log"
    path.write_text(EARLY, encoding="utf-8")
    return path


@contextmanager
def watching(*args: object, **options: Any) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "balancer", "watch", *QUICK, *map(str, args)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    with subprocess.Popen(command, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_line_each_time_that_something_changed(log: Path) -> None:
    with watching(log, "--idle", 1) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        with log.open("a", encoding="utf-8") as file:
            file.write(CASE[len(EARLY) :])
        out, err = process.communicate(timeout=60)
    assert first.startswith("step 64,526: Too little was read for a verdict; findings: saturated.lasting")
    assert out.splitlines()[-1].startswith(
        "step 68,986: Yes, this run is worth training on; findings: saturated.lasting, "
    )
    assert len(out.splitlines()) < 20 and not err and process.returncode == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_quietly(number: int, status: int, log: Path) -> None:
    with watching(log, "--serve", 0) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("page: http://127.0.0.1:")
        process.stdout.readline()
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (status, "", "")


def test_it_waits_for_a_file_and_says_so(here: Path) -> None:
    with watching("later.log", "--idle", 2) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting: later.log: No such file or directory\n"
        Path("later.log").write_text(EARLY, encoding="utf-8")
        assert process.stdout.readline().startswith("step 64,526")


def test_nothing_at_all_is_an_error_after_so_long(cli: Cli, here: Path) -> None:
    found = cli("watch", "never.log", *QUICK, "--idle", 0.1)
    assert found.status == 2
    assert found.err == "balancer: never.log: No such file or directory: nothing was written there\n"


def test_a_finding_ends_it_with_1(cli: Cli, log: Path) -> None:
    found = cli("watch", log, "--fail-on", "saturated")
    assert found.status == 1 and len(found.out.splitlines()) == 1
    assert cli("watch", log, "--fail-on", "oscillation", *QUICK, "--idle", 0.1).status == 0


def test_a_finding_runs_a_command_once(cli: Cli, log: Path, here: Path) -> None:
    said = 'echo "$BALANCER_FINDING at $BALANCER_STEP of $BALANCER_PATH" >> said'
    with watching(
        log, "--idle", 1, "--on", "starved", "--run", said, "--on", "divergence", "--run", "touch no"
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with log.open("a", encoding="utf-8") as file:
            for line in CASE[len(EARLY) :].splitlines(keepends=True):
                file.write(line)
                file.flush()
                time.sleep(0.02)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    (line,) = (here / "said").read_text().splitlines()
    assert line.startswith("starved at 64526 of ") and line.endswith(f" of {log}") and not (here / "no").exists()


def test_a_command_that_fails_is_said_and_ends_nothing(cli: Cli, log: Path) -> None:
    found = cli("watch", log, *QUICK, "--idle", 1, "--on", "any", "--run", "exit 7")
    assert found.status == 0
    assert found.err.count("watch: --run exit 7: it ended with status 7\n") == found.out.count(".lasting") + 2


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--on", "saturatd", "--run", "true"], "--on saturatd: no such finding: did you mean saturated?"),
        (["--fail-on", "saturated.open2"], "--fail-on saturated.open2: the rule saturated has no such variant"),
        (["--on", "saturated"], "--on and --run go together: 1 --on and 0 --run were given"),
        (["--on", " ", "--run", "true"], "name a finding, and a command"),
        (["--every", "0"], "--every 0: give seconds from 0.05 to 1e+06"),
        (["--every", "nan"], "--every nan: give seconds"),
        (["--idle", "-1"], "--idle -1: give seconds from 0"),
        (["--lang", "de"], "--lang de: known are en, zh-TW"),
        (["--weight", "l1=x"], "--weight l1=x: expected a number"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_a_line(args: list[str], said: str, cli: Cli, log: Path) -> None:
    found = cli("watch", log, *args)
    assert found.status == 2 and said in found.err and found.err.count("\n") == 1 and not found.out


def test_standard_input_is_refused_in_a_line(cli: Cli) -> None:
    found = cli("watch", "-")
    assert found.status == 2 and "tee train.log" in found.err and found.err.count("\n") == 1


def test_a_page_is_served_while_it_runs(log: Path) -> None:
    with watching(log, "--serve", 0, "--lang", "zh-TW") as process:
        assert process.stdout is not None
        url = process.stdout.readline().split("：", 1)[1].strip()
        port = int(url.rsplit(":", 1)[1].strip("/"))
        process.stdout.readline()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/")
        body = connection.getresponse().read().decode()
        connection.close()
    assert 'lang="zh-Hant-TW"' in body and "64,526" in body


def test_on_a_terminal_the_view_is_drawn_anew(log: Path) -> None:
    ours, its = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "60"}
    with watching(log, "--idle", 1, stdout=its, stderr=its, env=environment) as process:
        os.close(its)
        shown = b""
        while b"64,526" not in shown:
            shown += os.read(ours, 65536)
        with log.open("a", encoding="utf-8") as file:
            file.write(CASE[len(EARLY) :])
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # the other end is closed
            pass
        assert process.wait(60) == 0
    os.close(ours)
    text = shown.decode()
    assert "Verdict: Yes, this run is worth training on" in text and "▁" in text and "68,986" in text
    assert text.endswith("\x1b[?25h") or "\x1b[?25h" in text[-20:]  # the cursor is there again
