"""The config of a run: what is read, what is refused and in which words, and where values come from."""

from pathlib import Path
from typing import Any

import pytest
from support.run_configs import config

from balancer.errors import BalancerError, ConfigError, PluginError
from balancer.record.run_config import make_config, parse_set, read_toml


def refused(*items: str, **options: Any) -> str:
    with pytest.raises(BalancerError) as caught:
        config(*items, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# --set.


@pytest.mark.parametrize(
    ("item", "value"),
    [
        ("t.k=0.3", 0.3),
        ("t.k=2", 2),
        ("t.k=1e-4", 1e-4),
        ("t.k=true", True),
        ("t.k=[[0.1, 0.2], [0.3, 0.4]]", [[0.1, 0.2], [0.3, 0.4]]),
        ('t.k="3"', "3"),
        ("t.k=cpu", "cpu"),
        ("t.k=fonts/A b.ttf", "fonts/A b.ttf"),
        ("t.k=B.ttf,C.ttf", "B.ttf,C.ttf"),
        ("t.k=a=b", "a=b"),
        ("t.k=", ""),
        (" t.k = 7", 7),
    ],
)
def test_a_value_is_toml_where_it_is_toml_and_text_otherwise(item: str, value: Any) -> None:
    parsed = parse_set([item])
    assert parsed == {"t": {"k": value}}
    assert type(parsed["t"]["k"]) is type(value)


def test_items_gather_in_tables_and_the_last_word_counts() -> None:
    assert parse_set(["train.lr=1e-3", "model.width=8", "train.seed=4", "train.lr=2e-3"]) == {
        "train": {"lr": 2e-3, "seed": 4},
        "model": {"width": 8},
    }


@pytest.mark.parametrize("item", ["train.lr", "lr=3", "=3", ".lr=3", "train.=3", ""])
def test_an_item_of_another_form_is_refused_with_an_example(item: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_set([item])
    assert f"--set {item!r}: expected NAME.KEY=VALUE, such as train.lambda_adv=0.3" in str(caught.value)


def test_nothing_of_a_value_is_dropped() -> None:
    assert parse_set(["model.note=1\nx=2"]) == {"model": {"note": "1\nx=2"}}


# Unknown and mistyped settings.


def test_an_unknown_setting_of_a_plugin_names_the_nearest_one_plugin_and_distribution() -> None:
    assert refused("dynamic_lambda.inital=0.2", plugins="dynamic_lambda") == (
        "dynamic_lambda.inital: no such setting: did you mean initial? (plugin dynamic_lambda of balancer 0.1.0)"
    )


def test_an_unknown_setting_of_loop_or_model_names_the_nearest_one() -> None:
    assert refused("train.lamda_adv=0.2") == "train.lamda_adv: no such setting: did you mean lambda_adv?"
    assert refused("model.widht=8") == "model.widht: no such setting: did you mean width?"
    assert refused("train.zzz=8").startswith("train.zzz: no such setting: known are batch_size, beta1")


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("dynamic_lambda.initial=nan", "dynamic_lambda.initial: input should be a finite number, got nan"),
        ("dynamic_lambda.ceiling=inf", "dynamic_lambda.ceiling: input should be a finite number, got inf"),
        ("dynamic_lambda.initial=-0.1", "dynamic_lambda.initial: input should be greater than or equal to 0, got -0.1"),
        ("dynamic_lambda.initial=high", "dynamic_lambda.initial: input should be a valid number"),
        ("dynamic_lambda.bands=[[0.1, nan]]", "dynamic_lambda.bands.0.1: input should be a finite number"),
        ("dynamic_lambda.bands=[[0.2, 0.1], [0.1, 0.2]]", "thresholds must be positive and rise"),
        ("dynamic_lambda.bands=[[0.0, 0.1]]", "thresholds must be positive and rise"),
        ("dynamic_lambda.bands=[]", "thresholds must be positive and rise"),
        ("dynamic_lambda.bands=[[0.1, -0.1]]", "lambda_adv of a band must not be negative"),
        ("dynamic_lambda.above=0.5", "dynamic_lambda: above does nothing without bands"),
        ("dynamic_lambda.preset=five_bands", "dynamic_lambda.preset: input should be 'four_bands' or 'three_bands'"),
        ("dynamic_lambda.hysteresis=1.0", "dynamic_lambda.hysteresis: input should be less than 1"),
        ("d_skip.every=0", "d_skip.every: input should be greater than or equal to 1, got 0"),
        ("d_skip.every=1.5", "d_skip.every: input should be a valid integer"),
        ("d_skip.accuracy_above=1.5", "d_skip.accuracy_above: input should be less than or equal to 1"),
        ("d_lr_ratio.ratio=0", "d_lr_ratio.ratio: input should be greater than 0"),
        ("label_smoothing.real=0.4", "label_smoothing.real: input should be greater than 0.5"),
        ("lambda_schedule.steps=[[1, 0.1]]", "lambda_schedule.steps: epochs must start at 0 and rise"),
        ("lambda_schedule.steps=[[0, 0.1], [0, 0.2]]", "lambda_schedule.steps: epochs must start at 0 and rise"),
        ("lambda_schedule.steps=[[0, -1.0]]", "lambda_schedule.steps: lambda_adv must lie in [0, 10000]"),
        ("freeze_head.until=-1", "freeze_head.until: input should be greater than or equal to 0"),
    ],
)
def test_a_bad_value_names_key_reason_and_plugin(item: str, words: str) -> None:
    plugin = item.partition(".")[0]
    message = refused(item, plugins=plugin)
    assert words in message
    assert message.endswith(f"(plugin {plugin} of balancer 0.1.0)")


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("train.lambda_adv=nan", "train.lambda_adv: input should be a finite number, got nan"),
        ("train.lambda_adv=-1", "train.lambda_adv: input should be greater than or equal to 0, got -1"),
        ("train.batch_size=0", "train.batch_size: input should be greater than or equal to 1"),
        ("train.steps=2.5", "train.steps: input should be a valid integer"),
        ("train.device=tpu", "train.device: input should be 'auto', 'cpu' or 'cuda', got 'tpu'"),
        ("model.adversarial=wgan", "model.adversarial: there is no such loss (did you mean wasserstein?), got 'wgan'"),
    ],
)
def test_a_bad_value_of_loop_or_model_names_its_key(item: str, words: str) -> None:
    assert words in refused(item)


