"""A log that is followed, on a terminal or in lines: its verdict, its findings and its signals as they are now."""

from __future__ import annotations

import time

from rich.console import Console, Group, RenderableType
from rich.text import Text

from balancer.diagnosis.diagnose import Diagnosis
from balancer.errors import one_line, printable
from balancer.show.rendered import render_diagnosis
from balancer.show.text import STYLES, signal_table, wrapped
from balancer.show.words import Words


def changed_line(diagnosis: Diagnosis, words: Words) -> str:
    """Verdict and findings in one line, with the last step that was read."""
    verdict = words(f"{diagnosis.verdict.words}.title", **diagnosis.verdict.evidence)
    names = words("ui.comma").join(finding.words for finding in diagnosis.findings)
    step = diagnosis.case.history.last_step
    return one_line(words("ui.watch_change", step=step, verdict=verdict, findings=names or words("ui.watch_none")))


def live_view(diagnosis: Diagnosis, words: Words, console: Console) -> RenderableType:
    """What a terminal shows of a log that is followed; the most important first, since a small one cuts the end off."""
    rendered = render_diagnosis(diagnosis, words)
    style = STYLES.get(diagnosis.verdict.variant, "red" if rendered.findings else "dim")
    parts: list[RenderableType] = [
        _text(words("ui.verdict_line", verdict=rendered.verdict.title), console, style=f"bold {style}"),
        _text(rendered.verdict.text, console, indent=3),
    ]
    for count, finding in enumerate(rendered.findings, 1):
        where = words("ui.list").join(part for part in (finding.rule, finding.steps, finding.confidence) if part)
        parts.append(_text(f"{count}. {words('ui.with_remark', text=finding.title, remark=where)}", console))
    parts += [Text(), signal_table(diagnosis.case.history, words, console.width), Text()]
    rows, step = diagnosis.case.source.rows, diagnosis.case.history.last_step
    seen = words("ui.watch_seen", rows=rows, step=step, time=time.strftime("%H:%M:%S"))
    parts.append(_text(f"{diagnosis.case.source.path}: {seen}", console, style="dim"))
    return Group(*parts)


def _text(text: str, console: Console, *, indent: int = 0, style: str = "") -> Text:
    lines = wrapped(printable(text), console.width - indent)
    return Text("\n".join(" " * indent + line for line in lines), style=style)
