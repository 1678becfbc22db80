"""Commands that compare settings over tasks and seeds: lab run, lab report."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from balancer.cli.options import refuse_folder, write_output
from balancer.errors import ConfigError, say

if TYPE_CHECKING:
    from balancer.lab.job import Job
    from balancer.lab.plan import Plan
    from balancer.lab.results import Figures
    from balancer.lab.run import Progress

app = typer.Typer(name="lab", no_args_is_help=True, help="Compare settings over tasks and seeds.")

PlanArgument = Annotated[Path, typer.Argument(help="A TOML file with tasks, arms and seeds.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Folder of the runs and their results (lab/NAME of the file if not given).")
]
_ONLY: Final = "only these, separated by commas."
TasksOption = Annotated[str | None, typer.Option("--tasks", help=f"Of its tasks {_ONLY}")]
ArmsOption = Annotated[str | None, typer.Option("--arms", help=f"Of its arms {_ONLY}")]
SeedsOption = Annotated[str | None, typer.Option("--seeds", help=f"Of its seeds {_ONLY}")]


@app.callback()
def _group() -> None:
    """Compare settings over tasks and seeds."""


@app.command()
def run(
    file: PlanArgument,
    out: OutOption = None,
    tasks: TasksOption = None,
    arms: ArmsOption = None,
    seeds: SeedsOption = None,
    at_once: Annotated[int, typer.Option("--jobs", min=1, help="Runs side by side, each with one thread.")] = 1,
    on: Annotated[
        str | None, typer.Option("--on", help="Let Submitit start the workers: slurm, or local for this machine.")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="With --on: how many workers.")] = 2,
    options: Annotated[
        list[str] | None, typer.Option("--option", help="With --on: one of Submitit's, as slurm_partition=gpu.")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try again what failed.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs, and stop.")] = False,
) -> None:
    """Train every arm on every task with every seed; broken off at any moment, the same command goes on."""
    from balancer.lab.plan import read_plan
    from balancer.lab.results import newest, read_results
    from balancer.lab.run import run_jobs
    from balancer.train.stopping import stop_requests

    plan = read_plan(file)
    plan.check()
    jobs = chosen(plan, tasks, arms, seeds)
    folder = out or folder_of(file)
    if dry_run:
        for job in jobs:
            say(job.title)
        return
    begun = time.monotonic()
    first: list[int] = []

    def ended(progress: Progress) -> None:
        result = progress.result
        first.append(progress.done)
        spent = time.monotonic() - begun
        here = progress.done - first[0] + 1
        figures = [f"{name} {_mean(result.figures, name):.4f}" for name in plan.lab.axes if result.figures]
        what = f"failed: {result.error}" if result.error else ", ".join(figures) or f"{result.steps} steps"
        left = spent / here * (progress.of - progress.done)
        title = next(job.title for job in jobs if job.key == result.key)
        say(f"[{progress.done}/{progress.of}] {title}: {what}; about {left / 60:.0f} min left", file=sys.stdout)

    if on is not None:
        _on_workers(jobs, folder, on, workers, at_once, options or [])
        return
    if options:
        raise ConfigError("--option goes with --on")
    with stop_requests(quiet=True) as stop:
        whole = run_jobs(jobs, folder, at_once=at_once, stop=stop, ended=ended, retry=retry)
        if not whole:
            say(f"stopped by {stop.name}; the same command goes on")
            raise typer.Exit(128 + stop.number)
    report = f"balancer lab report {file}" + ("" if out is None else f" --out {out}")
    results = newest(read_results(folder))
    failed = [job for job in jobs if job.key in results and results[job.key].error]
    unmade = [job for job in jobs if job.key not in results]
    if failed or unmade:
        left = f", and {len(unmade)} were not begun, since their start failed" if unmade else ""
        say(f"{len(failed)} of {len(jobs)} failed{left} (--retry tries them again); see what there is with: {report}")
        raise typer.Exit(1)
    say(f"done: see it with: {report}")


@app.command()
def tune(
    file: PlanArgument,
    out: OutOption = None,
    trials: Annotated[int, typer.Option("--trials", min=1, help="Trials that the study is to have in all.")] = 20,
    at_once: Annotated[int, typer.Option("--jobs", min=1, help="Trials side by side, each with one thread.")] = 1,
    storage: Annotated[
        str | None,
        typer.Option("--storage", help="URL of the study's database, which several machines may share."),
    ] = None,
) -> None:
    """Search the settings that the file's [tune] names; broken off at any moment, the same command goes on."""
    from balancer.lab.plan import read_plan
    from balancer.lab.search import read_search
    from balancer.record.run_config import read_toml
    from balancer.train.stopping import stop_requests

    plan = read_plan(file)
    search = read_search(plan, read_toml(file))
    from balancer.lab.tune import best_of, described
    from balancer.lab.tune import tune as run_tune

    with stop_requests(quiet=True) as stop:
        study = run_tune(
            plan,
            search,
            out or folder_of(file),
            trials=trials,
            at_once=at_once,
            storage=storage,
            stop=stop,
            said=lambda line: say(line, file=sys.stdout),
        )
        if stop.number:
            say(f"stopped by {stop.name}; the same command goes on")
            raise typer.Exit(128 + stop.number)
    best = best_of(study)
    if best is None:
        say("no trial kept the guard")
    else:
        say(f"best of {len(study.trials)}, by {search.figure}: trial {best.number}: {described(best)}")


