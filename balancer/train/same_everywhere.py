"""Ranks that train together: what must be the same on all of them, and the end of all where one is lost."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from balancer.engine.ranks import agree, is_first_rank, leave_group, lost_rank, rank, rank_count
from balancer.errors import RanksDiffer, TrainingError, one_line
from balancer.record.run_config import flat

if TYPE_CHECKING:
    from torch import nn

    from balancer.contract.model import GanModel
    from balancer.engine.balancer import Balancer
    from balancer.record.run_config import RunConfig

# Differences that a line names, and characters of a value that it shows.
SHOWN: Final = 8
LONGEST: Final = 72
# Seconds that the other ranks stay: a launcher ends all ranks as soon as one has ended, and the first is to speak.
HEARD: Final = 1.0


def require_same_run(config: RunConfig, model: GanModel) -> None:
    """See that all ranks have the same settings, packages, plugins and data, as the model's `data_record` tells them.

    Raises:
        RanksDiffer: they have not.
    """
    if rank_count() == 1:
        return
    plugins = [plugin.name for plugin in config.composition.plugins]
    fields: dict[str, object] = {
        **{f"plugin {name}" if name in plugins else f"version of {name}": v for name, v in config.versions.items()},
        **{name: value for name, value in flat(config.resolved()).items() if name != "run.plugins"},
        **{f"data: {name}": value for name, value in model.data_record().items()},
    }
    _require_same("before the first step", fields, "start all with the same settings, data and packages")


def require_same_start(step: int, *networks: nn.Module) -> None:
    """See that all ranks begin at one step, with one set of weights.

    Raises:
        RanksDiffer: they do not.
    """
    if rank_count() == 1:
        return
    import torch

    weights = hashlib.sha256()
    # Buffers, which the loop averages, may have been drawn on another kind of processor.
    for parameter in (one for network in networks for one in network.parameters()):
        weights.update(parameter.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    fields = {"steps done": step, "SHA-256 of the weights": weights.hexdigest()[:12]}
    _require_same("before the first step", fields, "give all the same files to start from")


def require_same_knobs(balance: Balancer) -> None:
    """See that all ranks hold the same knobs after a step.

    Raises:
        RanksDiffer: they do not.
    """
    board = balance.board
    fields: dict[str, object] = {knob: board.held(knob) for knob in board.specs}
    for knob in board.specs:
        fields |= {f"{op} of {knob} by plugin {name}": value for name, op, value in board.contributions(knob)}
    if not agree(repr((balance.step, sorted(fields.items())))):
        advice = "a plugin decides on something of its own rank; let it publish that as a signal, which is averaged"
        _require_same(f"after step {balance.step - 1}", {"step": balance.step, **fields}, advice)


@contextlib.contextmanager
def ending_together() -> Iterator[None]:
    """Turn what torch raises where another rank is lost into one line, and leave the process group on an error.

    Raises:
        TrainingError: another rank is gone, or did not answer within `train.timeout`.
    """
    try:
        yield
    except BaseException as error:
        mine, lost = rank(), lost_rank(error)
        leave_group()
        if lost is None:
            raise
        said = one_line(str(lost)).rpartition("] ")[2].partition(". ")[0]
        raise TrainingError(
            f"rank {mine} has lost another rank, which is gone or did not answer within train.timeout: see what that "
            f"one said last; --resume goes on from the newest checkpoint, where there is one ({said})"
        ) from error


def _require_same(when: str, fields: Mapping[str, object], advice: str) -> None:
    import torch

    said: list[Any] = [None] * rank_count()
    torch.distributed.all_gather_object(said, {name: repr(value) for name, value in fields.items()})
    found = _differences(said)
    if not found:
        return
    if not is_first_rank():
        time.sleep(HEARD)
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    raise RanksDiffer(f"ranks differ {when}: {'; '.join(found[:SHOWN])}{more}: {advice}")


def _differences(said: Sequence[Mapping[str, str]]) -> list[str]:
    """A sentence for each field of which ranks say different things; settings of a plugin go with the plugin."""
    fields = list(dict.fromkeys(name for one in said for name in one))
    lacking = {name for name in fields if any(name not in one for one in said)}
    found = []
    for name in fields:
        values: dict[str | None, list[int]] = {}
        for number, one in enumerate(said):
            values.setdefault(one.get(name), []).append(number)
        if len(values) > 1 and f"plugin {name.partition('.')[0]}" not in lacking:
            found.append(f"{name} is {' and '.join(f'{_shown(v)} on {_named(ranks)}' for v, ranks in values.items())}")
    return found


def _shown(value: str | None) -> str:
    if value is None:
        return "not there"
    text = one_line(value)
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]} … (SHA-256 {hashlib.sha256(value.encode()).hexdigest()[:12]})"


def _named(ranks: Sequence[int]) -> str:
    numbers = [str(number) for number in ranks[:SHOWN]] + ["…"] * (len(ranks) > SHOWN)
    return f"{'rank' if len(ranks) == 1 else 'ranks'} {', '.join(numbers)}"
