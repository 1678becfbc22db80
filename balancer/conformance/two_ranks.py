"""Two real processes train one model with the plugin: both must decide alike, hold equal states, and end."""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import torch

from balancer.conformance.report import Check, judged, sentence_of
from balancer.conformance.trials import Trial, Trials

NAME: Final = "two ranks"
STEPS: Final = 6
# Seconds after which ranks that wait for each other are ended; the run itself takes one or two.
PATIENCE: Final = 15


def two_ranks(trials: Trials, trial: Trial) -> Iterator[Check]:
    """Train on two ranks in processes forked from this one, each with its part of the batch."""
    if torch.cuda.is_available() or not hasattr(os, "fork"):
        yield Check(NAME, "remark", "not run: this process has a CUDA device; hide it with CUDA_VISIBLE_DEVICES=''")
        return
    if torch.distributed.is_initialized():
        yield Check(NAME, "remark", "not run: this process is a rank itself")
        return
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        with warnings.catch_warnings():
            # Forking with other threads about is deprecated; the children run one thread each and never return here.
            warnings.simplefilter("ignore", DeprecationWarning)
            context = multiprocessing.get_context("fork")
            ranks = [context.Process(target=_rank, args=(rank, folder, trials, trial), daemon=True) for rank in (0, 1)]
            for process in ranks:
                process.start()
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and any(process.is_alive() for process in ranks):
            ranks[0].join(0.2)
            ranks[1].join(0.0)
            if _parting(*(_told(folder / f"{rank}.jsonl")[0] for rank in (0, 1))) is not None:
                break  # they may wait for each other from here on
        ended = [process.exitcode is not None for process in ranks]
        for process in ranks:
            if process.is_alive():
                process.kill()
                process.join()
        told, ends = zip(*(_told(folder / f"{rank}.jsonl") for rank in (0, 1)), strict=True)
    faults = []
    if (parted := _parting(*told)) is not None:
        faults.append(parted)
    for rank, end in enumerate(ends):
        if end is not None and "error" in end and not parted:
            faults.append(f"rank {rank}: {end['error']}")
    if not faults and not (all(ended) and all(ends)):
        faults.append(
            f"the ranks wait for each other after {PATIENCE} seconds: they came to different collective calls"
        )
    if not faults and ends[0] is not None and ends[1] is not None:
        for what in ("weights", "states", "signals"):
            if ends[0][what] != ends[1][what]:
                faults.append(
                    f"the ranks end with different {what}: decide on signals, which are averaged over ranks, "
                    "and draw with self.rng"
                )
    yield from judged(NAME, faults, "both decide alike and end with equal weights and states")


def _rank(rank: int, folder: Path, trials: Trials, trial: Trial) -> None:
    """The life of one rank; it never returns into the code that was forked."""
    status = 1
    try:
        with (folder / f"{rank}.jsonl").open("a", encoding="utf-8") as file:

            def tell(what: str, value: Any) -> None:
                file.write(json.dumps({what: value}, default=str) + "\n")
                file.flush()

            try:
                tell("end", _trained(rank, folder, trials, trial, tell))
                status = 0
            except BaseException as error:
                tell("end", {"error": sentence_of(error)})
    finally:
        os._exit(status)


def _trained(rank: int, folder: Path, trials: Trials, trial: Trial, tell: Any) -> Mapping[str, Any]:
    from accelerate.state import AcceleratorState, GradientState, PartialState

    torch.set_num_threads(1)
    with Path(os.devnull).open("w") as nowhere:
        for stream in (1, 2):
            os.dup2(nowhere.fileno(), stream)
        os.environ.update(
            RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", MASTER_ADDR="127.0.0.1",
            MASTER_PORT="0", OMP_NUM_THREADS="1",
        )  # fmt: skip
        torch.distributed.init_process_group(
            "gloo",
            init_method=f"file://{folder / 'store'}",
            rank=rank,
            world_size=2,
            timeout=timedelta(seconds=PATIENCE - 5),
        )
        # What the process that was forked knew of itself, which was alone.
        for state in (PartialState, AcceleratorState, GradientState):
            state._shared_state.clear()
        ran = trials.run(trial, steps=STEPS, closely=False, told=lambda entry: tell("after", entry))
        brought = {name: value for row in ran.rows for name, value in row.items() if name.startswith("plugin ")}
        return {
            "weights": ran.weights,
            "states": repr((ran.state, ran.rng)),
            "signals": {k: repr(v) for k, v in brought.items()},
        }


def _told(path: Path) -> tuple[list[Any], dict[str, Any] | None]:
    """What a rank told after each hook, and how it ended; None where it did not."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    rows = [json.loads(line) for line in lines if line.endswith("}")]
    return [row["after"] for row in rows if "after" in row], next((row["end"] for row in rows if "end" in row), None)


def _parting(one: list[Any], two: list[Any]) -> str | None:
    """The first hook after which the ranks' contributions differ."""
    for (step, hook, ours), (other_step, other_hook, theirs) in zip(one, two, strict=False):
        if (step, hook) != (other_step, other_hook):
            return f"step {step}: rank 0 comes to {hook}, rank 1 to {other_hook} of step {other_step}"
        for name in dict.fromkeys([*ours, *theirs]):
            if ours.get(name) != theirs.get(name):
                return (
                    f"step {step}, {hook}: rank 0 says {name} {ours.get(name)}, rank 1 {theirs.get(name)}: decide on "
                    "signals, which are averaged over ranks, and draw with self.rng"
                )
    return None
