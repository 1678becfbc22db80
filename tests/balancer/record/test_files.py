"""Files appear whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from balancer.record.files import delete_unfinished, sync
from balancer.record.outputs import write_atomically


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_new_and_replaces_old_content(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["config.toml"]


def test_a_failure_keeps_the_old_content_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.toml"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["config.toml"]


def test_the_remains_of_a_killed_write_do_not_matter_and_are_cleared(tmp_path: Path) -> None:
    remains = (".config.toml.tmp", ".config.toml.0123456789abcdef.tmp", "cut.123.tmp")
    for name in remains:
        (tmp_path / name).write_bytes(b"a longer half of something")
    (tmp_path / "mine.tmp").write_bytes(b"mine")
    (tmp_path / ".linked.0123456789abcdef.tmp").symlink_to(tmp_path / "mine.tmp")
    write_atomically(tmp_path / "config.toml", b"new")
    assert (tmp_path / "config.toml").read_bytes() == b"new"
    delete_unfinished(tmp_path)
    assert names(tmp_path) == [".linked.0123456789abcdef.tmp", "config.toml", "mine.tmp"]


@pytest.mark.parametrize(("number", "passes"), [(errno.EINVAL, True), (errno.ENOTSUP, True), (errno.EIO, False)])
def test_only_file_systems_without_directory_fsync_are_excused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, passes: bool
) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    if passes:
        sync(tmp_path)
    else:
        with pytest.raises(OSError, match=os.strerror(number)):
            sync(tmp_path)
