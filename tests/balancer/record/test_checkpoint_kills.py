"""Checkpoints survive kills and power losses at any operation of a save."""

import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from support.broken_saves import Calls, in_child, save_until
from support.checkpoint_states import FILES, names, same, state_of

from balancer.errors import CheckpointError
from balancer.record.checkpoint import load_latest, save, steps


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_points(prepare: Callable[[], Path], step: int, new: dict[str, Any]) -> Iterator[tuple[int, Path, bool]]:
    """One save after another, each killed at its next operation, until one comes through."""
    for point in range(1, 500):
        root = prepare()
        status, answer = in_child(lambda root=root, point=point: save_until(root, step, new, point, kill) and None)
        assert os.WIFSIGNALED(status) or status == 0, answer
        yield point, root, status != 0
        if status == 0:
            return
    raise AssertionError("the save never came through")


class TestKilled:
    """A child is killed at each operation of a save in turn; then the folder is read, and saved to again."""

    OLD: ClassVar = state_of(1)
    NEW: ClassVar = state_of(2)
    AFTER: ClassVar = state_of(3)

    def check(self, root: Path, step: int, killed: bool, *, first: bool = False) -> str:
        try:
            loaded = load_latest(root)
        except CheckpointError:
            assert first
            found = "nothing"
        else:
            assert loaded.skipped == []
            found = "old" if same(loaded.state, self.OLD) else "new"
            assert found == "old" or same(loaded.state, self.NEW)
        assert killed or found == "new"
        save(root, step + 1, self.AFTER, keep=2)
        assert same(load_latest(root).state, self.AFTER)
        assert all(name.startswith("step_") and not name.endswith(".old") for name in names(root))
        assert len(steps(root)) == 1 + (found != "nothing")  # the survivor is still there, and nothing else
        return found

    def every_point(self, root: Path, prepare: Callable[[Path], None], step: int, *, first: bool = False) -> list[str]:
        def fresh() -> Path:
            shutil.rmtree(root, ignore_errors=True)
            prepare(root)
            return root

        found = [self.check(root, step, killed, first=first) for _, _, killed in kill_points(fresh, step, self.NEW)]
        # Once it is the new one, it stays the new one.
        assert found == sorted(found, key=["nothing", "old", "new"].index)
        assert len(found) > 20
        return found

    def test_in_the_first_save(self, tmp_path: Path) -> None:
        found = self.every_point(tmp_path / "run" / "checkpoints", lambda root: None, 2, first=True)
        assert set(found) == {"nothing", "new"}

    def test_in_a_later_save(self, tmp_path: Path) -> None:
        found = self.every_point(tmp_path / "root", lambda root: save(root, 1, self.OLD, keep=1) and None, 2)
        assert set(found) == {"old", "new"}

    def test_while_the_same_step_is_saved_again(self, tmp_path: Path) -> None:
        found = self.every_point(tmp_path / "root", lambda root: save(root, 2, self.OLD, keep=1) and None, 2)
        assert set(found) == {"old", "new"}

    def test_while_the_remains_of_another_kill_are_cleared(self, tmp_path: Path) -> None:
        def prepare(root: Path) -> None:
            path = save(root, 2, self.OLD, keep=1)
            shutil.copytree(path, root / ".saving_step_00000002")
            shutil.copytree(path, root / ".deleting_step_00000001")
            path.rename(root / "step_00000002.old")
            assert same(load_latest(root).state, self.OLD)
            assert steps(root) == [2]

        found = self.every_point(tmp_path / "root", prepare, 2)
        assert set(found) == {"old", "new"}

    def test_again_and_again_in_one_folder(self, tmp_path: Path) -> None:
        save(tmp_path, 2, state_of(0), keep=1)
        good = {0}
        for point in range(1, 60):  # more than a save has, so that the last ones come through
            in_child(lambda point=point: save_until(tmp_path, 2, state_of(point), point, kill) and None)
            loaded = load_latest(tmp_path)
            assert loaded.state["value"] in good | {point}
            assert same(loaded.state, state_of(loaded.state["value"]))
            good = {loaded.state["value"]}
        assert good == {59}

    def test_in_the_middle_of_a_write_by_the_kernel(self, tmp_path: Path) -> None:
        """SIGXFSZ kills at a given byte of a file, after the part before it was written."""
        state = {"noise": torch.rand(4000), "value": 2}
        save(tmp_path, 1, self.OLD, keep=1)

        def limited(limit: int) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            save(tmp_path, 2, state, keep=1)

        for limit in (0, 1, 50, 100, 4096, 8191, 16000):
            status, answer = in_child(lambda limit=limit: limited(limit))
            assert os.WIFSIGNALED(status), answer
            assert os.WTERMSIG(status) == signal.SIGXFSZ
            assert same(load_latest(tmp_path).state, self.OLD)


class TestPowerLoss:
    def operations(self, root: Path, step: int) -> list[tuple[str, str]]:
        """What a save with keep=1 does, each with the path it makes durable, creates or removes."""
        done: list[tuple[str, str]] = []

        def before(name: str, target: Any) -> None:
            if name in ("rename", "replace"):
                target = target[1]
            done.append((name, str(target)))

        with pytest.MonkeyPatch.context() as patch:
            Calls(before).install(patch)
            save(root, step, state_of(step), keep=1)
        return done

    def test_each_step_is_durable_before_the_next_relies_on_it(self, tmp_path: Path) -> None:
        save(tmp_path, 1, state_of(1), keep=1)
        done = self.operations(tmp_path, 2)
        saving = tmp_path / ".saving_step_00000002"
        published = done.index(("rename", str(tmp_path / "step_00000002")))
        for name in FILES:
            (hidden,) = {path for call, path in done if call == "open" and path.startswith(str(saving / f".{name}."))}
            synced, named = done.index(("fsync", hidden)), done.index(("replace", str(saving / name)))
            assert max(index for index, call in enumerate(done) if call == ("write", hidden)) < synced < named
            assert ("fsync", str(saving)) in done[named:published]
        deleted = done.index(("rename", str(tmp_path / ".deleting_step_00000001")))
        assert ("fsync", str(tmp_path)) in done[published:deleted]

    def test_new_folders_are_durable(self, tmp_path: Path) -> None:
        done = self.operations(tmp_path / "run" / "checkpoints", 1)
        assert ("fsync", str(tmp_path)) in done[done.index(("mkdir", str(tmp_path / "run"))) :]
        assert ("fsync", str(tmp_path / "run")) in done
