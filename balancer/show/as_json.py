"""A diagnosis as plain data, for scripts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from balancer.diagnosis.calibrate import Calibration
from balancer.diagnosis.diagnose import Diagnosis
from balancer.diagnosis.finding import Finding
from balancer.diagnosis.since import Since
from balancer.show.rendered import RenderedFinding, render_diagnosis
from balancer.show.words import load


def as_data(
    diagnosis: Diagnosis, lang: str = "en", *, since: Since | None = None, calibration: Calibration | None = None
) -> dict[str, Any]:
    """Everything of a diagnosis as plain data: names and figures in the field's terms, sentences in `lang`.

    Raises:
        ConfigError: there is no such language.
    """
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
        "restarts": source.restarts,
        "skipped": source.skipped,
        "unread": dataclasses.asdict(source.unread),
        "facts": [dataclasses.asdict(fact) for fact in source.facts],
        "read": rendered.source,
        "units": dataclasses.asdict(case.units),
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
