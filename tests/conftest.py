"""What every test shares: one thread, so that bits can be compared, one profile of Hypothesis, the command line."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, settings

from balancer.cli.main import main

torch.set_num_threads(1)

# A job in the background of a shell, or under nohup, ignores signals, and so would every process that a test starts.
for _number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)

# An assertion of a shared check says what it compared, like one of a test.
pytest.register_assert_rewrite("support")

# No test measures time. So an example takes as long as it takes (deadline, too_slow), and a commit is tried on the same
# examples wherever it is tested (derandomize). What hangs is ended by faulthandler_timeout in pyproject.toml.
settings.register_profile("balancer", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.load_profile("balancer")


class Result(NamedTuple):
    """How a command ended: its exit status and what it printed."""

    status: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `balancer ARGS…` in this process, where torch is loaded already."""

    def run(*args: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["balancer", *map(str, args)])
        capsys.readouterr()
        status: object = 0
        try:
            main()
        except SystemExit as exit:
            status = exit.code or 0
        out, err = capsys.readouterr()
        assert isinstance(status, int)
        return Result(status, out, err)

    return run
