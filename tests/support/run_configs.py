"""Configs as runs make them."""

from typing import Any

from balancer.record.run_config import RunConfig, make_config, parse_set


def config(*items: str, plugins: str = "", tables: dict[str, Any] | None = None, model: str = "points") -> RunConfig:
    return make_config(tables or {}, parse_set(items), plugins=plugins.split(",") if plugins else [], model=model)
