"""Drawing with a trained run: its settings, its glyphs and its generator, read from the run directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from balancer import checkpoint
from balancer.config import check_shape, make_config, read_toml
from balancer.errors import CheckpointError, ConfigError
from zi2zi_model.data import GlyphData
from zi2zi_model.glyphs import Pixels
from zi2zi_model.model import draw, load_data
from zi2zi_model.networks import Generator
from zi2zi_model.settings import Zi2ziSettings


@dataclass(frozen=True)
class TrainedRun:
    """A generator at a checkpoint, in evaluation mode, and the data it was trained on."""

    name: str
    step: int
    plugins: tuple[str, ...]
    settings: Zi2ziSettings
    data: GlyphData
    generator: Generator

    def held_out(self) -> Pixels:
        """What G draws for every held-out item, uint8 (n, S, S), in the order of `data.held_out_items`."""
        return draw(self.generator, self.data, self.data.held_out_items, self.settings.channels)


def load_run(folder: Path) -> TrainedRun:
    """Read a zi2zi run at its newest good checkpoint.

    Raises:
        ConfigError: no zi2zi run there.
        CheckpointError: no good checkpoint.
        DataError: its fonts or pairs are gone.
    """
    path = folder / "config.toml"
    if not path.is_file():
        raise ConfigError(f"{folder}: no run there (config.toml is missing)")
    tables = read_toml(path)
    check_shape(tables)
    if not {"model", "plugins"} <= tables.get("run", {}).keys():
        raise ConfigError(f"config {path}: run.model or run.plugins is missing, so it is no run's config")
    if tables["run"]["model"] != "zi2zi":
        raise ConfigError(f"{folder}: a run of model {tables['run']['model']}, not of zi2zi")
    # The run's plugins need not be installed to draw with it.
    settings = make_config({"run": {"model": "zi2zi"}, "model": tables.get("model", {})}, {}).model
    loaded = checkpoint.load_latest(folder / checkpoint.FOLDER)
    generator = Generator(settings)
    try:
        generator.load_state_dict(loaded.state["generator"])
    except RuntimeError as error:
        raise CheckpointError(f"{loaded.path} does not fit the settings in {path}: {error}") from None
    generator.eval()
    return TrainedRun(
        folder.name, loaded.step, tuple(tables["run"]["plugins"]), settings, load_data(settings), generator
    )
