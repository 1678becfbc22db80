"""What a training loop offers plugins, ours or somebody else's: knobs it obeys, signals it supplies."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from balancer.contract.adversarial import AdversarialLoss
from balancer.contract.knobs import STANDARD_KNOBS, KnobSpec, Value, weight_knob
from balancer.contract.losses import BUILT_IN, find_loss
from balancer.contract.model import HeadSpec, ModelSpec
from balancer.contract.settings import Settings
from balancer.contract.signals import (
    GRADIENT_SIGNALS,
    OF_A_CRITIC,
    OF_EACH_D,
    OF_LEVELS,
    STANDARD_SIGNALS,
    SignalSpec,
    share_signal,
    standard_signal,
    taken,
    term_signal,
)
from balancer.errors import ConfigError, KnobError, PluginError, mistyped, suggestion

# Hooks that only a host which calls them can offer, and what it would have to do.
OPTIONAL_HOOKS: Final = {
    "transform_d_input": "pass D's images through balance.transform_d_input",
    "d_loss_terms": "add balance.d_loss_terms(…) to D's loss",
    "before_d_backward": "call balance.before_d_backward() before D's backward pass",
    "g_loss_terms": "add balance.g_loss_terms(…) to G's loss",
}

# What plugins see only of a host that shows it, and what a script would have to do; names that go into `supplies`.
SIGHTS: Final = {
    "real_logits": "pass real_logits= to balance.g_loss_terms",
    "condition": "pass condition= to balance.d_loss_terms and balance.g_loss_terms",
    "features": "pass real_features= and fake_features= to balance.d_loss_terms and balance.g_loss_terms",
    "gradients": "pass fake= and G's terms as tensors in the graph to balance.before_g_backward",
}


FAR: Final = 3.0  # a base so many times what a law sets, or as much less, was chosen for another loss


# The networks whose optimizers a script names.
ROLES: Final = ("d", "g")


@dataclass(frozen=True)
class Host:
    """What a training loop obeys and supplies, ours or somebody else's."""

    name: str
    knobs: Mapping[str, KnobSpec]
    signals: Mapping[str, SignalSpec]
    base: Mapping[str, Value] = field(default_factory=dict)
    heads: Mapping[str, HeadSpec] = field(default_factory=dict)
    # What D's loss is known to hold besides its adversarial half.
    d_terms: Collection[str] = ()
    adversarial: AdversarialLoss = BUILT_IN["bce"]
    # Hooks of OPTIONAL_HOOKS that it calls.
    calls: Collection[str] = ()
    # Knobs and signals that it lacks and cannot get, with the reason and what to do.
    meaningless: Mapping[str, str] = field(default_factory=dict)
    # Whether a term of G's loss without a known weight weighs 1; a script of somebody else's weighs it as it likes.
    weighs: bool = True
    # What of SIGHTS it shows.
    shows: Collection[str] = ()


@dataclass(frozen=True)
class CompositionView:
    """What a plugin may know of the run it is composed into, when it is checked."""

    configs: Mapping[str, Settings]
    host: Host

    def far_base(self, knob: str, values: Iterable[float]) -> float | None:
        """The base of a knob, where all that a law will set lies more than threefold from it; else None.

        A base of 1 is what a knob has to which the host gives none.
        """
        base, above = self.host.base.get(knob, 1.0), [value for value in values if value > 0]
        if isinstance(base, tuple) or not base > 0 or base == 1 or not above:
            return None
        far = base > FAR * max(above) or base < min(above) / FAR
        return float(base) if far else None


