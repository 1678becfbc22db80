"""Scripts with the lines that are Balancer's marked `# balancer`: run as they are, and as they were before."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from balancer import Balancer, Decision, read_signals
from balancer.record.decisions import read_decisions

MARK = re.compile(r"#.*\bbalancer\b")


def marked(source: str) -> list[str]:
    """The lines that are Balancer's."""
    return [line for line in source.splitlines() if MARK.search(line)]


def stripped(source: str) -> str:
    """The script as it was before: without the marked lines."""
    return "".join(line for line in source.splitlines(keepends=True) if not MARK.search(line))


def run_stripped(path: Path, source: str | None = None) -> dict[str, Any]:
    """The names that a script leaves behind, run as it was before."""
    return _run(stripped(source or path.read_text(encoding="utf-8")), f"{path.name} without balancer")


@dataclass
class Balanced:
    """A script that was run with Balancer: the names it leaves behind, its Balancer and what it logged."""

    names: dict[str, Any]
    balance: Balancer
    rows: list[dict[str, float]]
    # The rate that each optimizer of D had within each of its steps.
    d_rates: list[float]
    folder: Path

    @property
    def columns(self) -> Mapping[str, Any]:
        """The columns of `signals.bin`."""
        return read_signals(self.folder)

    @property
    def decisions(self) -> list[Decision]:
        """What plugins decided."""
        return list(read_decisions(self.folder)) if (self.folder / "decisions.jsonl").exists() else []


def run_balanced(
    path: Path,
    folder: Path,
    plugins: Sequence[str],
    settings: Mapping[str, Any] | None = None,
    *,
    source: str | None = None,
    **given: Any,
) -> Balanced:
    """Run a script with other plugins than it names, or with other text and options of its Balancer."""
    made: list[Balancer] = []
    rows: list[dict[str, float]] = []
    rates: list[float] = []

    def instead(_: object, **options: Any) -> Balancer:
        options |= {
            "log_dir": folder,
            "settings": settings or {},
            "on_row": lambda _, row: rows.append(dict(row)),
            **given,
        }
        made.append(Balancer(plugins, **options))
        for watched in made[-1]._optimizers.by_role["d"]:
            optimizer = watched.optimizer
            optimizer.register_step_pre_hook(lambda opt, *_: rates.append(opt.param_groups[0]["lr"]))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("balancer.Balancer", instead)
        left = _run(source or path.read_text(encoding="utf-8"), str(path))
    (balance,) = made
    return Balanced(left, balance, rows, rates, folder)


def weights(names: Mapping[str, Any]) -> str:
    """A hash of everything that the networks of a script hold."""
    digest = hashlib.sha256()
    nets = [value for name, value in sorted(names.items()) if isinstance(value, torch.nn.Module) and name != "nn"]
    for net in nets:
        for name, value in net.state_dict().items():
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    assert nets
    return digest.hexdigest()


def adam_steps(optimizer: torch.optim.Optimizer) -> int:
    """How many updates Adam itself counts."""
    return max((int(state["step"]) for state in optimizer.state.values()), default=0)


def _run(source: str, where: str) -> dict[str, Any]:
    left: dict[str, Any] = {"__name__": "script"}
    with one_thread():
        exec(compile(source, where, "exec"), left)
    return left


@contextmanager
def one_thread() -> Iterator[None]:
    """Bits are compared with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
