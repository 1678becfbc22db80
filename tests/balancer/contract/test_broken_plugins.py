"""Plugins of a third party that are broken: named in one line, before the run has a directory, or at the knob."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.environments import BROKEN, TRAIN, Environment, Result

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
