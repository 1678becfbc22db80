"""The checks that play signals to a plugin, without a model: extremes, gaps, and whether it knows what is to come."""

from __future__ import annotations

import contextlib
import io
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from balancer.conformance.report import Check, judged, sentence_of
from balancer.conformance.trials import Trials
from balancer.conformance.watch import Notes, watched
from balancer.contract.model import ModelSpec
from balancer.contract.moments import hook_options
from balancer.errors import CompositionError, KnobError
from balancer.hindsight.replay_rows import replay_rows
from balancer.hindsight.trajectory import Replay

EXTREMES: Final = (0.0, 1e-12, 0.02, 0.2, math.log(2), 2.0, 50.0, 1e6)
STEPS, EPOCH, SHARED = 64, 8, 32
TENSOR_HOOKS: Final = ("transform_d_input", "d_loss_terms", "g_loss_terms")


def laws(trials: Trials, reads: Sequence[str], spec: ModelSpec, notes: Notes) -> Iterator[Check]:
    """Play extremes, gaps and two futures to a plugin that reads these signals."""
    cls = trials.plugin

    def played(rows: Sequence[Mapping[str, float]]) -> Replay:
        plugins, own = [watched(cls, notes), *trials.beside], {cls.name: trials.settings}
        # What it prints is noted where it is watched closely.
        with contextlib.redirect_stdout(io.StringIO()):
            return replay_rows(plugins, rows, settings=own, spec=spec, steps_per_epoch=EPOCH, names=reads)

    # What is measured in its hooks on tensors, a replay does not have.
    lacks = [hook for hook in TENSOR_HOOKS if hook_options(getattr(cls, hook, None)) is not None]
    faults, remarks = [], []
    for what, rows in _series(reads):
        try:
            played(rows)
        except CompositionError as error:
            remarks.append(f"a replay cannot play it: {sentence_of(error)}")
        except (Exception, SystemExit) as error:
            sentence = f"where {what}: {sentence_of(error)}"
            if lacks and not isinstance(error, KnobError):
                remarks.append(f"a replay, which lacks {', '.join(lacks)}, cannot play it {sentence}")
            else:
                faults.append(sentence)
    if remarks and not faults:
        yield from judged("extremes", remarks[:1], "", "remark")
        return
    yield from judged("extremes", faults[:1], "it writes finite values in range, whatever it reads")
    if not faults:
        yield from judged("future", _foresight(played, reads), "what it writes follows from the past alone")


def _foresight(played: Any, reads: Sequence[str]) -> Iterator[str]:
    """Two series that part later are answered alike until then."""
    one, two = _noise(reads, 1), _noise(reads, 2)
    first, second = played(one), played([*one[:SHARED], *two[SHARED:]])
    for knob in first:
        for step in range(SHARED):
            if first[knob][step] != second[knob][step]:
                yield f"step {step}: {knob} depends on signals of steps to come"
                return


def _series(reads: Sequence[str]) -> Iterator[tuple[str, list[dict[str, float]]]]:
    """Rows of signals, and what is the matter with them."""
    for value in EXTREMES:
        yield f"all it reads is {value:g}", [{name: _in_range(name, value) for name in reads} for _ in range(STEPS)]
    alternating = [
        {name: _in_range(name, EXTREMES[0] if step % 2 else EXTREMES[-1]) for name in reads} for step in range(STEPS)
    ]
    yield "what it reads jumps between 0 and the largest", alternating
    yield "what it reads is noise", _noise(reads, 0)
    gaps = [{} if step % 3 == 1 else row for step, row in enumerate(_noise(reads, 3))]
    yield "a signal has no number (read None, or not fresh)", gaps


def _noise(reads: Sequence[str], seed: int) -> list[dict[str, float]]:
    draw = random.Random(seed)
    return [{name: _in_range(name, math.exp(draw.uniform(-6, 3))) for name in reads} for _ in range(STEPS)]


def _in_range(name: str, value: float) -> float:
    """A value that this signal can have: shares are in [0, 1], of logits half are negative."""
    if name.startswith("d_acc") or name.endswith("_share"):
        return min(value, 1.0)
    return -value if name == "d_logit_fake" else value
