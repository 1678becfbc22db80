"""Settings as tables of a config: how they are written, and that they read back to what they were."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import Any

import tomli_w
from pydantic import BaseModel, ValidationError

from balancer.contract.boundary import calling, described, short
from balancer.contract.make import first_error
from balancer.errors import PluginError


def as_table(settings: BaseModel, whose: str, where: str) -> dict[str, Any]:
    """Settings as a table of plain values, every default filled in; what is None is left out, a set is put in order.

    `where` is the name of the table, `whose` they are begins the line of an error.

    Raises:
        PluginError: names the key that cannot be written.
    """
    with calling(f"{whose}: its settings cannot be written down", note=""):
        try:
            dumped = _dumped(settings)
        except Exception:
            for key in type(settings).model_fields:
                with calling(f"{whose}: {where}.{key} cannot be written down"):
                    _dumped(settings, include={key})
            raise
        return {key: _in_order(getattr(settings, key, None), value) for key, value in dumped.items()}


def _dumped(settings: BaseModel, include: set[str] | None = None) -> dict[str, Any]:
    # `round_trip` leaves out what is computed; what comes back is compared, so pydantic need not warn.
    return settings.model_dump(mode="json", include=include, exclude_none=True, round_trip=True, warnings=False)


def require_read_back(settings: BaseModel, table: Mapping[str, Any], whose: str, where: str) -> None:
    """See that settings come out of their own table, as TOML, as they went in; else a run could not be resumed.

    `where` and `whose` as for `as_table`.

    Raises:
        PluginError: names the key.
    """
    for key, value in table.items():
        try:
            tomli_w.dumps({key: value}).encode()
        except Exception as error:
            why = f"which TOML cannot hold: {described(error)}"
            raise PluginError(f"{whose}: {where}.{key} is {short(value)}, {why}") from None
    lost = "so that a run could not be resumed"
    with calling(f"{whose}: its settings cannot be read back", note=""):
        try:
            again = type(settings).model_validate(tomllib.loads(tomli_w.dumps(table)))
        except ValidationError as error:
            why = first_error(error, where, type(settings))
            raise PluginError(f"{whose} refuses its own settings when they are read back, {lost}: {why}") from None
        for key in type(settings).model_fields:
            then, now = getattr(settings, key), getattr(again, key)
            if not _same(then, now):
                change = f"{where}.{key} = {short(then)} reads back as {short(now)}"
                raise PluginError(f"{whose}: {change}, {lost}: let the config hold what it is given, in a type of TOML")


def _in_order(value: Any, dumped: Any) -> Any:
    """What was made of a value, with sets in an order that does not depend on the process."""
    if isinstance(value, set | frozenset) and isinstance(dumped, list):
        return sorted(dumped, key=json.dumps)
    if isinstance(value, BaseModel) and isinstance(dumped, dict):
        return {key: _in_order(getattr(value, key, None), item) for key, item in dumped.items()}
    if isinstance(value, list | tuple) and isinstance(dumped, list) and len(value) == len(dumped):
        return [_in_order(*pair) for pair in zip(value, dumped, strict=True)]
    if isinstance(value, dict) and isinstance(dumped, dict) and len(value) == len(dumped):
        pairs = zip(value.values(), dumped.items(), strict=True)
        return {key: _in_order(item, written) for item, (key, written) in pairs}
    return dumped


def _same(one: object, two: object) -> bool:
    """Whether two values are equal; of a type that cannot say, whether they are of the same one."""
    if type(one).__eq__ is object.__eq__:
        return type(one) is type(two)
    return bool(one == two)
