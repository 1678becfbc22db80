"""A checkpoint with one flipped bit is not used: the file is named, and the newest good one is found."""

import json
import random
import shutil
from pathlib import Path

import pytest
import torch
from support.checkpoint_states import FILES, same, state_of

from balancer.errors import CheckpointError
from balancer.record import checkpoint
from balancer.record.checkpoint import load, load_latest, save, steps


class TestDamage:
    def test_every_single_bit_flip_is_detected(self, tmp_path: Path) -> None:
        path = save(tmp_path, 7, {"lr": 0.1, "w": torch.rand(6), "n": [1, None]}, keep=1)
        flips = 0
        for name in FILES:
            good = (path / name).read_bytes()
            for bit in range(8 * len(good)):
                damaged = bytearray(good)
                damaged[bit // 8] ^= 1 << bit % 8
                (path / name).write_bytes(damaged)
                with pytest.raises(CheckpointError, match=name):
                    load(path)
                flips += 1
            (path / name).write_bytes(good)
        load(path)
        assert flips > 4000

    def test_flips_in_a_large_file_are_detected(self, tmp_path: Path) -> None:
        path = save(tmp_path, 7, {"w": torch.rand(200_000)}, keep=1)
        file = path / "tensors.safetensors"
        size, chance = file.stat().st_size, random.Random(0)
        for position in [0, size - 1, *(chance.randrange(size) for _ in range(100))]:
            with file.open("r+b") as opened:
                opened.seek(position)
                byte = opened.read(1)[0]
                opened.seek(position)
                opened.write(bytes([byte ^ 1 << chance.randrange(8)]))
            with pytest.raises(CheckpointError, match=r"tensors\.safetensors is damaged"):
                load(path)
            with file.open("r+b") as opened:
                opened.seek(position)
                opened.write(bytes([byte]))
        load(path)

    @pytest.mark.parametrize("name", FILES)
    def test_truncated_longer_empty_and_missing_files_are_named(self, tmp_path: Path, name: str) -> None:
        path = save(tmp_path, 7, state_of(7), keep=1)
        good = (path / name).read_bytes()
        for damaged in [good[:length] for length in range(0, len(good), 7)] + [good + b"\n", good + b"\0", bytes(9)]:
            (path / name).write_bytes(damaged)
            with pytest.raises(CheckpointError, match=f"{name} is damaged"):
                load(path)
        (path / name).unlink()
        with pytest.raises(CheckpointError, match=rf"step_00000007 cannot be used: {name} is missing.*resume from"):
            load(path)
        (path / name).mkdir()
        with pytest.raises(CheckpointError, match=f"{name} is missing or unreadable"):
            load(path)

    def test_files_of_another_checkpoint_do_not_pass(self, tmp_path: Path) -> None:
        first, second = (save(tmp_path, step, state_of(step), keep=2) for step in (1, 2))
        shutil.copy(first / "tensors.safetensors", second / "tensors.safetensors")
        with pytest.raises(CheckpointError, match=r"tensors\.safetensors is damaged"):
            load(second)

    def test_the_newest_good_one_is_found_and_the_others_are_reported(self, tmp_path: Path) -> None:
        for step in (1, 2, 3, 4):
            save(tmp_path, step, state_of(step), keep=9)
        (tmp_path / "step_00000004" / "manifest.json").unlink()
        (tmp_path / "step_00000003" / "tensors.safetensors").write_bytes(b"short")
        step, state, path, skipped = load_latest(tmp_path)
        assert (step, path) == (2, tmp_path / "step_00000002")
        assert same(state, state_of(2))
        assert len(skipped) == 2
        assert "step_00000004 cannot be used: manifest.json is missing" in skipped[0]
        assert "step_00000003 cannot be used: tensors.safetensors is damaged" in skipped[1]
        assert all(sentence.endswith(".") and "\n" not in sentence for sentence in skipped)

    def test_no_good_one_is_an_error_that_names_each(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=r"there is no checkpoint in .*absent; check the path"):
            load_latest(tmp_path / "absent")
        assert steps(tmp_path / "absent") == []
        for step in (1, 2):
            (save(tmp_path, step, {}, keep=2) / "state.json").unlink()
        with pytest.raises(CheckpointError, match=r"no checkpoint that can be used .*step_00000002.*step_00000001"):
            load_latest(tmp_path)

    def test_a_newer_format_is_not_called_damaged(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checkpoint, "_FORMAT", 3)
        path = save(tmp_path, 1, {}, keep=1)
        monkeypatch.undo()
        with pytest.raises(CheckpointError, match="it has format 3, and this version of balancer reads 2"):
            load(path)

    def test_an_intact_file_that_cannot_be_decoded_is_an_error_for_users(self, tmp_path: Path) -> None:
        path = save(tmp_path, 1, {}, keep=1)
        (path / "tensors.safetensors").write_bytes(b"no tensors")
        body = json.loads((path / "manifest.json").read_bytes())["manifest"]
        body["files"]["tensors.safetensors"] = checkpoint._fingerprint(b"no tensors")
        (path / "manifest.json").write_bytes(checkpoint._seal(body))
        with pytest.raises(CheckpointError, match="this version of balancer or torch cannot read it"):
            load(path)
