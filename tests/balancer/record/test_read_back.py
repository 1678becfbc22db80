"""A run's own config.toml reads back to the config that it was written from, or the run does not begin."""

from __future__ import annotations

import datetime
import tomllib
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, computed_field, field_serializer, field_validator

from balancer import Plugin, PluginConfig
from balancer.contract.make import made_plugin
from balancer.errors import PluginError
from balancer.record.settings_tables import as_table, require_read_back


class Mode(Enum):
    SOFT = "soft"
    HARD = "hard"


class Row(BaseModel):
    first: int
    value: float


class Whole(PluginConfig):
    """What TOML has no type for, and what reads back all the same."""

    path: Path = Path("a/b")
    mode: Mode = Mode.SOFT
    rows: tuple[Row, ...] = (Row(first=1, value=0.5),)
    pair: tuple[int, str] = (1, "x")
    none: int | None = None
    day: datetime.date = datetime.date(2020, 1, 2)
    moment: datetime.datetime = datetime.datetime(2020, 1, 2, 3, 4)
    span: datetime.timedelta = datetime.timedelta(hours=1)
    names: frozenset[str] = frozenset(["c", "a", "b"])
    by_name: dict[str, set[int]] = Field(default_factory=lambda: {"x": {3, 1, 2}})
    text: str = 'two\nlines "quoted" \x07'

    @computed_field  # type: ignore[prop-decorator]
    @property
    def twice(self) -> int:
        return 2


class Aliased(PluginConfig):
    x: int = Field(1, alias="y")


class Growing(PluginConfig):
    x: int = 1

    @field_validator("x")
    @classmethod
    def grows(cls, value: int) -> int:
        return value + 1


class Loose(PluginConfig):
    x: Any = (1, 2)


class Emptied(PluginConfig):
    x: int | None = 5


class Holed(PluginConfig):
    x: list[int | None] = [1, None]


class Surrogate(PluginConfig):
    x: str = "\ud800"


class Opaque(PluginConfig):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    x: Any = Field(default_factory=object)


class Rewritten(PluginConfig):
    x: int = 3

    @field_serializer("x")
    def written(self, value: int) -> str:
        return f"{value} steps"


class Unwritable(PluginConfig):
    x: int = 3

    @field_serializer("x")
    def written(self, value: int) -> str:
        raise SystemExit(0)


class Unsure(PluginConfig):
    """Refuses what it accepted before."""

    x: str = "a"

    @field_validator("x")
    @classmethod
    def marked(cls, value: str) -> str:
        if value.endswith("!"):
            raise ValueError("no mark, please")
        return f"{value}!"


def read_back(config: type[PluginConfig], values: dict[str, Any] | None = None) -> dict[str, Any]:
    cls = type("Mine", (Plugin,), {"name": "mine", "Config": config})
    plugin = made_plugin(cls, values or {}, "acme 1.0")
    table = as_table(plugin.config, "plugin mine of acme 1.0", "mine")
    require_read_back(plugin.config, table, "plugin mine of acme 1.0", "mine")
    return table


def test_types_that_toml_lacks_read_back() -> None:
    table = read_back(Whole)
    assert table["path"] == "a/b"
    assert table["mode"] == "soft"
    assert "twice" not in table
    assert "none" not in table


def test_sets_are_written_in_an_order_that_does_not_depend_on_the_process() -> None:
    table = read_back(Whole)
    assert table["names"] == ["a", "b", "c"]
    assert table["by_name"] == {"x": [1, 2, 3]}


REFUSES = " refuses its own settings when they are read back, so that a run could not be resumed:"


@pytest.mark.parametrize(
    ("config", "values", "said"),
    [
        (Aliased, {}, f"{REFUSES} mine.x: no such setting: "),
        (Growing, {"x": 1}, ": mine.x = 2 reads back as 3, so that a run could not be resumed"),
        (Loose, {}, ": mine.x = (1, 2) reads back as [1, 2], so that"),
        (Emptied, {"x": None}, ": mine.x = None reads back as 5, so that"),
        (Holed, {}, ": mine.x is [1, None], which TOML cannot hold: "),
        (Surrogate, {}, ": mine.x"),
        (Opaque, {}, ": mine.x cannot be written down: PydanticSerializationError: "),
        (Rewritten, {}, f"{REFUSES} mine.x: input should be a valid integer"),
        (Unwritable, {}, ": mine.x cannot be written down: "),
        (Unsure, {}, f"{REFUSES} mine.x: no mark, please, got 'a!'"),
    ],
)
def test_what_does_not_read_back_is_refused_with_plugin_and_key(
    config: type[PluginConfig], values: dict[str, Any], said: str
) -> None:
    with pytest.raises(PluginError) as caught:
        read_back(config, values)
    line = str(caught.value)
    assert line.startswith(f"plugin mine of acme 1.0{said}")
    assert "\n" not in line


def test_a_model_is_held_to_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from balancer.record.run_config import make_config
    from balancer.train.points import PointsFamily, PointsSettings

    class Settings(PointsSettings):
        @field_validator("width")
        @classmethod
        def grows(cls, value: int) -> int:
            return value + 1

    monkeypatch.setattr(PointsFamily, "Settings", Settings)
    with pytest.raises(PluginError, match=r"model points: model\.width = 33 reads back as 34"):
        make_config({}, {"model": {"width": 32}}, plugins=[], model="points")


def test_the_config_of_a_run_reads_back_to_itself() -> None:
    from balancer.record.run_config import make_config

    made = make_config({}, {"model": {"points": 64}}, plugins=["dynamic_lambda", "d_skip"], model="points")
    assert make_config(tomllib.loads(made.toml().decode()), {}).toml() == made.toml()
