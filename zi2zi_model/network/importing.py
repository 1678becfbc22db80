"""A run directory made from a port's checkpoint, to train on from where that stopped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from balancer import NewRun
from balancer.errors import ConfigError
from zi2zi_model.network.ports import read_port

_DATA: Final = ("data", "pairs", "source")


def import_run(
    generator: Path,
    discriminator: Path | None,
    out: Path,
    *,
    step: int | None = None,
    config: str | None = None,
    settings: Sequence[str] = (),
    plugins: Sequence[str] | None = None,
) -> tuple[int, list[str]]:
    """Make the run directory `out`: its config and one checkpoint. Returns its step, and what the user should know.

    Networks follow from the files; everything else from `config` and `settings`, as for a new run. Adam's moments,
    which the ports do not keep, begin anew.

    Raises:
        CheckpointError: the files cannot be used.
        ConfigError: no data is named, a setting contradicts the files, or the directory is in use.
        DataError: the data cannot be used.
    """
    run = NewRun(out, model="zi2zi", config=config, settings=settings, plugins=plugins)
    if not any(run.asked.get(name) for name in _DATA):
        raise ConfigError(
            "which glyphs will it train on? give --set model.data=DIR (see balancer zi2zi data build), "
            "model.pairs=DIR, or model.source=FONT with model.targets=FONT"
        )
    if run.asked.get("start"):
        raise ConfigError("model.start: an import starts from the files given; leave it out")
    port = read_port(generator, discriminator)
    if port.discriminator is None and "image_size" in run.asked:
        port.settings["image_size"] = run.asked["image_size"]  # without D it is a guess
    for key, value in port.settings.items():
        if run.asked.get(key, value) != value:
            raise ConfigError(f"model.{key} = {run.asked[key]!r}: {generator.name} has {value!r}; leave it out")
    if step is None:
        step = port.step or 0
    remarks = run.begin(port.generator, port.discriminator, step=step, settings=port.settings)
    return step, [*port.remarks, *remarks]
