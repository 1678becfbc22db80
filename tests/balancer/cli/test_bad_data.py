"""Data that cannot be used, and a machine that cannot do it, end with one line that says what to do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.refusals import RUN, Cli, assert_refused, everything, refused

pytestmark = pytest.mark.usefixtures("here")

# Data.

FONTS = Path(__file__).parents[3] / "zi2zi_model" / "fonts"
ZI2ZI = ("--plugins", "", "--steps", 2, "--device", "cpu", "--quiet", "--out", "run")


def test_charsets(here: Path, cli: Cli) -> None:
    (here / "runes.txt").write_text("ᚠᚢᚦ")
    message = refused(cli, *ZI2ZI, "--set", "model.charset=runes.txt")
    assert f"draws none of the 3 characters of charset {here / 'runes.txt'}" in message
    (here / "empty.txt").write_text("")
    assert "empty.txt" in refused(cli, *ZI2ZI, "--set", "model.charset=empty.txt")
    assert "big5-7" in refused(cli, *ZI2ZI, "--set", "model.charset=big5-7")
    (here / "one.txt").write_text("一")
    assert "held" in refused(cli, *ZI2ZI, "--set", "model.charset=one.txt")


def test_fonts(here: Path, cli: Cli) -> None:
    (here / "font.ttf").write_text("I am no font")
    good = FONTS / "source.ttf"
    (here / "cut.ttf").write_bytes(good.read_bytes()[:2000])
    (here / "folder.ttf").mkdir()
    for bad in ("font.ttf", "cut.ttf", "none.ttf", "folder.ttf"):
        assert bad in refused(cli, *ZI2ZI, "--set", f"model.source={bad}", "--set", f"model.targets={good}")
        assert bad in refused(cli, *ZI2ZI, "--set", f"model.source={good}", "--set", f"model.targets={bad}")
    assert "no target font" in refused(cli, *ZI2ZI, "--set", f"model.source={good}")
    (here / "pairs").mkdir()
    assert "pairs" in refused(cli, *ZI2ZI, "--set", "model.pairs=pairs")
    (here / "pairs" / "0_1.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    assert "0_1.png" in refused(cli, *ZI2ZI, "--set", "model.pairs=pairs")


# The machine.


def test_no_cuda_here(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = refused(cli, *RUN, "--device", "cuda", "--out", "run")
    assert message == "train.device = cuda, but torch sees no CUDA device here: use --device cpu"


def test_a_batch_that_ranks_cannot_share(here: Path) -> None:
    # The environment that torchrun gives each of two ranks.
    common = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = [
        sys.executable,
        "-m",
        "balancer",
        "train",
        *map(str, RUN),
        "--set",
        "train.batch_size=15",
        "--out",
        "run",
    ]
    ranks = [
        subprocess.Popen(
            command,
            env={**os.environ, **common, "RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": "1"},
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for rank in ("0", "1")
    ]  # fmt: skip
    for process in ranks:
        out, err = process.communicate()
        message = assert_refused(process.returncode, out, err)
        assert message == "train.batch_size: 15 items do not divide evenly among 2 ranks"
    assert everything(here) == {}


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
