"""A composition in words: order, who turns which knob and how that meets, warnings, and what a run of it would be."""

from __future__ import annotations

import json
from typing import Any

from balancer.errors import say
from balancer.record.run_config import RunConfig


def describe_composition(run: RunConfig) -> dict[str, Any]:
    """A composition as plain data: order, who writes which knob, how that meets, what is read, warnings."""
    composition = run.composition
    knobs = {}
    for knob, spec in composition.knobs.items():
        writers = composition.writers(knob)
        if writers:
            knobs[knob] = {
                "base": composition.host.base.get(knob, spec.base),
                "writers": [{"plugin": plugin, "how": op} for plugin, op in writers],
                "read after": spec.read_after,
            }
    return {
        "model": run.model_name,
        "order": [plugin.name for plugin in composition.plugins],
        "sources": dict(composition.sources),
        "reads": {plugin.name: list(plugin.reads) for plugin in composition.plugins},
        "knobs": knobs,
        "warnings": list(composition.warnings),
    }


def print_composition(described: dict[str, Any]) -> None:
    """Print what `describe_composition` returned, for people."""
    order = described["order"]
    say(f"model:   {described['model']}")
    say(f"plugins: {' → '.join(order) if order else 'none (the plain baseline)'}")
    for plugin in order:
        reads = ", ".join(described["reads"][plugin]) or "no signal"
        say(f"  {plugin} ({described['sources'][plugin]}) reads {reads}")
    meaning = {"set": "sets it", "max": "upper bound", "min": "lower bound", "mul": "factor", "ratio": "ratio to lr_g",
               "gate": "gate", "period": "period", "add": "adds names"}  # fmt: skip
    for knob, row in described["knobs"].items():
        base = "scheduled" if knob.startswith("lr_") else shown(row["base"])
        how = ", ".join(f"{w['plugin']} ({meaning[w['how']]})" for w in row["writers"])
        say(f"  {knob}: base {base}; {how}; read after {row['read after']}")
    for warning in described["warnings"]:
        say(f"warning: {warning}")
    say("these plugins can work together")


def print_dry_run(run: RunConfig, estimate: dict[str, Any]) -> None:
    """Print a composition and what `balancer.train.dry_run.dry_run` returned for it, for people."""
    print_composition(describe_composition(run))
    for name, count in estimate["parameters"].items():
        say(f"{name}: {count:,} parameters")
    for name, count in estimate["data"].items():
        say(f"{name}: {count:,}")
    for remark in estimate["remarks"]:
        say(remark)
    say(f"length: {estimate['steps']:,} steps, {estimate['steps per epoch']:,} an epoch")
    rows = ", ".join(f"{size / 2**20:,.0f} MiB {name}" for name, size in estimate["memory bytes"].items())
    peak, of = estimate["peak memory bytes"] / 2**20, estimate["memory of"]
    say(f"memory, estimated: {peak:,.0f} MiB of {of} at its peak; of that {rows}")
    size, kept = estimate["checkpoint bytes"] / 2**20, estimate["checkpoints kept"]
    say(
        f"disk, estimated: {size:,.0f} MiB a checkpoint, {kept} are kept: {size * kept:,.0f} MiB, and one more while "
        f"one is saved: {size * (kept + 1):,.0f} MiB; besides logs and sheets"
    )
    say(f"time, estimated: {estimate['seconds per step']:.3g} s a step, {_duration(estimate['seconds'])} in all")


def shown(value: Any) -> str:
    """A setting's value as text."""
    return "not given" if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 10_000 else f"{seconds / 3600:,.0f} h"
