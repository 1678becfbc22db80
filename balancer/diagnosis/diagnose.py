"""From a log, or from what was read of one, to a diagnosis: open, work out the units, judge, conclude."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from balancer.contract.boundary import calling
from balancer.contract.registry import entries
from balancer.diagnosis.calibrate import Calibration, calibrate
from balancer.diagnosis.derived import derive
from balancer.diagnosis.extension import Extension, extensions
from balancer.diagnosis.finding import Case, Finding, NamedRule, NotJudged, Structure, judge
from balancer.diagnosis.infer_units import infer_units, stated_units
from balancer.diagnosis.remedies import IMPORTED
from balancer.diagnosis.rules import RULES
from balancer.diagnosis.since import Since, since
from balancer.diagnosis.units import Units
from balancer.diagnosis.verdict import verdict
from balancer.errors import ConfigError
from balancer.reading.families import GROUP
from balancer.reading.history import History
from balancer.reading.opening import NO_TAGS, open_source, read
from balancer.reading.source import OnBytes, Source


@dataclass(frozen=True)
class Diagnosis:
    """What was found in one log: problems first, then what was worked out, then the answer to the last question.

    `case` holds what was judged: the signals (`case.history`), where they come from and their units. Findings are
    data; `balancer.as_text` and `balancer.as_data` put them into words.
    """

    case: Case
    findings: Sequence[Finding]
    remarks: Sequence[Finding]
    not_judged: Sequence[NotJudged]
    verdict: Finding

    @property
    def keys(self) -> set[str]:
        """The names of the problems found, as `saturated` and `saturated.lasting`; with any, also `any`."""
        found = {key for finding in self.findings for key in (finding.rule, finding.words)}
        return found | {"any"} if found else found

    def since(self, step: int) -> Since:
        """Whether a change made at `step` helped, by the source document's three indicators.

        Raises:
            ConfigError: the log does not reach so far, or begins there.
        """
        return since(self.case, self.findings, step)

    def calibrate(self, shares: Mapping[str, float] | None = None) -> Calibration:
        """Weights with which G's terms reach these shares of its loss; without any, those of the source document.

        Raises:
            ConfigError: no raw terms to calibrate, an unknown term, or shares that are not shares.
        """
        return calibrate(self.case, shares or {})


def diagnose(
    path: str | Path,
    *,
    tags: Mapping[str, str] = NO_TAGS,
    pattern: str | None = None,
    family: str | None = None,
    adversarial: str | None = None,
    d_loss: str | None = None,
    discriminators: int | None = None,
    weights: Mapping[str, float] | None = None,
    recipe: str | None = None,
    checkpoint: str | Path | None = None,
    items: int | None = None,
    progress: OnBytes | None = None,
) -> Diagnosis:
    """Read a run directory or anybody's log, and judge it.

    Args:
        path: a run directory, TensorBoard event files, CSV, JSON lines or a text log; "-" for standard input.
        tags: names in the log by signal, such as {"adv": "loss/G_GAN"}, where they are not to be guessed.
        pattern: a regular expression whose named groups are signals, for the lines of a text log.
        family: the training code that wrote it, one of `balancer diagnose --families`, or "none"; by default it is
            looked for.
        adversarial: the log's adversarial loss: "bce", "lsgan", "hinge", "wasserstein", "relativistic",
            "relativistic_average", "relativistic_hinge" or an installed one.
        d_loss: what d_loss is of its real and its fake half: "mean" or "sum".
        discriminators: how many discriminators d_loss adds up; 1 where nobody says.
        weights: what terms of G's loss weigh, by term, such as {"l1": 100}.
        recipe: a recipe, such as "vqgan", that says of the log's units what is not given here.
        checkpoint: a checkpoint of a port, whose networks are judged too.
        items: number of training items (characters), where the log does not say.
        progress: is called with numbers of bytes as they are read.

    Raises:
        ConfigError: no such path or checkpoint, or options that do not go with it.
        DataError: it is not a log, or a damaged one.
    """
    stated, family = told(adversarial, d_loss, discriminators, weights, recipe, family)
    reader = open_source(str(path), tags=tags, pattern=pattern, family=family, progress=progress)
    history = read(reader)
    checkpoint = None if checkpoint is None else Path(checkpoint)
    return diagnose_history(history, reader.source, stated=stated, items=items, checkpoint=checkpoint)


def told(
    adversarial: str | None,
    d_loss: str | None,
    discriminators: int | None,
    weights: Mapping[str, float] | None,
    recipe: str | None,
    family: str | None,
) -> tuple[Units, str | None]:
    """The units that a user states and the training code, with what a recipe says besides; see `diagnose`.

    Raises:
        ConfigError: there is no such loss, recipe or kind of d_loss.
    """
    if recipe is not None:
        from balancer.diagnosis.recipe import log_units

        known = log_units(recipe)
        adversarial, d_loss = adversarial or known.adversarial, d_loss or known.d_loss
        discriminators, weights = discriminators or known.discriminators, {**known.weights, **(weights or {})}
        family = family or known.family
    return stated_units(adversarial, d_loss, weights or {}, discriminators or 1), family


def diagnose_history(
    history: History,
    source: Source,
    *,
    stated: Units | None = None,
    items: int | None = None,
    checkpoint: Path | None = None,
) -> Diagnosis:
    """Judge what was read of a run; the history gains `d_adv` and shares of G's loss where they follow.

    `stated` are units that the user states; what they leave open is worked out. See `diagnose` for the rest.

    Raises:
        ConfigError: no extension knows the checkpoint.
    """
    stated = stated or Units()
    known = extensions()
    extension = known.get(source.family)
    whose = _whose(source.family)
    with calling(whose, note=""):
        units = extension.units(history, source, stated) if extension is not None else None
    if units is None:
        source = replace(source)  # a reader that goes on keeps the code by whose names it reads
        units = infer_units(history, source, stated)
    derive(history, units)
    with calling(whose, note=""):
        structure = _structure(source, checkpoint, extension, known.values())
    case = Case(history, source, units, structure, items)
    if source.kind != "run" and extension is not None:
        with calling(whose, note=""):
            command = extension.import_command(case, IMPORTED)
        case = replace(case, import_command=command)
    own: Iterable[NamedRule] = extension.rules if extension is not None else ()
    with calling(whose, note=""):
        found, left = judge([*RULES, *own], case)
    problems = [_capped(finding, case) for finding in found if not finding.remark]
    remarks = [finding for finding in found if finding.remark]
    return Diagnosis(case, problems, remarks, left, verdict(case, problems))


# Findings that rest on what D's loss is at chance and at best.
_OF_LEVELS: Final = frozenset({"saturated", "starved", "collapse", "smoothing_floor", "oscillation", "blow_up"})


def _capped(finding: Finding, case: Case) -> Finding:
    """No level is called sick at high confidence where the loss was only assumed, as the remark d_units says.

    Nor is anything said so of a stretch of steps, where these mean nothing.
    """
    assumed = case.source.kind != "run" and not case.source.family and case.units.adversarial_basis == "assumed"
    if assumed and finding.rule in _OF_LEVELS and finding.confidence == "high" and not _sure_of_bce(case):
        return replace(finding, confidence="medium")
    if case.source.is_tangled and finding.steps is not None and finding.confidence == "high":
        return replace(finding, confidence="medium")
    return finding


def _sure_of_bce(case: Case) -> bool:
    """Whether the figures themselves are those of BCE: its level at the start, or D's probabilities beside it."""
    return str(case.units.evidence.get("d_by", "")).startswith(("probabilities", "start"))


def _whose(family: str) -> str:
    """Where the extension of a family comes from, as the beginning of an error about its code."""
    owner = next((f" of {entry.distribution} {entry.version}" for entry in entries(GROUP) if entry.name == family), "")
    return f"the diagnosis of {family or 'this log'}{owner} failed; uninstall or mend it"


def _structure(
    source: Source, checkpoint: Path | None, own: Extension | None, known: Iterable[Extension]
) -> Structure | None:
    if checkpoint is not None:
        for extension in known:
            found = extension.checkpoint(checkpoint)
            if found is not None:
                return found
        raise ConfigError(f"--checkpoint {checkpoint}: no installed model knows this kind of checkpoint")
    if own is not None and source.folder is not None and source.config is not None:
        return own.structure(source.folder, source.config)
    return None
