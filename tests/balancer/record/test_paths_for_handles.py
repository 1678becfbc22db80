"""Where a system has no handles of folders, paths stand in for them: the same run, the same refusals."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.resumed_runs import assert_same_run

from balancer.record import files, handles
from balancer.record.handles import Misplaced

RUN = ("train", "--model", "points", "--plugins", "d_skip", "--device", "cpu", "--quiet", "--set", "train.log_every=1")


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handles, "HANDLES", False)


def test_a_run_goes_on_as_with_handles(
    tmp_path: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    assert cli(*RUN, "--steps", "6", "--out", whole).status == 0
    monkeypatch.setattr(handles, "HANDLES", False)
    # The descriptor of a folder would be refused there.
    opened = os.open
    monkeypatch.setattr(os, "open", lambda path, *rest, **named: opened(path, *rest) if not named else 1 / 0)
    for arguments in (
        (*RUN, "--steps", "3", "--out", resumed),
        ("train", "--resume", resumed, "--steps", "6", "--quiet"),
    ):
        ended = cli(*arguments)
        assert ended.status == 0, ended.err
    assert_same_run(whole, resumed, steps=6)


@pytest.mark.usefixtures("without")
def test_links_and_what_is_missing_are_refused_alike(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"whole")
    run = tmp_path / "run"
    files.make_run(run)
    (run / "signals.bin").symlink_to(tmp_path / "victim")
    (run / "sheets").symlink_to(tmp_path)
    for act in (
        lambda: files.replace(run, "signals.bin", b"new"),
        lambda: files.open_to_append(run, "signals.bin"),
        lambda: files.delete(run, "signals.bin"),
        lambda: files.listed(run, "sheets"),
        lambda: files.delete(run, "sheets/victim"),
    ):
        with pytest.raises(Misplaced, match="a link where a run keeps"):
            act()
    assert (tmp_path / "victim").read_bytes() == b"whole"
    with pytest.raises(FileNotFoundError):
        files.read(run, "checkpoints/step_00000001/state.json")
    files.replace(run, "config.toml", b"one")
    files.replace(run, "config.toml", b"two")
    assert files.read(run, "config.toml") == b"two"
    assert files.listed(run) == ["config.toml", "sheets", "signals.bin"]
