"""A diagnosis as plain data, for scripts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from balancer.diagnosis.calibrate import Calibration
from balancer.diagnosis.finding import Finding
from balancer.diagnosis.judging import Diagnosis
from balancer.diagnosis.since import Since
from balancer.show.told import onward_lines, source_lines, tell
from balancer.show.words import Words


def as_data(diagnosis: Diagnosis, words: Words, since: Since | None, calibration: Calibration | None) -> dict[str, Any]:
    """Everything of a diagnosis; names and figures in the field's terms, sentences in the language of `words`."""
    case, source = diagnosis.case, diagnosis.case.source
    told = [tell(finding, diagnosis, words) for finding in diagnosis.findings]
    made: dict[str, Any] = {
        "path": source.path,
        "kind": source.kind,
        "family": source.family,
        "format": source.format,
        "rows": source.rows,
        "steps": [case.history.first_step, case.history.last_step],
        "steps_per_epoch": source.steps_per_epoch,
        "tags": source.tags,
        "other_tags": source.other_tags,
        "restarts": source.restarts,
        "skipped": source.skipped,
        "unread": dataclasses.asdict(source.unread),
        "facts": [dataclasses.asdict(fact) for fact in source.facts],
        "read": source_lines(diagnosis, words),
        "units": dataclasses.asdict(case.units),
        "structure": None if case.structure is None else dataclasses.asdict(case.structure),
        "signals": {name: _figures(diagnosis, name) for name in case.history if name in case.history},
        "verdict": _finding(diagnosis.verdict, diagnosis, words),
        "findings": [_finding(finding, diagnosis, words) for finding in diagnosis.findings],
        "remarks": [_finding(finding, diagnosis, words) for finding in diagnosis.remarks],
        "onward": onward_lines(diagnosis, told, words),
        "not_judged": [dataclasses.asdict(left) for left in diagnosis.not_judged],
    }
    if since is not None:
        made["since"] = {
            "step": since.step,
            "epochs": since.epochs,
            "until": since.until,
            "helped": since.helped,
            "indicators": [dataclasses.asdict(indicator) for indicator in since.indicators],
            "next": None if since.next_remedy is None else since.next_remedy.name,
        }
    if calibration is not None:
        made["calibration"] = dataclasses.asdict(calibration) | {"flags": calibration.flags()}
    return made


def _finding(finding: Finding, diagnosis: Diagnosis, words: Words) -> dict[str, Any]:
    told = tell(finding, diagnosis, words)
    return {
        "rule": finding.rule,
        "variant": finding.variant,
        "title": told.title,
        "text": told.text,
        "evidence": dict(finding.evidence),
        "steps": finding.steps,
        "confidence": finding.confidence,
        "remedies": [dataclasses.asdict(remedy) for remedy in told.remedies],
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
