"""A run directory made from a port's checkpoint, to train on from where that stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from balancer.contract.registry import find_config
from balancer.errors import ConfigError
from balancer.record.config import check_shape, make_config, read_toml
from balancer.train.run import build, refuse_used, write_config
from zi2zi_model.network.ports import read_port

_DATA = ("data", "pairs", "source")


def import_run(
    generator: Path,
    discriminator: Path | None,
    out: Path,
    *,
    step: int | None = None,
    config: str | None = None,
    overrides: Mapping[str, Mapping[str, Any]],
    plugins: Sequence[str] | None = None,
) -> tuple[int, list[str]]:
    """Make the run directory `out`: its config and one checkpoint. Returns its step, and what the user should know.

    Networks follow from the files; everything else from `config` and `overrides`, as for a new run. Adam's moments,
    which the ports do not keep, begin anew.

    Raises:
        CheckpointError: the files cannot be used.
        ConfigError: no data is named, a setting contradicts the files, or the directory is in use.
        DataError: the data cannot be used.
    """
    refuse_used(out)
    tables = read_toml(find_config(config)) if config else {}
    check_shape(tables)
    model = {**tables.get("model", {}), **overrides.get("model", {})}
    if not any(model.get(name) for name in _DATA):
        raise ConfigError(
            "which glyphs will it train on? give --set model.data=DIR (see balancer zi2zi data build), "
            "model.pairs=DIR, or model.source=FONT with model.targets=FONT"
        )
    if model.get("start"):
        raise ConfigError("model.start: an import starts from the files given; leave it out")
    port = read_port(generator, discriminator)
    if port.discriminator is None and "image_size" in model:
        port.settings["image_size"] = model["image_size"]  # without D it is a guess
    for key, value in port.settings.items():
        if model.get(key, value) != value:
            raise ConfigError(f"model.{key} = {model[key]!r}: {generator.name} has {value!r}; leave it out")
    given = {**overrides, "model": {**model, **port.settings}}
    made = make_config(tables, given, plugins=plugins, model="zi2zi")
    trainer = build(made, out)
    trainer.G.load_state_dict(port.generator)
    if port.discriminator is not None:
        trainer.D.load_state_dict(port.discriminator)
    if step is None:
        step = port.step or 0
    trainer.balance.begin_at(step)
    write_config(made, out, step)
    trainer.save()
    trainer.balance.end_run()
    return step, [*trainer.model.remarks(), *port.remarks, *made.composition.warnings]
