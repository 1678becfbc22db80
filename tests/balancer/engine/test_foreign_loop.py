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
from torch import Tensor, nn

from balancer import Balancer, HeadSpec, Plugin, RunInfo, StepContext, hookimpl
from balancer.errors import CompositionError, ConfigError
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


# What the host must offer.


class ReadsL1(Plugin):
    """Reads a term that only the script knows."""

    name = "reads_l1"
    reads = ("l1",)

    @hookimpl
    def after_g_step(self, ctx: StepContext) -> None: ...


@pytest.mark.parametrize(
    ("plugins", "host", "sentence"),
    [
        (["d_skip"], {"obeys": ["lambda_adv"]}, "turns d_update, which this script does not obey: this script would "
         "have to update D only if balance.d_update and list 'd_update' in obeys"),
        (["dynamic_lambda"], {"obeys": ["lambda_adv"], "supplies": ["d_loss"]}, "reads d_adv, which this script does "
         "not supply: this script would have to pass real_logits= and fake_logits= to balance.after_d_step "
         "(or d_adv=)"),
        (["dynamic_lambda"], {"supplies": ["d_adv"]}, "turns lambda_adv, which this script does not obey: this script "
         "would have to multiply the adv term by balance.lambda_adv and list 'lambda_adv' in obeys"),
        (["d_lr_ratio"], {}, "turns lr_d, which this script does not obey: this script would have to pass "
         "optimizers={'d': …} (and 'g' for a ratio) and list 'lr_d' in obeys"),
        (["label_smoothing"], {}, "this script would have to use balance.real_label in D's binary loss and list "
         "'real_label' in obeys"),
        (["freeze_head"], {}, "would have to freeze the heads named in balance.d_frozen and list 'd_frozen' in obeys"),
    ],
)  # fmt: skip
def test_a_plugin_that_needs_more_is_refused_with_what_to_do(
    plugins: list[str], host: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(CompositionError) as refused:
        Balancer(plugins, log_dir=tmp_path / "logs", **host)
    assert f"plugin {plugins[0]} of balancer " in str(refused.value)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "logs").exists()


def test_a_term_of_the_script_s_own_is_a_signal_where_it_says_so() -> None:
    with pytest.raises(CompositionError, match=r"plugin reads_l1 of class \S+ reads l1"):
        Balancer([ReadsL1], supplies={"adv"})
    Balancer([ReadsL1], supplies={"adv", "l1"})


def test_obeying_a_rate_needs_its_optimizer() -> None:
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)
    with pytest.raises(ConfigError, match="obeys lr_d, but the optimizer is missing: pass optimizers="):
        Balancer(["d_lr_ratio"], obeys={"lr_d"})
    with pytest.raises(ConfigError, match="a ratio to lr_g needs both: pass optimizers="):
        Balancer(["d_lr_ratio"], obeys={"lr_d"}, optimizers={"d": optimizer})


def test_a_promised_signal_that_does_not_come_stops_the_run() -> None:
    balance = Balancer(["dynamic_lambda"], obeys={"lambda_adv"}, supplies={"d_adv"})
    balance.start_step(epoch=0)
    with pytest.raises(ConfigError, match="step 0: plugin dynamic_lambda reads d_adv, which the host said it supplies"):
        balance.after_d_step(d_loss=0.4)


def test_misspelt_names_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"obeys: no such knob 'd_updat': did you mean d_update\?"):
        Balancer(obeys={"d_updat"})
    with pytest.raises(ConfigError, match="base 'real_label' is not among the knobs obeyed"):
        Balancer(base={"real_label": 0.9})
    with pytest.raises(AttributeError, match="must be listed in obeys"):
        _ = Balancer().lambda_adv


def test_the_raw_d_loss_will_do_where_the_law_is_told_so() -> None:
    settings = {"dynamic_lambda": {"signal": "d_loss"}}
    balance = Balancer(["dynamic_lambda"], settings=settings, obeys={"lambda_adv"}, supplies={"d_loss"})
    trajectory = []
    for d_loss in (0.005, 0.03, 0.12, 0.25):  # the expected trajectory of the source document
        balance.start_step(epoch=0)
        balance.after_d_step(d_loss=torch.tensor(d_loss))
        trajectory.append(balance.lambda_adv)
    assert trajectory == [0.2, 0.35, 0.5, 0.6]


def test_a_loss_that_is_nan_once_does_not_stay_in_a_law() -> None:
    """As under a gradient scaler, whose script skips such a step and goes on."""
    settings = {"dynamic_lambda": {"warmup_steps": 0, "half_life": 1.0}}
    balance = Balancer(["dynamic_lambda"], settings=settings, obeys={"lambda_adv"}, supplies={"d_adv"})
    trajectory = []
    for d_adv in (0.01, float("nan"), 0.3, 0.3):
        balance.start_step(epoch=0)
        balance.after_d_step(d_adv=torch.tensor(d_adv))
        trajectory.append(balance.lambda_adv)
    assert trajectory == [0.2, 0.2, 0.5, 0.6]  # averages 0.01, 0.01, 0.155, 0.2275


def test_heads_that_the_script_freezes(tmp_path: Path) -> None:
    heads = {"category": HeadSpec(d_terms=("category",), g_terms=("category",))}
    settings = {"freeze_head": {"head": "category"}}
    balance = Balancer(["freeze_head"], settings=settings, obeys={"d_frozen", "lambda_category"}, heads=heads)
    balance.start_step(epoch=0)
    balance.after_d_step()
    assert balance.d_frozen == ("category",)
    assert balance.lambda_category == 0.0
    for epoch in range(1, 11):
        balance.start_step(epoch=epoch)
        balance.after_d_step()
    assert balance.d_frozen == ()
    assert balance.lambda_category == 1.0


def test_shares_are_drawn_with_the_weights_the_script_uses(tmp_path: Path) -> None:
    balance = Balancer(
        base={"lambda_adv": 0.5, "lambda_l1": 10.0}, obeys={"lambda_adv", "lambda_l1"}, supplies={"adv", "l1"}
    )
    balance.start_step(epoch=0)
    balance.after_d_step()
    assert (balance.lambda_adv, balance.lambda_l1) == (0.5, 10.0)
    balance.end_step(adv=2.0, l1=0.3)
    row = balance.last_row
    assert row["loss/g_loss"] == pytest.approx(4.0)
    assert (row["share/adv"], row["share/l1"]) == pytest.approx((0.25, 0.75))
    assert row["signal/adv_effective"] == pytest.approx(1.0)


def test_a_weight_that_nobody_told_gives_no_share_rather_than_a_wrong_one() -> None:
    balance = Balancer(base={"lambda_adv": 0.5}, obeys={"lambda_adv"}, supplies={"adv", "l1"})
    balance.start_step(epoch=0)
    balance.after_d_step()
    balance.end_step(adv=2.0, l1=0.3)  # which the script multiplies by a number of its own
    assert not {"share/adv", "share/l1", "loss/g_loss"} & set(balance.last_row)
    assert balance.last_row["signal/adv_effective"] == 1.0