@pytest.mark.parametrize("item", ["train.batch_size=true", "train.lambda_adv=false"])
def test_a_truth_value_is_not_a_number(item: str) -> None:
    with pytest.raises(ConfigError, match=item.partition("=")[0]):
        config(item)


# Tables that belong to nobody.


def test_a_table_of_a_plugin_that_is_not_named_is_refused_on_the_command_line_with_what_to_do() -> None:
    assert refused("d_skip.every=3") == "--set d_skip.…: d_skip is not part of this run: add d_skip to --plugins"
    message = refused("d_skp.every=3", plugins="d_skip")
    assert message == "--set d_skp.…: d_skp is not part of this run: did you mean d_skip?"


def test_a_table_of_a_file_may_belong_to_a_plugin_left_out_but_not_to_nobody() -> None:
    left_out = config(tables={"run": {"plugins": ["d_skip"]}, "d_skip": {"every": 3}})
    assert left_out.resolved()["run"]["plugins"] == []
    assert "d_skip" not in left_out.resolved()
    assert refused(tables={"d_skp": {"every": 3}}) == "config: there is no plugin 'd_skp': did you mean d_skip?"
    assert refused(tables={"run": {"plugin": []}}) == "run.plugin: no such setting: did you mean plugins?"


def test_unknown_plugins_and_models_are_answered_with_the_nearest_ones() -> None:
    with pytest.raises(PluginError, match=r"unknown plugin 'dynamic_lamda': did you mean dynamic_lambda\?"):
        config(plugins="dynamic_lamda")
    with pytest.raises(PluginError, match=r"unknown model 'point': did you mean points\?"):
        config(model="point")


def test_set_cannot_say_what_flags_say_without_being_heard() -> None:
    with pytest.raises(ConfigError, match=r"run\.plugins"):
        config("run.plugins=[]", "run.model=zi2zi")


@pytest.mark.parametrize(
    "tables",
    [{"run": 3}, {"train": 3}, {"run": {"plugins": 3}}, {"run": {"plugins": [3]}}],
    ids=["run", "train", "plugins", "plugin"],
)
def test_a_table_that_is_none_is_refused_in_one_line(tables: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        make_config(tables, {}, model="points")


def test_a_file_that_is_not_toml_is_refused_with_its_name(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("[train\n")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    deep = tmp_path / "deep.toml"
    deep.write_text("a = " + "[" * 5000)
    for path in (broken, binary, deep, tmp_path):
        with pytest.raises(ConfigError) as caught:
            read_toml(path)
        assert str(path) in str(caught.value)


# Where values come from.


def test_set_goes_before_the_file_and_the_file_before_defaults() -> None:
    tables = {"train": {"lr": 3e-4, "seed": 5}, "run": {"plugins": ["d_skip"], "model": "points"}}
    made = make_config(tables, parse_set(["train.seed=6", "d_skip.every=4"]))
    assert (made.train.lr, made.train.seed, made.train.beta1) == (3e-4, 6, 0.5)
    assert made.resolved()["d_skip"] == {"every": 4}
    assert tables["train"] == {"lr": 3e-4, "seed": 5}, "what was given is left alone"


def test_a_model_may_suggest_settings_of_the_loop_which_anything_given_overrides() -> None:
    suggested = config(model="zi2zi")
    assert suggested.train.lr == suggested.family.train_defaults(suggested.model)["lr"] != config().train.lr
    assert config("train.lr=0.5", model="zi2zi").train.lr == 0.5


def test_where_no_model_is_named_the_one_besides_our_own_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert make_config({}, {}, plugins=[]).model_name == "zi2zi"
    another = tmp_path / "another-1.0.dist-info"
    another.mkdir()
    (another / "METADATA").write_text("Metadata-Version: 2.1\nName: another\nVersion: 1.0\n")
    (another / "entry_points.txt").write_text("[balancer.models]\nanother = another:Family\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"^which model\? name one with --model; installed are another, points"):
        make_config({}, {}, plugins=[])
    assert make_config({"run": {"model": "points"}}, {}, plugins=[]).model_name == "points"


def test_lambda_adv_of_the_run_is_the_base_of_the_knob() -> None:
    host = config("train.lambda_adv=0.3", "model.lambda_category=2.0").composition.host
    assert host.base == {"lambda_adv": 0.3, "lambda_category": 2.0}
