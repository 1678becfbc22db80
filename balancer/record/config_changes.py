"""Where two configs of a run differ, and which of it a resume may change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from balancer.errors import ConfigError, suggestion
from balancer.record.run_config import flat


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


def refuse_changes(old: Mapping[str, Any], new: Mapping[str, Any], allowed: Sequence[str]) -> None:
    """Refuse to resume with settings that differ from the run's own, but for those allowed by name.

    Raises:
        ConfigError: lists each field with its old and new value.
    """
    changed = differences(old, new)
    left = {k: v for k, v in changed.items() if not any(k == name or k.startswith(f"{name}.") for name in allowed)}
    if left:
        rows = "; ".join(f"{key}: {_show(one)} -> {_show(two)}" for key, (one, two) in left.items())
        flags = " ".join(f"--allow-change {key}" for key in left)
        raise ConfigError(f"the run was made with other settings: {rows}; to change them on purpose add {flags}")
    known = {*old, *new, *flat(old), *flat(new), "train.steps", "train.epochs", "data"}
    for name in allowed:
        if name not in known:
            raise ConfigError(f"--allow-change {name}: no such setting: {suggestion(name, sorted(known))}")


def _show(value: Any) -> str:
    return "(default)" if value is None else repr(value)
