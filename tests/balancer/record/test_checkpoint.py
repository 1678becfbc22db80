"""Checkpoints survive kills, full disks and flipped bits, and give back exactly what was saved."""

import ctypes
import errno
import io
import json
import math
import os
import random
import resource
import shutil
import signal
import tempfile
import traceback
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from balancer.errors import CheckpointError
from balancer.record import checkpoint
from balancer.record.checkpoint import load, load_latest, save, steps

FILES = ["manifest.json", "state.json", "tensors.safetensors"]


def state_of(value: int) -> dict[str, Any]:
    return {"value": value, "weights": {"g": torch.full((3, 5), float(value)), "d": torch.arange(value % 7 + 1)}}


def same(a: Any, b: Any) -> bool:
    """Equal in type, value and bits; NaN equals NaN, and -0.0 is not 0.0."""
    if isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor):
        return (
            isinstance(a, torch.Tensor)
            and isinstance(b, torch.Tensor)
            and (a.dtype, a.shape) == (b.dtype, b.shape)
            and a.contiguous().reshape(-1).view(torch.uint8).equal(b.contiguous().reshape(-1).view(torch.uint8))
        )
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return [(type(key), key) for key in a] == [(type(key), key) for key in b] and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return bool(a == b)


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def in_child(work: Callable[[], str | None]) -> tuple[int, str]:
    """Run in a forked process, which has torch already; returns its wait status and what `work` returned."""
    read_end, write_end = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of threads; the child only saves small tensors, which starts none.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            os.close(read_end)
            os.write(write_end, (work() or "").encode())
            os._exit(0)
        except BaseException:
            os.write(write_end, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(1)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        answer = pipe.read().decode()
    return os.waitpid(child, 0)[1], answer


def checked_in_child(work: Callable[[], str | None]) -> str:
    status, answer = in_child(work)
    assert status == 0, answer
    return answer


class Calls:
    """Calls `before` with each operation on the file system, just before it happens; writes are cut into halves."""

    def __init__(self, before: Callable[[str, Any], None]) -> None:
        self.before = before

    def install(self, patch: pytest.MonkeyPatch) -> None:
        for name in ("mkdir", "rename", "replace", "fsync", "unlink", "rmdir"):
            patch.setattr(os, name, self.counted(name, getattr(os, name)))
        before, plain_open = self.before, io.open

        class Raw(io.FileIO):
            def write(self, data: Any) -> int:
                before("write", self.name)
                view = memoryview(data)
                return super().write(view[: (len(view) + 1) // 2])

        def opened(path: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
            if mode != "wb":
                return plain_open(path, mode, *rest, **named)
            before("open", path)
            return io.BufferedWriter(Raw(path, "wb"))

        patch.setattr(io, "open", opened)

    def counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **named: Any) -> Any:
            self.before(name, args[0] if name not in ("rename", "replace") else (args[0], args[1]))
            return call(*args, **named)

        return counting


def save_until(root: Path, step: int, state: dict[str, Any], point: int, act: Callable[[], None]) -> bool:
    """Save with keep=1, and act at the given operation of it, counted from 1; returns whether there were that many."""
    count = 0

    def before(_: str, __: Any) -> None:
        nonlocal count
        count += 1
        if count == point:
            act()

    with pytest.MonkeyPatch.context() as patch:
        Calls(before).install(patch)
        save(root, step, state, keep=1)
    return count >= point


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


class TestRoundTrip:
    def test_everything_a_state_may_hold(self, tmp_path: Path) -> None:
        base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
        state = {
            "none": None,
            "flags": [True, False],
            "numbers": [0, -1, 2**127, 0.1, -0.0, 5e-324, 1e16, math.inf, -math.inf, math.nan],
            "text": 'quotes " \\ / 永 \u2028 \x00 😀',
            "keys": {1: "int", "1": "str", "": "empty", "a/b": "slash", "__metadata__": torch.ones(1), "dict": []},
            "empty": [{}, [], (), ""],
            "tuples": ((1, (2.5,)), [()]),
            "dtypes": [
                torch.tensor([1.5, -2.25, math.nan, math.inf]).to(dtype)
                for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)
            ],
            "integers": [
                torch.tensor([1, 0, 120], dtype=dtype)
                for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool)
            ],
            "zero_dim": torch.tensor(7, dtype=torch.int64),
            "no_elements": torch.empty(0, 3),
            "transposed": base.T,
            "strided": base[:, ::2],
            "expanded": torch.tensor([1.0]).expand(3),
            "shared": [base, base[1:], base, base.view(-1)],
        }
        path = save(tmp_path, 1234, state, keep=1)
        assert path == tmp_path / "step_00001234"
        assert names(path) == FILES
        step, loaded = load(path)
        assert step == 1234
        assert same(loaded, state)
        loaded["shared"][0].add_(1)  # restored tensors are writable, and no longer share memory
        assert torch.equal(loaded["shared"][2], base)

    def test_mappings_parameters_and_views_become_plain(self, tmp_path: Path) -> None:
        weight = torch.nn.Parameter(torch.ones(2))
        view = torch.tensor([1 + 2j], dtype=torch.complex64).conj().imag  # a view with its sign still to be turned
        _, loaded = load(save(tmp_path, 0, OrderedDict(weight=weight, size=weight.shape, view=view), keep=1))
        assert same(loaded, {"weight": torch.ones(2), "size": (2,), "view": torch.tensor([-2.0])})
        assert not loaded["weight"].requires_grad

    def test_a_resumed_optimizer_and_generators_go_on_bit_for_bit(self, tmp_path: Path) -> None:
        def run(model: torch.nn.Module, adam: torch.optim.Adam, noise: torch.Generator, count: int) -> list[float]:
            losses = []
            for _ in range(count):
                adam.zero_grad()
                loss = (model(torch.randn(8, 3, generator=noise)) * random.random()).square().mean()
                loss.backward()
                adam.step()
                losses.append(loss.item())
            return losses

        def build(seed: int) -> tuple[torch.nn.Module, torch.optim.Adam, torch.Generator]:
            torch.manual_seed(seed)
            random.seed(seed)
            model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
            adam = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.5, 0.999))
            return model, adam, torch.Generator().manual_seed(seed)

        model, adam, noise = build(1)
        run(model, adam, noise, 3)
        save(
            tmp_path,
            3,
            {
                "model": model.state_dict(),
                "adam": adam.state_dict(),
                "noise": noise.get_state(),
                "torch": torch.get_rng_state(),
                "python": random.getstate(),
            },
            keep=1,
        )
        expected = [*run(model, adam, noise, 4), torch.rand(()).item()]

        model, adam, noise = build(2)
        state = load_latest(tmp_path).state
        model.load_state_dict(state["model"])
        adam.load_state_dict(state["adam"])
        noise.set_state(state["noise"])
        torch.set_rng_state(state["torch"])
        random.setstate(state["python"])
        assert [*run(model, adam, noise, 4), torch.rand(()).item()] == expected

    @settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.data())
    def test_any_tree(self, tmp_path: Path, data: st.DataObject) -> None:
        tensors = st.builds(
            lambda values, dtype: torch.tensor(values, dtype=torch.float64).to(dtype),
            st.lists(st.integers(0, 100), max_size=3) | st.integers(0, 100),
            st.sampled_from([torch.float32, torch.bfloat16, torch.uint8, torch.int64, torch.bool]),
        )
        leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | tensors
        keys = st.text() | st.integers()
        tree = st.recursive(
            leaves,
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.lists(inner, max_size=4).map(tuple)
                | st.dictionaries(keys, inner, max_size=4)
            ),
            max_leaves=12,
        )
        state = data.draw(st.dictionaries(keys, tree, max_size=4))
        step = data.draw(st.integers(0, 10**10))
        shutil.rmtree(tmp_path / "root", ignore_errors=True)
        loaded_step, loaded = load(save(tmp_path / "root", step, state, keep=1))
        assert loaded_step == step
        assert same(loaded, state)
        assert steps(tmp_path / "root") == [step]

    def test_other_tools_can_read_the_tensors(self, tmp_path: Path) -> None:
        path = save(tmp_path, 1, {"model": {"g.weight": torch.ones(2)}}, keep=1)
        with safe_open(path / "tensors.safetensors", framework="pt") as file:
            assert list(file.keys()) == ["0/state/model/g.weight"]

    @pytest.mark.parametrize(
        ("state", "message"),
        [
            ({"plugins": {"ada": {1, 2}}}, "state/plugins/ada cannot be stored: it is a <class 'set'>"),
            ({"a": [0, torch.ones(2).numpy()]}, "state/a/1 cannot be stored: it is a <class 'numpy.ndarray'>"),
            ({"a": torch.eye(2).to_sparse()}, "state/a cannot be stored"),
            ({"a": torch.empty(2, device="meta")}, "state/a cannot be stored"),
            ({"a": {(1, 2): 0}}, r"state/a cannot be stored: its key \(1, 2\) is neither str nor int"),
            ({"a": {True: 0}}, "its key True is neither"),
            ({"a": "\ud800"}, "step 5 cannot be stored"),
            ({"a": 10**5000}, "step 5 cannot be stored"),
            ({"a": torch.ones(1, dtype=torch.complex128)}, "step 5 cannot be stored"),
        ],
    )
    def test_what_cannot_be_stored_is_named_before_anything_is_written(
        self, tmp_path: Path, state: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(CheckpointError, match=message) as caught:
            save(tmp_path / "root", 5, state, keep=1)
        assert "\n" not in str(caught.value)
        assert names(tmp_path) == []

    def test_a_state_that_holds_itself_is_refused(self, tmp_path: Path) -> None:
        state: dict[str, Any] = {}
        state["self"] = state
        with pytest.raises(CheckpointError, match="cannot be stored"):
            save(tmp_path, 5, state, keep=1)

    @pytest.mark.parametrize(("step", "keep"), [(-1, 1), (0, 0), (3, -2)])
    def test_nonsense_numbers_are_refused(self, tmp_path: Path, step: int, keep: int) -> None:
        with pytest.raises(ValueError, match=f"step={step} and keep={keep}"):
            save(tmp_path, step, {}, keep=keep)


class TestRotation:
    def test_the_newest_are_kept(self, tmp_path: Path) -> None:
        for step in (5, 10, 100_000_000, 1_000_000_000):
            save(tmp_path, step, state_of(step), keep=2)
        assert steps(tmp_path) == [100_000_000, 1_000_000_000]
        assert names(tmp_path) == ["step_100000000", "step_1000000000"]
        assert load_latest(tmp_path).step == 1_000_000_000

    def test_fewer_are_kept_as_soon_as_keep_is_smaller(self, tmp_path: Path) -> None:
        for step in range(5):
            save(tmp_path, step, state_of(step), keep=10)
        save(tmp_path, 5, state_of(5), keep=2)
        assert steps(tmp_path) == [4, 5]

    def test_a_damaged_later_checkpoint_never_costs_a_good_one(self, tmp_path: Path) -> None:
        for step in (10, 20, 30):
            save(tmp_path, step, state_of(step), keep=3)
        (tmp_path / "step_00000030" / "state.json").write_bytes(b"")
        save(tmp_path, 25, state_of(25), keep=1)  # the run that resumed from 20
        assert steps(tmp_path) == [25, 30]
        assert load_latest(tmp_path).step == 25
        save(tmp_path, 30, state_of(31), keep=1)
        assert same(load_latest(tmp_path), checkpoint.Loaded(30, state_of(31), tmp_path / "step_00000030", []))
        assert steps(tmp_path) == [30]

    def test_the_same_step_again_replaces_it(self, tmp_path: Path) -> None:
        save(tmp_path, 1, state_of(1), keep=3)
        for value in (2, 3):
            save(tmp_path, 2, state_of(value), keep=3)
        assert same(load_latest(tmp_path).state, state_of(3))
        assert names(tmp_path) == ["step_00000001", "step_00000002"]

    def test_other_files_in_the_folder_are_left_alone(self, tmp_path: Path) -> None:
        for name in ("notes.txt", "step_1", "step_00000001 (copy)", "best.old"):
            (tmp_path / name).mkdir()
        save(tmp_path, 1, {}, keep=1)
        save(tmp_path, 2, {}, keep=1)
        assert names(tmp_path) == ["best.old", "notes.txt", "step_00000001 (copy)", "step_00000002", "step_1"]
        assert steps(tmp_path) == [2]


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
            if name == "fsync":
                target = Path(f"/proc/self/fd/{target}").readlink()
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
            hidden = str(saving / f".{name}.tmp")
            synced, named = done.index(("fsync", hidden)), done.index(("replace", str(saving / name)))
            assert max(index for index, call in enumerate(done) if call == ("write", hidden)) < synced < named
            assert ("fsync", str(saving)) in done[named:published]
        deleted = done.index(("rename", str(tmp_path / ".deleting_step_00000001")))
        assert ("fsync", str(tmp_path)) in done[published:deleted]

    def test_new_folders_are_durable(self, tmp_path: Path) -> None:
        done = self.operations(tmp_path / "run" / "checkpoints", 1)
        assert ("fsync", str(tmp_path)) in done[done.index(("mkdir", str(tmp_path / "run"))) :]
        assert ("fsync", str(tmp_path / "run")) in done


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


class MountRefusedError(Exception):
    pass


MS_RDONLY, MS_REMOUNT, MS_REC, MS_PRIVATE = 1, 32, 1 << 14, 1 << 18
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000


def mount_tmpfs(folder: Path, options: str, flags: int = 0) -> None:
    """Mount for the calling process alone; what it mounts goes with it."""
    libc = ctypes.CDLL(None, use_errno=True)

    def mount(source: bytes | None, target: bytes, flags: int, data: bytes | None) -> None:
        if libc.mount(source, target, source, ctypes.c_ulong(flags), data) != 0:
            raise MountRefusedError(os.strerror(ctypes.get_errno()))

    if not flags & MS_REMOUNT:
        user, group = os.getuid(), os.getgid()
        if libc.unshare(CLONE_NEWNS) != 0:  # not root: in a user namespace everybody may mount, if there are any
            if libc.unshare(CLONE_NEWNS | CLONE_NEWUSER) != 0:
                raise MountRefusedError(os.strerror(ctypes.get_errno()))
            for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
                try:
                    Path(f"/proc/self/{name}").write_text(text)
                except OSError as error:
                    raise MountRefusedError(f"{name}: {error.strerror}") from error
        mount(None, b"/", MS_REC | MS_PRIVATE, None)
    mount(b"tmpfs", os.fsencode(folder), flags, options.encode())
