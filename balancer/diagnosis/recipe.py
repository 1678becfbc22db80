"""What a recipe says of the logs of the codes that it is for: its table `[log]`, which training does not read."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationError

from balancer.contract.make import first_error
from balancer.contract.registry import find_config
from balancer.contract.settings import Settings
from balancer.errors import ConfigError


class LogUnits(Settings):
    """The units in which these codes print their losses; see `balancer.diagnose`."""

    family: str | None = Field(None, description="the training code, one of balancer diagnose --families")
    adversarial: str | None = Field(None, description="their adversarial loss")
    d_loss: Literal["mean", "sum"] | None = Field(None, description="what d_loss is of its real and its fake half")
    discriminators: int | None = Field(None, ge=1, description="how many discriminators d_loss adds up")
    weights: dict[str, float] = Field({}, description="what terms of G's loss weigh; 1 where they are printed weighted")


def log_units(recipe: str) -> LogUnits:
    """What a recipe, or a config file, says of logs.

    Raises:
        ConfigError: no such recipe, or one that says nothing of logs, or not in this form.
    """
    from balancer.record.run_config import check_shape, read_toml

    tables = read_toml(find_config(recipe))
    check_shape(tables)
    if "log" not in tables:
        raise ConfigError(f"recipe {recipe} says nothing of logs: it has no table [log]")
    try:
        return LogUnits.model_validate(tables["log"])
    except ValidationError as error:
        raise ConfigError(first_error(error, "log", LogUnits)) from None
