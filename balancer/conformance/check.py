"""The whole conformance run of one plugin: `check`, which every way of asking for it calls."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from balancer.conformance import paper
from balancer.conformance.exercised import undeclared, unused
from balancer.conformance.laws import laws
from balancer.conformance.remembered import differences, shared
from balancer.conformance.report import Check, Report, judged, sentence_of
from balancer.conformance.runs import equal_runs, every_way, parts_of_a_batch, resumes, switched_off
from balancer.conformance.surroundings import Leftovers
from balancer.conformance.trials import MODELS, Ran, Trial, Trials, one_thread
from balancer.conformance.two_ranks import two_ranks
from balancer.conformance.watch import Notes
from balancer.contract.compose import Composition, compose
from balancer.contract.host import model_host
from balancer.contract.make import plugin_config
from balancer.contract.model import ModelSpec
from balancer.contract.moments import hook_options
from balancer.contract.plugin import Plugin
from balancer.contract.plugin_files import is_plugin_file, load_plugin_file
from balancer.contract.registry import PLUGINS, entries, load_plugin
from balancer.errors import ConfigError, Deprecated, PluginError, suggestion

STEPS: Final = 8
# What a hook must leave alone, and in which words that is kept.
KEPT: Final = {
    "random state": "no global random generator was touched",
    "tensors": "batch, networks and their buffers are as they were",
    "process": "no output, no file, nothing of the process was changed",
    "terms": "scalar, finite, in the graph; signals finite",
    "transform": "same shape, finite, differentiable",
}
# Checks of what some hooks return, which other plugins do not have.
ACTING: Final = {"terms": ("d_loss_terms", "g_loss_terms"), "transform": ("transform_d_input",)}
NAMES: Final = (
    "class", "config", "composes", "trains", *KEPT, "equal runs", "resume", "state", "micro-batches", "switched off",
    "extremes", "future", "two ranks", "leftovers", "exercised", "card",
)  # fmt: skip


def check(
    plugin: str | type[Plugin],
    settings: Mapping[str, Any] | None = None,
    *,
    beside: Sequence[str | type[Plugin]] = (),
    steps: int = STEPS,
    skip: Collection[str] = (),
    strict: bool = False,
) -> Report:
    """Try a plugin in every way that a run may use it.

    Args:
        plugin: an installed one by name, `FILE.py:CLASS`, or a class.
        settings: its own settings; such that it acts within a few steps, or that is remarked.
        beside: plugins that it needs beside it, such as one whose signal it reads.
        steps: length of the short runs.
        skip: names of checks to leave out, such as `card`.
        strict: remarks are failures.

    Raises:
        PluginError: there is no such plugin.
        ConfigError: its settings cannot be used, or there is no such check to skip.
    """
    for name in skip:
        if name not in NAMES:
            raise ConfigError(f"skip {name!r}: no such check: {suggestion(name, NAMES)}")
    before, leftovers, imported = _baselines(steps), Leftovers(), Notes()
    try:
        cls, path, where = imported.watch("its import", functools.partial(_loaded, plugin))
    except PluginError as error:
        if not _is_there(plugin):
            raise
        return Report(str(plugin), (Check("class", "FAIL", sentence_of(error)),))
    checks = list(paper.the_class(cls, where))
    if not any(one.outcome == "FAIL" for one in checks):
        plugin_config(cls, settings or {}, where)
        classes = [one if isinstance(one, type) else _loaded(one)[0] for one in beside]
        trials = Trials(cls, dict(settings or {}), steps, classes)
        trials.notes.append(imported)
        checks += _checks(trials, path, skip, before, leftovers)
    report = Report(cls.name, tuple(one for one in checks if one.name.partition(":")[0] not in skip))
    return report.strict() if strict else report


def _loaded(plugin: str | type[Plugin]) -> tuple[type[Plugin], Path | None, str]:
    """The class, the file it stands in, and where it is from."""
    if not isinstance(plugin, str):
        return plugin, paper.path_of(plugin), f"plugin class {plugin.__name__}"
    if is_plugin_file(plugin):
        cls, file = load_plugin_file(plugin, sys.stdout)  # which is watched
        return cls, file.path, f"plugin {plugin}"
    cls, entry = load_plugin(plugin)
    return cls, entry.path(), f"plugin {plugin} of distribution {entry.distribution} {entry.version}"


def _is_there(plugin: str | type[Plugin]) -> bool:
    """Whether there is a plugin of that name at all, or such a file."""
    if isinstance(plugin, str) and not is_plugin_file(plugin):
        return any(entry.name == plugin for entry in entries(PLUGINS))
    return not isinstance(plugin, str) or Path(plugin.rpartition(":")[0]).is_file()


def _checks(
    trials: Trials, path: Path | None, skip: Collection[str], before: Callable[[str], Ran], leftovers: Leftovers
) -> Iterator[Check]:
    cls = trials.plugin
    yield from paper.config(cls, trials.settings)
    composed, refusals = _composed(trials)
    if not composed:
        yield Check("composes", "FAIL", "; ".join(dict.fromkeys(refusals)))
    else:
        yield from judged("composes", refusals, "with images and with points", "remark")
        one_for_all, played = shared(cls), Notes()
        with one_thread(), warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", Deprecated)
            yield from _trained(trials, composed, skip, before, played)
        for sentence in dict.fromkeys(str(one.message) for one in warned):
            yield Check("class", "remark", f"it uses what goes: {sentence}")
        for what in differences(one_for_all, shared(cls)):
            yield Check("state", "FAIL", f"runs change its {what}: what it remembers belongs to the instance")
        own = _own(trials, next(iter(composed.values())))
        for name, kept in KEPT.items():
            seen = [sentence for notes in trials.notes for sentence in notes.seen.get(name, [])]
            if name == "terms":
                yield from (Check(name, "remark", one) for one in undeclared(own, [*trials.notes, played]))
            if seen or name not in ACTING or any(hook_options(getattr(cls, hook, None)) for hook in ACTING[name]):
                yield from judged(name, seen, kept)
        yield from judged("leftovers", leftovers.found(), "no thread and no file is left open")
        never = unused(own, [*trials.notes, played])
        yield from judged("exercised", never, "everything declared was used", "remark")
    plugins = [_own(trials, one) for one in composed.values()]
    uses = {name for one in plugins for name in (*one.reads, *one.writes, *type(one).Config.model_fields)}
    # A signal that a setting names is the user's choice, and so are the weights of terms that one lists.
    values = trials.settings.values()
    chosen = {value for value in values if isinstance(value, str)}
    chosen |= {f"lambda_{term}" for value in values if isinstance(value, Mapping) for term in value if term != "adv"}
    yield from paper.card(cls, path, uses - chosen)


def _composed(trials: Trials) -> tuple[dict[str, Composition], list[str]]:
    """What each toy composes of the plugin, and why others do not."""
    composed: dict[str, Composition] = {}
    refusals = []
    for model, spec in _specs().items():
        try:
            host = model_host(model, spec, 1.0)
            plugins = [trials.plugin, *trials.beside]
            composed[model] = compose(plugins, {trials.plugin.name: trials.settings}, host=host)
        except (Exception, SystemExit) as error:
            refusals.append(f"{model}: {sentence_of(error)}")
    return composed, refusals


def _own(trials: Trials, composition: Composition) -> Plugin:
    """The plugin that is tried, as it was composed."""
    return next(plugin for plugin in composition.plugins if plugin.name == trials.plugin.name)


def _trained(
    trials: Trials,
    composed: Mapping[str, Composition],
    skip: Collection[str],
    before: Callable[[str], Ran],
    played: Notes,
) -> Iterator[Check]:
    model, made = next(iter(composed.items()))
    ways = list(every_way(trials, list(composed)))
    yield from ways
    trial = Trial(model)
    if ways[0].outcome == "FAIL":
        yield Check("resume", "remark", "not tried, nor what follows from a run: the plainest one fails")
    else:
        yield from _guarded("state", _compared(trials, trial, before(model)))
        if all(one.outcome != "FAIL" for one in ways if one.name == "trains: micro-batches"):
            yield from _guarded("micro-batches", parts_of_a_batch(trials, trial))
        if "two ranks" not in skip:
            yield from two_ranks(trials, trial)
    own = {spec.name for one in made.plugins for spec in one.brings_signals}
    reads = sorted({name for one in made.plugins for name in one.reads} - own)
    yield from laws(trials, reads, _specs()[model], played)


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


def _baselines(steps: int) -> Callable[[str], Ran]:
    """Runs without any plugin, made before the plugin's module is imported, by model."""
    with one_thread():
        made = {model: Trials(None, {}, steps).run(Trial(model)) for model in MODELS}
    return made.__getitem__


def _specs() -> dict[str, ModelSpec]:
    return {name: family().spec(family.Settings(**model)) for name, (family, model, _) in MODELS.items()}
