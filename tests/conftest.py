"""What every test shares: one thread, so that bits can be compared, and the command line run in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch

from balancer.cli.main import main

torch.set_num_threads(1)


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
