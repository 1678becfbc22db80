"""Somebody else's training script: what a few lines of Balancer give it, and that without them its bits are its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from balancer import Balancer, Plugin, RunInfo, hookimpl
from balancer.record.signals import read_signals

SCRIPT = Path(__file__).parents[2] / "support" / "foreign_script.py"
PLUGINS = "dynamic_lambda,d_lr_ratio,d_skip"
SETTINGS = {"dynamic_lambda": {"warmup_steps": 4, "half_life": 2.0}}


def script(*, with_balancer: bool) -> dict[str, Any]:
    """The script's names, with the marked lines or without them."""
    source = SCRIPT.read_text(encoding="utf-8")
    if not with_balancer:
        source = "".join(line for line in source.splitlines(keepends=True) if "# balancer" not in line)
    names: dict[str, Any] = {"__name__": "script"}
    exec(compile(source, "script without balancer" if not with_balancer else str(SCRIPT), "exec"), names)
    return names


def run(*argv: object, with_balancer: bool = True, settings: dict[str, Any] | None = None) -> dict[str, Any]:
    names = script(with_balancer=with_balancer)
    args = names["arguments"]([str(word) for word in argv])
    args.settings = settings or {}
    result: dict[str, Any] = names["train"](args)
    return result


def same(one: list[Tensor], two: list[Tensor]) -> bool:
    return len(one) == len(two) and all(map(torch.equal, one, two))


def decisions(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "decisions.jsonl").read_text(encoding="utf-8").splitlines()]


def drawn(folder: Path) -> dict[str, list[int]]:
    """The steps that TensorBoard shows, by tag, over all event files of a run."""
    seen: dict[str, list[int]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        events = EventAccumulator(str(path), size_guidance={"scalars": 0}).Reload()
        for tag in events.Tags()["scalars"]:
            seen.setdefault(tag, []).extend(point.step for point in events.Scalars(tag))
    return seen


@pytest.fixture(scope="module")
def own() -> dict[str, Any]:
    return run(with_balancer=False)


@pytest.fixture(scope="module")
def balanced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("foreign") / "logs"
    return folder, run("--plugins", PLUGINS, "--log-dir", folder, settings=SETTINGS)


# Without the lines.


def test_the_lines_are_few_and_the_script_without_them_does_not_know_balancer(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = SCRIPT.read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if "# balancer" in line]) <= 20
    monkeypatch.setitem(sys.modules, "balancer", None)  # any import of it now fails
    with pytest.raises(ImportError):
        script(with_balancer=True)
    run("--steps", 1, with_balancer=False)


def test_without_plugins_the_bits_are_the_script_s_own(own: dict[str, Any], tmp_path: Path) -> None:
    watched = run("--log-dir", tmp_path / "logs")
    assert same(own["weights"], watched["weights"])
    assert not (tmp_path / "logs" / "decisions.jsonl").exists()
    assert len(read_signals(tmp_path / "logs")["d_adv"]) == 20


def test_plugins_do_change_something(own: dict[str, Any], balanced: tuple[Path, dict[str, Any]]) -> None:
    assert not same(own["weights"], balanced[1]["weights"])


# With them.