def _on_workers(jobs: Sequence[Job], folder: Path, on: str, workers: int, at_once: int, options: Sequence[str]) -> None:
    """Queue workers, and say where they are; those of this machine are waited for."""
    from balancer.lab.cluster import submitted
    from balancer.record.run_config import parse_set

    if on not in ("slurm", "local"):
        raise ConfigError(f"--on {on}: is slurm or local")
    given = parse_set(f"option.{item}" for item in options).get("option", {})
    queued = submitted(
        jobs, folder, engine="slurm" if on == "slurm" else "local", workers=workers, at_once=at_once, options=given
    )
    say(
        f"queued as {', '.join(job.job_id for job in queued)}; results come into {folder / 'results.jsonl'}",
        file=sys.stdout,
    )
    if on == "local":
        for job in queued:
            job.result()
        say("done")


@app.command()
def report(
    file: PlanArgument,
    out: OutOption = None,
    results: Annotated[
        list[Path] | None,
        typer.Option("--results", help="Further results: a file, or the folder of the same runs from elsewhere."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Where the page goes (report.html in the folder if not given).")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Where the tables go (report.md in the folder if not given).")
    ] = None,
) -> None:
    """Compare the arms by what has run so far: a page, tables in Markdown, and a short table here."""
    from balancer.lab.plan import read_plan
    from balancer.lab.report import lab_report

    plan = read_plan(file)
    folder = out or folder_of(file)
    places = html or folder / "report.html", markdown or folder / "report.md"
    for place in (html, markdown):
        if place is not None:
            refuse_folder(place)
    if not (folder.is_dir() or results):
        raise ConfigError(f"{folder} is not there: balancer lab run {file} makes it, or --results names another place")
    made = lab_report(plan, [*([folder] if folder.is_dir() else []), *(results or [])])
    contents = made.html.encode(), made.markdown.encode()
    if None in (html, markdown):
        _begin(folder)
    for place, content in zip(places, contents, strict=True):
        write_output(place, content)
    for line in (*made.lines(), *made.notes):
        say(line)
    say(f"wrote {' and '.join(map(str, places))}")


def _begin(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be used: {error.strerror}") from None


def folder_of(file: Path) -> Path:
    """Where the runs of a file go if nobody says."""
    return Path("lab") / file.stem


def chosen(plan: Plan, tasks: str | None, arms: str | None, seeds: str | None) -> list[Job]:
    """The plan's runs, or those of some tasks, arms and seeds with the starts that they need.

    Raises:
        ConfigError: it names one that the plan does not have, or nothing is left.
    """
    from balancer.lab.plan import NULL

    jobs = [job for job in plan.jobs if not job.is_start]
    named = {
        "--tasks": (tasks, {name: {job for job in jobs if job.task == name} for name in plan.tasks}),
        "--arms": (arms, {name: {job for job in jobs if job.arm == name} for name in [*plan.arms, NULL]}),
        "--seeds": (seeds, {str(job.seed): {o for o in jobs if o.seed == job.seed} for job in jobs}),
    }
    for option, (given, known) in named.items():
        if given is None:
            continue
        names = [name.strip() for name in given.split(",") if name.strip()]
        for name in names:
            if name not in known:
                raise ConfigError(f"{option} {name}: the file has {', '.join(known)}")
        kept = {job for name in names for job in known[name]}
        jobs = [job for job in jobs if job in kept]
    if not jobs:
        raise ConfigError("nothing to run is left of the file")
    return [*plan.starts_needed(*jobs), *jobs]


def _mean(figures: Figures, name: str) -> float:
    return sum(group[name] for group in figures.values()) / len(figures)
