"""Commands that say what is wrong with a run: diagnose and report. They change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from balancer.cli.options import (
    LOG_HELP,
    AdversarialOption,
    DLossOption,
    JsonOption,
    LangOption,
    PatternOption,
    TagOption,
    pairs,
    print_json,
    refuse_folder,
    write_output,
)
from balancer.cli.progress import progress_of
from balancer.errors import ConfigError, say

if TYPE_CHECKING:
    from balancer.diagnosis.diagnose import Diagnosis

RecipeOption = Annotated[
    str | None,
    typer.Option("--recipe", help="Units of the log of a known code: vqgan, vocoder, esrgan; other options go before."),
]
FamilyOption = Annotated[
    str | None,
    typer.Option("--family", help="The training code that wrote the log (see --families); none: none of these."),
]


def _list_families(lang: str, as_json: bool) -> None:
    """Print the training codes whose logs are known."""
    from balancer.reading.families import codes
    from balancer.show.families import families_data, family_lines
    from balancer.show.words import load

    if as_json:
        print_json(families_data(codes()))
        return
    words = load(lang)
    for code in codes().values():
        say(f"{code.name}: {words.twin(code.title)}")
        for line in family_lines(code, words):
            say(f"   {line}")


DiscriminatorsOption = Annotated[
    int | None, typer.Option("--discriminators", help="How many discriminators d_loss adds up (HiFi-GAN: 8).", min=1)
]
WeightOption = Annotated[
    list[str] | None, typer.Option("--weight", help="TERM=WEIGHT: what a term of G's loss weighs, such as l1=100.")
]


def diagnose(
    path: Annotated[str | None, typer.Argument(help=LOG_HELP)] = None,
    as_json: JsonOption = False,
    html: Annotated[Path | None, typer.Option("--html", help="Write the diagnosis as one HTML file.")] = None,
    lang: LangOption = "en",
    change: Annotated[
        int | None, typer.Option("--since", help="Judge a change that was made at this step.", min=0)
    ] = None,
    fail_on: Annotated[
        str | None,
        typer.Option("--fail-on", help="Exit with 1 on one of these findings, such as saturated,divergence; any."),
    ] = None,
    tags: TagOption = None,
    pattern: PatternOption = None,
    family: FamilyOption = None,
    families: Annotated[
        bool, typer.Option("--families", help="List the training codes whose logs are known, and read nothing.")
    ] = False,
    recipe: RecipeOption = None,
    adversarial: AdversarialOption = None,
    d_loss: DLossOption = None,
    discriminators: DiscriminatorsOption = None,
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
    if families:
        _list_families(lang, as_json)
        return
    if path is None:
        raise ConfigError("name a log: a run directory, TensorBoard event files, CSV, JSON lines, a text log, or -")
    if share is not None and not calibrate:
        raise ConfigError("--share goes with --calibrate")
    shares = parse_shares(share) if share is not None else {}
    watched = watched_keys(fail_on or "")
    if html is not None:
        refuse_folder(html)
    diagnosis = diagnosed(
        path,
        tags=tags,
        pattern=pattern,
        family=family,
        recipe=recipe,
        adversarial=adversarial,
        d_loss=d_loss,
        discriminators=discriminators,
        weights=weights,
        checkpoint=checkpoint,
        items=items,
    )
    since = None if change is None else diagnosis.since(change)
    calibration = diagnosis.calibrate(shares) if calibrate else None
    if html is not None:
        from balancer.page.page import diagnosis_page

        write_output(html, diagnosis_page(diagnosis, lang, since=since, calibration=calibration).encode())
    if as_json:
        from balancer.show.as_json import as_data

        print_json(as_data(diagnosis, lang, since=since, calibration=calibration))
    else:
        from rich.console import Console

        from balancer.show.text import print_diagnosis

        console = Console(highlight=False, markup=False, emoji=False)
        print_diagnosis(console, diagnosis, lang, since=since, calibration=calibration)
        if html is not None:
            say(f"page: {html}")
    if watched & diagnosis.keys:
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
    page = report_on([diagnosed(path) for path in runs], lang=lang)
    write_output(out, page.html().encode())
    say(f"report: {out}")


def diagnosed(
    path: str, *, tags: Sequence[str] | None = None, weights: Sequence[str] | None = None, **options: Any
) -> Diagnosis:
    """`balancer.diagnose` with tags and weights as the command line has them, and a progress bar for a large log.

    Raises:
        ConfigError, DataError: see `balancer.diagnose`.
    """
    from balancer.diagnosis.diagnose import diagnose

    with progress_of(path) as progress:
        return diagnose(
            path, tags=pairs(tags or [], "--tag"), weights=weight_numbers(weights or []), progress=progress, **options
        )


def weight_numbers(weights: Sequence[str]) -> dict[str, float]:
    """`TERM=WEIGHT` items as numbers by term.

    Raises:
        ConfigError: one is none.
    """
    numbers = {}
    for term, text in pairs(weights, "--weight").items():
        try:
            numbers[term] = float(text)
        except ValueError:
            raise ConfigError(f"--weight {term}={text}: expected a number of at least 0") from None
    return numbers
