"""The training codes whose logs are known, as a list: what each prints, what is healthy there, and who says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from balancer.reading.codes import Code
from balancer.show.words import Words


def families_data(codes: Mapping[str, Code]) -> list[dict[str, Any]]:
    """The tables of all codes, as they are."""
    return [code.model_dump() for code in codes.values()]


def family_lines(code: Code, words: Words) -> list[str]:
    """What one code's table says, in sentences."""
    parts = (losses(code, words), d_figure(code, words), g_figure(code, words))
    lines = [words("ui.comma").join(part for part in parts if part)]
    if code.healthy is not None:
        low, high = code.healthy
        lines.append(words("ui.family_healthy", low=low, high=high, source=words.twin(code.healthy_source)))
    return [*(line for line in lines if line), code.source]


def families_markdown(codes: Mapping[str, Code], words: Words) -> Iterator[str]:
    """The lines of the table in docs/diagnose.md."""
    yield words("ui.family_columns")
    yield "|---|---|---|---|---|"
    for code in codes.values():
        d = words("ui.comma").join(part for part in (losses(code, words), d_figure(code, words)) if part)
        healthy = ""
        if code.healthy is not None:
            url, _, by = words.twin(code.healthy_source).partition(" ")
            healthy = f"{code.healthy[0]:g}–{code.healthy[1]:g} [{by.strip('()')}]({url})"
        log = f"[{words.twin(code.title)}]({code.source})"
        yield f"| `{code.name}` | {log} | {d} | {g_figure(code, words)} | {healthy} |"


def losses(code: Code, words: Words) -> str:
    """Its adversarial losses, its default first."""
    first, *others = code.losses or [""]
    return words("ui.with_remark", text=first, remark=words("ui.comma").join(others)) if others else first


def d_figure(code: Code, words: Words) -> str:
    """What its D's loss is."""
    if not code.levels:
        return words("ui.family_no_levels")
    said = [] if code.d_loss == "unknown" else [words(f"ui.family_{code.d_loss}")]
    if code.discriminators > 1:
        said.append(words("ui.family_count", count=code.discriminators))
    if code.d_weight != 1:
        said.append(words("ui.family_times", weight=code.d_weight))
    if code.category_inside:
        said.append(words("ui.family_category"))
    return words("ui.comma").join(said)


def g_figure(code: Code, words: Words) -> str:
    """How G's terms are printed."""
    said = [words("ui.family_weighted", term=term, weight=weight) for term, weight in code.weighted.items()]
    said += [words("ui.family_raw", term=term, weight=weight) for term, weight in code.weights.items() if weight != 1]
    if code.configured:
        said.append(words("ui.family_configured", terms=words("ui.comma").join(code.configured)))
    return words("ui.comma").join(said)
