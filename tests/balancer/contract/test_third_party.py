"""A third party's plugin is a class, an entry point and a card: wheels of ours and theirs, in a fresh environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[3]
THIRD_PARTY = ROOT / "tests" / "third_party"
BUILT_IN = ("d_lr_ratio", "d_skip", "dynamic_lambda", "freeze_head", "label_smoothing", "lambda_schedule")
BROKEN = (
    "d_skip",
    "import_error",
    "nan_writer",
    "no_class",
    "other_name",
    "required_setting",
    "undeclared_operation",
    "undeclared_reader",
    "undeclared_writer",
    "unknown_knob",
    "unmarked_hook",
    "wrong_argument",
    "wrong_hook",
)
TRAIN = ("train", "--model", "points", "--device", "cpu", "--seed", "3", "--set", "train.threads=1", "--quiet")


class Result(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


class Environment:
    """A virtual environment which sees the packages of this one, but not its editable balancer."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))

    def install(self, *what: Path | str, path: Path | None = None) -> None:
        """pip, offline; this environment's own pip works on that interpreter."""
        command = [sys.executable, "-m", "pip", "--python", self.python, "install", "--no-index", "--no-deps"]
        environment = {} if path is None else {"PYTHONPATH": str(path)}
        done = execute([*command, "--disable-pip-version-check", *what], environment=environment)
        assert done.status == 0, done.err

    def see(self, *folders: str) -> None:
        """Add folders behind its own packages; `.pth` files in them, such as those of an editable install, stay idle.

        After the installs: pip would take what it sees there for its own.
        """
        (self.packages / "outer.pth").write_text("".join(f"{folder}\n" for folder in folders), encoding="utf-8")

    def balancer(self, *args: object, environment: Mapping[str, str] | None = None) -> Result:
        """The real command."""
        return execute([self.folder / "bin" / "balancer", *args], cwd=self.folder, environment=environment)

    def run(self, program: str, *args: object) -> Result:
        return execute([self.python, "-c", program, *args], cwd=self.folder)


def execute(
    command: Sequence[object], *, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> Result:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PIP_", "COV_"))}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**inherited, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def outer_packages() -> list[str]:
    return list(dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]))


def sources(folder: Path) -> Path:
    """What our distribution is built from, where a build may leave its traces."""
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".*", "runs", "tests")
    return Path(shutil.copytree(ROOT, folder, ignore=ignore))


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Wheels of balancer, balancer-notch and balancer-broken, by the first part of their file names."""
    work = tmp_path_factory.mktemp("wheels")
    built = work / "built"
    projects = [sources(work / "balancer")]
    projects += [Path(shutil.copytree(THIRD_PARTY / name, work / name)) for name in ("good", "broken")]
    for project in projects:
        done = execute([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", built, project])
        assert done.status == 0, done.err or done.out
    return {path.name.partition("-")[0]: path for path in built.glob("*.whl")}


@pytest.fixture(scope="session")
def fresh(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A fresh environment with the three wheels in it."""
    made = Environment(tmp_path_factory.mktemp("fresh") / "venv")
    made.install(*wheels.values())
    made.see(*outer_packages())
    return made


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


# The broken ones, named.

DRIVER = """
import json, sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

from balancer.cli.main import main

results = {}
for name, args in json.loads(sys.argv[1]).items():
    sys.argv, out, err, status = ["balancer", *args], StringIO(), StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
        except BaseException as error:
            status = f"{type(error).__name__}: {error}"
    results[name] = [status, out.getvalue(), err.getvalue()]
print(json.dumps(results))
"""


def in_one_process(fresh: Environment, commands: Mapping[str, Sequence[object]]) -> dict[str, Result]:
    """`balancer ARGS…` several times in one process of that environment, since torch takes long to import."""
    plain = {name: [str(word) for word in command] for name, command in commands.items()}
    done = fresh.run(DRIVER, json.dumps(plain))
    assert done.status == 0, done.err
    results: dict[str, list[Any]] = json.loads(done.out)
    return {name: Result(*result) for name, result in results.items()}


@pytest.fixture(scope="session")
def refused(fresh: Environment) -> dict[str, Result]:
    """`balancer train --plugins NAME` for each broken plugin but the NaN writer."""
    return in_one_process(
        fresh,
        {name: [*TRAIN, "--plugins", name, "--steps", 4, "--out", fresh.folder / f"broken_{name}"] for name in CAUSES},
    )


