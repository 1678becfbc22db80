"""A disk that takes no checkpoint is an error that says so, and costs no older one."""

import errno
import os
import resource
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from support.broken_saves import checked_in_child, save_until
from support.checkpoint_states import names, same, state_of
from support.own_mounts import MS_RDONLY, MS_REMOUNT, MountRefusedError, mount_tmpfs

from balancer.errors import CheckpointError
from balancer.record.checkpoint import load_latest, save, steps


class TestRefusedByTheDisk:
    OLD: ClassVar = state_of(1)
    LARGE: ClassVar = {"w": torch.zeros(100_000), "text": "x" * 200_000}

    def refused(self, root: Path, reason: str) -> str:
        """Saving fails for this reason, and the old checkpoint is all there is; returns the message."""
        with pytest.raises(CheckpointError, match=reason) as caught:
            save(root, 2, self.LARGE, keep=1)
        message = str(caught.value)
        assert message.startswith(f"cannot save checkpoint {root / 'step_00000002'}: ")
        assert "check the free space and the permissions" in message
        assert "\n" not in message
        assert names(root) == ["step_00000001"]
        assert same(load_latest(root).state, self.OLD)
        return message

    def test_an_error_at_any_operation(self, tmp_path: Path) -> None:
        def fail() -> None:
            raise OSError(errno.EIO, "Input/output error")

        failures = 0
        for step in (1, 2):  # the same step again, and a later one
            for point in range(1, 500):
                root = tmp_path / f"{step}_{point}"
                save(root, 1, self.OLD, keep=1)
                try:
                    reached = save_until(root, step, state_of(2), point, fail)
                except CheckpointError as error:
                    failures += 1
                    assert "Input/output error" in str(error)
                    saved = "is saved, but" in str(error)
                    loaded = load_latest(root)
                    assert loaded.skipped == []
                    # The last operation before it counts as saved makes it durable: it is there to be read already.
                    assert same(loaded.state, state_of(2)) or (not saved and same(loaded.state, self.OLD))
                    assert saved or not any(name.startswith(".") for name in names(root))
                else:
                    assert same(load_latest(root).state, state_of(2))
                    if not reached:
                        break
        assert failures > 40

    def test_a_file_size_limit(self, tmp_path: Path) -> None:
        save(tmp_path, 1, self.OLD, keep=1)

        def limited(limit: int) -> str:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            return self.refused(tmp_path, "File too large")

        for limit in (0, 100, 5_000, 250_000):  # state.json is too large, and for the last one the tensors are
            checked_in_child(lambda limit=limit: limited(limit))
        assert names(tmp_path) == ["step_00000001"]

    def test_a_disk_that_is_full(self, tmp_path: Path) -> None:
        def fill() -> str:
            mount_tmpfs(tmp_path, "size=300k")
            root = tmp_path / "root"
            save(root, 1, self.OLD, keep=1)
            message = self.refused(root, "No space left on device")
            save(root, 2, state_of(2), keep=1)  # what fits is still saved
            assert same(load_latest(root).state, state_of(2))
            return message

        self.on_own_mount(fill)

    def test_a_disk_without_inodes(self, tmp_path: Path) -> None:
        def fill() -> str:
            mount_tmpfs(tmp_path, "nr_inodes=8")
            save(tmp_path / "root", 1, self.OLD, keep=1)  # takes six, with the two folders above it
            return self.refused(tmp_path / "root", "No space left on device")

        self.on_own_mount(fill)

    def test_a_disk_that_is_read_only(self, tmp_path: Path) -> None:
        def protect() -> str:
            mount_tmpfs(tmp_path, "size=1m")
            save(tmp_path / "root", 1, self.OLD, keep=1)
            mount_tmpfs(tmp_path, "size=1m", MS_REMOUNT | MS_RDONLY)
            return self.refused(tmp_path / "root", "Read-only file system")

        self.on_own_mount(protect)

    def test_a_folder_of_somebody_else(self) -> None:
        with tempfile.TemporaryDirectory() as folder:  # tmp_path is closed to other users
            root = Path(folder) / "root"
            save(root, 1, self.OLD, keep=1)
            for path in (Path(folder), root, root / "step_00000001"):
                path.chmod(0o555)

            def as_nobody() -> str:
                if os.geteuid() == 0:  # root may write everywhere
                    os.setgroups([])
                    os.setgid(65534)
                    os.setuid(65534)
                return self.refused(root, "Permission denied")

            checked_in_child(as_nobody)
            for path in (Path(folder), root, root / "step_00000001"):
                path.chmod(0o755)

    def test_a_file_where_the_folder_should_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        for root in (tmp_path / "file", tmp_path / "file" / "checkpoints"):
            with pytest.raises(CheckpointError, match=r"cannot save checkpoint .*: (File exists|Not a directory)"):
                save(root, 1, self.OLD, keep=1)
            with pytest.raises(CheckpointError, match=r"cannot read the checkpoints in .*Not a directory"):
                load_latest(root)
            with pytest.raises(CheckpointError, match="Not a directory"):
                steps(root)
        assert (tmp_path / "file").read_text() == "in the way"

    def on_own_mount(self, work: Callable[[], str]) -> None:
        def guarded() -> str:
            try:
                return work()
            except MountRefusedError as error:
                return f"cannot mount: {error}"

        answer = checked_in_child(guarded)
        if answer.startswith("cannot mount"):
            pytest.skip(f"this machine lets a test mount no tmpfs ({answer})")
