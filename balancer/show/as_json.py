"""A diagnosis, an explanation or a replay as plain data, for scripts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from balancer.diagnosis.calibrate import Calibration
from balancer.diagnosis.diagnose import Diagnosis
from balancer.diagnosis.finding import Finding
from balancer.diagnosis.since import Since
from balancer.show.rendered import RenderedFinding, render_diagnosis
from balancer.show.words import load, own

if TYPE_CHECKING:
    from balancer.hindsight.explain import Explanation
    from balancer.hindsight.replay_run import RunReplay


@overload
def as_data(
    found: Diagnosis, lang: str = "en", *, since: Since | None = None, calibration: Calibration | None = None
) -> dict[str, Any]: ...
@overload
def as_data(found: Explanation | RunReplay, lang: str = "en") -> dict[str, Any]: ...
def as_data(
    found: Diagnosis | Explanation | RunReplay,
    lang: str = "en",
    *,
    since: Since | None = None,
    calibration: Calibration | None = None,
) -> dict[str, Any]:
    """Everything of it as plain data: names and figures in the field's terms, sentences in `lang`.

    A replay's trajectories are left out: they are its `replay`.

    Raises:
        ConfigError: there is no such language.
    """
    if isinstance(found, Diagnosis):
        return _diagnosis(found, lang, since, calibration)
    return _hindsight(found, lang)


def _hindsight(found: Explanation | RunReplay, lang: str) -> dict[str, Any]:
    from balancer.hindsight.explain import Explanation
    from balancer.show.phrases import plain

    if isinstance(found, Explanation):
        data: dict[str, Any] = plain(found, own(lang))
        return data
    return {
        "folder": str(found.folder),
        "plugins": list(found.plugins),
        "steps": len(found.replay),
        "decisions": found.decisions,
        "knobs": {one.knob: dataclasses.asdict(one) for one in found.comparisons},
        "warnings": list(found.warnings),
        "remarks": plain(found.remarks, own(lang)),
    }


def _diagnosis(diagnosis: Diagnosis, lang: str, since: Since | None, calibration: Calibration | None) -> dict[str, Any]:
    case, source = diagnosis.case, diagnosis.case.source
    rendered = render_diagnosis(diagnosis, load(lang))
    data: dict[str, Any] = {
        "path": source.path,
        "kind": source.kind,
        "family": source.family,
        "format": source.format,
        "rows": source.rows,
        "kept": source.kept,
        "dropped": source.dropped,
        "numbered": source.numbered,
        "writers": source.writers,
        "steps": [case.history.first_step, case.history.last_step],
        "steps_per_epoch": source.steps_per_epoch,
        "tags": source.tags,
        "other_tags": source.other_tags,
        "code": None if source.code is None else source.code.name,
        "restarts": source.restarts,
        "skipped": source.skipped,
        "unread": dataclasses.asdict(source.unread),
        "facts": [dataclasses.asdict(fact) for fact in source.facts],
        "read": rendered.source,
        "units": dataclasses.asdict(dataclasses.replace(case.units, recorded=None)),
        "structure": None if case.structure is None else dataclasses.asdict(case.structure),
        "signals": {name: _figures(diagnosis, name) for name in case.history.measured},
        "verdict": _finding(diagnosis.verdict, rendered.verdict),
        "findings": [_finding(*pair) for pair in zip(diagnosis.findings, rendered.findings, strict=True)],
        "remarks": [_finding(*pair) for pair in zip(diagnosis.remarks, rendered.remarks, strict=True)],
        "next_steps": rendered.next_steps,
        "onward": rendered.next_steps,  # its old name, for one release
        "not_judged": [dataclasses.asdict(left) for left in diagnosis.not_judged],
    }
    if since is not None:
        data["since"] = {
            "step": since.step,
            "epochs": since.epochs,
            "until": since.until,
            "helped": since.helped,
            "conclusion": since.conclusion,
            "indicators": [dataclasses.asdict(indicator) for indicator in since.indicators],
            "next": None if since.next_remedy is None else since.next_remedy.name,
        }
    if calibration is not None:
        data["calibration"] = dataclasses.asdict(calibration) | {"flags": calibration.flags()}
    return data


def _finding(finding: Finding, rendered: RenderedFinding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "variant": finding.variant,
        "title": rendered.title,
        "text": rendered.text,
        "evidence": dict(finding.evidence),
        "steps": finding.steps,
        "confidence": finding.confidence,
        "remedies": [dataclasses.asdict(remedy) for remedy in rendered.remedies],
    }


def _figures(diagnosis: Diagnosis, name: str) -> dict[str, float | int | Sequence[float]]:
    series = diagnosis.case.history[name]
    values = series.values
    return {
        "count": series.count,
        "nonfinite": series.nonfinite,
        "first": float(values[0]),
        "last": float(values[-1]),
        "lowest": float(series.low.min()),
        "highest": float(series.high.max()),
    }
