"""RunConfig: everything a run is made of, from TOML, `--set` and flags; written back as the resolved config."""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import tomli_w
from pydantic import BaseModel, ValidationError

from balancer.contract.boundary import short
from balancer.contract.compose import Composition, compose
from balancer.contract.host import Host, model_host
from balancer.contract.input_files import MOST_TOML_BYTES, read_input
from balancer.contract.make import first_error
from balancer.contract.model import ModelFamily
from balancer.contract.plugin import RESERVED_NAMES
from balancer.contract.plugin_files import references
from balancer.contract.registry import MODELS, PLUGINS, entries, load_model
from balancer.errors import ConfigError, suggestion
from balancer.record.settings_tables import as_table, require_read_back
from balancer.record.train_settings import TrainSettings

RESERVED: Final = RESERVED_NAMES
# What a run's config says besides its settings: who made it, how large it is, where plugins in files are.
RECORDED: Final = ("versions", "sizes", "files")
# What a run's own config, which names versions, leaves out was None, whatever a model's default is by now.
_UNSET: Final = {name: None for name, field in TrainSettings.model_fields.items() if field.default is None}


@dataclass(frozen=True)
class RunConfig:
    """One run: model, plugins and every setting, validated."""

    model_name: str
    family: ModelFamily
    model: Any
    train: TrainSettings
    composition: Composition
    versions: Mapping[str, str]

    def resolved(self) -> dict[str, Any]:
        """The config with every default filled in, as TOML tables; what a run directory keeps."""
        tables: dict[str, Any] = {
            "run": {
                "model": self.model_name,
                "plugins": [plugin.name for plugin in self.composition.plugins],
                "versions": dict(self.versions),
            },
        }
        if self.composition.files:
            tables["run"]["files"] = {name: file.as_table() for name, file in self.composition.files.items()}
        return tables | {name: as_table(settings, whose, name) for name, settings, whose in self._parts()}

    def _parts(self) -> Iterator[tuple[str, BaseModel, str]]:
        """Every table of settings: its name, the settings, and whose they are."""
        yield "train", self.train, "the loop"
        yield "model", self.model, f"model {self.model_name}"
        for plugin in self.composition.plugins:
            yield plugin.name, plugin.config, f"plugin {plugin.name} of {self.composition.sources[plugin.name]}"

    def require_read_back(self) -> None:
        """See that `toml()` reads back to this config.

        Raises:
            PluginError: names the plugin or model, and the key.
        """
        tables = self.resolved()
        for name, settings, whose in self._parts():
            require_read_back(settings, tables[name], whose, name)

    def toml(self, sizes: Mapping[str, int] | None = None) -> bytes:
        """`resolved()` as a TOML file that `--config` takes; `sizes`, a record of what was built, set nothing."""
        tables = self.resolved()
        if sizes:
            tables["run"]["sizes"] = dict(sizes)
        return tomli_w.dumps(tables).encode()


def _named(path: Path) -> bytes:
    return read_input(path, MOST_TOML_BYTES)


