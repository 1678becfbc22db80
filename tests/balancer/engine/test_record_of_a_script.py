"""What a script's log directory holds, whatever the script passes, loads or loses: it never stops training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.explained import said
from support.sealed_rows import unsealed

from balancer import Balancer, HeadSpec, Plugin, SignalSpec, StepContext, explain, hookimpl, read_signals, replay
from balancer.errors import BalancerWarning, ConfigError
from balancer.record.compositions import read_compositions
from balancer.record.decisions import read_decisions

OBEYS = {"lambda_adv", "d_update"}


def test_a_signal_keeps_its_column_whenever_it_is_passed(tmp_path: Path) -> None:
    with Balancer([], log_dir=tmp_path) as balance:
        for step in range(4):
            balance.start_step()
            if step % 2:
                balance.after_d_step(g_loss=2.0, d_adv=0.5)
                balance.before_g_backward(adv=1.0)
            else:
                balance.after_d_step()
                balance.before_g_backward(adv=1.0, d_adv=0.4, d_loss=0.5)
    columns = read_signals(tmp_path)
    assert columns["d_adv"].tolist() == [0.4, 0.5, 0.4, 0.5]
    assert columns["d_loss"].tolist()[::2] == [0.5, 0.5]
    assert columns["g_loss"].tolist()[1::2] == [2.0, 2.0]
    assert not {"loss_d_adv", "loss_d_loss"} & set(columns)


class Sometimes(Plugin):
    """Publishes every second step."""

    name = "sometimes"
    brings_signals = (SignalSpec("foo", "plugin", "its own"),)

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        if ctx.step % 2:
            self.publish("foo", 1.0)


def test_a_script_cannot_pass_what_a_plugin_brings() -> None:
    with Balancer([Sometimes]) as balance:
        balance.start_step()
        with pytest.raises(ConfigError, match="foo cannot be passed as a signal, since plugin sometimes brings it"):
            balance.after_d_step(foo=2.0)
        balance.after_d_step()


@pytest.mark.parametrize(
    "options",
    [
        {"steps_per_epoch": np.int64(3)},
        {"seed": np.int64(3)},
        {"obeys": OBEYS, "base": {"d_update": np.bool_(True)}},
        {"obeys": {"d_frozen"}, "heads": {"c": HeadSpec({"c"}, ("c",))}},
    ],
)
def test_numbers_of_numpy_and_sets_are_kept_like_python_s_own(options: dict[str, Any], tmp_path: Path) -> None:
    with Balancer([], log_dir=tmp_path, **options) as balance:
        balance.start_step()
    (composed,) = read_compositions(tmp_path)
    assert (composed.seed, composed.steps_per_epoch) == (options.get("seed", 0), options.get("steps_per_epoch"))
    assert explain(tmp_path, 0).first.step == 0


@pytest.mark.parametrize("lost", ["signals.bin", "signals.json", "compositions.jsonl"])
def test_a_log_that_is_gone_or_damaged_stops_no_training(lost: str, tmp_path: Path) -> None:
    def steps(state: dict[str, Any] | None) -> dict[str, Any]:
        with Balancer(["dynamic_lambda"], obeys=OBEYS, supplies={"d_adv"}, log_dir=tmp_path) as balance:
            if state is not None:
                balance.load_state_dict(state)
            for _ in range(3):
                balance.start_step()
                balance.after_d_step(d_adv=0.1)
            return balance.state_dict()

    state = steps(None)
    (tmp_path / lost).unlink()
    assert steps(state)["step"] == 6


def test_a_rollback_in_the_same_process_keeps_what_is_composed(tmp_path: Path) -> None:
    with Balancer(["dynamic_lambda"], obeys=OBEYS, supplies={"d_adv"}, log_dir=tmp_path) as balance:
        state = balance.state_dict()
        for _ in range(2):
            balance.start_step()
            balance.after_d_step(d_adv=0.1)
        balance.load_state_dict(state)
        for _ in range(2):
            balance.start_step()
            balance.after_d_step(d_adv=0.1)
    assert [composed.first for composed in read_compositions(tmp_path)] == [0]
    assert explain(tmp_path, 1).first.plugins == ("dynamic_lambda",)
    assert replay(tmp_path).plugins == ("dynamic_lambda",)


def test_an_empty_file_of_compositions_is_none(tmp_path: Path) -> None:
    (tmp_path / "compositions.jsonl").write_text("")
    assert read_compositions(tmp_path) == []


def test_a_withdrawal_says_what_is_left_one_after_the_other(tmp_path: Path) -> None:
    optimizers = {
        role: torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=rate) for role, rate in (("d", 0.5), ("g", 0.25))
    }
    obeys = {"lambda_adv", "lr_d"}

    def balancer(plugins: list[str]) -> Balancer:
        settings = {"dynamic_lambda": {"initial": 0.6}} if plugins else {}
        return Balancer(
            plugins, settings=settings, obeys=obeys, supplies={"d_adv"}, optimizers=optimizers, log_dir=tmp_path
        )

    with pytest.warns(BalancerWarning, match="it bounds what dynamic_lambda sets"):
        bounded = balancer(["dynamic_lambda", "lambda_schedule", "d_lr_ratio"])
    with bounded as balance:
        balance.start_step(epoch=0)
        balance.after_d_step(d_adv=0.1)
        state = balance.state_dict()
    with balancer([]) as balance:
        balance.load_state_dict(state)
        balance.start_step(epoch=0)
        balance.after_d_step(d_adv=0.1)
    made = [(d.knob, d.plugin, d.effective) for d in read_decisions(tmp_path) if d.new is None]
    assert made == [
        ("lambda_adv", "dynamic_lambda", 0.1),
        ("lambda_adv", "lambda_schedule", 1.0),
        ("lr_d", "d_lr_ratio", 0.5),
    ]


def test_what_is_kept_does_not_hang_on_the_order_of_a_set(tmp_path: Path) -> None:
    program = (
        "import sys; from balancer import Balancer\n"
        "names = {'lambda_adv', 'd_update', 'real_label', 'fake_label', 'lambda_l1'}\n"
        "with Balancer([], obeys=names, supplies={'d_adv', 'l1', 'adv'}, log_dir=sys.argv[1]) as balance:\n"
        "    balance.start_step()\n"
    )
    kept = []
    for seed in "12345":
        folder = tmp_path / seed
        subprocess.run(
            [sys.executable, "-c", program, folder], check=True, env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin"}
        )
        kept.append((folder / "compositions.jsonl").read_bytes() + (folder / "signals.json").read_bytes())
    assert len(set(kept)) == 1


def test_a_replay_is_refused_where_the_beginning_of_a_run_does_not_say_what_was_composed(tmp_path: Path) -> None:
    with Balancer([], obeys=OBEYS, supplies={"d_adv"}, log_dir=tmp_path) as balance:
        for _ in range(4):
            balance.start_step()
            balance.after_d_step(d_adv=0.1)
    path = tmp_path / "compositions.jsonl"
    path.write_text(json.dumps({**unsealed(path.read_bytes()), "format": 1, "step": 2}) + "\n")
    with pytest.raises(ConfigError, match="does not say what it was composed of before step 2"):
        replay(tmp_path)
    with pytest.raises(ConfigError, match="before step 2 is not recorded"):
        explain(tmp_path, 1)


class TurnsG(Plugin):
    """Turns G's rate after D's step."""

    name = "turns_g"
    writes = {"lr_g": ("mul",)}

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        self.knobs["lr_g"].mul(0.5 ** (ctx.step + 1))


def test_a_ratio_is_explained_by_the_rate_of_g_that_it_was_made_from(tmp_path: Path) -> None:
    optimizers = {role: torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0) for role in ("d", "g")}
    with Balancer(["d_lr_ratio", TurnsG], obeys={"lr_d", "lr_g"}, optimizers=optimizers, log_dir=tmp_path) as balance:
        for _ in range(3):
            balance.start_step()
            optimizers["d"].step()
            balance.after_d_step()
            optimizers["g"].step()
    state = explain(tmp_path, 2).first["lr_d"]
    assert state.effective == read_signals(tmp_path)["lr_d"][2] == 0.25 * 0.25
    assert said(state.how) == "d_lr_ratio makes it 0.25 · lr_g, which is 0.25"
    assert not any(remark.words == "explain.incomplete" for remark in state.remarks)


def test_of_two_scripts_on_one_folder_the_second_is_refused(tmp_path: Path) -> None:
    code = (
        "import sys; from balancer import Balancer\n"
        "with Balancer([], log_dir=sys.argv[1]) as balance:\n"
        "    balance.start_step(); balance.after_d_step(d_adv=0.5); balance.end_step(adv=0.5)\n"
    )

    def second() -> str:
        said = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
        return said.stderr.rstrip().rpartition("\n")[2]

    first = Balancer([], log_dir=tmp_path)
    first.start_step()
    refused = f"balancer.errors.ConfigError: run directory {tmp_path} is in use: process {os.getpid()} on "
    assert second().startswith(refused)
    state = first.state_dict()
    # In one process, such as a notebook, another one goes on where the first stood.
    again = Balancer([], log_dir=tmp_path)
    again.load_state_dict(state)
    first.end_run()
    assert second().startswith(refused)
    again.end_run()
    assert f"{tmp_path} holds the logs of an earlier run" in second()
