"""Options that several commands share, and what they say as values."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from balancer.errors import ConfigError

ADVERSARIAL_HELP: Final = (
    "The log's adversarial loss: bce, lsgan, hinge, wasserstein, relativistic, relativistic_average, "
    "relativistic_hinge or an installed one."
)

if TYPE_CHECKING:
    from balancer.record.run_config import RunConfig

PluginsOption = Annotated[
    str | None,
    typer.Option(
        "--plugins", help='Plugins by name or as FILE.py:CLASS, separated by commas; "" for the plain baseline.'
    ),
]
ConfigOption = Annotated[
    str | None, typer.Option("--config", help="A TOML file, or the name of a recipe (see `balancer plugins list`).")
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="The model to train (if not given, the only one besides `points`).")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="A setting, as train.KEY=VALUE, model.KEY=VALUE or PLUGIN.KEY=VALUE.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LangOption = Annotated[str, typer.Option("--lang", help="en or zh-TW.")]
LOG_HELP: Final = "A run directory, TensorBoard event files, CSV, JSONL or a training log; - for standard input."
LogArgument = Annotated[str, typer.Argument(help=LOG_HELP)]
AdversarialOption = Annotated[str | None, typer.Option("--adversarial", help=ADVERSARIAL_HELP)]
DLossOption = Annotated[
    str | None, typer.Option("--d-loss", help="What d_loss is of its real and its fake half: mean or sum.")
]
TagOption = Annotated[
    list[str] | None,
    typer.Option("--tag", help="SIGNAL=NAME: which tag or column is a signal, such as adv=loss/G_GAN."),
]
PatternOption = Annotated[
    str | None,
    typer.Option("--pattern", help="Regular expression for the lines of any other log; named groups are signals."),
]


def plugin_names(plugins: str | None) -> list[str] | None:
    """`a,b` as names; None stays None."""
    if plugins is None:
        return None
    return [name.strip() for name in plugins.split(",") if name.strip()]


def pairs(items: Sequence[str], option: str) -> dict[str, str]:
    """`NAME=VALUE` items of an option as a mapping."""
    values = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not (equals and name.strip() and value.strip()):
            raise ConfigError(f"{option} {item!r}: expected NAME=VALUE")
        values[name.strip()] = value.strip()
    return values


def refuse_folder(path: Path) -> None:
    """Refuse a file to write that cannot be one, before anything takes long."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ConfigError(f"{path} cannot be written: it is a folder, or its folder does not exist")


def write_output(path: Path, data: bytes) -> None:
    """Put `data` into a file that was named.

    Raises:
        ConfigError: it cannot be written.
    """
    from balancer.record.outputs import write_atomically

    try:
        write_atomically(path, data)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}; choose another place") from None


def composed(
    config: str | None, overrides: dict[str, dict[str, Any]], plugins: Sequence[str] | None, model: str | None
) -> RunConfig:
    """The run that a config file or recipe, overrides from the command line, plugins and a model make together."""
    from balancer.contract.registry import find_config
    from balancer.record.run_config import make_config, read_toml

    tables = read_toml(find_config(config)) if config else {}
    return make_config(tables, overrides, plugins=plugins, model=model)


def print_json(value: Any) -> None:
    """Print a value as JSON, in the language it is in; figures that are not numbers, which JSON lacks, are null."""
    text = json.dumps(_finite(value), ensure_ascii=False, indent=1, default=str, allow_nan=False)
    print("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
