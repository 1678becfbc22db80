"""One trial: a toy model trained for some steps with a watched plugin, and all that can be compared afterwards."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from balancer.conformance.remembered import attributes, comparable, graphs
from balancer.conformance.watch import Notes, watched
from balancer.contract.moments import StepContext, hookimpl
from balancer.contract.plugin import Plugin
from balancer.record import checkpoint
from balancer.train.images import ImagesFamily
from balancer.train.points import PointsFamily
from balancer.train.toy import small_trainer

if TYPE_CHECKING:
    from balancer.train.loop import Trainer

# Four steps an epoch, so that a short run has epochs that begin and end.
MODELS: Final[Mapping[str, tuple[Any, Mapping[str, Any], Mapping[str, Any]]]] = {
    "images": (ImagesFamily, {"items": 64}, {"batch_size": 16, "lr": 2e-3}),
    "points": (PointsFamily, {"points": 128}, {"batch_size": 32, "lr": 2e-3}),
}


class EverySecondStep(Plugin):
    """Lets D rest in every second step, as a plugin beside the one that is tried."""

    name = "conformance_every_second_step"
    writes = {"d_update": ("period",)}

    @hookimpl
    def on_step_start(self, ctx: StepContext) -> None:
        self.knobs["d_update"].period(2)


@dataclass(frozen=True)
class Trial:
    """What is trained: a toy by name, how, and what acts beside the plugin."""

    model: str = "images"
    train: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    beside: Sequence[type[Plugin]] = ()


@dataclass
class Ran:
    """A trial that was run: what can be compared with another."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    weights: str = ""
    state: Any = None
    attributes: dict[str, Any] = field(default_factory=dict)
    graphs: list[str] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)
    # By steps done: the state as it was handed out, and as a checkpoint keeps it.
    handed: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    kept: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    contributions: dict[str, Any] = field(default_factory=dict)
    # The states of its own generators, that of all ranks and that of this one; None where it drew nothing.
    rng: Any = None
    rank_rng: Any = None


class Trials:
    """The trials of one plugin class with one set of settings."""

    def __init__(
        self, cls: type[Plugin] | None, settings: Mapping[str, Any], steps: int, beside: Sequence[type[Plugin]] = ()
    ) -> None:
        self.cls: Final = cls
        # What it needs beside it in every trial.
        self.beside: Final = beside
        self.settings: Final = settings
        self.steps: Final = steps
        self.notes: Final[list[Notes]] = []

    @property
    def plugin(self) -> type[Plugin]:
        """The class that is tried."""
        assert self.cls is not None
        return self.cls

    def run(
        self,
        trial: Trial,
        *,
        steps: int | None = None,
        state: Mapping[str, Any] | None = None,
        keep: bool = False,
        lying: bool = False,
        closely: bool = True,
        told: Callable[[Any], None] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Ran:
        """Train; from a kept state where one is given, keeping one after each step where asked.

        Raises:
            Exception: whatever the plugin or the engine raises.
        """
        ran = Ran()
        ran.notes.lying, ran.notes.closely, ran.notes.told = lying, closely, told
        self.notes.append(ran.notes)
        own = [] if self.cls is None else [watched(self.cls, ran.notes)]
        chosen = self.settings if settings is None else settings
        with _own_precision():
            self._train(
                ran, self._trainer(trial, [*own, *self.beside, *trial.beside], chosen), steps or self.steps, state, keep
            )
        return ran

    def _train(self, ran: Ran, trainer: Trainer, steps: int, state: Mapping[str, Any] | None, keep: bool) -> None:
        if ran.notes.closely:
            ran.notes.networks = {"G": trainer.G, "D": trainer.D}
        if state is not None:
            trainer.load_state_dict(state)
        own = (p for p in trainer.balance.composition.plugins if self.cls is not None and isinstance(p, self.cls))
        plugin = next(own, None)
        config = None if plugin is None else comparable(plugin.config.model_dump())
        with tempfile.TemporaryDirectory() as folder, trainer.balance:
            for done in _steps(trainer, steps):
                row: dict[str, Any] = {f"{kind} {name}": v for (kind, name), v in trainer.balance.row.items()}
                ran.rows.append(row | {f"request {one.kind}": one.reason for one in trainer.balance.requests})
                if keep:
                    whole = trainer.state_dict()
                    if plugin is not None:
                        handed = whole["balance"]["plugins"][plugin.name]["state"]
                        ran.handed[done] = handed, comparable(handed)
                    checkpoint.save(Path(folder), done, whole, keep=1)
                    ran.kept[done] = checkpoint.load_latest(Path(folder)).state
        ran.weights = weights_of(trainer)
        ran.contributions = trainer.balance.board.state_dict()
        if plugin is not None:
            if comparable(plugin.config.model_dump()) != config:
                ran.notes.see("process", "a run changes its config: keep what changes in attributes of its own")
            ran.state = comparable(plugin.state_dict())
            ran.attributes = attributes(plugin)
            ran.graphs = graphs(plugin)
            ran.rng, ran.rank_rng = comparable(plugin.rng_state()), comparable(plugin.rank_rng_state())

    def _trainer(self, trial: Trial, plugins: Sequence[type[Plugin]], settings: Mapping[str, Any]) -> Trainer:
        family, model, train = MODELS[trial.model]
        made = family.Settings(**{**model, **trial.settings})
        own = {} if self.cls is None else {self.cls.name: settings}
        # What hosts do wrong is not looked for here, which is most of the time that a short run takes.
        return small_trainer(trial.model, family(), made, plugins, own, None, {**train, **trial.train}, audit="off")


def _steps(trainer: Trainer, steps: int) -> Iterator[int]:
    """Train to `steps`, with the ends of epochs as our loop has them."""
    while trainer.balance.step < steps:
        trainer.step(trainer.next_batch())
        done = trainer.balance.step
        if done % trainer.steps_per_epoch == 0:
            trainer.balance.end_epoch()
        yield done


def weights_of(trainer: Trainer) -> str:
    """A digest of both networks, to the bit."""
    digest = hashlib.sha256()
    for network in (trainer.G, trainer.D):
        for name, value in network.state_dict().items():
            digest.update(name.encode() + value.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()


def first_difference(one: Ran, two: Ran) -> str | None:
    """Where two runs of the same steps part: a step and what differs in it; None where they are equal to the bit."""
    last = len(one.rows) - len(two.rows)
    for step, (ours, theirs) in enumerate(zip(one.rows[last:], two.rows, strict=True), last):
        # What it writes first: the rest follows from that.
        for name in sorted({*ours, *theirs}, key=lambda name: (not name.startswith("knob"), name)):
            a, b = ours.get(name), theirs.get(name)
            if a != b and not (a != a and b != b):
                return f"step {step}: {name.partition(' ')[2]} is {a!r} in one and {b!r} in the other"
    return None if one.weights == two.weights else "the networks' weights differ after the last step"


@contextmanager
def _own_precision() -> Iterator[None]:
    """accelerate keeps one precision for a process; a trial has its own, and what was there before comes back."""
    from accelerate.state import AcceleratorState

    before = dict(AcceleratorState._shared_state)
    AcceleratorState._shared_state.clear()
    try:
        yield
    finally:
        AcceleratorState._shared_state.clear()
        AcceleratorState._shared_state.update(before)


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread: bits can be compared, and a fork is safe."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def with_train(trial: Trial, **train: Any) -> Trial:
    """The trial with further settings of `train.*`."""
    return dataclasses.replace(trial, train={**trial.train, **train})