def read_toml(path: Path, read: Callable[[Path], bytes] = _named) -> dict[str, Any]:
    """A config file's tables; `read` opens it.

    Raises:
        ConfigError: not readable, or not TOML.
    """
    try:
        return tomllib.loads(read(path).decode())
    except OSError as error:
        raise ConfigError(f"config {path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # not UTF-8, not TOML, or a number too long for Python
        raise ConfigError(f"config {path}: {error}") from None
    except RecursionError:
        raise ConfigError(f"config {path}: is nested too deeply to be read") from None


def check_shape(tables: Mapping[str, Any]) -> None:
    """See that tables are tables and that `run` holds names, whatever the settings in them.

    Raises:
        ConfigError: one line that names the key.
    """
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            raise ConfigError(f"config: {name} = {short(table)} is not a table; settings stand in one, such as [train]")
    run = tables.get("run", {})
    if not isinstance(run.get("model", ""), str):
        raise ConfigError(f"config: run.model must be a name, got {short(run['model'])}")
    names = run.get("plugins", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"config: run.plugins must be a list of names, got {short(names)}")
    files = run.get("files", {})
    if not isinstance(files, Mapping) or not all(
        isinstance(file, Mapping) and all(isinstance(file.get(key), str) for key in ("plugin", "sha256"))
        for file in files.values()
    ):
        raise ConfigError("config: each table of run.files must hold plugin and sha256, as a run's own config does")


def parse_set(items: Iterable[str]) -> dict[str, dict[str, Any]]:
    """`NAME.KEY=VALUE` items as tables; a value is read as TOML where it is TOML, else as text.

    Raises:
        ConfigError: not of that form.
    """
    tables: dict[str, dict[str, Any]] = {}
    for item in items:
        key, equals, text = item.partition("=")
        table, dot, name = key.strip().partition(".")
        if not (equals and dot and table and name):
            raise ConfigError(f"--set {short(item)}: expected NAME.KEY=VALUE, such as train.lambda_adv=0.3")
        try:
            (value,) = tomllib.loads(f"value = {text}").values()
        except ValueError:  # not TOML, or more than one value
            value = text.strip()
        except RecursionError:
            raise ConfigError(f"--set {table}.{name}: the value is nested too deeply to be read") from None
        tables.setdefault(table, {})[name] = value
    return tables


def make_config(
    tables: Mapping[str, Any],
    overrides: Mapping[str, Mapping[str, Any]],
    *,
    plugins: Sequence[str] | None = None,
    model: str | None = None,
) -> RunConfig:
    """Validate a config file's tables, what `--set` and flags put over them, and the plugins' composition.

    Raises:
        ConfigError, PluginError, CompositionError: one line that names the key.
    """
    check_shape(tables)
    run = tables.get("run", {})
    _refuse_unknown(run, ("model", "plugins", *RECORDED), "run")
    name = model or run.get("model") or _only_model()
    composed = references(run.get("plugins", []) if plugins is None else plugins, run.get("files", {}))
    chosen = [name for name, _ in composed]
    known = sorted({entry.name for entry in entries(PLUGINS)})
    for key in overrides.get("run", {}):
        raise ConfigError(f"--set run.{key}: use --plugins and --model for what a run is made of")
    for table in overrides:
        if table not in RESERVED and table not in chosen:
            hint = f"add {table} to --plugins" if table in known else suggestion(table, [*RESERVED, *chosen])
            raise ConfigError(f"--set {table}.…: {table} is not part of this run: {hint}")
    for table in tables:
        # A recipe's section for a plugin that --plugins left out is not an error, nor what it says of others' logs.
        if table not in (*RESERVED, "log", *chosen, *known, *run.get("files", {})):
            raise ConfigError(f"config: there is no plugin {table!r}: {suggestion(table, [*RESERVED, *known])}")
    given = {table: {**tables.get(table, {}), **overrides.get(table, {})} for table in {"train", "model", *chosen}}
    family, entry = load_model(name)
    settings = validated(family.Settings, given["model"], "model")
    defaults = {**family.train_defaults(settings), **(_UNSET if "versions" in run else {})}
    train = validated(TrainSettings, {**defaults, **given["train"]}, "train")
    measured = {"gradients": train.gradients_every != 0, "probes": train.probe_every != 0}
    host: Host = model_host(name, family.spec(settings), train.lambda_adv, **measured)
    composition = compose([item for _, item in composed], {key: given[key] for key in chosen}, host=host)
    versions = {
        "balancer": metadata.version("balancer"),
        "python": platform.python_version(),
        **_torch_version(),
        name: f"{entry.distribution} {entry.version}",
        **{plugin.name: composition.sources[plugin.name] for plugin in composition.plugins},
    }
    made = RunConfig(name, family, settings, train, composition, versions)
    made.require_read_back()
    return made


def flat(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Resolved tables as `table.key` -> value, for TensorBoard's hparams."""
    return {f"{t}.{k}": v for t, values in tables.items() for k, v in values.items() if k not in RECORDED}


def _only_model() -> str:
    """The one installed model besides the framework's own.

    Raises:
        ConfigError: there are several, or none.
    """
    found = entries(MODELS)
    names = sorted({entry.name for entry in found if not entry.value.startswith("balancer.")})
    if len(names) != 1:
        known = ", ".join(sorted({entry.name for entry in found}))
        raise ConfigError(f"which model? name one with --model; installed are {known}")
    return names[0]


def _torch_version() -> dict[str, str]:
    """torch's version, where it is installed: a composition is checked without it."""
    try:
        return {"torch": metadata.version("torch")}
    except metadata.PackageNotFoundError:
        return {}


def _refuse_unknown(table: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(f"{where}.{key}: no such setting: {suggestion(key, known)}")


def validated(model: type[Any], values: Mapping[str, Any], where: str) -> Any:
    """Settings of these values; `where` is their table.

    Raises:
        ConfigError: names the key.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(first_error(error, where, model)) from None
