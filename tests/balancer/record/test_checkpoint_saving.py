"""Checkpoints give back exactly what was saved, and the newest are kept."""

import math
import random
import shutil
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from support.checkpoint_states import FILES, names, same, state_of

from balancer.errors import CheckpointError
from balancer.record import checkpoint
from balancer.record.checkpoint import load, load_latest, save, steps


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
