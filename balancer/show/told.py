"""A diagnosis in words: the same for the terminal, JSON and HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from balancer.diagnosis.calibrate import Calibration
from balancer.diagnosis.finding import Finding
from balancer.diagnosis.judging import Diagnosis
from balancer.diagnosis.remedies import Remedy, chosen, commands
from balancer.diagnosis.since import Indicator, Since
from balancer.show.words import Words


@dataclass(frozen=True)
class ToldRemedy:
    """What could be done: in the document's words, what was measured of it, and the command that does it.

    `number` is that of the source document's remedy (docs/source-document.md), None for what it does not name.
    """

    name: str
    number: int | None
    title: str
    document: str
    measured: str
    commands: tuple[str, ...]


@dataclass(frozen=True)
class ToldFinding:
    """One finding or remark in words of one language."""

    rule: str
    title: str
    text: str
    steps: str
    confidence: str
    remedies: tuple[ToldRemedy, ...]
    remark: bool


def tell(finding: Finding, diagnosis: Diagnosis, words: Words) -> ToldFinding:
    """A finding in words, with its remedies that are not in force already."""
    figures = dict(finding.evidence)
    steps = ""
    if finding.steps is not None:
        steps = words("ui.steps", first=finding.steps[0], last=finding.steps[1])
    return ToldFinding(
        finding.rule,
        words(f"{finding.words}.title", **figures),
        words(f"{finding.words}.text", **figures),
        steps,
        words(f"ui.{finding.confidence}"),
        tuple(tell_remedy(remedy, diagnosis, words) for remedy in chosen(finding.remedies, diagnosis.case)),
        finding.remark,
    )


def tell_remedy(remedy: Remedy, diagnosis: Diagnosis, words: Words) -> ToldRemedy:
    """A remedy in words."""
    key = f"remedies.{remedy.name}"
    return ToldRemedy(
        remedy.name,
        remedy.number,
        words(f"{key}.title"),
        words(f"{key}.document"),
        words(f"{key}.measured"),
        tuple(commands(remedy, diagnosis.case)),
    )


def source_lines(diagnosis: Diagnosis, words: Words) -> list[str]:
    """What was read, which name became which signal, and what could not be read."""
    case, source = diagnosis.case, diagnosis.case.source
    kind = words(f"ui.read_{source.kind}")
    if source.kind == "log" and source.family:
        kind = words("ui.read_log_of", family=source.family, format=source.format or words("ui.unknown"))
    lines = [words("ui.read", rows=source.rows, path=source.path, kind=kind)]
    if case.history.rows:
        lines[0] += words("ui.list") + words(
            "ui.step_range", first=case.history.first_step, last=case.history.last_step
        )
    if source.steps_per_epoch:
        lines[0] += words("ui.list") + words("ui.per_epoch", steps=source.steps_per_epoch)
    spans = [series.span for series in case.history.series.values()]
    if spans and max(spans) > 1:
        lines.append(words("ui.thinned", span=max(spans)))
    if source.kind != "run" and source.tags:
        renamed = words("ui.comma").join(
            f"{signal} ← {name}" if signal != name else signal for signal, name in source.tags.items()
        )
        lines.append(words("ui.tags", tags=renamed))
    if source.kind != "run" and source.other_tags:
        shown = source.other_tags[:8]
        more = len(source.other_tags) - len(shown)
        lines.append(words("ui.other_tags", tags=words("ui.comma").join([*shown, *([f"… +{more}"] if more else [])])))
    for before, after in source.restarts[:3]:
        lines.append(words("ui.restart", before=before, after=after))
    if len(source.restarts) > 3:
        lines.append(words("ui.more_restarts", count=len(source.restarts) - 3))
    if source.skipped:
        lines.append(words("ui.skipped", count=source.skipped))
    if source.unread.count:
        why = words("ui.comma").join(f"{reason} {count}" for reason, count in source.unread.why.items())
        lines.append(words("ui.unread", count=source.unread.count, why=why))
        lines += [words("ui.unread_example", line=line, text=text) for line, text in source.unread.examples]
    return lines


def not_judged_lines(diagnosis: Diagnosis, words: Words) -> list[str]:
    """Which rules the log does not support, and why."""
    missing: dict[str, list[str]] = {}
    short: dict[tuple[int, int], list[str]] = {}
    for left in diagnosis.not_judged:
        if left.missing:
            names = [words.get(f"ui.lacks_{name}") or words("ui.lacks", name=name) for name in left.missing]
            missing.setdefault(words("ui.comma").join(names), []).append(left.rule)
        else:
            short.setdefault((left.rows, left.needed), []).append(left.rule)
    lines = [
        words("ui.not_judged_missing", rules=words("ui.comma").join(rules), missing=names)
        for names, rules in missing.items()
    ]
    lines += [
        words("ui.not_judged_rows", rules=words("ui.comma").join(rules), rows=rows, needed=needed)
        for (rows, needed), rules in short.items()
    ]
    return lines


def onward_lines(diagnosis: Diagnosis, told: Sequence[ToldFinding], words: Words) -> list[str]:
    """What to know of the remedies: how to begin where the log is not of a run of ours, what the measurements are."""
    if not any(finding.remedies for finding in told):
        return []
    lines = [words("ui.measured_note")]
    if diagnosis.case.adopt is not None:
        return [words("ui.adopt", command=diagnosis.case.adopt), *lines]
    ours = diagnosis.case.source.kind == "run" and diagnosis.case.source.config is not None
    return lines if ours else [words("ui.script"), *lines]


def keys(diagnosis: Diagnosis) -> set[str]:
    """What `--fail-on` may name of the problems found: rules, rule.variant, and `any`."""
    found = {key for finding in diagnosis.findings for key in (finding.rule, finding.words)}
    return found | {"any"} if found else found


def since_lines(since: Since, words: Words) -> list[str]:
    """How long after the change was judged."""
    if since.epochs is None:
        return [words("ui.since_no_epochs")]
    return [words("ui.since_epochs", epochs=since.epochs, until=since.until)]


def outcome(indicator: Indicator, words: Words) -> str:
    """What became of an indicator, and in which epoch it showed."""
    said = words(f"ui.outcome_{indicator.outcome}")
    if indicator.within is None:
        return said
    return words("ui.with_remark", text=said, remark=words("ui.since_within", count=indicator.within))


def since_conclusion(since: Since, words: Words) -> str:
    """Whether the change helped, in a sentence."""
    if since.helped:
        return words("ui.since_helped")
    if since.early:
        return words("ui.since_early")
    if since.in_order:
        return words("ui.since_in_order")
    if all(indicator.outcome == "unknown" for indicator in since.indicators):
        return words("ui.since_unknown")
    return words("ui.since_next" if since.next_remedy is not None else "ui.since_last")


def calibration_lines(calibration: Calibration, words: Words) -> list[str]:
    """How proposed weights follow, and what the number of items decides."""
    lines = []
    if calibration.from_document:
        lines.append(words("ui.calibration_document"))
    first, last = calibration.steps
    lines.append(words("ui.calibration_arithmetic", reference=calibration.reference, first=first, last=last))
    if calibration.items is not None and calibration.steps_per_epoch is not None:
        figures = {"items": calibration.items, "batch": calibration.batch, "steps": calibration.steps_per_epoch}
        lines.append(words("ui.calibration_items", **figures))
    if calibration.far:
        lines.append(words("ui.calibration_far", terms=words("ui.comma").join(calibration.far)))
    return lines