# What each is refused with; `{}` is the plugin with its distribution.
CAUSES = {
    "import_error": "cannot be imported from balancer_broken.import_error:ImportErrorPlugin: "
    "ModuleNotFoundError: No module named 'a_module_that_nobody_installed'",
    "no_class": "cannot be imported from balancer_broken.rogues:Missing: "
    "AttributeError: module 'balancer_broken.rogues' has no attribute 'Missing'",
    "other_name": "its class calls itself 'nan_writer'; entry point and class must agree",
    "wrong_hook": "there is no hook after_d_steps; did you mean after_d_step?",
    "unmarked_hook": "after_d_step is named like a hook but is not marked with @hookimpl",
    "wrong_argument": "after_d_step takes trainer, but the hook offers (ctx)",
    "unknown_knob": "turns lamda_adv: no such knob: did you mean lambda_adv?",
    "d_skip": "is brought by balancer 0.1.0 and balancer-broken 0.0.1: uninstall one of them",
    "required_setting": "required_setting.target: field required (plugin required_setting of balancer-broken 0.0.1)",
    "undeclared_operation": "used set on lambda_adv without declaring it: add it to writes = {'lambda_adv': (…)}",
    "undeclared_writer": "lambda_adv without declaring it: add it to writes",
    "undeclared_reader": "read d_adv without declaring it: add it to reads",
}


@pytest.mark.parametrize("name", CAUSES)
def test_a_broken_one_that_is_named_is_refused_in_one_line(refused: dict[str, Result], name: str) -> None:
    result = refused[name]
    assert result.status == 2, result
    assert result.out == ""
    assert len(result.err.splitlines()) == 1, result.err
    assert result.err.startswith("balancer: ")
    assert f"plugin {name}" in result.err
    assert "balancer-broken 0.0.1" in result.err
    assert CAUSES[name] in result.err


@pytest.mark.parametrize("name", [name for name in CAUSES if not name.startswith("undeclared")])
def test_what_is_refused_before_the_run_leaves_no_directory(
    refused: dict[str, Result], fresh: Environment, name: str
) -> None:
    assert refused[name].status == 2
    assert not (fresh.folder / f"broken_{name}").exists()


def test_every_broken_plugin_is_covered() -> None:
    assert {*CAUSES, "nan_writer"} == set(BROKEN)


def test_a_nan_is_stopped_at_the_knob_and_the_run_goes_on_without_its_writer(
    fresh: Environment, tmp_path: Path
) -> None:
    from balancer.record.checkpoint import load_latest
    from balancer.record.signals import read_signals

    out, plain = tmp_path / "nan", tmp_path / "plain"
    often = ("--set", "train.checkpoint_every=2", "--steps", 8)
    stopped = fresh.balancer(*TRAIN, "--plugins", "nan_writer", *often, "--out", out)
    assert stopped.status == 2
    assert len(stopped.err.splitlines()) == 1, stopped.err
    assert "plugin nan_writer" in stopped.err
    assert "wrote nan to lambda_adv (mul): the value must be finite" in stopped.err
    assert "step 5" in stopped.err
    assert stopped.out == ""
    assert load_latest(out / "checkpoints").step == 4
    columns = read_signals(out)
    assert len(columns["step"]) == 5
    assert all((values == values).all() for values in columns.values())
    assert "NaN" not in (out / "decisions.jsonl").read_text(encoding="utf-8")

    # Its factor was 1 until then: the checkpoint that is left is that of a run without it, and goes on as one.
    change = ("--plugins", "", "--allow-change", "run.plugins")
    results = in_one_process(
        fresh,
        {
            "plain": [*TRAIN, "--plugins", "", *often, "--out", plain],
            "resumed": ["train", "--resume", out, *change, "--steps", 8, "--quiet"],
        },
    )
    assert [result.status for result in results.values()] == [0, 0], results
    assert load_latest(out / "checkpoints").step == 8
    states = [load_latest(path / "checkpoints").state for path in (out, plain)]
    for network in ("generator", "discriminator"):
        one, two = (state[network] for state in states)
        assert all(one[name].equal(two[name]) for name in two)


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
        "from balancer.contract.registry import PLUGINS, card, entries, find, recipes\n"
        "cards = {entry.name: bool(card(entry)) for entry in entries(PLUGINS)}\n"
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
