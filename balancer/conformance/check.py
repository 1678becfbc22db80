"""The whole conformance run of one plugin: `check`, which every way of asking for it calls."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from balancer.conformance import paper
from balancer.conformance.laws import laws
from balancer.conformance.remembered import differences, shared
from balancer.conformance.report import Check, Report, judged, sentence_of
from balancer.conformance.runs import equal_runs, every_way, parts_of_a_batch, resumes, switched_off
from balancer.conformance.surroundings import Leftovers
from balancer.conformance.trials import MODELS, Ran, Trial, Trials, one_thread
from balancer.conformance.two_ranks import two_ranks
from balancer.conformance.watch import Notes
from balancer.contract.compose import Composition, compose, plugin_config
from balancer.contract.host import model_host
from balancer.contract.model import ModelSpec
from balancer.contract.moments import HOOK_NAMES, hook_options
from balancer.contract.plugin import Plugin
from balancer.contract.plugin_files import is_plugin_file, load_plugin_file
from balancer.contract.registry import load_plugin
from balancer.errors import BalancerError, CompositionError, ConfigError, suggestion

STEPS: Final = 8
# What a hook must leave alone, and in which words that is kept.
KEPT: Final = {
    "random state": "no global random generator was touched",
    "tensors": "batch, networks and their buffers are as they were",
    "process": "no output, no file, nothing of the process was changed",
    "terms": "scalar, finite, in the graph",
    "transform": "same shape, finite, differentiable",
}
NAMES: Final = (
    "class", "config", "composes", "trains", *KEPT, "equal runs", "resume", "state", "micro-batches", "switched off",
    "extremes", "future", "two ranks", "leftovers", "exercised", "card",
)  # fmt: skip


def check(
    plugin: str | type[Plugin],
    settings: Mapping[str, Any] | None = None,
    *,
    steps: int = STEPS,
    skip: Collection[str] = (),
    strict: bool = False,
) -> Report:
    """Try a plugin in every way that a run may use it.

    Args:
        plugin: an installed one by name, `FILE.py:CLASS`, or a class.
        settings: its own settings; such that it acts within a few steps, or that is remarked.
        steps: length of the short runs.
        skip: names of checks to leave out, such as `card`.
        strict: remarks are failures.

    Raises:
        PluginError: there is no such plugin, or it cannot be imported.
        ConfigError: its settings cannot be used, or there is no such check to skip.
    """
    for name in skip:
        if name not in NAMES:
            raise ConfigError(f"skip {name!r}: no such check: {suggestion(name, NAMES)}")
    settings = dict(settings or {})
    before = _baselines(steps)
    cls, path, where = _loaded(plugin)
    plugin_config(cls, settings, where)
    found = [one for one in _checks(cls, path, where, settings, steps, skip, before) if _family(one.name) not in skip]
    report = Report(cls.name, tuple(found))
    return report.strict() if strict else report


def _loaded(plugin: str | type[Plugin]) -> tuple[type[Plugin], Path | None, str]:
    """The class, the file it stands in, and where it is from."""
    if not isinstance(plugin, str):
        return plugin, paper.path_of(plugin), f"plugin class {plugin.__name__}"
    if is_plugin_file(plugin):
        cls, file = load_plugin_file(plugin)
        return cls, file.path, f"plugin {plugin}"
    cls, entry = load_plugin(plugin)
    return cls, entry.path(), f"plugin {plugin} of distribution {entry.distribution} {entry.version}"


def _checks(
    cls: type[Plugin],
    path: Path | None,
    where: str,
    settings: Mapping[str, Any],
    steps: int,
    skip: Collection[str],
    before: Callable[[str], Ran],
) -> Iterator[Check]:
    yield from paper.the_class(cls, where)
    yield from paper.config(cls, settings)
    composed, models = {}, []
    refusals = []
    for model, spec in _specs().items():
        try:
            composed[model] = compose([cls], {cls.name: settings}, host=model_host(model, spec, 1.0))
            models.append(model)
        except (Exception, SystemExit) as error:
            refusals.append(f"{model}: {sentence_of(error)}")
            if not isinstance(error, BalancerError | CompositionError):
                break
    if not models:
        yield Check("composes", "FAIL", "; ".join(dict.fromkeys(refusals)))
    else:
        yield from judged("composes", refusals, "with images and with points", "remark")
        leftovers, one_for_all = Leftovers(), shared(cls)
        trials, played = Trials(cls, settings, steps), Notes()
        with one_thread(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield from _trained(trials, models, composed, settings, skip, before, played)
        changed = [
            f"runs change its {what}: what it remembers belongs to the instance"
            for what in differences(one_for_all, shared(cls))
        ]
        if changed:
            yield from judged("state", changed, "")
        for name, kept in KEPT.items():
            seen = [sentence for notes in trials.notes for sentence in notes.seen.get(name, [])]
            if seen or name not in ("terms", "transform") or _acts(cls, name):
                yield from judged(name, dict.fromkeys(seen), kept)
        yield from judged("leftovers", leftovers.found(), "no thread and no file is left open")
        yield from judged(
            "exercised", _unused(composed[models[0]], [*trials.notes, played]), "everything declared was used", "remark"
        )
    uses = {name for one in composed.values() for p in one.plugins for name in (*p.reads, *p.writes)}
    yield from paper.card(cls, path, uses)


def _trained(
    trials: Trials,
    models: list[str],
    composed: Mapping[str, Composition],
    settings: Mapping[str, Any],
    skip: Collection[str],
    before: Callable[[str], Ran],
    played: Notes,
) -> Iterator[Check]:
    ways = list(every_way(trials, models))
    yield from ways
    trial = Trial(models[0])
    if ways[0].outcome == "FAIL":
        yield Check("resume", "remark", "not tried, nor what follows from a run: the plainest one fails")
    else:
        yield from _guarded("state", _compared(trials, trial, before(trial.model)))
        if ways_of(ways, "trains: micro-batches") != "FAIL":
            yield from _guarded(
                "micro-batches", parts_of_a_batch(trials, Trial("images" if "images" in models else models[0]))
            )
        if "two ranks" not in skip:
            yield from two_ranks(trials, trial)
    (plugin,) = composed[models[0]].plugins
    own = {spec.name for spec in plugin.brings_signals}
    reads = [name for name in plugin.reads if name not in own]
    yield from laws(type(plugin), settings, reads, _specs()[models[0]], played)


def _compared(trials: Trials, trial: Trial, before: Ran) -> Iterator[Check]:
    """What is compared with one whole run that keeps its state after each step."""
    whole = trials.run(trial, keep=True)
    yield from _guarded("equal runs", equal_runs(trials, trial, whole))
    yield from _guarded("resume", resumes(trials, trial, whole))
    yield from _guarded("switched off", switched_off(trials, trial, whole, before))


def _guarded(name: str, checks: Iterable[Check]) -> Iterator[Check]:
    """The checks, and what a plugin raises on the way as one more."""
    try:
        yield from checks
    except (Exception, SystemExit) as error:
        yield Check(name, "FAIL", sentence_of(error))


def ways_of(checks: Iterable[Check], name: str) -> str:
    """How the check of this name ended, or nothing."""
    return next((one.outcome for one in checks if one.name == name), "")


def _baselines(steps: int) -> Callable[[str], Ran]:
    """Runs without any plugin, made before the plugin's module is imported, by model."""
    with one_thread():
        made = {model: Trials(None, {}, steps).run(Trial(model)) for model in MODELS}
    return made.__getitem__


