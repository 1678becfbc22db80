"""What the networks and the amount of data say, beside what the source document says of them. Remarks all."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from balancer.diagnosis import Case, Finding, Structure, rule

# Generators of the family, in millions: EuphoriaYan/zi2zi-pytorch's (the preset `classic`) and that of the TensorFlow
# original, kaonashi-tyc/zi2zi's model/unet.py; the document names 25–30. tests/zi2zi_model/diagnosis/test_sizes.py
# counts both, and D's.
ORIGINALS: Final = (55.5, 86.7)
# D's parameters in millions by log format, with the code's own widths at 384 px (256 px for "port").
D_MILLIONS: Final = {"tf": 25.81, "port": 4.36, "fork": 4.41, "later": 4.41}
BATCH: Final = 16  # the ports' default


@rule("generator_size")
def _generator_size(case: Case) -> Iterator[Finding]:
    count = _parameters(case, "G")
    if count is None:
        return
    millions = count / 1e6
    variant = "larger" if millions > 1.1 * ORIGINALS[1] else "family" if millions >= 20 else "small"
    evidence: dict[str, float | str] = {"millions": millions, "port": ORIGINALS[0], "original": ORIGINALS[1]}
    yield Finding("generator_size", evidence, confidence="high", variant=variant, remark=True)


@rule("discriminator")
def _discriminator(case: Case) -> Iterator[Finding]:
    count = _parameters(case, "D")
    if count is None:
        return
    head = case.structure.facts.get("d_head", "global") if case.structure is not None else "global"
    evidence: dict[str, float | str] = {"millions": count / 1e6}
    yield Finding("discriminator", evidence, confidence="high", variant=str(head), remark=True)


@rule("attention")
def _attention(case: Case) -> Iterator[Finding]:
    levels = case.structure.attention if case.structure is not None else None
    if not levels:
        return
    channels = [int(level.partition("ch")[0]) for level in levels]
    variant = "deep" if min(channels) >= 512 else "shallower"
    evidence: dict[str, float | str] = {"levels": ", ".join(levels), "count": len(levels)}
    yield Finding("attention", evidence, confidence="high", variant=variant, remark=True)


@rule("data_size")
def _data_size(case: Case) -> Iterator[Finding]:
    structure = case.structure or Structure()
    per_epoch = case.source.steps_per_epoch
    items = case.items or structure.items
    known = items is not None
    batch = structure.batch
    if items is None and per_epoch and case.source.kind == "log":
        batch = batch or BATCH
        items = round(per_epoch * batch)
    if not items:
        return
    if batch is None:
        batch = max(1, round(items / per_epoch)) if per_epoch else BATCH
    steps = per_epoch or math.ceil(items / batch)
    # By the end of the log, which may begin late in its run.
    seen = (case.history.last_step + 1) / steps
    evidence: dict[str, float | str] = {
        "items": items,
        "batch": batch,
        "steps_per_epoch": steps,
        "seen": round(seen) if seen >= 10 else float(f"{seen:.1g}"),
    }
    d_count = _parameters(case, "D")
    millions = d_count / 1e6 if d_count is not None else D_MILLIONS.get(case.source.format)
    variant = "told" if known else "log"
    if millions is not None:
        evidence |= {"d_millions": millions, "per_item": 1e6 * millions / items}
        variant += "_d"
    yield Finding("data_size", evidence, confidence="medium" if known else "low", variant=variant, remark=True)


def _parameters(case: Case, network: str) -> float | None:
    """From the run or the checkpoint, else from the log's own line."""
    if case.structure is not None:
        count = case.structure.g_parameters if network == "G" else case.structure.d_parameters
        if count is not None:
            return count
    for fact in case.source.facts_of("parameters"):
        if fact.values.get("network") == network:
            return float(fact.values["count"])
    return None


RULES: Final = (_generator_size, _discriminator, _attention, _data_size)
