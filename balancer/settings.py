"""The base of every settings model: frozen, no unknown keys, no NaN or infinity."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Base of `train.*`, of a model's settings and of every plugin's config."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
