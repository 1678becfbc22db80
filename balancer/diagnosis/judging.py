"""From a log to a diagnosis: read, work out the units, judge, conclude."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from balancer.diagnosis.derived import derive
from balancer.diagnosis.extension import Extension, extensions
from balancer.diagnosis.finding import Case, Finding, NamedRule, NotJudged, Structure, judge
from balancer.diagnosis.remedies import IMPORTED
from balancer.diagnosis.rules import RULES
from balancer.diagnosis.units import Units
from balancer.diagnosis.verdict import verdict
from balancer.diagnosis.work_out import worked_out
from balancer.errors import ConfigError
from balancer.reading.history import History
from balancer.reading.source import Source


@dataclass(frozen=True)
class Diagnosis:
    """What was found in one log: problems first, then what was worked out, then the answer to the last question."""

    case: Case
    findings: Sequence[Finding]
    remarks: Sequence[Finding]
    not_judged: Sequence[NotJudged]
    verdict: Finding


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
    if source.kind != "run" and extension is not None:
        case = replace(case, adopt=extension.adopt(case, IMPORTED))
    own: Iterable[NamedRule] = extension.rules if extension is not None else ()
    found, left = judge([*RULES, *own], case)
    problems = [finding for finding in found if not finding.remark]
    remarks = [finding for finding in found if finding.remark]
    return Diagnosis(case, problems, remarks, left, verdict(case, problems))


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