def _specs() -> dict[str, ModelSpec]:
    return {name: family().spec(family.Settings(**model)) for name, (family, model, _) in MODELS.items()}


def _acts(cls: type[Plugin], name: str) -> bool:
    hooks = ("d_loss_terms", "g_loss_terms") if name == "terms" else ("transform_d_input",)
    return any(hook_options(getattr(cls, hook, None)) is not None for hook in hooks)


def _unused(composition: Composition, notes: Iterable[Notes]) -> Iterator[str]:
    """What was declared and never used in any run."""
    (plugin,) = composition.plugins
    used = {use for note in notes for use in note.used}
    for hook in HOOK_NAMES:
        if hook_options(getattr(plugin, hook, None)) is None:
            continue
        if ("hook", hook) not in used:
            yield f"its hook {hook} was never called"
        elif hook.endswith("_loss_terms") and ("term", hook) not in used:
            yield f"its hook {hook} never returned a term: give settings with which it does"
    for knob, ops in plugin.writes.items():
        for op in ops:
            if ("knob", f"{op} {knob}") not in used:
                yield f"it declares {op} on {knob} and never used it: give settings with which it does"
    for name in plugin.reads:
        if ("signal", name) not in used:
            yield f"it declares that it reads {name}, and never did"
    for signal in plugin.brings_signals:
        if ("published", signal.name) not in used:
            yield f"it brings the signal {signal.name}, and never published it"
    for knob_spec in plugin.brings_knobs:
        if ("knob read", knob_spec.name) not in used and knob_spec.name in plugin.writes:
            yield f"it brings the knob {knob_spec.name}, and never read its value: then nobody obeys it"


def _family(name: str) -> str:
    return name.partition(":")[0]
