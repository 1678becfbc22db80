"""For Lightning: a callback that makes a Balancer, opens and closes its steps, and keeps its state in checkpoints."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from balancer.contract.plugin import Plugin
from balancer.engine.balancer import Balancer
from balancer.errors import ConfigError, MissingExtra


def _callback() -> Any:
    """Lightning's base class, of the package that the script has imported, or of the one that is installed."""
    for name in sorted(("lightning", "pytorch_lightning"), key=lambda name: name not in sys.modules):
        try:
            return import_module("lightning.pytorch" if name == "lightning" else name).Callback
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != name:
                raise
    raise MissingExtra(
        "balancer.lightning needs Lightning, which is not installed: pip install lightning", name="lightning"
    )


class BalancerCallback(_callback()):  # type: ignore[misc]
    """A `Balancer` for a LightningModule with manual optimisation: `module.balance` while it trains.

    It is made when training starts, in each process, and calls `start_step` and `end_step` around each batch;
    `training_step` says the rest. Its state is part of Lightning's checkpoints and goes on from there.

    Args:
        plugins: as for `Balancer`.
        optimizers: for each network the places of its optimizers in what `configure_optimizers` returns, from 0:
            `{"g": 0, "d": 1}`, or `{"g": 0, "d": [1, 2]}`.
        options: the rest of what `Balancer` takes.

    Raises:
        ConfigError: when training starts, where there are no such optimizers.
    """

    def __init__(
        self,
        plugins: Sequence[str | type[Plugin]] = (),
        *,
        optimizers: Mapping[str, int | Sequence[int]],
        **options: Any,
    ) -> None:
        self._plugins = plugins
        self._optimizers = optimizers
        self._options = options
        self._saved: dict[str, Any] = {}
        self.balance: Balancer | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """The optimizers are there, and restored: make the Balancer, and let it go on where a checkpoint stood."""
        name, there = type(pl_module).__name__, trainer.optimizers

        def at(role: str, place: int) -> Any:
            if place not in range(len(there)):
                raise ConfigError(
                    f"optimizers: {role!r} is {place}, but {name}.configure_optimizers gives {len(there)}"
                )
            return there[place]

        optimizers = {
            role: at(role, places) if isinstance(places, int) else [at(role, place) for place in places]
            for role, places in self._optimizers.items()
        }
        state = self.state_dict()  # of a checkpoint, or of an earlier fit
        self.balance = pl_module.balance = Balancer(self._plugins, optimizers=optimizers, **self._options)
        if state:
            self.balance.load_state_dict(state)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """A step begins, or goes on while gradients gather."""
        pl_module.balance.start_step(epoch=trainer.current_epoch)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A step ends, before anybody saves a checkpoint, unless gradients gather."""
        pl_module.balance.end_step()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """An epoch ends."""
        pl_module.balance.end_epoch()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """The run ends."""
        pl_module.balance.end_run()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """The run ends with an error."""
        if self.balance is not None:
            self.balance.end_run(exception)

    def state_dict(self) -> dict[str, Any]:
        """The Balancer's state, for Lightning's checkpoint."""
        return self._saved if self.balance is None else self.balance.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the state until training starts."""
        self._saved = state_dict
        self.balance = None