def test_logs_hold_every_step(balanced: tuple[Path, dict[str, Any]]) -> None:
    folder, result = balanced
    columns = read_signals(folder)
    assert columns["step"].tolist() == list(range(20))
    assert columns["epoch"].tolist() == [step // 6 for step in range(20)]
    assert columns["lambda_adv"].tolist() == [row["adv_weight"] for row in result["history"]]
    assert columns["d_update"].tolist() == [row["d_due"] for row in result["history"]]
    assert {"d_adv", "d_acc", "loss_adv", "loss_l1", "lr_d", "lr_g"} <= set(columns)
    weighted = columns["lambda_adv"] * columns["loss_adv"]
    assert columns["adv_effective"].tolist() == weighted.tolist()
    share = weighted / (weighted + 10 * columns["loss_l1"])
    assert columns["adv_share"].tolist() == pytest.approx(share.tolist())
    tags = drawn(folder)
    assert tags["knob/lambda_adv"] == tags["signal/d_adv"] == tags["loss/l1"] == tags["lr/d"] == [0, 10]


def test_the_weight_in_use_follows_the_decisions(balanced: tuple[Path, dict[str, Any]]) -> None:
    folder, result = balanced
    made = [row for row in decisions(folder) if row["knob"] == "lambda_adv"]
    assert {row["plugin"] for row in made} == {"dynamic_lambda"}
    assert made[0]["moment"] == "on_run_start"
    assert made[0]["new"] == 0.25
    assert len(made) >= 2
    weight, expected = 1.0, []
    for step in range(20):
        for row in made:
            if row["step"] == step:
                assert row["old"] == (None if row is made[0] else weight)
                weight = row["effective"]
                if row is not made[0]:
                    assert row["signals"]["d_adv"] == read_signals(folder)["d_adv"][step]
        expected.append(weight)
    assert [row["adv_weight"] for row in result["history"]] == expected


def test_d_is_updated_on_every_second_step_only(balanced: tuple[Path, dict[str, Any]]) -> None:
    assert [row["d_due"] for row in balanced[1]["history"]] == [step % 2 == 0 for step in range(20)]


def test_the_rate_is_changed_inside_the_optimizer_s_step_only(monkeypatch: pytest.MonkeyPatch) -> None:
    inside: list[float] = []
    module = import_module("torch.optim.adam")
    arithmetic = module.adam

    def spy(*args: Any, lr: float, **kwargs: Any) -> None:
        inside.append(lr)
        arithmetic(*args, lr=lr, **kwargs)

    monkeypatch.setattr(module, "adam", spy)
    result = run("--plugins", "d_lr_ratio")
    of_d, of_g = inside[0::2], inside[1::2]
    assert of_g == pytest.approx([1e-3 * 0.9 ** (step // 6) for step in range(20)])
    # A quarter of what G's schedule says, whatever D's own base.
    assert of_d == [0.25 * lr for lr in of_g]
    # ExponentialLR multiplies the rate it finds: it found its own, never the quarter.
    g, d = result["scheds"]
    assert g.get_last_lr() == pytest.approx([1e-3 * 0.9**3])
    assert d.get_last_lr() == pytest.approx([2e-3 * 0.9**3])
    assert d.optimizer.param_groups[0]["lr"] == d.get_last_lr()[0]


class HalfRate(Plugin):
    """Halves G's rate."""

    name = "half_rate"
    writes = {"lr_g": ("mul",)}

    @hookimpl
    def on_run_start(self, run: RunInfo) -> None:
        self.knobs["lr_g"].mul(0.5)


def test_an_optimizer_whose_step_calls_its_parent_s_gets_the_factor_once() -> None:
    """torch runs the hooks of such a step twice, one inside the other."""

    class Own(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            return super().step(closure)

    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)  # SGD's own step has its hooks from here on
    weight = torch.zeros(1, requires_grad=True)
    optimizer = Own([weight], lr=1.0)
    balance = Balancer([HalfRate], obeys={"lr_g"}, optimizers={"g": optimizer})
    for done in range(1, 4):
        balance.start_step(epoch=0)
        balance.after_d_step()
        weight.grad = torch.ones(1)
        optimizer.step()
        assert weight.item() == -0.5 * done
        assert optimizer.param_groups[0]["lr"] == 1.0


# Its own checkpoint.


def test_resumed_from_the_script_s_own_checkpoint_it_is_bit_equal_and_shows_no_step_twice(
    balanced: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    whole_folder, whole = balanced
    logs = tmp_path / "logs"
    options = ("--plugins", PLUGINS, "--log-dir", logs, "--out", tmp_path / "mine", "--save-every", 9)
    stopped = run(*options, "--steps", 13, settings=SETTINGS)  # four steps beyond its last checkpoint, mid-epoch
    resumed = run(*options, "--resume", tmp_path / "mine_9.pt", settings=SETTINGS)

    assert same(whole["weights"], resumed["weights"])
    assert stopped["history"][:9] + resumed["history"] == whole["history"]
    here, there = read_signals(logs), read_signals(whole_folder)
    assert list(here) == list(there)
    assert all(here[name].tolist() == there[name].tolist() for name in here)
    assert decisions(logs) == decisions(whole_folder)
    assert drawn(logs) == drawn(whole_folder)


def test_killed_after_a_checkpoint_no_step_is_missing(balanced: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """The script's checkpoint is the only moment at which Balancer can bring its logs to the disk."""
    logs = tmp_path / "logs"
    options = ("--plugins", PLUGINS, "--log-dir", str(logs), "--out", str(tmp_path / "mine"), "--save-every", "9")
    program = (
        "import os, signal, sys, torch, foreign_script as script\n"
        "torch.set_num_threads(1)\n"
        "save = torch.save\n"
        "def save_and_die(*args):\n"
        "    save(*args)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "torch.save = save_and_die\n"
        "args = script.arguments(sys.argv[1:])\n"
        f"args.settings = {SETTINGS!r}\n"
        "script.train(args)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, *options], cwd=SCRIPT.parent, env=os.environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    resumed = run(*options, "--resume", tmp_path / "mine_9.pt", settings=SETTINGS)

    assert same(balanced[1]["weights"], resumed["weights"])
    assert read_signals(logs)["step"].tolist() == list(range(20))
    assert decisions(logs) == decisions(balanced[0])
    assert drawn(logs)["signal/d_adv"] == [0, 10]


def test_a_plugin_left_out_on_resume_gives_the_base_value_back(tmp_path: Path) -> None:
    out = ("--out", tmp_path / "mine", "--save-every", 9, "--steps")
    run("--plugins", PLUGINS, *out, 9, settings=SETTINGS)
    resumed = run("--plugins", "d_lr_ratio", *out, 10, "--resume", tmp_path / "mine_9.pt")
    assert resumed["history"] == [{"step": 9, "adv_weight": 1.0, "d_due": True}]
