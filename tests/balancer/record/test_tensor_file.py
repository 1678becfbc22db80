"""Tensors written one by one: the file is to the byte what safetensors writes, and no copy of them all is made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor

from balancer.record.checkpoint import load_latest
from balancer.record.tensor_file import TensorFile

TYPES = (
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.bool, torch.complex64, torch.float8_e4m3fn,
    torch.float8_e5m2,
)  # fmt: skip


def written(tensors: dict[str, Tensor]) -> bytes:
    return b"".join(TensorFile(tensors).pieces())


def of_type(dtype: torch.dtype, *shape: int) -> Tensor:
    return torch.randint(2, shape).to(dtype)


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(lambda name: name != "__metadata__"),
        st.tuples(st.sampled_from(TYPES), st.lists(st.integers(0, 3), max_size=3)),
        max_size=12,
    )
)
def test_the_bytes_are_those_that_safetensors_writes(content: dict[str, tuple[torch.dtype, list[int]]]) -> None:
    tensors = {name: of_type(dtype, *shape) for name, (dtype, shape) in content.items()}
    assert written(tensors) == save(tensors)


def test_views_come_back_as_what_they_show() -> None:
    base = torch.arange(12.0).view(3, 4)
    wave = torch.view_as_complex(torch.randn(3, 2))
    views = {
        "whole": base, "again": base, "turned": base.T, "part": base[1:, ::2], "expanded": torch.ones(1).expand(3, 2),
        "conjugate": wave.conj(), "negative": wave.conj().imag, "channels last": torch.randn(2, 3, 4, 4).to(
            memory_format=torch.channels_last
        ), "gradient": torch.nn.Parameter(torch.ones(2)),
    }  # fmt: skip
    loaded = load(written(views))
    assert loaded.keys() == views.keys()
    for name, view in views.items():
        assert torch.equal(loaded[name], view.detach()), name


@pytest.mark.parametrize("dtype", [torch.complex128, torch.float4_e2m1fn_x2])
def test_types_that_safetensors_has_not_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises((KeyError, ValueError)):
        TensorFile({"a": torch.ones(1), "b": torch.empty(1, dtype=dtype)})


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of resident memory from /proc")
def test_a_save_takes_no_memory_to_speak_of(tmp_path: Path) -> None:
    """In a process of its own: with a state of 256 MiB, of two tensors of which one is not contiguous."""
    program = f"""
import resource, torch
from pathlib import Path
from balancer.record.checkpoint import save
state = {{"generator": {{f"w{{n}}": torch.full((1024, 2048), float(n)) for n in range(32)}}}}
state["generator"]["w0"] = state["generator"]["w0"].T
save(Path({str(tmp_path / "first")!r}), 1, {{"generator": {{"w": torch.ones(1024, 2048).T}}}}, keep=1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
save(Path({str(tmp_path / "run")!r}), 1, state, keep=1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 40 * 1024, "KiB"
    state = load_latest(tmp_path / "run").state["generator"]
    assert [float(state[f"w{n}"][0, 0]) for n in range(32)] == [*map(float, range(32))]
