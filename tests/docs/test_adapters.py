"""The loops of docs/adapters, in processes of their own: Lightning, accelerate, DDP, torch.compile."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
import torch
from support.adapter_run import marked, stripped

from balancer.record.signals import read_signals

ROOT = Path(__file__).parents[2]
EXAMPLES = {path.stem: path for path in sorted((ROOT / "docs" / "adapters").glob("*.py"))}
DRIVER = ROOT / "tests" / "support" / "adapter_run.py"
Run = Callable[..., Path]


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run variants of an example in a process of its own, or under torchrun; the folder with what they left."""

    def in_a_process(example: str, *variants: str, ranks: int = 1, source: str = "") -> Path:
        folder = tmp_path_factory.mktemp(example)
        script = folder / "script.py"
        script.write_text(source or EXAMPLES[example].read_text(encoding="utf-8"), encoding="utf-8")
        start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks > 1 else []
        command = [sys.executable, *start, DRIVER, script, folder, *variants]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=300)
        assert done.returncode == 0, done.stderr
        assert "BalancerWarning" not in done.stderr
        return folder

    return in_a_process


def left(folder: Path, rank: int = 0) -> Any:
    return json.loads((folder / f"rank{rank}.json").read_text(encoding="utf-8"))


def assert_acted(folder: Path, steps: int, weights: Collection[float] = (0.25,)) -> None:
    columns = read_signals(folder / "runs" / "mine")
    assert columns["step"].tolist() == list(range(steps))
    assert columns["d_update"].tolist() == columns["d_updates"].tolist() == [1.0, 0.0] * (steps // 2)
    assert columns["g_updates"].tolist() == [1.0] * steps
    assert set(columns["lr_d"].tolist()) == {2.5e-4}
    assert set(columns["lambda_adv"].tolist()) == {*weights}


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_page_shows_each_example_as_it_is_and_few_of_its_lines_are_balancers(example: str) -> None:
    page = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
    source = EXAMPLES[example].read_text(encoding="utf-8")
    assert f"[{example}.py](adapters/{example}.py)\n\n```python\n{source}```\n" in page
    assert len(marked(source)) <= 8
    assert "balance" not in stripped(source).lower()


def test_lightning_keeps_its_bits_and_its_steps(apart: Run) -> None:
    folder = apart("lightning_gan", "stripped", "watched", "acting")
    assert left(folder / "stripped") == left(folder / "watched")
    assert left(folder / "acting") != left(folder / "watched")
    assert_acted(folder / "acting", 20)


def test_lightnings_two_processes_end_equal_and_the_first_writes_the_log(apart: Run) -> None:
    folder = apart("lightning_gan", "acting+ddp") / "acting+ddp"
    assert left(folder, 0) == left(folder, 1)
    assert_acted(folder, 10)
    assert len(list((folder / "runs" / "mine").glob("events.*"))) == 1


def test_two_ranks_of_torchrun_keep_their_bits_and_decide_alike(apart: Run) -> None:
    folder = apart("ddp_gan", "stripped", "watched", "acting", ranks=2)
    for rank in (0, 1):
        assert left(folder / "stripped", rank) == left(folder / "watched", rank)
    one, other = left(folder / "acting", 0), left(folder / "acting", 1)
    assert one["weights"] == other["weights"]
    assert one["d_losses"] != other["d_losses"]
    assert_acted(folder / "acting", 30)
    columns = read_signals(folder / "acting" / "runs" / "mine")
    means = [(a + b) / 2 for a, b in zip(one["d_losses"], other["d_losses"], strict=True)]
    assert columns["d_adv"].tolist() == pytest.approx(means, abs=1e-4)


def test_accelerate_keeps_its_bits_and_micro_batches_are_one_step(apart: Run) -> None:
    folder = apart("accelerate_gan", "stripped", "watched", "acting")
    assert left(folder / "stripped") == left(folder / "watched")
    assert_acted(folder / "acting", 40)
    losses = torch.tensor(left(folder / "watched")["d_losses"]).view(-1, 2).mean(1)
    columns = read_signals(folder / "watched" / "runs" / "mine")
    assert columns["d_adv"].tolist() == pytest.approx(losses.tolist(), abs=1e-4)


def test_compiled_networks_keep_their_bits_and_are_compiled_no_more_often(apart: Run) -> None:
    source = EXAMPLES["compiled_gan"].read_text(encoding="utf-8")
    # No compiler of C++ is needed so; over 256 steps the looks of the audit begin, end and come back.
    source = re.sub(r"torch\.compile\((.*)\)\n", r'torch.compile(\1, backend="aot_eager")\n', source)
    source = source.replace("range(60)", "range(260)")
    folder = apart("compiled_gan", "stripped", "watched", "acting", source=source)
    results = [left(folder / variant) for variant in ("stripped", "watched", "acting")]
    assert results[0] == results[1]
    assert results[0]["graphs"] > 0
    # A D that is skipped is also asked without gradients, of which torch makes a graph of its own.
    assert results[2]["graphs"] == results[0]["graphs"] + 1
    assert not any(result["breaks"] for result in results)
    assert_acted(folder / "acting", 260, weights=(0.25, 0.6))
