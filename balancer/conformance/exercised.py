"""What a plugin declares and never used in any run of a conformance run."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from balancer.conformance.watch import Notes
from balancer.contract.declared import TERM_HOOKS, brought_terms
from balancer.contract.moments import HOOK_NAMES, hook_options
from balancer.contract.plugin import Plugin

# What a plugin that declares a sight looks at, as a hook and a field of its context.
LOOKS: Final[Mapping[str, tuple[str, ...]]] = {
    "real_logits": ("g_loss_terms real_logits",),
    "condition": tuple(f"{hook} condition" for hook in TERM_HOOKS),
    "features": tuple(f"{hook} {side}_features" for hook in TERM_HOOKS for side in ("real", "fake")),
    "gradients": tuple(f"before_g_backward {field}" for field in ("gradient_norm", "terms", "fake")),
}


def undeclared(plugin: Plugin, notes: Iterable[Notes]) -> Iterator[str]:
    """Terms that were returned and are not declared."""
    declared = {
        f"{hook} {term}"
        for hook, phase in TERM_HOOKS.items()
        for of, term in brought_terms(plugin, plugin.name)
        if of == phase
    }
    returned = {name for note in notes for kind, name in note.used if kind == "term" and name not in TERM_HOOKS}
    for name in sorted(returned - declared):
        hook, _, term = name.partition(" ")
        yield f"{hook} returns the term {term} without declaring it, an error from 0.3 on: add it to brings_terms"


def unused(plugin: Plugin, notes: Iterable[Notes]) -> Iterator[str]:
    """What was declared and never used in any run."""
    used = {use for note in notes for use in note.used}
    for hook in HOOK_NAMES:
        if hook_options(getattr(plugin, hook, None)) is None:
            continue
        if ("hook", hook) not in used:
            yield f"its hook {hook} was never called"
        elif hook.endswith("_loss_terms") and ("term", hook) not in used and _returns(plugin, hook):
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
    hooks = {phase: hook for hook, phase in TERM_HOOKS.items()}
    for phase, term in brought_terms(plugin, plugin.name):
        if ("term", hooks[phase]) in used and ("term", f"{hooks[phase]} {term}") not in used:
            yield f"it brings the term {term}, and {hooks[phase]} never returned it"
    for sight in plugin.sees:
        if not any(("field", field) in used for field in LOOKS[sight]):
            yield f"it declares that it sees {sight}, and never looked at what that shows: every run pays for it"
    for kind in plugin.requests:
        if ("request", kind) not in used:
            yield f"it declares that it requests {kind}, and never did: give settings with which it does"
    for knob_spec in plugin.brings_knobs:
        if ("knob read", knob_spec.name) not in used and knob_spec.name in plugin.writes:
            yield f"it brings the knob {knob_spec.name}, and never read its value: then nobody obeys it"


def _returns(plugin: Plugin, hook: str) -> bool:
    """Whether a hook says that it returns something; one that only looks does not."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(getattr(type(plugin), hook))))
    except (OSError, SyntaxError):
        return True
    returned = [node.value for node in ast.walk(tree) if isinstance(node, ast.Return)]
    return any(
        value is not None and not (isinstance(value, ast.Constant) and value.value is None) for value in returned
    )
