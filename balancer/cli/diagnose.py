"""Commands that say what is wrong with a run: diagnose and report. They change nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from balancer.cli.options import JsonOption, LangOption, PatternOption, TagOption, print_json
from balancer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from balancer.diagnosis.diagnose import Diagnosis

SHOW_PROGRESS_FROM = 16 * 2**20  # bytes

LogArgument = Annotated[
    str,
    typer.Argument(
        help="A run directory, TensorBoard event files, CSV, JSONL or a training log; - for standard input."
    ),
]
AdversarialOption = Annotated[
    str | None, typer.Option("--adversarial", help="The log's adversarial loss: bce (if not given), lsgan or hinge.")
]
DLossOption = Annotated[
    str | None, typer.Option("--d-loss", help="What d_loss is of its real and its fake half: mean or sum.")
]
DiscriminatorsOption = Annotated[
    int, typer.Option("--discriminators", help="How many discriminators d_loss adds up (HiFi-GAN: 8).", min=1)
]
WeightOption = Annotated[
    list[str] | None, typer.Option("--weight", help="TERM=WEIGHT: what a term of G's loss weighs, such as l1=100.")
]


def diagnose(
    path: LogArgument,
    as_json: JsonOption = False,
    html: Annotated[Path | None, typer.Option("--html", help="Write the diagnosis as one HTML file.")] = None,
    lang: LangOption = "en",
    since: Annotated[
        int | None, typer.Option("--since", help="Judge a change that was made at this step.", min=0)
    ] = None,
    fail_on: Annotated[
        str | None,
        typer.Option("--fail-on", help="Exit with 1 on one of these findings, such as saturated,divergence; any."),
    ] = None,
    tags: TagOption = None,
    pattern: PatternOption = None,
    adversarial: AdversarialOption = None,
    d_loss: DLossOption = None,
    discriminators: DiscriminatorsOption = 1,
    weights: WeightOption = None,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="A checkpoint of a port, whose networks are judged too.")
    ] = None,
    items: Annotated[int | None, typer.Option("--items", help="Number of training items (characters).", min=1)] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Propose weights with which G's terms reach shares of its loss.")
    ] = False,
    share: Annotated[
        str | None, typer.Option("--share", help="Target shares for --calibrate, such as adv=0.1,l1=0.75.")
    ] = None,
) -> None:
    """Say what is wrong with a run, from its log: findings with evidence and remedies, most important first."""
    from balancer.diagnosis.calibrate import parse_shares
    from balancer.show.rendered import watched_keys
    from balancer.show.words import check_language

    check_language(lang)  # refused before a large log is read
    if share is not None and not calibrate:
        raise ConfigError("--share goes with --calibrate")
    shares = parse_shares(share) if share is not None else {}
    watched = watched_keys(fail_on or "")
    if html is not None:
        refuse_folder(html)
    made = diagnosed(
        path,
        tags=tags,
        pattern=pattern,
        adversarial=adversarial,
        d_loss=d_loss,
        discriminators=discriminators,
        weights=weights,
        checkpoint=checkpoint,
        items=items,
    )
    judged = None if since is None else made.since(since)
    proposed = made.calibrate(shares) if calibrate else None
    if html is not None:
        from balancer.page.page import diagnosis_page
        from balancer.record.files import write_atomically

        write_atomically(html, diagnosis_page(made, lang, since=judged, calibration=proposed).encode())
    if as_json:
        from balancer.show.as_json import as_data

        print_json(as_data(made, lang, since=judged, calibration=proposed))
    else:
        from rich.console import Console

        from balancer.show.text import print_diagnosis

        console = Console(highlight=False, markup=False, emoji=False)
        print_diagnosis(console, made, lang, since=judged, calibration=proposed)
        if html is not None:
            print(f"page: {html}")
    if watched & made.keys:
        raise typer.Exit(1)


def report(
    runs: Annotated[list[str], typer.Argument(help="Run directories (or logs of others), side by side.")],
    out: Annotated[Path, typer.Option("--out", help="The HTML file to write.")] = Path("report.html"),
    lang: LangOption = "en",
) -> None:
    """Write one self-contained HTML page about runs: balance, shares, knobs, decisions, sheets, findings, settings."""
    from balancer.page.report import report as report_on
    from balancer.show.words import check_language

    check_language(lang)
    refuse_folder(out)
    report_on([diagnosed(path) for path in runs], lang=lang).write(out)
    print(f"report: {out}")


def diagnosed(
    path: str, *, tags: Sequence[str] | None = None, weights: Sequence[str] | None = None, **options: Any
) -> Diagnosis:
    """`balancer.diagnose` with tags and weights as the command line has them, and a progress bar for a large log.

    Raises:
        ConfigError, DataError: see `balancer.diagnose`.
    """
    from balancer.diagnosis.diagnose import diagnose

    numbers = {}
    for term, text in pairs(weights or [], "--weight").items():
        try:
            numbers[term] = float(text)
        except ValueError:
            raise ConfigError(f"--weight {term}={text}: expected a number of at least 0") from None
    with progress_of(path) as progress:
        return diagnose(path, tags=pairs(tags or [], "--tag"), weights=numbers, progress=progress, **options)


def pairs(items: Sequence[str], option: str) -> dict[str, str]:
    """`NAME=VALUE` items of an option as a mapping."""
    made = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not (equals and name.strip() and value.strip()):
            raise ConfigError(f"{option} {item!r}: expected NAME=VALUE")
        made[name.strip()] = value.strip()
    return made


def refuse_folder(path: Path) -> None:
    """Refuse a file to write that cannot be one, before anything takes long."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ConfigError(f"{path} cannot be written: it is a folder, or its folder does not exist")


@contextmanager
def progress_of(path: str) -> Iterator[Callable[[int], Any] | None]:
    """A bar on a terminal for what takes long; nothing otherwise."""
    size = _size(Path(path)) if path != "-" else 0
    if size < SHOW_PROGRESS_FROM or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(24), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=size)
        yield lambda count: bar.advance(task, count)


def _size(path: Path) -> int:
    try:
        if path.is_dir():
            return sum(file.stat().st_size for file in path.rglob("*") if file.name.startswith(("events.", "signals.")))
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0
