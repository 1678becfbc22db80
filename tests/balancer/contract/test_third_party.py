"""A third party's plugin is a class, an entry point and a card: wheels of ours and theirs, in a fresh environment."""

from __future__ import annotations

import json
import sysconfig
import zipfile
from pathlib import Path

import pytest
from support.built_in import BUILT_IN
from support.environments import BROKEN, ROOT, TRAIN, Environment, Result, outer_packages, sources

# The wheel.


def test_our_wheel_holds_the_packages_and_their_data_and_nothing_else(wheels: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheels["balancer"]) as wheel:
        names = set(wheel.namelist())
    roots = {name.partition("/")[0] for name in names}
    assert {root for root in roots if not root.endswith(".dist-info")} == {
        "balancer",
        "balancer_plugins",
        "zi2zi_model",
    }
    # What lies beside the source lies in the wheel.
    folders = {"balancer": "balancer", "plugins": "balancer_plugins", "zi2zi_model": "zi2zi_model"}
    for folder, package in folders.items():
        expected = {
            f"{package}/{path.relative_to(ROOT / folder)}"
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert {name for name in names if name.startswith(f"{package}/")} == expected
    assert {f"{package}/py.typed" for package in folders.values()} <= names
    assert {f"balancer_plugins/cards/{name}.md" for name in BUILT_IN} <= names
    assert "balancer_plugins/recipes/document.toml" in names
    assert "zi2zi_model/fonts/source.ttf" in names


def test_what_runs_there_is_the_wheel(fresh: Environment) -> None:
    program = (
        "import sys, torch, pluggy, balancer.cli.main, balancer_plugins, zi2zi_model, balancer_notch\n"
        "for module in (balancer, balancer_plugins, zi2zi_model, balancer_notch): print(module.__file__)\n"
    )
    done = fresh.run(program)
    assert done.status == 0, done.err
    assert all(Path(line).is_relative_to(fresh.packages) for line in done.out.splitlines())
    assert len(done.out.splitlines()) == 4


# List, show, check.


def test_list_names_them_all_and_imports_none(fresh: Environment) -> None:
    done = fresh.balancer("plugins", "list", "--json", environment={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.status == 0, done.err
    rows = json.loads(done.out)["plugins"]
    assert sorted((row["name"], row["distribution"]) for row in rows) == sorted(
        [
            *((name, "balancer") for name in BUILT_IN),
            ("notch", "balancer-notch"),
            *((name, "balancer-broken") for name in BROKEN),
        ]
    )
    assert {row["version"] for row in rows if row["name"] == "notch"} == {"1.2.0"}
    imported = {line.rpartition("|")[2].strip() for line in done.err.splitlines()}
    assert "balancer.contract.registry" in imported
    strange = ("torch", "balancer_notch", "balancer_broken", "balancer_plugins.")
    assert [name for name in imported if name.startswith(strange)] == []


def test_show_prints_card_settings_and_what_it_turns(fresh: Environment) -> None:
    done = fresh.balancer("plugins", "show", "notch")
    assert done.status == 0, done.err
    assert "notch, from balancer-notch 1.2.0 (balancer_notch:Notch)" in done.out
    assert "reads:  d_acc" in done.out
    assert "writes: lambda_adv (max)" in done.out
    assert "notch.patience = 5  [int]\n      measurements in a row before the next notch" in done.out
    assert "Holds lambda_adv down while D stays too accurate" in done.out


def test_show_takes_a_plugin_that_cannot_be_made_without_a_setting(fresh: Environment) -> None:
    done = fresh.balancer("plugins", "show", "required_setting")
    assert done.status == 0, done.err
    assert "writes: lambda_adv (set)" in done.out
    assert "required_setting.target" in done.out
    assert "It ships no card." in done.out


def test_check_composes_it_with_built_ins(fresh: Environment) -> None:
    done = fresh.balancer(
        "plugins",
        "check",
        "notch,dynamic_lambda,d_lr_ratio",
        "--model",
        "points",
        "--set",
        "notch.factor=0.5",
        "--json",
    )
    assert done.status == 0, done.err
    described = json.loads(done.out)
    assert described["order"] == ["d_lr_ratio", "dynamic_lambda", "notch"]
    assert described["sources"]["notch"] == "balancer-notch 1.2.0"
    assert described["knobs"]["lambda_adv"]["writers"] == [
        {"plugin": "dynamic_lambda", "how": "set"},
        {"plugin": "notch", "how": "max"},
    ]


def test_a_misspelt_setting_names_the_plugin_and_its_distribution(fresh: Environment) -> None:
    done = fresh.balancer("plugins", "check", "notch", "--model", "points", "--set", "notch.pateince=3")
    assert done == Result(
        2,
        "",
        "balancer: notch.pateince: no such setting: did you mean patience? (plugin notch of balancer-notch 1.2.0)\n",
    )


# Train.


@pytest.fixture(scope="session")
def trained(fresh: Environment) -> Path:
    """A run with the good plugin and two built-ins, while all the broken ones are installed."""
    out = fresh.folder / "good"
    settings = (
        "--set",
        "notch.accuracy_above=0.3",
        "--set",
        "notch.patience=2",
        "--set",
        "dynamic_lambda.warmup_steps=4",
    )
    done = fresh.balancer(
        *TRAIN, "--plugins", "notch,dynamic_lambda,d_lr_ratio", *settings, "--steps", 12, "--out", out
    )
    assert done.status == 0, done.err
    assert "done: 12 steps" in done.out
    return out


def test_it_trains_beside_built_ins_and_leaves_its_trace(trained: Path) -> None:
    from balancer.record.checkpoint import load_latest
    from balancer.record.run_config import read_toml
    from balancer.record.signals import read_signals

    config = read_toml(trained / "config.toml")
    assert config["run"]["plugins"] == ["d_lr_ratio", "dynamic_lambda", "notch"]
    assert config["run"]["versions"]["notch"] == "balancer-notch 1.2.0"
    assert config["notch"]["patience"] == 2

    columns = read_signals(trained)
    depth = columns["notch_depth"]
    assert len(depth) == 12
    assert depth[0] == 0
    assert depth.max() >= 2
    bound = [1.0 * 0.8**notch if notch else float("inf") for notch in depth]
    assert all(weight <= limit for weight, limit in zip(columns["lambda_adv"], bound, strict=True))
    made = [json.loads(line) for line in (trained / "decisions.jsonl").read_text(encoding="utf-8").splitlines()]
    mine = [row for row in made if row["plugin"] == "notch"]
    assert mine[0]["signals"].keys() == {"d_acc"}
    assert (mine[0]["knob"], mine[0]["op"], mine[0]["new"]) == ("lambda_adv", "max", 0.8)
    state = load_latest(trained / "checkpoints").state["balance"]["plugins"]["notch"]["state"]
    assert state["notch"] == depth[-1]


# An editable install.


def test_an_editable_install_imports_the_alias_and_finds_its_cards(tmp_path: Path) -> None:
    project = sources(tmp_path / "project")
    tools = tmp_path / "tools"  # the build backend alone: pip must not see another balancer
    tools.mkdir()
    outer = Path(sysconfig.get_path("purelib"))
    for found in [*outer.glob("setuptools*"), outer / "_distutils_hack"]:
        (tools / found.name).symlink_to(found)
    editable = Environment(tmp_path / "venv")
    editable.install("--no-build-isolation", "--editable", project, path=tools)
    editable.see(*outer_packages())
    program = (
        "import json, balancer, balancer_plugins.d_skip\n"
        "from balancer.contract.registry import PLUGINS, card_beside, entries, find, recipes\n"
        "cards = {entry.name: bool(card_beside(entry.path(), entry.name)) for entry in entries(PLUGINS)}\n"
        "print(json.dumps([balancer.__file__, balancer_plugins.d_skip.__file__, cards, sorted(recipes())]))\n"
    )
    done = editable.run(program)
    assert done.status == 0, done.err
    ours, skip, cards, recipes = json.loads(done.out)
    assert Path(ours) == project / "balancer" / "__init__.py"
    assert Path(skip) == project / "plugins" / "d_skip.py"
    assert cards == dict.fromkeys(BUILT_IN, True)
    assert "document_dynamic" in recipes
    assert editable.balancer("--version").out == "0.1.0\n"
