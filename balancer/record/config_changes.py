"""Where two configs of a run differ, and which of it a resume may change."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from balancer.errors import CheckpointError, ConfigError, suggestion
from balancer.record.config_files import run_segments
from balancer.record.folder import CONFIG
from balancer.record.run_config import RunConfig, check_shape, flat


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Fields in which two resolved configs differ, `table.key` -> (old, new).

    The length of a run, versions and sizes do not count; settings of a plugin that comes or goes belong to
    `run.plugins`.
    """
    before, after = set(old["run"]["plugins"]), set(new["run"]["plugins"])
    changed: dict[str, tuple[Any, Any]] = {}
    for key in ("model", "plugins"):
        if old["run"][key] != new["run"][key]:
            changed[f"run.{key}"] = old["run"][key], new["run"][key]
    for table in ("train", "model", *sorted(before & after)):
        fields = dict.fromkeys([*old.get(table, {}), *new.get(table, {})])
        for key in fields:
            if (table, key) in (("train", "steps"), ("train", "epochs")):
                continue
            one, two = old.get(table, {}).get(key), new.get(table, {}).get(key)
            if one != two:
                changed[f"{table}.{key}"] = one, two
    return changed


def kept_settings(config: RunConfig) -> str:
    """What `differences` compares of a config, as TOML: for a checkpoint to say what it was trained with."""
    tables = config.resolved()
    train = {key: value for key, value in tables["train"].items() if key not in ("steps", "epochs")}
    run = {key: tables["run"][key] for key in ("model", "plugins")}
    return tomli_w.dumps({**tables, "run": run, "train": train})


def refuse_edits(folder: Path, step: int, kept: str | None, new: Mapping[str, Any], allowed: Sequence[str]) -> None:
    """Refuse to go on from a checkpoint whose settings are not those that the run's config says it had at that step.

    `kept` is what `kept_settings` gave, None for a checkpoint of before there was that; `new` is resolved. A change
    that a resume made at that step or later, on purpose, is on record as the config that it replaced.

    Raises:
        ConfigError: lists each field that is not allowed to change, with its old and new value.
        CheckpointError: `kept` are no settings.
    """
    if kept is None:
        return
    try:
        old = tomllib.loads(kept)
        check_shape(old)
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"the checkpoint of step {step} in {folder} says no settings: {error}") from None
    held = next((one.tables for one in run_segments(folder) if one.until is None or one.until >= step), new)
    edited = differences(old, held)
    if edited:
        only = {field: change for field, change in differences(old, new).items() if field in edited}
        _refuse(only, allowed, f"{folder / CONFIG} was changed since; the run was made with other settings")


def refuse_changes(old: Mapping[str, Any], new: Mapping[str, Any], allowed: Sequence[str]) -> None:
    """Refuse to resume with settings that differ from the run's own, but for those allowed by name.

    Raises:
        ConfigError: lists each field with its old and new value.
    """
    changed = differences(old, new)
    _refuse(changed, allowed, "the run was made with other settings")
    known = {*old, *new, *flat(old), *flat(new), "train.steps", "train.epochs", "data"}
    for name in allowed:
        if name not in known:
            raise ConfigError(f"--allow-change {name}: no such setting: {suggestion(name, sorted(known))}")


def _refuse(changed: Mapping[str, tuple[Any, Any]], allowed: Sequence[str], what: str) -> None:
    left = {k: v for k, v in changed.items() if not any(k == name or k.startswith(f"{name}.") for name in allowed)}
    if left:
        rows = "; ".join(f"{key}: {_show(one)} -> {_show(two)}" for key, (one, two) in left.items())
        flags = " ".join(f"--allow-change {key}" for key in left)
        raise ConfigError(f"{what}: {rows}; to change them on purpose add {flags}")


def _show(value: Any) -> str:
    return "(default)" if value is None else repr(value)
