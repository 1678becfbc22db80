"""A run stays in its directory, wherever a plugin goes."""

import os
from pathlib import Path

import pytest

from balancer import Plugin, RunInfo, hookimpl
from balancer.errors import PluginError
from balancer.testing import toy_trainer
from balancer.train.progress import Progress


class Wanders(Plugin):
    """Changes the working directory."""

    name = "wanders"

    @hookimpl
    def on_run_start(self, run: RunInfo) -> None:
        Path("elsewhere").mkdir()
        os.chdir("elsewhere")


def test_a_plugin_that_changes_the_working_directory_is_refused_and_nothing_of_the_run_goes_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PluginError, match="hook on_run_start, step 0: changed the working directory"):
        toy_trainer([Wanders], folder=Path("run")).run(2, Progress(2, quiet=True))
    assert Path.cwd() == tmp_path
    assert list((tmp_path / "elsewhere").iterdir()) == []
