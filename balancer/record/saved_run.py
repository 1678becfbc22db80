"""A run read back from its directory: what it is made of, and its newest checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balancer.errors import ConfigError
from balancer.extras import extras_named
from balancer.record import checkpoint
from balancer.record.checkpoint_form import require_form
from balancer.record.config_files import read_config, warn_of_edited
from balancer.record.folder import CHECKPOINTS
from balancer.record.run_config import make_config

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SavedRun:
    """A run at its newest good checkpoint; tensors are on the CPU.

    Attributes:
        config: the tables of its `config.toml`.
        step: steps done.
        checkpoint: the directory of the checkpoint.
        generator: state dict of G.
        discriminator: state dict of D.
        average: state dict of the average of G's weights that samples are drawn with, or None where the run keeps none.
        data: what the model's `data_record` returned.
        skipped: one sentence for each newer checkpoint that cannot be used.
    """

    config: Mapping[str, Any]
    step: int
    checkpoint: Path
    generator: Mapping[str, Tensor]
    discriminator: Mapping[str, Tensor]
    average: Mapping[str, Tensor] | None
    data: Mapping[str, Any]
    skipped: tuple[str, ...]

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self.config["run"]["model"])

    @property
    def plugins(self) -> tuple[str, ...]:
        """The plugins' names; they need not be installed."""
        return tuple(self.config["run"]["plugins"])

    @cached_property
    def settings(self) -> Any:
        """The model's settings, an instance of its family's `Settings`.

        Raises:
            ConfigError, PluginError: the family refuses them, or is not installed.
        """
        return make_config({"run": {"model": self.model}, "model": self.config.get("model", {})}, {}).model


@extras_named()
def load_run(folder: Path, model: str | None = None) -> SavedRun:
    """Read a run directory, verifying every byte of its checkpoint.

    Raises:
        ConfigError: no run is there, or it is one of another model than `model`, where that is given.
        CheckpointError: it has no good checkpoint.
    """
    config = read_config(folder)
    warn_of_edited(folder)
    if model is not None and config["run"]["model"] != model:
        raise ConfigError(f"{folder}: a run of model {config['run']['model']}, not of {model}")
    step, state, path, skipped = checkpoint.load_latest(folder / CHECKPOINTS)
    with checkpoint.reading(path):
        require_form(state, step)
        average = state["average"]
        if average is not None:
            # As torch's AveragedModel names them.
            average = {key.removeprefix("module."): value for key, value in average.items() if key != "n_averaged"}
        networks = state["generator"], state["discriminator"]
        return SavedRun(config, step, path, *networks, average, state["data"], tuple(skipped))
