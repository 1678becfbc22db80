"""A run stays in its directory, wherever a plugin goes."""

import os
from pathlib import Path

import pytest

from balancer import Plugin, RunInfo, hookimpl
from balancer.testing import toy_trainer
from balancer.train.progress import Progress


class Wanders(Plugin):
    """Changes the working directory."""

    name = "wanders"

    @hookimpl
    def on_run_start(self, run: RunInfo) -> None:
        Path("elsewhere").mkdir()
        os.chdir("elsewhere")


def test_a_plugin_that_changes_the_working_directory_takes_no_checkpoint_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    toy_trainer([Wanders], folder=Path("run")).run(2, Progress(2, quiet=True))
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == ["step_00000002"]
    assert {"signals.bin", "compositions.jsonl"} <= {path.name for path in (tmp_path / "run").iterdir()}
    assert list((tmp_path / "elsewhere").iterdir()) == []
