"""Disks that are full or not to be written to end with one line that says what to do, and cost nothing saved."""

import contextlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import tomllib
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from support.own_mounts import MS_BIND, MS_RDONLY, MS_REMOUNT, MountRefusedError, own_mounts
from support.refusals import POINTS, RUN, Cli, assert_refused, everything

from balancer.cli.main import main
from balancer.record import checkpoint
from balancer.record.signals import read_signals

pytestmark = pytest.mark.usefixtures("here")


class Ended(NamedTuple):
    """How a command in a process of its own ended."""

    status: int
    out: str
    err: str


MOUNT_REFUSED = 77


def in_child(prepare: Callable[[], object], *args: object) -> Ended:
    """`balancer ARGS…` in a fork, after `prepare` there; everything that it prints, threads included."""
    (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of threads; ours are those of closed TensorBoard writers.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        try:
            os.dup2(out_end, 1)
            os.dup2(err_end, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            # As outside pytest, which records warnings and makes errors of them.
            warnings.resetwarnings()
            warnings.showwarning = lambda *shown: print(warnings.formatwarning(*shown[:4]), end="", file=sys.stderr)
            prepare()
            sys.argv = ["balancer", *map(str, args)]
            main()
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        except MountRefusedError as error:
            print(error, file=sys.stderr)
            status = MOUNT_REFUSED
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)
    os.close(out_end)
    os.close(err_end)
    with os.fdopen(err) as errors, os.fdopen(out) as printed:
        ended = (errors.read(), printed.read())
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == MOUNT_REFUSED:
        pytest.skip(f"this machine lets a test mount nothing ({ended[0].strip()})")
    return Ended(status, ended[1], ended[0])


def small_files(limit: int) -> Callable[[], None]:
    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return limited


def read_only(folder: Path) -> Callable[[], None]:
    def protect() -> None:
        mount = own_mounts()
        mount(folder, folder, "none", MS_BIND)
        mount(folder, folder, "none", MS_BIND | MS_REMOUNT | MS_RDONLY)
        os.chdir(folder)

    return protect


def test_a_disk_that_one_may_not_write_to(here: Path, cli: Cli) -> None:
    assert cli("train", *RUN, "--out", "run").status == 0
    (here / "empty").mkdir()
    before = everything(here)
    for out in ("new", "deep/new", "empty"):
        message = assert_refused(*in_child(read_only(here), "train", *RUN, "--out", out))
        assert out in message
        assert "Read-only file system" in message
    message = assert_refused(*in_child(read_only(here), "train", "--resume", "run", "--steps", 9, "--quiet"))
    assert "run" in message
    assert "Read-only file system" in message
    assert everything(here) == before


def test_a_folder_of_somebody_else(cli: Cli) -> None:
    # What a run imports late is imported now: nobody may not read everybody's Python.
    assert cli("train", *RUN, "--out", "mine").status == 0

    def as_nobody() -> None:
        if os.geteuid() == 0:  # root may write everywhere
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)

    with tempfile.TemporaryDirectory() as name:  # tmp_path is closed to other users
        folder = Path(name)
        folder.chmod(0o555)
        message = assert_refused(*in_child(as_nobody, "train", *RUN, "--out", folder / "run"))
        assert everything(folder) == {}
        folder.chmod(0o755)
    assert message == f"run directory {folder / 'run'} cannot be made: Permission denied"


class TestFullDisk:
    """Saving stops the run; what was saved before stays, and serves once there is room again."""

    ARGS = (
        *POINTS,
        "--plugins",
        "dynamic_lambda",
        "--quiet",
        "--set",
        "train.checkpoint_every=4",
        "--set",
        "train.log_every=1",
    )

    def finishes(self, cli: Cli, run: Path, steps: int) -> None:
        result = cli("train", "--resume", run, "--steps", steps, "--quiet")
        assert result.status == 0, result.err
        assert read_signals(run)["step"].tolist() == list(range(steps))
        assert checkpoint.load_latest(run / "checkpoints").step == steps
        json_lines = (run / "decisions.jsonl").read_text().splitlines()
        assert all(json.loads(line)["step"] < steps for line in json_lines)

    def test_a_file_may_not_grow_large_enough(self, here: Path, cli: Cli) -> None:
        assert cli("train", *self.ARGS, "--steps", 4, "--out", "run").status == 0
        good = everything(here / "run" / "checkpoints")
        biggest = max(path.stat().st_size for path in (here / "run" / "checkpoints").rglob("*") if path.is_file())
        ended = in_child(small_files(biggest - 1000), "train", "--resume", "run", "--steps", 6, "--quiet")
        message = assert_refused(*ended)
        assert "cannot save checkpoint run/checkpoints/step_00000006: File too large; check the free space" in message
        assert everything(here / "run" / "checkpoints") == good
        self.finishes(cli, here / "run", 6)

    def test_there_is_no_room_from_the_start(self, here: Path) -> None:
        message = assert_refused(*in_child(small_files(0), "train", *self.ARGS, "--steps", 4, "--out", "run"))
        assert "run" in message
        assert "File too large" in message
        assert list(here.rglob("step_*")) == []

    def test_a_disk_runs_full(self, here: Path, tmp_path: Path, cli: Cli) -> None:
        disk, rescued = here / "disk", tmp_path / "rescued"
        disk.mkdir()
        # Checkpoints take some 40 KB each.
        room = 160 * 1024

        def fill() -> None:
            own_mounts()("none", disk, "tmpfs", 0, f"size={room}")
            # What was on the disk at the end is copied off before the mount goes with the process.
            leave = os._exit

            def rescue(status: int) -> None:
                shutil.copytree(disk, rescued)
                leave(status)

            os._exit = rescue  # type: ignore[assignment]

        ended = in_child(fill, "train", *self.ARGS, "--set", "train.keep=9", "--steps", 40, "--out", disk / "run")
        # A log that finds no room first is given up with a warning; what cannot be saved ends the run.
        *given_up, last = ended.err.splitlines()
        assert all(line.startswith(f"warning: {disk / 'run'}: the ") for line in given_up), ended.err
        message = assert_refused(ended.status, ended.out, f"{last}\n")
        assert message.startswith(f"cannot save checkpoint {disk / 'run' / 'checkpoints'}")
        assert "No space left on device; check the free space" in message
        saved = checkpoint.steps(rescued / "run" / "checkpoints")
        assert saved
        assert 4 <= saved[-1] < 40
        assert tomllib.loads((rescued / "run" / "config.toml").read_text())["train"]["steps"] == 40
        self.finishes(cli, rescued / "run", 40)

    def test_logs_that_fill_the_disk_stop_nothing_but_themselves(self, here: Path) -> None:
        disk = here / "disk"
        disk.mkdir()
        ended = in_child(
            lambda: own_mounts()("none", disk, "tmpfs", 0, "size=60k"), "train", *self.ARGS, "--steps", 300,
            "--set", "train.checkpoint_every=1000", "--out", disk / "run",
        )  # fmt: skip
        assert ended.status == 2
        *given_up, last = ended.err.splitlines()
        assert last.startswith("balancer: cannot save checkpoint"), "it trained to its end, and only then needed room"
        assert "step_00000300" in last
        # Two lines each for TensorBoard, the signals and perhaps the decisions: when it begins, and at the end.
        assert len(given_up) in (4, 6), ended.err
        assert all(line.startswith(f"warning: {disk / 'run'}: the ") for line in given_up), ended.err