def model_host(model: str, spec: ModelSpec, lambda_adv: float, *, gradients: bool = True, probes: bool = True) -> Host:
    """What our own loop offers with a model: every standard knob that means something, every term as a signal.

    `gradients` says whether the loop measures them (`train.gradients_every`), `probes` whether it looks at held-out
    items (`train.probe_every`).

    Raises:
        ConfigError: the model's adversarial loss does not exist, or does not go with its other settings.
        PluginError: a term's name is taken.
    """
    loss = find_loss(spec.adversarial, f"model {model}: adversarial")
    if loss.paired and spec.fakes_per_real > 1:
        raise ConfigError(
            f"model {model}: the {loss.name} loss pairs each real image with one generated image, but here G draws "
            f"{spec.fakes_per_real} for each: take another loss, such as relativistic_average, or let G draw one"
        )
    weights = {"adv": lambda_adv, **spec.weights}
    knobs = {**STANDARD_KNOBS, **{f"lambda_{term}": weight_knob(term, base) for term, base in weights.items()}}
    meaningless = _meaningless(loss)
    if not spec.heads:
        meaningless["d_frozen"] = f"D of model {model} has no head that may be frozen"
    knobs["d_frozen"] = replace(knobs["d_frozen"], choices=tuple(spec.heads))
    if not gradients:
        meaningless |= dict.fromkeys(GRADIENT_SIGNALS, "train.gradients_every is 0: set it, such as to 16")
    if not probes:
        meaningless["val"] = "train.probe_every is 0: set it, such as to 100"
    elif not spec.structure_error:
        meaningless["val"] = f"model {model} measures no structure_error of held-out items in its probe"
    if not spec.features:
        meaningless["features"] = f"model {model} would have to say features=True in its ModelSpec, and return them"
    if not spec.conditional:
        meaningless["condition"] = (
            "its D sees images alone: leave the plugin out, or say conditional=True in the ModelSpec of a D that sees "
            "more"
        )
    offered = [*STANDARD_SIGNALS]
    if spec.discriminators > 1:
        offered += [f"{name}/{index}" for name in OF_EACH_D for index in range(spec.discriminators)]
    signals = _specs(offered, meaningless)
    for term, is_g in [*((term, True) for term in spec.weights), *((f"d_{term}", False) for term in spec.d_terms)]:
        if (why := taken(term, g_term=is_g)) is not None:
            raise PluginError(f"model {model}: a term of its loss makes the signal {term}, but {why}: rename it")
    for term in spec.d_terms:
        signals[f"d_{term}"] = term_signal(term, "d")
    for term in spec.weights:
        signals[term] = term_signal(term, "g")
        signals[f"{term}_share"] = share_signal(term)
    return Host(
        name=f"model {model}",
        knobs={name: knob for name, knob in knobs.items() if name not in meaningless},
        signals=signals,
        base={f"lambda_{term}": base for term, base in weights.items()},
        heads=spec.heads,
        d_terms=spec.d_terms,
        adversarial=loss,
        calls=tuple(OPTIONAL_HOOKS),
        meaningless=meaningless,
        shows=tuple(name for name in SIGHTS if name not in meaningless),
    )


def foreign_host(
    supplies: Collection[str],
    obeys: Collection[str],
    base: Mapping[str, Value],
    heads: Mapping[str, HeadSpec],
    adversarial: str | type[AdversarialLoss] | AdversarialLoss,
    optimizers: Mapping[str, object],
    gradients_every: int = 0,
) -> Host:
    """What somebody else's training script says it offers.

    Raises:
        ConfigError: obeys what does not exist, a learning rate without its optimizer, a base of a knob not obeyed, an
            adversarial loss that does not exist.
    """
    for name, value in (("obeys", obeys), ("supplies", supplies)):
        if isinstance(value, str):
            raise ConfigError(f"{name} is a set of names, such as {{{value!r}}}")
    if not isinstance(optimizers, Mapping):
        raise ConfigError("optimizers are named by the network that they update: {'d': …, 'g': …}")
    for role in optimizers:
        check_role(role)
    loss = find_loss(adversarial)
    _check_spelling(supplies, obeys, base)
    knobs = {}
    calls = [name for name in sorted(obeys) if name in OPTIONAL_HOOKS]
    for name in sorted(set(obeys) - set(calls)):
        spec = known_knob(name)
        if spec is None:
            known = sorted([*STANDARD_KNOBS, *OPTIONAL_HOOKS])
            raise ConfigError(f"obeys: no such knob {name!r}: {suggestion(name, known)}")
        if name.startswith("lr_") and name.removeprefix("lr_") not in optimizers:
            raise ConfigError(f"obeys {name}, but the optimizer is missing: {spec.ask}")
        knobs[name] = spec
    meaningless = _meaningless(loss)
    knobs = {name: knob for name, knob in knobs.items() if name not in meaningless}
    if "d_frozen" in knobs:
        knobs["d_frozen"] = replace(knobs["d_frozen"], choices=tuple(heads))
    for name in base:
        # A weight that the script applies itself may be told, so that shares of G's loss come out right.
        spec = known_knob(name)
        if spec is not None and "set" in spec.ops:
            try:
                spec.check("(base of this script)", "set", base[name])
            except KnobError as error:
                raise ConfigError(f"base {name} = {base[name]!r}{str(error).partition('(set)')[2]}") from None
        if name not in knobs and not name.startswith("lambda_"):
            raise ConfigError(f"base {name!r} is not among the knobs obeyed ({', '.join(sorted(knobs)) or 'none'})")
    shows = tuple(name for name in SIGHTS if name in supplies)
    measured = _measured_gradients(shows, optimizers) if gradients_every else set()
    for name in supplies:
        if (why := taken(name)) is not None:
            raise ConfigError(f"supplies {name!r}, but {why}: rename it")
    # Any further name is a term of G's loss, known to the script alone.
    signals = _specs(sorted({*supplies, *measured} - {*shows}), meaningless)
    return Host(
        "this script",
        knobs,
        signals,
        base,
        heads,
        adversarial=loss,
        calls=calls,
        meaningless=meaningless,
        weighs=False,
        shows=shows,
    )


