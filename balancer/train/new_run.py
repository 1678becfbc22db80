"""A run directory begun from weights that are there already, such as another code's checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from balancer.contract.registry import find_config
from balancer.errors import CheckpointError
from balancer.extras import extras_named
from balancer.record import checkpoint
from balancer.record.claim import new_run, refuse_begun
from balancer.record.config_files import write_config
from balancer.record.folder import CHECKPOINTS
from balancer.record.run_config import check_shape, make_config, parse_set, read_toml
from balancer.train.run import build, sizes

if TYPE_CHECKING:
    from torch import Tensor


class NewRun:
    """A run to be begun in the directory `out`, as the user asked for it; `begin` makes the directory.

    Args:
        out: the run directory; it must be empty or not there, or hold a run that stopped before its first checkpoint.
        model: the family's name.
        config: a TOML file or the name of a recipe, as `balancer train --config` takes it.
        settings: `TABLE.KEY=VALUE` items, as `--set` takes them; they go before `config`.
        plugins: names; those of `config` where not given.

    Attributes:
        asked: what `config` and `settings` say of the model's settings; not validated.

    Raises:
        ConfigError: the directory is in use, or the config or an item cannot be read.
    """

    def __init__(
        self,
        out: Path,
        *,
        model: str,
        config: str | None = None,
        settings: Sequence[str] = (),
        plugins: Sequence[str] | None = None,
    ) -> None:
        refuse_begun(out)
        self._out: Final = out
        self._model: Final = model
        self._plugins: Final = plugins
        self._tables: Final = read_toml(find_config(config)) if config else {}
        check_shape(self._tables)
        self._items: Final = parse_set(settings)
        self.asked: Final[dict[str, Any]] = {**self._tables.get("model", {}), **self._items.get("model", {})}

    @extras_named()
    def begin(
        self,
        generator: Mapping[str, Tensor],
        discriminator: Mapping[str, Tensor] | None = None,
        *,
        step: int = 0,
        settings: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """Write the config and a checkpoint of these state dicts at `step`; returns what the user should know.

        `settings` are those of the model that follow from the weights; they go before what was asked. A D that is
        not given starts untrained; optimizers start anew. `balancer train --resume` goes on from here.

        Raises:
            ConfigError, PluginError, CompositionError: the settings or plugins cannot be used, or another process
                begins a run there.
            CheckpointError: the weights do not fit the networks, or cannot be written.
            DataError: the data cannot be used.
        """
        given = {**self._items, "model": {**self.asked, **(settings or {})}}
        made = make_config(self._tables, given, plugins=self._plugins, model=self._model)
        trainer = build(made, None)
        try:
            trainer.G.load_state_dict(generator)
            if discriminator is not None:
                trainer.D.load_state_dict(discriminator)
        except RuntimeError as error:
            why = " ".join(str(error).split())
            raise CheckpointError(f"the weights do not fit model {self._model}: {why}") from None
        if trainer.average is not None:
            trainer.average.begin(trainer.G)
        trainer.balance.begin_at(step)
        with new_run(self._out, self._model, []) as (folder, said):
            write_config(made.toml(sizes(trainer)), folder, step)
            checkpoint.save(folder / CHECKPOINTS, step, trainer.state_dict(), keep=1)
        return [*said, *trainer.model.remarks(), *made.composition.warnings]
