"""From a log to a diagnosis: read, work out the units, judge, conclude."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from balancer.diagnose.extension import GROUP, Extension
from balancer.diagnose.finding import Case, Finding, NamedRule, NotJudged, Structure, judge
from balancer.diagnose.history import History
from balancer.diagnose.rules import RULES
from balancer.diagnose.source import Source
from balancer.diagnose.units import Units, derive, worked_out
from balancer.diagnose.verdict import verdict
from balancer.errors import ConfigError, PluginError
from balancer.registry import entries


@dataclass(frozen=True)
class Diagnosis:
    """What was found in one log: problems first, then what was worked out, then the answer to the last question."""

    case: Case
    findings: Sequence[Finding]
    remarks: Sequence[Finding]
    not_judged: Sequence[NotJudged]
    verdict: Finding
    extension: Extension | None


def extensions() -> dict[str, Extension]:
    """The installed extensions by name; a broken one is left out with a warning."""
    found: dict[str, Extension] = {}
    for entry in entries(GROUP):
        try:
            loaded = entry.load("diagnosis")
            if not isinstance(loaded, Extension):
                raise PluginError(f"diagnosis {entry.name}: {entry.value} is not an Extension")
            found[entry.name] = loaded
        except PluginError as error:
            warnings.warn(f"{error}; its logs are read without it", stacklevel=2)
    return found


def diagnose(
    history: History,
    source: Source,
    *,
    told: Units | None = None,
    items: int | None = None,
    checkpoint: Path | None = None,
) -> Diagnosis:
    """Judge what was read of a run; the history gains `d_adv` and shares of G's loss where they follow.

    Args:
        told: units that the user states; what it leaves open is worked out.
        items: number of training items (characters), where the log does not say.
        checkpoint: a checkpoint whose networks are judged too.

    Raises:
        ConfigError: no extension knows the checkpoint.
    """
    told = told or Units()
    known = extensions()
    extension = known.get(source.family)
    units = extension.units(history, source, told) if extension is not None else None
    if units is None:
        units = worked_out(history, source, told)
    derive(history, units)
    structure = _structure(source, checkpoint, extension, known.values())
    case = Case(history, source, units, structure, items)
    own: Iterable[NamedRule] = extension.rules if extension is not None else ()
    found, left = judge([*RULES, *own], case)
    problems = [finding for finding in found if not finding.remark]
    remarks = [finding for finding in found if finding.remark]
    return Diagnosis(case, problems, remarks, left, verdict(case, problems), extension)


def told_units(
    adversarial: str | None, d_loss: str | None, weights: Mapping[str, float], holds: bool | None = None
) -> Units:
    """What the user said of a log's units.

    Raises:
        ConfigError: an unknown adversarial loss or kind of d_loss.
    """
    from balancer.adversarial import LOSSES
    from balancer.diagnose.units import CHANCE

    made = Units(d_holds_category=holds)
    if adversarial is not None:
        if adversarial not in LOSSES:
            raise ConfigError(f"--adversarial {adversarial}: known are {', '.join(LOSSES)}")
        made = replace(made, adversarial=LOSSES[adversarial].name)
    if d_loss is not None:
        if d_loss not in ("mean", "sum"):
            raise ConfigError(f"--d-loss {d_loss}: is mean or sum, of its real and its fake half")
        loss = LOSSES[made.adversarial]
        halves = 2 if d_loss == "sum" else 1
        scale = CHANCE / (loss.chance - loss.floor) / halves
        made = replace(
            made,
            d_loss_kind="sum" if d_loss == "sum" else "mean",
            d_scale=scale,
            d_floor=loss.floor * halves,
            d_basis="told",
        )
    if weights:
        made = replace(made, weights=dict(weights), weights_basis="told")
    return made


def _structure(
    source: Source, checkpoint: Path | None, own: Extension | None, known: Iterable[Extension]
) -> Structure | None:
    if checkpoint is not None:
        for extension in known:
            found = extension.checkpoint(checkpoint)
            if found is not None:
                return found
        raise ConfigError(f"--checkpoint {checkpoint}: no installed model knows this kind of checkpoint")
    if own is not None and source.folder is not None and source.config is not None:
        return own.structure(source.folder, source.config)
    return None
