"""A checkpoint under a right seal that holds what no run writes is refused by name, and the run stays as it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.hostile_states import hostile_states, seal
from support.refusals import Cli, assert_refused

from balancer.record import checkpoint

RUN = ("--model", "points", "--plugins", "dynamic_lambda", "--device", "cpu", "--quiet", "--steps", 4)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_whatever_a_sealed_checkpoint_holds_a_resume_ends_with_one_line(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("train", *RUN, "--set", "train.batch_size=64", "--out", "run").status == 0
    step, state = checkpoint.load(Path("run/checkpoints/step_00000004"))
    Path("run").rename("whole")
    logs = [path for path in Path("whole").iterdir() if path.is_file()]
    wrong, count = [], 0
    for what, hostile in hostile_states(state, step):
        shutil.rmtree("run", ignore_errors=True)
        shutil.copytree("whole", "run")
        seal(Path("run/checkpoints/step_00000004"), hostile, step)
        count += 1
        try:
            assert "checkpoint" in assert_refused(*cli("train", "--resume", "run", "--steps", 6, "--quiet"))
        except BaseException as error:
            wrong.append(f"{what}: {type(error).__name__}: {str(error)[-150:]}")
        changed = [path.name for path in logs if (Path("run") / path.name).read_bytes() != path.read_bytes()]
        wrong += [f"{what}: {changed} changed"] if changed else []
    assert not wrong, f"{len(wrong)} of {count}\n" + "\n".join(wrong)
    assert count > 100


@pytest.mark.parametrize("step", [-1, "4", 2**70, None, 1.5, True])
def test_a_step_that_is_none_is_refused(
    tmp_path: Path, step: object, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "step_00000004"
    folder.mkdir()
    seal(folder, {"a": 1}, step)
    with pytest.raises(checkpoint.CheckpointError, match="step_00000004 cannot be used: its step is"):
        checkpoint.load(folder)
