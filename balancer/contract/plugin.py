"""The base class of plugins and of their configs, and the checks a plugin class passes before it is used."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from pydantic import ConfigDict

from balancer.contract.boundary import calling, short
from balancer.contract.handles import KnobHandle
from balancer.contract.knobs import KnobSpec, Op, Value
from balancer.contract.moments import HOOK_NAMES, Moments, hook_options
from balancer.contract.notes import RequestKind
from balancer.contract.settings import Settings
from balancer.contract.signals import SignalReader, SignalSpec
from balancer.errors import PluginError, nearest

if TYPE_CHECKING:
    import torch

    from balancer.contract.host import CompositionView

# The contract that this release speaks: hooks, knobs, signals and what a plugin declares (CONTRIBUTING.md says when it
# may change).
API: Final = 1
# Tables of a config that are no plugin's.
RESERVED_NAMES: Final = ("run", "train", "model")


class PluginConfig(Settings):
    """Base of every plugin's config; give each field a description, a range and the source of its default."""

    # A default that its own field refuses would let a run train that no config can resume.
    model_config = ConfigDict(validate_default=True)


@dataclass(frozen=True)
class Alternative:
    """What `Plugin.alternatives` returned, which nothing calls any more; it goes with 0.3."""

    when: str
    value: Value | None
    here: bool = False


