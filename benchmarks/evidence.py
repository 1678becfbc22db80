"""The evidence: results of benchmarks/lab/fonts.toml and confirm.toml kept small, and what quotes them, made from them.

    python benchmarks/evidence.py --take FOLDER   # results.jsonl of a comparison's folder into benchmarks/evidence/
    python benchmarks/evidence.py --write         # cards, READMEs, the diagnosis' words and the plugins' lines anew
    python benchmarks/evidence.py --check         # ends with 1 where one of them is not what --write makes

`--take` adds to what is there, each run to the file of its comparison: one that is there already is replaced, one of
settings that no comparison has any more is dropped. Nothing is read but those files, the comparisons' and arms.toml,
which says what each arm stands for.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from evidence_pages import pages
from evidence_words import Evidence

from balancer import write_atomically
from balancer.contract.model import FigureSpec
from balancer.contract.registry import load_model
from balancer.lab.gathered import gathered
from balancer.lab.plan import Plan, read_plan
from balancer.lab.results import Result, read_results, this_machine
from balancer.lab.tables import Task, task_table

ROOT: Final = Path(__file__).parents[1]
# The comparison by which settings were chosen, and the same on fonts that were not there then.
PLAN: Final = Path("benchmarks/lab/fonts.toml")
CONFIRM: Final = Path("benchmarks/lab/confirm.toml")
# What the demo shows once, with several seeds.
DEMO: Final = Path("benchmarks/lab/demo.toml")
RESULTS: Final = Path("benchmarks/evidence")
ARMS: Final = Path("benchmarks/evidence/arms.toml")
DIGITS: Final = 5


def kept(result: Result, digits: int = DIGITS) -> dict[str, Any]:
    """A result without what the plan says by itself, its figures rounded to so many digits that matter."""

    def rounded(value: float) -> float:
        return float(f"{value:.{digits}g}")

    line: dict[str, Any] = {key: getattr(result, key) for key in ("task", "arm", "start_seed", "seed", "digest")}
    if result.error:
        return {**line, "error": result.error}
    return {
        **line,
        "steps": result.steps,
        "seconds": result.seconds,
        "figures": {
            group: {name: rounded(value) for name, value in values.items()} for group, values in result.figures.items()
        },
        "signals": {name: rounded(value) for name, value in result.signals.items()},
        "versions": dict(result.versions),
    }


def head(path: Path) -> dict[str, Any]:
    """The first line of a file of evidence: where its results come from, and what its figures are at best."""
    with path.open(encoding="utf-8") as file:
        found: dict[str, Any] = json.loads(file.readline())
    return found


def take(folders: Iterable[Path], plan: Plan, path: Path) -> int:
    """Put the results of a plan's runs in these folders into its file; returns how many there are then."""
    known: dict[Any, Result] = {}
    before = head(path) if path.is_file() else {"machines": []}
    for source in [*([path] if path.is_file() else []), *folders]:
        for result in read_results(source):
            if not (result.error and result.key in known):
                known[result.key] = result
    wanted = [job for job in plan.jobs if job.task and job.key in known]
    if not wanted:
        return 0
    # Results from before a machine was recorded are taken for this one's.
    machines = {known[job.key].machine or this_machine() for job in wanted if known[job.key].run}
    figures = load_model(plan.lab.model)[0].figures()
    first = {
        "of": plan.path.name,
        "machines": sorted({*before["machines"], *machines}),
        "figures": {name: spec._asdict() for name, spec in figures.items()},
    }
    lines = [first, *(kept(known[job.key]) for job in wanted)]
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
    write_atomically(path, "".join(f"{encode(line)}\n" for line in lines).encode())
    return len(lines) - 1


def results_of(plan: Path) -> Path:
    """The file that a comparison's results are kept in."""
    return RESULTS / f"{plan.stem}.jsonl"


def evidence(root: Path) -> Evidence:
    """What the files of results come to, without the model and without torch."""
    tasks: list[Task] = []
    machines: dict[str, None] = {}
    for plan_path, prefix in ((PLAN, ""), (CONFIRM, f"{CONFIRM.stem}/"), (DEMO, f"{DEMO.stem}/")):
        plan, path = read_plan(root / plan_path), root / results_of(plan_path)
        if not path.is_file():
            continue
        first = head(path)
        machines |= dict.fromkeys(first["machines"])
        specs = {name: FigureSpec(**spec) for name, spec in first["figures"].items()}
        shown = {name: specs[name] for name in dict.fromkeys((*plan.lab.axes, *(plan.lab.shown or specs)))}
        ended = any(result.key in {job.key for job in plan.jobs} for result in read_results(path))
        found = gathered(plan, [path]).found.values() if ended else ()
        for name in plan.tasks:
            table = task_table(plan, name, [one for one in found if one.result.task == name], shown)
            tasks.append(replace(table, name=prefix + name))
    demo = next((task for task in tasks if task.name.startswith(f"{DEMO.stem}/")), None)
    arms: Mapping[str, Any] = tomllib.loads((root / ARMS).read_text(encoding="utf-8"))
    return Evidence(
        read_plan(root / PLAN), tuple(task for task in tasks if task is not demo), arms, tuple(machines), demo
    )


def main() -> int:
    """Take results, write what quotes them, or check it."""
    parser = argparse.ArgumentParser(description="what was measured, and all that quotes it")
    parser.add_argument("--take", type=Path, nargs="+", default=[], metavar="FOLDER", help="a comparison's folder")
    parser.add_argument("--write", action="store_true", help="write what quotes the results anew")
    parser.add_argument("--check", action="store_true", help="end with 1 where it is not what --write makes")
    given = parser.parse_args()
    folders = [folder.resolve() for folder in given.take]
    os.chdir(ROOT)
    if folders:
        for plan in (PLAN, CONFIRM, DEMO):
            print(f"{results_of(plan)}: {take(folders, read_plan(plan), results_of(plan))} results")
    if not (given.write or given.check):
        return 0
    stale = []
    for path, text in pages(evidence(Path()), Path()):
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path)
        if given.write:
            write_atomically(path, text.encode())
            print(f"wrote {path}")
    if given.check:
        for path in stale:
            print(f"{path} is not what the evidence says: python benchmarks/evidence.py --write", file=sys.stderr)
    return int(given.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
