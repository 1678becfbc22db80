"""What could be done, as commands: the source document's remedies, each beside what was measured of it."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from balancer.diagnosis.finding import Case
from balancer.diagnosis.units import g_terms


@dataclass(frozen=True)
class Remedy:
    """One change to a run: plugins to add or leave out, and settings.

    `number` is the source document's (docs/source-document.md), None for what it does not name; a setting of None
    depends on the run; `needs` names signals without which the remedy means nothing. `elsewhere` are those of the field
    that are no setting here.
    """

    name: str
    number: int | None
    plugins: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    elsewhere: bool = False
    flag_only: bool = False


FLAGGED: Final = ("later_d", "another_loss", "history", "noise", "freeze_d", "larger_batch", "pretrained_d")
REMEDIES: Final[Mapping[str, Remedy]] = {
    remedy.name: remedy
    for remedy in (
        Remedy("combination", 12, ("d_lr_ratio",), ("dynamic_lambda", "lambda_schedule"), {"train.lambda_adv": 0.3}),
        Remedy("lower_lambda", 1, (), ("dynamic_lambda", "lambda_schedule"), {"train.lambda_adv": 0.2}),
        Remedy("schedule", 2, ("lambda_schedule",), ("dynamic_lambda",)),
        Remedy("dynamic_lambda", 4, ("dynamic_lambda",)),
        Remedy("d_lr_ratio", 7, ("d_lr_ratio",)),
        Remedy("d_skip", 8, ("d_skip",)),
        Remedy("label_smoothing", 9, ("label_smoothing",)),
        Remedy("freeze_head", 10, ("freeze_head",), needs=("category",)),
        # Not in the document: where measurements point instead, and the control that every law is held against.
        Remedy("lambda_one", None, (), ("dynamic_lambda", "lambda_schedule"), {"train.lambda_adv": 1.0}),
        Remedy("raise_lambda", None, (), ("dynamic_lambda", "lambda_schedule"), {"train.lambda_adv": 2.0}),
        Remedy("matching_aware", None, ("matching_aware",)),
        Remedy("two_g_updates", None, settings={"train.g_updates": 2}),
        Remedy("autobalance", None, ("autobalance",), ("dynamic_lambda", "lambda_schedule", "gradient_balance")),
        Remedy("no_smoothing", None, (), ("label_smoothing",)),
        Remedy("free_d", None, (), ("d_lr_ratio", "d_skip", "label_smoothing", "freeze_head")),
        Remedy("slower", None, (), (), {"train.lr": None}),
        # The field's, each with its source in the words.
        *(Remedy(name, None, elsewhere=True) for name in ("r1", "spectral_norm", "augment")),
        *(Remedy(name, None, elsewhere=True) for name in ("more_data", "smaller_d", "ema")),
        # Of them those that say something only where the log's code has a flag for it.
        *(Remedy(name, None, elsewhere=True, flag_only=True) for name in FLAGGED),
    )
}

# Those that weigh G's adversarial term against its others.
WEIGHTS: Final = frozenset({
    *("combination", "lower_lambda", "schedule", "dynamic_lambda", "lambda_one", "raise_lambda", "autobalance"),
})  # fmt: skip
IMPORTED: Final = "runs/imported"  # where the command that imports a foreign log's networks puts them
# Plugins whose knobs move with the run, so that a replay shows more than one number.
ANSWERING: Final = frozenset({"dynamic_lambda", "lambda_schedule"})
TRIAL_EPOCHS: Final = 3  # the document judges a change within 1–3 epochs
TRIAL_STEPS: Final = 1000  # where nothing says how long an epoch is


def in_force(remedy: Remedy, case: Case) -> bool:
    """Whether the run was made with it already, or has nothing that it would take away."""
    config = case.source.config
    if config is None or remedy.elsewhere:
        return False
    used = set(config.get("run", {}).get("plugins", []))
    if not set(remedy.plugins) <= used or used & set(remedy.without):
        return False
    for key, value in remedy.settings.items():
        table, _, name = key.partition(".")
        if value is None or config.get(table, {}).get(name) != value:
            return False
    return True


def commands(remedy: Remedy, case: Case) -> list[str]:
    """Command lines that put the remedy to work on this run; for a foreign log, those that show what it would do."""
    if remedy.elsewhere:
        return []
    if case.source.kind == "run" and case.source.config is not None and case.source.folder is not None:
        return [_resume(remedy, case, str(case.source.folder), case.source.config)]
    if case.import_command is not None:
        return [_resume(remedy, case, IMPORTED, {"run": {"plugins": []}, "train": {}})]
    shown = [f"balancer plugins show {plugin}" for plugin in remedy.plugins]
    if set(remedy.plugins) & ANSWERING and case.source.path != "-":
        shown.append(f"balancer replay {shlex.quote(case.source.path)} --plugins {','.join(remedy.plugins)}")
    return shown


def _resume(remedy: Remedy, case: Case, folder: str, config: Mapping[str, Any]) -> str:
    old = list(config.get("run", {}).get("plugins", []))
    new = [name for name in old if name not in remedy.without]
    new += [name for name in remedy.plugins if name not in new]
    parts = ["balancer", "train", "--resume", folder]
    changes = []
    if new != old:
        parts += ["--plugins", ",".join(new)]
        changes.append("run.plugins")
    for key, value in remedy.settings.items():
        if value is None:  # a quarter of the run's own learning rate
            value = float(config.get("train", {}).get("lr", 2e-4)) / 4
        parts += ["--set", f"{key}={value:g}"]
        changes.append(key)
    for change in changes:
        parts += ["--allow-change", change]
    epoch = case.source.steps_per_epoch
    trial = round(TRIAL_EPOCHS * epoch) if epoch else TRIAL_STEPS
    parts += ["--steps", str(int(case.history.last_step) + 1 + trial)]
    return shlex.join(parts)


def chosen(names: Sequence[str], case: Case) -> list[Remedy]:
    """The remedies of these names that are not in force yet, and that mean something for this model."""
    loss = case.units.loss
    senseless = {*(() if loss.labels else ("label_smoothing",)), *(() if loss.has_levels else ("dynamic_lambda",))}
    if not any(term != "adv" for term in g_terms(case.history)):
        # The one term of G's loss, as of an unconditional GAN: its weight balances nothing, and there is no condition.
        senseless |= WEIGHTS | {"matching_aware"}
    found = (REMEDIES[name] for name in names if name not in senseless)
    left = [r for r in found if not in_force(r, case) and all(signal in case.history for signal in r.needs)]
    left = [r for r in left if not r.flag_only or flag(r, case)]
    return sorted(left, key=lambda remedy: (_place(remedy.name), flag(remedy, case) == ""))


def _place(name: str) -> int:
    """First what was measured to come closer to the target, last what was measured to lead away from it."""
    measured = _measured()
    return 0 if name in measured["closer"] else 2 if name in measured["farther"] else 1


@cache
def _measured() -> dict[str, list[str]]:
    return tomllib.loads((Path(__file__).parent / "measured.toml").read_text(encoding="utf-8"))


def flag(remedy: Remedy, case: Case) -> str:
    """How the log's own training code does it: its flag or line; "" where its table does not say."""
    code = case.source.code
    if code is None:
        return ""
    return code.flags.get(remedy.name) or code.flags.get(_ALIKE.get(remedy.name, ""), "")


# Remedies that another code does by the same flag.
_ALIKE: Final = {"combination": "d_lr_ratio", "slower": "d_lr_ratio"}
