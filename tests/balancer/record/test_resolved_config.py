"""A resolved config: what recipes resolve to, that it can be given back, and how it differs from another."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.run_configs import config

from balancer.contract.registry import find_config, recipes
from balancer.errors import ConfigError
from balancer.record.config_changes import differences, refuse_changes
from balancer.record.run_config import flat, make_config, read_toml

# The recipes of design.md, "A run".

RECIPES: dict[str, tuple[float | None, dict[str, dict[str, Any]]]] = {
    "document": (0.3, {"d_lr_ratio": {"ratio": 0.25}}),
    "document_dynamic": (
        None,
        {
            "d_lr_ratio": {"ratio": 0.25},
            "dynamic_lambda": {"preset": "four_bands", "initial": 0.25, "ceiling": 0.6, "signal": "d_adv"},
        },
    ),
    "document_weak_d": (
        None,
        {"d_lr_ratio": {"ratio": 0.25}, "d_skip": {"every": 2}, "label_smoothing": {"real": 0.9, "fake": 0.1}},
    ),
    "document_resume": (0.2, {}),
    "vqgan": (0.8, {"adversarial_start": {"step": 10000}}),
    "vocoder": (1.0, {"adversarial_start": {"step": 100000}}),
    "esrgan": (0.005, {"adversarial_start": {"step": 1000000}}),
}


def test_the_shipped_recipes_are_those_of_the_design() -> None:
    assert set(recipes()) == set(RECIPES)


@pytest.mark.parametrize("model", ["zi2zi", "points"])
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_resolves_to_what_the_design_says(name: str, model: str) -> None:
    lambda_adv, plugins = RECIPES[name]
    made = make_config(read_toml(find_config(name)), {}, model=model)
    if lambda_adv is not None:
        assert made.train.lambda_adv == lambda_adv
    resolved = made.resolved()
    assert resolved["run"]["plugins"] == sorted(plugins)
    for plugin, values in plugins.items():
        assert values.items() <= resolved[plugin].items()
    assert made.composition.warnings == ()


def test_a_config_is_a_path_or_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[train]\nseed = 3\n")
    assert find_config(str(path)) == path
    assert find_config("document").name == "document.toml"
    with pytest.raises(ConfigError, match=r"config nowhere\.toml: no such file"):
        find_config("nowhere.toml")
    with pytest.raises(ConfigError, match=r"'documnt' is neither a file nor a recipe: did you mean document\?"):
        find_config("documnt")


# Giving a resolved config back.

ITEMS = st.fixed_dictionaries(
    {},
    optional={
        "train.lambda_adv": st.floats(0, 10),
        "train.lr_d": st.floats(1e-6, 1e-2),
        "train.threads": st.integers(1, 4),
        "train.steps": st.integers(1, 10**6),
        "model.width": st.integers(1, 64),
        "dynamic_lambda.bands": st.just([[0.05, 0.1], [0.2, 0.3]]),
        "dynamic_lambda.half_life": st.floats(0, 100),
        "dynamic_lambda.warmup_steps": st.integers(0, 100),
        "d_skip.accuracy_above": st.floats(0, 1),
        "lambda_schedule.steps": st.just([[0, 0.1], [2, 0.7]]),
        "label_smoothing.sides": st.just("real"),
        "freeze_head.clock": st.sampled_from(["epoch", "step", "d_update"]),
    },
)


@settings(max_examples=50)
@given(items=ITEMS)
def test_a_resolved_config_given_back_resolves_to_itself(items: dict[str, Any]) -> None:
    overrides: dict[str, dict[str, Any]] = {}
    for key, value in items.items():
        table, _, name = key.partition(".")
        overrides.setdefault(table, {})[name] = value
    plugins = sorted({table for table in overrides if table not in ("train", "model")})
    first = make_config({}, overrides, plugins=plugins, model="points")
    again = make_config(tomllib.loads(first.toml().decode()), {})
    assert again.resolved() == first.resolved()
    assert again.toml() == first.toml()
    assert differences(first.resolved(), tomllib.loads(again.toml().decode())) == {}
    for key, value in items.items():
        table, _, name = key.partition(".")
        assert first.resolved()[table][name] == value


def test_recorded_sizes_are_allowed_and_set_nothing() -> None:
    made = config("train.lr=1e-3")
    recorded = tomllib.loads(made.toml({"generator_parameters": 7, "training_items": 3}).decode())
    assert recorded["run"]["sizes"] == {"generator_parameters": 7, "training_items": 3}
    again = make_config(recorded, {})
    assert again.toml() == made.toml()
    assert "sizes" not in again.resolved()["run"]
    assert differences(recorded, again.resolved()) == {}
    refuse_changes(recorded, again.resolved(), [])
    with pytest.raises(ConfigError, match="no such setting"):
        refuse_changes(recorded, again.resolved(), ["run.sizes"])


def test_a_resolved_config_names_every_default_and_every_version() -> None:
    resolved = config(plugins="label_smoothing,d_skip").resolved()
    assert resolved["run"]["plugins"] == ["d_skip", "label_smoothing"]
    assert resolved["run"]["model"] == "points"
    assert resolved["label_smoothing"] == {"real": 0.9, "fake": 0.1, "sides": "both"}
    versions = resolved["run"]["versions"]
    assert versions["d_skip"] == versions["points"] == "balancer 0.1.0"
    assert {"python", "torch", "balancer"} <= set(versions)
    assert flat(resolved)["label_smoothing.real"] == 0.9
    assert not any("versions" in key for key in flat(resolved))


# Going on with other settings.


def changed(*items: str, plugins: str = "d_skip,dynamic_lambda") -> dict[str, Any]:
    return config(*items, plugins=plugins).resolved()


OLD = changed()


def test_differences_are_listed_field_by_field() -> None:
    new = changed("train.lr=1e-3", "d_skip.every=3", "d_skip.accuracy_above=0.8", "model.width=8")
    assert differences(OLD, new) == {
        "train.lr": (2e-4, 1e-3),
        "model.width": (32, 8),
        "d_skip.every": (None, 3),
        "d_skip.accuracy_above": (None, 0.8),
    }
    assert differences(new, OLD)["d_skip.accuracy_above"] == (0.8, None)


def test_length_and_versions_do_not_count() -> None:
    new = changed("train.steps=900", "train.epochs=7")
    new["run"]["versions"] = {**new["run"]["versions"], "torch": "9.9"}
    assert differences(OLD, new) == {}
    refuse_changes(OLD, new, [])


def test_a_plugin_that_goes_takes_its_settings_with_it() -> None:
    new = changed(plugins="d_skip")
    assert differences(OLD, new) == {"run.plugins": (["d_skip", "dynamic_lambda"], ["d_skip"])}
    refuse_changes(OLD, new, ["run.plugins"])


def test_changes_are_refused_with_each_field_and_the_flag_that_allows_it() -> None:
    new = changed("train.lr=1e-3", "d_skip.accuracy_above=0.8", plugins="d_skip")
    with pytest.raises(ConfigError) as caught:
        refuse_changes(OLD, new, ["train.lr"])
    message = str(caught.value)
    assert "run.plugins: ['d_skip', 'dynamic_lambda'] -> ['d_skip']" in message
    assert "d_skip.accuracy_above: (default) -> 0.8" in message
    assert message.endswith("add --allow-change run.plugins --allow-change d_skip.accuracy_above")
    assert "train.lr" not in message
    assert "\n" not in message
    refuse_changes(OLD, new, ["train.lr", "d_skip", "run.plugins"])


def test_a_name_allows_itself_and_its_table_not_what_begins_alike() -> None:
    new = changed("train.lr_decay=0.9")
    with pytest.raises(ConfigError, match=r"train\.lr_decay: 1\.0 -> 0\.9"):
        refuse_changes(OLD, new, ["train.lr"])
    refuse_changes(OLD, new, ["train"])


def test_allowing_what_does_not_exist_is_a_mistake_and_what_did_not_change_is_none() -> None:
    new = changed("model.width=8")
    refuse_changes(OLD, new, ["model.width", "train.lr"])
    with pytest.raises(ConfigError, match=r"--allow-change train\.lrr: no such setting: did you mean train\.lr"):
        refuse_changes(OLD, new, ["model.width", "train.lrr"])