class Plugin:
    """A control law bound to moments: reads signals, turns knobs, touches nothing else.

    A subclass sets `name`, nests `Config`, declares `reads` and `writes` (as class attributes, or in
    `__init__` where they depend on the config), and marks its hooks with `@hookimpl`.
    """

    name: ClassVar[str]
    # The contract that it is written for.
    api: ClassVar[int] = API
    Config: ClassVar[type[PluginConfig]] = PluginConfig
    state_version: ClassVar[int] = 1
    # Whether what it reads decides only when it begins, once: then it is no closed loop, and may go beside one.
    one_shot: ClassVar[bool] = False

    reads: Collection[str] = ()
    writes: Mapping[str, tuple[Op, ...]] = MappingProxyType({})
    # Plugins that act before this one, where both are composed.
    after: Collection[str] = ()
    # Knobs and signals that exist only because this plugin brings them.
    brings_knobs: tuple[KnobSpec, ...] = ()
    brings_signals: tuple[SignalSpec, ...] = ()
    # Names of the terms that `d_loss_terms` or `g_loss_terms` returns; of both hooks, {"d": (…), "g": (…)}.
    brings_terms: Collection[str] | Mapping[Literal["d", "g"], Collection[str]] = ()
    # What it must see that costs more, or not every host has: "real_logits" in `g_loss_terms`, D's "features" and
    # "condition", G's "gradients".
    sees: Collection[str] = ()
    # What it may request: "end", "checkpoint", "sheet".
    requests: Collection[str] = ()

    # Bound to a run before the first hook.
    knobs: Mapping[str, KnobHandle]
    signals: SignalReader

    def __init__(self, config: Any) -> None:
        self.config = config
        self._rng: torch.Generator | None = None
        self._rank_rng: torch.Generator | None = None
        self._rank_rng_from = 0

    def bind(
        self,
        seed: int,
        knobs: Mapping[str, KnobHandle],
        signals: SignalReader,
        publish: Callable[[str, float], None],
        request: Callable[[RequestKind, str], None],
        rank: int = 0,
    ) -> None:
        """Belong to a run from now on; the engine calls it once."""
        self._seed = seed
        self._rank = rank
        self._request = request
        self.knobs = knobs
        self.signals = signals
        self._publish = publish

    @property
    def rng(self) -> torch.Generator:
        """A random generator of this plugin's own, from (seed, plugin name): the same on all ranks; checkpointed."""
        if self._rng is None:
            self._rng = _generator(f"{self._seed}/{self.name}")
        return self._rng

    @property
    def rank_rng(self) -> torch.Generator:
        """Another one, from (seed, plugin name, rank): for what differs between ranks, such as noise on images."""
        if self._rank_rng is None:
            self._rank_rng = _generator(f"{self._seed}/{self.name}/rank {self._rank}/{self._rank_rng_from}")
        return self._rank_rng

    def begin_rank_rng(self, step: int) -> None:
        """Begin `rank_rng` anew at a step, as a rank does that a checkpoint holds nothing of."""
        self._rank_rng, self._rank_rng_from = None, step

    def rng_state(self) -> torch.Tensor | None:
        """The generator's state, or None where it was never used."""
        return None if self._rng is None else self._rng.get_state()

    def rank_rng_state(self) -> torch.Tensor | None:
        """The state of `rank_rng`, or None where it was never used."""
        return None if self._rank_rng is None else self._rank_rng.get_state()

    def publish(self, name: str, value: float) -> None:
        """Give a signal named in `brings_signals` its value for the present step.

        Plugins read it after this hook, averaged over ranks: publish on every rank or on none.
        """
        brought = [spec.name for spec in self.brings_signals]
        if name not in brought:
            add = f"add it to brings_signals{nearest(name, brought)}"
            raise PluginError(f"plugin {self.name} published {name} without declaring it: {add}")
        try:
            number = float("" if isinstance(value, str | bytes) else value)
        except Exception:
            raise PluginError(
                f"plugin {self.name} published {name} as {short(value)}: expected a number, or a tensor that holds one"
            ) from None
        self._publish(name, number)

    def request(self, kind: RequestKind, reason: str) -> None:
        """Ask the host for what `requests` names, in a hook: "end" the run, keep a "checkpoint", draw a "sheet".

        The host does so after the step, if it grants such requests; the reason goes into the log.
        """
        if kind not in self.requests:
            raise PluginError(f"plugin {self.name} requested {kind!r} without declaring it: add it to requests")
        self._request(kind, reason)

    def check(self, composition: CompositionView) -> Iterable[str]:
        """Warnings about this composition, one sentence each; raise CompositionError to refuse it."""
        return ()

    def state_dict(self) -> dict[str, Any]:
        """The law's state as primitives and tensors; contributions to knobs are saved by the board."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any], version: int) -> None:
        """Restore what `state_dict` returned under `state_version == version`."""


def _generator(text: str) -> torch.Generator:
    import hashlib

    import torch

    digest = hashlib.sha256(text.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


# What a plugin class declares, where a mistyped name would pass for an attribute of its own.
DECLARED: Final = (
    "api",
    "state_version",
    "reads",
    "writes",
    "after",
    "brings_knobs",
    "brings_signals",
    "brings_terms",
    "sees",
    "requests",
)


def check_plugin_class(candidate: object, where: str) -> type[Plugin]:
    """The class itself, if it is a plugin for this release whose hooks exist and are marked.

    Raises:
        PluginError: not a Plugin subclass, a bad name, another api, a mistyped declaration, an unknown hook or
            argument, a hook that is not marked.
    """
    if not (isinstance(candidate, type) and issubclass(candidate, Plugin)):
        raise PluginError(f"{where} is {short(candidate)}, not a subclass of balancer.Plugin")
    with calling(f"{where} cannot be looked at", note=""):
        _check_class(candidate, where)
    return candidate


def _check_class(candidate: type[Plugin], where: str) -> None:
    name = getattr(candidate, "name", None)
    if not isinstance(name, str) or not name.isidentifier() or name in RESERVED_NAMES:
        raise PluginError(
            f"{where}: name = {name!r} is not usable: it must be an identifier other than run, train, model"
        )
    if not (isinstance(candidate.Config, type) and issubclass(candidate.Config, PluginConfig)):
        raise PluginError(f"{where}: Config must be a subclass of balancer.PluginConfig")
    if isinstance(candidate.state_version, bool) or not isinstance(candidate.state_version, int):
        raise PluginError(f"{where}: state_version = {short(candidate.state_version)} is not a whole number")
    if candidate.api != API or isinstance(candidate.api, bool):
        newer = isinstance(candidate.api, int) and candidate.api > API
        what = "update balancer" if newer else "update the plugin"
        raise PluginError(f"{where}: it is written for api = {candidate.api!r}; this release speaks {API}: {what}")
    for attribute, function in inspect.getmembers_static(candidate):
        if attribute.startswith("__"):
            continue
        if not (callable(function) or attribute.startswith("_") or hasattr(Plugin, attribute)):
            _check_declaration(attribute, where)
        options = hook_options(function)
        if options is None:
            if attribute in HOOK_NAMES:
                raise PluginError(f"{where}: {attribute} is named like a hook but is not marked with @hookimpl")
            continue
        _check_hook(attribute, function, options, where)


def _check_declaration(attribute: str, where: str) -> None:
    """Refuse an attribute that can only be a mistyped declaration."""
    if near := get_close_matches(attribute, DECLARED, n=1, cutoff=0.85):
        raise PluginError(f"{where}: {attribute} is nothing that a plugin declares: did you mean {near[0]}?")


def _check_hook(name: str, function: Any, options: Mapping[str, Any], where: str) -> None:
    if any(options.get(key) for key in ("wrapper", "hookwrapper", "tryfirst", "trylast", "specname")):
        raise PluginError(f"{where}: {name} uses an option of pluggy's hookimpl; order belongs to `after`")
    if name not in HOOK_NAMES:
        near = get_close_matches(name, HOOK_NAMES, n=1)
        raise PluginError(f"{where}: there is no hook {name}" + (f"; did you mean {near[0]}?" if near else ""))
    plain = inspect.unwrap(getattr(function, "__func__", function))
    if inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain) or inspect.isgeneratorfunction(plain):
        what = "yields" if inspect.isgeneratorfunction(plain) else "is async"
        raise PluginError(f"{where}: {name} {what}, so that nobody would run its code: write it as a plain function")
    allowed = list(inspect.signature(getattr(Moments, name)).parameters)
    parameters = inspect.signature(function).parameters
    if inspect.isfunction(function) and next(iter(parameters), None) != "self":
        raise PluginError(f"{where}: the first argument of {name} must be self")
    for argument, parameter in parameters.items():
        if parameter.default is not parameter.empty or parameter.kind is parameter.KEYWORD_ONLY:
            raise PluginError(
                f"{where}: {name} takes {argument} with a default or by keyword only, which is never filled"
            )
        if argument not in allowed:
            raise PluginError(f"{where}: {name} takes {argument}, but the hook offers ({', '.join(allowed[1:])})")