def check_role(role: object) -> None:
    """Insist that an optimizer is named by the network that it updates.

    Raises:
        ConfigError: it is not.
    """
    if role not in ROLES:
        near = suggestion(str(role), ROLES)
        raise ConfigError(
            f"optimizers: no role {role!r}: {near if 'known' not in near else 'the roles are d and g'}; "
            "several optimizers of one network are a list, {'d': [a, b], 'g': …}"
        )


def _check_spelling(supplies: Collection[str], obeys: Collection[str], base: Collection[str]) -> None:
    """Refuse names that are nearly known ones: any further one is a term of the script's own."""
    weights = ["lambda_adv", *(name for name in obeys if name.startswith("lambda_"))]
    places = {"obeys": (obeys, weights[:1]), "base": (base, weights), "supplies": (supplies, [*STANDARD_SIGNALS])}
    for place, (given, known) in places.items():
        for name in sorted(given):
            for meant in known if name not in known else ():
                if meant not in given and mistyped(name.removeprefix("lambda_"), meant.removeprefix("lambda_")):
                    raise ConfigError(f"{place}: nothing is known of {name!r}: did you mean {meant}?")


def _measured_gradients(shows: Collection[str], optimizers: Collection[str]) -> set[str]:
    """The signals of gradients that can be measured in a script: of networks at their optimizers, of G's images."""
    found = {f"{role}_grad_norm" for role in optimizers}
    return found | ({"g_grad_adv", "g_grad_rec", "g_grad_cos"} if "gradients" in shows else set())


def known_knob(name: str) -> KnobSpec | None:
    """The standard knob or term weight of that name, or None."""
    if name in STANDARD_KNOBS:
        return STANDARD_KNOBS[name]
    return weight_knob(name.removeprefix("lambda_"), 1.0) if name.startswith("lambda_") else None


def _specs(names: Iterable[str], meaningless: Mapping[str, str]) -> dict[str, SignalSpec]:
    """The signals of these names; what is no standard one is a term of G's loss."""
    named = {name: standard_signal(name) or term_signal(name, "g") for name in names}
    return {name: spec for name, spec in named.items() if name.partition("/")[0] not in meaningless}


def _meaningless(loss: AdversarialLoss) -> dict[str, str]:
    """Knobs and signals that the loss has no use for."""
    found = {}
    if not loss.labels:
        found = dict.fromkeys(("real_label", "fake_label"), f"the {loss.name} loss has no labels to smooth")
    if loss.has_levels:
        return found | dict.fromkeys(OF_A_CRITIC, f"the {loss.name} loss has levels, of which d_adv tells: read d_adv")
    why = (
        f"the {loss.name} loss has no level of a perfect or of a guessing D: read critic_gap, take a loss that has "
        "levels (such as bce, hinge or relativistic_average)"
    )
    return found | dict.fromkeys(OF_LEVELS, why)
