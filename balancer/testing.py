"""For authors of plugins: replay signals through laws without training, a toy run, the checks all plugins pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balancer.compose import compose, plugin_config
from balancer.engine import Balancer
from balancer.host import model_host
from balancer.knobs import Decision, Value
from balancer.model import HeadSpec, ModelSpec
from balancer.plugin import Plugin
from balancer.points import PointsFamily, PointsSettings
from balancer.registry import load_plugin
from balancer.signals import STANDARD_SIGNALS, term_signal

if TYPE_CHECKING:
    from balancer.loop import Trainer

# The toy GAN itself stands in points.py, where an entry point finds it as `--model points`.
__all__ = ["PointsFamily", "PointsSettings", "Replay", "check_plugin", "recorded", "replay", "toy_trainer"]

PluginList = Sequence[str | type[Plugin]]


@dataclass
class Replay:
    """What plugins made of a sequence of signals: every knob's effective value at each step, and each decision."""

    knobs: list[dict[str, Value]] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    def __getitem__(self, knob: str) -> list[Value]:
        """One knob over the steps, as it stood when G's weights were read."""
        return [row[knob] for row in self.knobs]


def replay(
    plugins: PluginList,
    signals: Iterable[Mapping[str, float]],
    *,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    spec: ModelSpec | None = None,
    lambda_adv: float = 1.0,
    steps_per_epoch: int | None = None,
) -> Replay:
    """Feed recorded or invented signals to plugins, step by step, without a model and without torch.

    Args:
        plugins: names of installed plugins, or classes.
        signals: for each step the values by signal name (`d_adv`, `d_acc`, `adv`, `l1`, …); an `epoch`
            among them says which epoch the step belongs to.
        settings: each plugin's settings by plugin name.
        spec: terms and heads of the model; by default zi2zi's three terms and its category head.
        lambda_adv: the base value.
        steps_per_epoch: counts epochs where the signals do not say.

    The signals are taken as they are: with other knobs, a real run would have measured others.
    """
    rows = [dict(row) for row in signals]
    spec = spec or ModelSpec(
        weights={"l1": 100.0, "const": 15.0, "category": 1.0},
        d_terms=("category",),
        heads={"category": HeadSpec(("category",), ("category",))},
    )
    host = model_host("replay", spec, lambda_adv)
    # What the plugins bring they publish themselves.
    brought = set(_brought(plugins, settings or {}))
    rows = [{name: value for name, value in row.items() if name not in brought} for row in rows]
    names = {name for row in rows for name in row} - {"epoch"}
    known = {**host.signals, **{name: term_signal(name, "g") for name in names - set(host.signals)}}
    host = replace(host, signals=known)
    result = Replay()
    composition = compose(plugins, settings, host=host)
    with Balancer(composition, steps_per_epoch=steps_per_epoch, on_decision=result.decisions.append) as balance:
        for step, row in enumerate(rows):
            epoch = row.pop("epoch", step // steps_per_epoch if steps_per_epoch else 0)
            balance.start_step(epoch=int(epoch))
            d_phase: dict[str, Any] = {name: value for name, value in row.items() if known[name].phase == "d"}
            balance.after_d_step(**d_phase)
            # Sums are known only when the weights are, after before_g_backward.
            sums = {name: value for name, value in row.items() if name == "g_loss" or name.endswith("_share")}
            balance.signals.put({name: value for name, value in row.items() if name not in {*d_phase, *sums}})
            balance.before_g_backward()
            balance.signals.put(sums)
            result.knobs.append({knob: balance.board.value(knob) for knob in balance.board.specs})
            result.knobs[-1]["d_update"] = balance.d_update
    return result


def _brought(plugins: PluginList, settings: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for item in plugins:
        cls = load_plugin(item)[0] if isinstance(item, str) else item
        plugin = cls(plugin_config(cls, settings.get(cls.name, {}), "this replay"))
        yield from (signal.name for signal in plugin.brings_signals)
        yield from (knob.name for knob in plugin.brings_knobs)


def recorded(folder: str | Path) -> Iterator[dict[str, float]]:
    """The signals of every step of a run directory, in the form `replay` takes."""
    import math

    from balancer.signal_log import read_signals

    columns = read_signals(folder)
    wanted = {}
    for name in columns:
        signal = name.removeprefix("loss_")
        if name == "epoch" or name in STANDARD_SIGNALS or name.startswith(("d_", "loss_")) or name.endswith("_share"):
            wanted[name] = signal
    for index in range(len(columns["step"])):
        row = {signal: float(columns[name][index]) for name, signal in wanted.items()}
        yield {
            name: value for name, value in row.items() if not math.isnan(value) and name not in ("d_update", "d_frozen")
        }


def toy_trainer(
    plugins: PluginList,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    folder: Path | None = None,
    **train: Any,
) -> Trainer:
    """A trainer of the points model on the CPU, with these plugins; `train` are settings of `train.*`."""
    import torch

    from balancer.config import TrainSettings
    from balancer.loop import Trainer, make_accelerator

    values = settings or {}
    model = PointsSettings(**values.get("model", {}))
    options = TrainSettings(**{"device": "cpu", "batch_size": 32, "lr": 2e-3, **train})
    host = model_host("points", PointsFamily().spec(model), options.lambda_adv)
    composition = compose(plugins, values, host=host)
    torch.manual_seed(options.seed)
    return Trainer(PointsFamily().build(model), composition, options, make_accelerator(options, composition), folder)


def check_plugin(plugin: str | type[Plugin], settings: Mapping[str, Any] | None = None, steps: int = 12) -> None:
    """Run a plugin on the points model and check what every plugin must do.

    It composes; trains; writes nothing undeclared; does the same twice; goes on bit-identically from a
    saved state that holds primitives and tensors only; and leaves no trace where it is switched off.

    Raises:
        AssertionError: says which promise is broken. Errors of the plugin itself are raised as they are.
    """
    import tempfile

    import torch

    from balancer import checkpoint

    name = plugin if isinstance(plugin, str) else plugin.name
    values = {name: dict(settings or {})}
    half = steps // 2

    def trained(plugins: PluginList, count: int, state: Mapping[str, Any] | None = None) -> Trainer:
        trainer = toy_trainer(plugins, values)
        if state is not None:
            trainer.load_state_dict(state)
        while trainer.balance.step < count:
            trainer.step(trainer.next_batch())
        return trainer

    def weights(trainer: Trainer) -> list[torch.Tensor]:
        return [*trainer.G.state_dict().values(), *trainer.D.state_dict().values()]

    whole = trained([plugin], steps)
    again = trained([plugin], steps)
    assert all(map(torch.equal, weights(whole), weights(again))), f"{name}: two equal runs differ"
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(Path(folder), half, trained([plugin], half).state_dict(), keep=1)
        state = checkpoint.load_latest(Path(folder)).state
    resumed = trained([plugin], steps, state)
    assert all(map(torch.equal, weights(whole), weights(resumed))), f"{name}: a resumed run differs from a whole one"
    off = trained([], half, state)
    for knob in off.balance.board.specs:
        left = off.balance.board.contributions(knob)
        assert not left, f"{name}: switched off on resume, it still holds {knob}"
