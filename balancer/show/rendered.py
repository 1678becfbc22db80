"""A diagnosis in words: the same for the terminal, JSON and HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from balancer.diagnosis.calibrate import Calibration
from balancer.diagnosis.diagnose import Diagnosis
from balancer.diagnosis.extension import extensions
from balancer.diagnosis.finding import Finding
from balancer.diagnosis.remedies import Remedy, chosen, commands, flag
from balancer.diagnosis.rules import RULES
from balancer.diagnosis.since import Indicator, Since
from balancer.errors import ConfigError, suggestion
from balancer.reading.source import Source
from balancer.show.words import Words, load


@dataclass(frozen=True)
class RenderedRemedy:
    """What could be done: in the document's words, what was measured of it, and the command that does it.

    `number` is that of the source document's remedy (docs/source-document.md), None for what it does not name; then
    `document` may be "". `field` is where else it comes from, `flag` how the log's own training code does it.
    """

    name: str
    number: int | None
    title: str
    document: str
    measured: str
    commands: tuple[str, ...]
    field: str = ""
    flag: str = ""

    def lines(self, words: Words) -> list[str]:
        """What is said beneath its title, but for the commands."""
        said = (("flag", self.flag), ("field", self.field), ("document", self.document), ("measured", self.measured))
        return [words(f"ui.{key}", text=text) for key, text in said if text]


@dataclass(frozen=True)
class RenderedFinding:
    """One finding, remark or verdict in words of one language."""

    rule: str
    title: str
    text: str
    steps: str = ""
    confidence: str = ""
    remedies: tuple[RenderedRemedy, ...] = ()


@dataclass(frozen=True)
class RenderedDiagnosis:
    """A diagnosis in words: `source` says what was read, `next_steps` what to know before its remedies."""

    verdict: RenderedFinding
    source: Sequence[str] = ()
    findings: Sequence[RenderedFinding] = ()
    remarks: Sequence[RenderedFinding] = ()
    next_steps: Sequence[str] = ()
    not_judged: Sequence[str] = ()


@dataclass(frozen=True)
class Passage:
    """A further piece of a diagnosis: sentences, a table, a conclusion, remedies, and text to copy."""

    title: str
    lines: Sequence[str]
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    conclusion: str = ""
    remedies: Sequence[RenderedRemedy] = ()
    code: str = ""


def render_diagnosis(diagnosis: Diagnosis, words: Words) -> RenderedDiagnosis:
    """A diagnosis in words, each finding with its remedies that are not in force already."""
    findings = [_finding(finding, diagnosis, words) for finding in diagnosis.findings]
    return RenderedDiagnosis(
        verdict=_finding(diagnosis.verdict, diagnosis, words),
        source=_source(diagnosis, words),
        findings=findings,
        remarks=[_finding(remark, diagnosis, words) for remark in diagnosis.remarks],
        next_steps=_next_steps(diagnosis, words) if any(finding.remedies for finding in findings) else (),
        not_judged=_not_judged(diagnosis, words),
    )


def since_passage(since: Since, diagnosis: Diagnosis, words: Words, number: Callable[[float], str]) -> Passage:
    """Whether a change helped: the three indicators, and what comes next where none improved."""
    rows = []
    low, high = diagnosis.case.units.healthy or (0.0, 0.0)
    for indicator in since.indicators:
        figures = ["—" if value is None else number(value) for value in (indicator.before, indicator.after)]
        rows.append([words(f"ui.indicator_{indicator.name}", low=low, high=high), *figures, _outcome(indicator, words)])
    passed = "ui.since_no_epochs" if since.epochs is None else "ui.since_epochs"
    following = since.next_remedy
    return Passage(
        title=words("ui.since", step=since.step),
        lines=[words(passed, epochs=since.epochs, until=since.until)],
        head=[words(f"ui.{key}") for key in ("signal", "since_before", "since_after", "since_outcome")],
        rows=rows,
        conclusion=words(f"ui.since_{since.conclusion}"),
        remedies=() if following is None else (_remedy(following, diagnosis, words),),
    )


def calibration_passage(calibration: Calibration, words: Words, number: Callable[[float], str]) -> Passage:
    """Proposed weights, how they follow, what the number of items decides, and the flags that set them."""
    unknown = words("ui.unknown")
    rows = [
        [
            row.term,
            number(row.raw),
            unknown if row.weight is None else number(row.weight),
            unknown if row.share is None else f"{row.share:.1%}",
            number(row.new_weight),
            f"{row.new_share:.1%}",
        ]
        for row in calibration.weights
    ]
    lines = [words("ui.calibration_start")]
    if calibration.from_document:
        lines.append(words("ui.calibration_document"))
    first, last = calibration.steps
    lines.append(words("ui.calibration_arithmetic", reference=calibration.reference, first=first, last=last))
    if calibration.items is not None and calibration.steps_per_epoch is not None:
        figures = {"items": calibration.items, "batch": calibration.batch, "steps": calibration.steps_per_epoch}
        lines.append(words("ui.calibration_items", **figures))
    if calibration.far:
        lines.append(words("ui.calibration_far", terms=words("ui.comma").join(calibration.far)))
    code = " ".join(calibration.flags())
    return Passage(
        title=words("ui.calibration"),
        lines=lines,
        head=[words(f"ui.calibration_{key}") for key in ("term", "raw", "weight", "share", "new", "target")],
        rows=rows,
        conclusion=words("ui.calibration_flags") if code else "",
        code=code,
    )


def watched_keys(names: str, option: str = "--fail-on") -> set[str]:
    """What an option names, separated by commas: rules, `rule.variant`, `any`; compare with `Diagnosis.keys`.

    Raises:
        ConfigError: no rule has such a name, or no such variant.
    """
    keys = {name.strip() for name in names.split(",") if name.strip()}
    rules = [*RULES, *(rule for family in extensions().values() for rule in family.rules)]
    known = {"any", *(rule.name for rule in rules)}
    for key in keys:
        rule, dot, _ = key.partition(".")
        if rule not in known:
            raise ConfigError(f"{option} {key}: no such finding: {suggestion(key, sorted(known))}")
        if dot and load("en").get(f"{key}.title") is None:
            raise ConfigError(f"{option} {key}: the rule {rule} has no such variant: name {rule} alone")
    return keys


def _finding(finding: Finding, diagnosis: Diagnosis, words: Words) -> RenderedFinding:
    figures = {name: words.twin(value) if isinstance(value, str) else value for name, value in finding.evidence.items()}
    if "kind" in figures:
        figures["kind"] = words.get(f"ui.kind_{figures['kind']}") or figures["kind"]
    text = f"{finding.words}.text"
    # Words that name the healthy range of d_adv have a twin for losses of which none is known.
    end = "_no_range" if "healthy_low" not in figures else "_code" if "healthy_by" in figures else ""
    if words.get(f"{text}{end}") is not None:
        text = f"{text}{end}"
    said, numbered = words(text, **figures), diagnosis.case.source.numbered
    span = "ui.numbered_rows" if numbered else "ui.steps"
    return RenderedFinding(
        finding.rule,
        words(f"{finding.words}.title", **figures),
        said
        if not numbered or "step" not in figures
        else words("ui.with_remark", text=said, remark=words("ui.row_step")),
        "" if finding.steps is None else words(span, first=finding.steps[0], last=finding.steps[1]),
        words(f"ui.{finding.confidence}"),
        tuple(_remedy(remedy, diagnosis, words) for remedy in chosen(finding.remedies, diagnosis.case)),
    )


def _remedy(remedy: Remedy, diagnosis: Diagnosis, words: Words) -> RenderedRemedy:
    key = f"remedies.{remedy.name}"
    return RenderedRemedy(
        remedy.name,
        remedy.number,
        words(f"{key}.title"),
        words.get(f"{key}.document") or "",
        words(f"{key}.measured"),
        tuple(commands(remedy, diagnosis.case)),
        words.get(f"{key}.field") or "",
        words.twin(flag(remedy, diagnosis.case)),
    )


def _source(diagnosis: Diagnosis, words: Words) -> list[str]:
    """What was read, which name became which signal, and what could not be read."""
    case, source = diagnosis.case, diagnosis.case.source
    kind = words(f"ui.read_{source.kind}")
    if source.kind == "log" and source.family:
        kind = words("ui.read_log_of", family=source.family, format=source.format or words("ui.unknown"))
    if source.within:
        kind = words("ui.with_remark", text=kind, remark=words(f"ui.within_{source.within}"))
    lines = [words("ui.read", rows=source.rows, path=source.path, kind=kind)]
    if case.history.rows:
        lines[0] += words("ui.list") + words(
            "ui.row_range" if source.numbered else "ui.step_range",
            first=case.history.first_step,
            last=case.history.last_step,
        )
    if source.steps_per_epoch:
        lines[0] += words("ui.list") + words("ui.per_epoch", steps=source.steps_per_epoch)
    lines.append(_kept(source, words))
    if source.numbered:
        lines.append(words("ui.numbered"))
    if source.writers > 1:
        lines.append(words("ui.writers", count=source.writers))
    elif source.is_tangled:
        lines.append(words("ui.tangled"))
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


def _kept(source: Source, words: Words) -> str:
    """How many of the rows are in the history, and why the others are not."""
    text = words("ui.kept", kept=source.kept, rows=source.rows)
    if source.dropped:
        why = [words(f"ui.dropped_{reason}", count=count) for reason, count in source.dropped.items()]
        text += words("ui.list") + words("ui.dropped", why=words("ui.comma").join(why))
    return text


def _not_judged(diagnosis: Diagnosis, words: Words) -> list[str]:
    """Which rules the log does not support, and why."""
    levels = diagnosis.case.units.loss.has_levels
    missing: dict[str, list[str]] = {}
    short: dict[tuple[int, int], list[str]] = {}
    for left in diagnosis.not_judged:
        if left.missing:
            keys = [name if levels or name != "d_adv" else "d_adv_no_levels" for name in left.missing]
            names = [words.get(f"ui.lacks_{key}") or words("ui.lacks", name=key) for key in keys]
            missing.setdefault(words("ui.list").join(names), []).append(left.rule)
        else:
            short.setdefault((left.rows, left.needed), []).append(left.rule)
    lines = [
        words("ui.not_judged_missing", rules=words("ui.comma").join(dict.fromkeys(rules)), missing=names)
        for names, rules in missing.items()
    ]
    lines += [
        words("ui.not_judged_rows", rules=words("ui.comma").join(dict.fromkeys(rules)), rows=rows, needed=needed)
        for (rows, needed), rules in short.items()
    ]
    return lines


def _next_steps(diagnosis: Diagnosis, words: Words) -> list[str]:
    """How to begin where the log is not of a run of ours, and what the measurements are."""
    case, measured = diagnosis.case, words("ui.measured_note")
    if case.import_command is not None:
        return [words("ui.import", command=case.import_command), measured]
    ours = case.source.kind == "run" and case.source.config is not None
    return [measured] if ours else [words("ui.script"), measured]


def _outcome(indicator: Indicator, words: Words) -> str:
    """What became of an indicator, and in which epoch it showed."""
    said = words(f"ui.outcome_{indicator.outcome}")
    if indicator.within is None:
        return said
    return words("ui.with_remark", text=said, remark=words("ui.since_within", count=indicator.within))
