"""Replaying a run: its own laws give its own knobs, others give theirs; in words, and as a file."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.point_runs import DECAY, DYNAMIC, SCHEDULE, SKIP, ran, resumed
from support.replayed import assert_exact

from balancer import KnobSpec, Plugin, PluginConfig, RunInfo, SignalSpec, StepContext, hookimpl
from balancer.errors import ConfigError, PluginError
from balancer.hindsight.replay_run import replay_run
from balancer.record.signals import read_signals
from balancer.show.as_json import as_data
from balancer.show.replay import print_replay, replay_lines, write_csv
from balancer.show.words import own
from balancer.testing import toy_trainer

CAVEAT = own("en")("replay.caveat")

ALL = "d_lr_ratio,d_skip,dynamic_lambda,freeze_head,label_smoothing,lambda_schedule"
COMPOSITIONS = {
    "": DECAY,
    "dynamic_lambda,lambda_schedule": (*DYNAMIC, *SCHEDULE, "train.lambda_adv=0.8"),
    "d_skip,freeze_head": (*SKIP, "freeze_head.until=2", "freeze_head.clock=d_update"),
    "label_smoothing": ("label_smoothing.sides=real",),
    "d_lr_ratio": DECAY,
    ALL: (*DYNAMIC, *SCHEDULE, *SKIP, *DECAY, "freeze_head.until=1", "train.g_updates=2", "train.micro_batches=2"),
}


# A run's own laws.


@pytest.mark.parametrize("plugins", COMPOSITIONS, ids=lambda names: "all" if names == ALL else names or "baseline")
def test_a_run_s_own_laws_give_its_own_knobs(plugins: str, tmp_path: Path) -> None:
    assert_exact(ran(tmp_path / "run", plugins, COMPOSITIONS[plugins]))


def test_a_resumed_run_too(tmp_path: Path) -> None:
    plugins = "dynamic_lambda,lambda_schedule,freeze_head,d_skip"
    folder = ran(tmp_path / "run", plugins, (*DYNAMIC, *SCHEDULE, *SKIP), 13)
    resumed(folder, "lambda_schedule,d_lr_ratio", DECAY, 16)
    resumed(folder, None, (), 30)
    resumed(folder, "dynamic_lambda,d_lr_ratio,label_smoothing", ("dynamic_lambda.warmup_steps=2",), 40)
    assert_exact(folder)


class Busy(Plugin):
    """Acts at every moment: turns rates and weights, draws at random, brings a signal and a knob, counts epochs."""

    name = "busy"
    reads = ("d_loss", "adv", "category_share", "d_gap")
    writes = {"lr_d": ("mul",), "lambda_category": ("mul", "min"), "zeal": ("set",), "lambda_adv": ("max",)}
    brings_signals = (SignalSpec("d_gap", "plugin", "difference of D's mean logits"),)
    brings_knobs = (KnobSpec("zeal", "how busy it is", ("set",), "on_step_end"),)

    class Config(PluginConfig):
        """Settings of busy."""

        pull: float = 0.5

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.reads = ("d_loss", "adv", "category_share", "d_logit_real", "d_logit_fake")
        self.told = 0

    @hookimpl
    def on_epoch(self, run: RunInfo, epoch: int) -> None:
        assert run.steps_per_epoch in (None, 8)
        self.told += 1

    @hookimpl
    def on_epoch_end(self, run: RunInfo, epoch: int) -> None:
        self.knobs["lambda_category"].write("min", 0.1 * (epoch + 1))

    @hookimpl
    def before_d_backward(self, ctx: StepContext) -> None:
        loss = self.signals["d_loss"]
        assert loss is not None
        assert loss.fresh
        self.knobs["lr_d"].mul(1.0 + self.config.pull * loss.value)

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        real, fake = self.signals["d_logit_real"], self.signals["d_logit_fake"]
        assert real is not None
        assert fake is not None
        self.publish("d_gap", real.value - fake.value)

    @hookimpl
    def before_g_backward(self, ctx: StepContext) -> None:
        adv, share = self.signals["adv"], self.signals["category_share"]
        assert adv is not None
        assert adv.fresh
        assert share is None or not share.fresh
        self.knobs["lambda_category"].mul(adv.value if share is None else adv.value + share.value)

    @hookimpl
    def after_g_step(self, ctx: StepContext) -> None:
        share = self.signals["category_share"]
        assert share is not None
        assert share.fresh
        self.knobs["zeal"].set(share.value + 0.01 * ctx.g_updates)

    @hookimpl
    def on_step_end(self, ctx: StepContext) -> None:
        self.knobs["lambda_adv"].write("max", 0.3 + 0.1 * float(self.rng.initial_seed() % 7) + 0.01 * ctx.d_updates)


def test_laws_of_somebody_else_s_at_every_moment_are_replayed_exactly(tmp_path: Path) -> None:
    trainer = toy_trainer([Busy, "d_skip"], {"d_skip": {"every": 3}}, tmp_path, batch_size=64)
    with trainer.balance:
        for _ in range(20):
            trainer.step(trainer.next_batch())
    columns = read_signals(tmp_path)
    again = replay_run(tmp_path, [Busy, "d_skip"], {"d_skip": {"every": 3}})
    for knob in again.replay:
        assert again.replay.numbers(knob).tolist() == columns[knob].tolist(), knob
    for knob in ("lambda_category", "zeal", "lambda_adv", "d_update", "lr_d"):
        assert len(set(columns[knob])) > 1


# Other laws.


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every built-in, a little over four epochs."""
    return ran(tmp_path_factory.mktemp("replay") / "run", ALL, COMPOSITIONS[ALL])


def test_other_laws_on_the_same_signals(run: Path) -> None:
    d_adv = read_signals(run)["d_adv"]
    middle = float(np.median(d_adv))
    bands = {"dynamic_lambda": {"bands": [[middle, 0.1]], "above": 0.5, "warmup_steps": 0, "half_life": 0.0}}
    again = replay_run(run, ["dynamic_lambda"], {"dynamic_lambda": {**bands["dynamic_lambda"], "hysteresis": 0.0}})
    assert again.replay["lambda_adv"] == [0.1 if value < middle else 0.5 for value in d_adv]
    assert again.plugins == ("dynamic_lambda",)
    (lambda_adv,) = (one for one in again.comparisons if one.knob == "lambda_adv")
    assert lambda_adv.replayed is not None
    assert lambda_adv.replayed.values == ((0.1, 0.5), (0.5, 0.5))
    assert lambda_adv.replayed.mean == pytest.approx(0.3)
    assert lambda_adv.first is not None
    (frozen,) = (one for one in again.comparisons if one.knob == "d_frozen")
    assert (frozen.first, frozen.differs) == (0, 8 / 40)


def test_a_plugin_of_the_run_keeps_its_settings_unless_they_are_given(run: Path) -> None:
    own = replay_run(run, ["lambda_schedule"]).replay["lambda_adv"]
    assert own == [v for v in (0.3, 0.5, 0.35, 0.7, 0.2) for _ in range(8)]
    given = replay_run(run, ["lambda_schedule"], {"lambda_schedule": {"steps": [[0, 0.9]]}}).replay["lambda_adv"]
    assert given == [0.9] * 40
    based = replay_run(run, [], {"train": {"lambda_adv": 3.0, "lr": 0.5, "lr_decay": 1.0}})
    assert based.replay["lambda_adv"] == [3.0] * 40
    assert set(based.replay["lr_g"]) == {0.5}
    assert based.decisions == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": {"batch_size": 4}}, "train.batch_size: the signals are recorded with the run's own"),
        ({"model": {"width": 4}}, "the signals are recorded with the run's own model"),
        ({"d_skp": {"every": 4}}, "settings for 'd_skp', which is not replayed: did you mean d_skip"),
        ({"d_skip": {"evry": 4}}, "d_skip.evry: no such setting: did you mean every"),
    ],
)
def test_settings_that_a_replay_has_no_use_for_are_refused(run: Path, settings: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replay_run(run, None, settings)


def test_other_plugins_are_checked_as_for_a_run(run: Path) -> None:
    with pytest.raises(PluginError, match="unknown plugin 'gone'"):
        replay_run(run, ["gone"])


# In words, and as a file.


def test_it_is_told_in_words_with_its_caveat(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_replay(replay_run(run, ["lambda_schedule", "d_skip"], {"d_skip": {"every": 4}}))
    text = capsys.readouterr().out
    assert text.startswith(f"d_skip, lambda_schedule on the signals of {run}: 40 steps, ")
    assert "\nlambda_adv\n  recorded: " in text
    assert "0.2 (20.0%), 0.3 (20.0%)" in text
    assert "differs in 20.0% of the steps, first in step 0" in text, "the head"
    assert text.endswith(f"note: {CAVEAT}\n")
    own = "\n".join(replay_lines(replay_run(run)))
    assert "would have been" not in own.partition("as recorded in every step:")[0].replace(CAVEAT, "")


class Noise(Plugin):
    """Acts on images and on D's loss, which a replay has not."""

    name = "noise"

    @hookimpl
    def transform_d_input(self, images: Any, condition: Any) -> Any:
        return images, condition

    @hookimpl
    def d_loss_terms(self) -> None: ...


def test_it_says_which_hooks_it_leaves_out(run: Path) -> None:
    replayed = replay_run(run, ["dynamic_lambda", Noise])
    said = "noise: left out, for want of images and networks: transform_d_input, d_loss_terms"
    assert said in as_data(replayed)["remarks"]
    assert f"note: {said}" in list(replay_lines(replayed))


class ByGradients(Plugin):
    """Weighs by gradients before G's backward pass."""

    name = "by_gradients"
    sees = ("gradients",)
    writes = {"lambda_adv": ("mul",)}

    @hookimpl
    def before_g_backward(self, ctx: StepContext) -> None:
        assert ctx.gradient_norm is not None
        self.knobs["lambda_adv"].mul(ctx.gradient_norm("adv") or 1.0)


def test_it_says_that_a_law_on_gradients_cannot_act(run: Path) -> None:
    said = "by_gradients: left out, for want of images and networks: before_g_backward"
    assert said in as_data(replay_run(run, [ByGradients]))["remarks"]


def test_it_is_plain_data(run: Path) -> None:
    plain = json.loads(json.dumps(as_data(replay_run(run, ["d_skip"]))))
    assert plain["steps"] == 40
    assert plain["knobs"]["d_update"]["replayed"]["changes"] >= 1
    assert plain["knobs"]["lambda_adv"]["recorded"]["values"]


def test_trajectories_go_into_a_csv_file(run: Path, tmp_path: Path) -> None:
    again, path = replay_run(run).replay, tmp_path / "knobs.csv"
    path.write_text("old")
    write_csv(again, path)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [path.name for path in tmp_path.iterdir()] == ["knobs.csv"]
    assert list(rows[0]) == ["step", "epoch", *again]
    for knob in again:
        assert [float(row[knob]) for row in rows] == again.numbers(knob).tolist()
    assert [int(row["epoch"]) for row in rows] == again.epochs.tolist()


def test_a_csv_file_that_cannot_be_written_is_one_line(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        write_csv(replay_run(run, []).replay, tmp_path / "none" / "knobs.csv")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        write_csv(replay_run(run, []).replay, tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


# Without torch.


def test_it_needs_no_torch(run: Path) -> None:
    code = f"""
import sys
from balancer.hindsight.replay_run import replay_run
from balancer.show.replay import print_replay
print_replay(replay_run({str(run)!r}))
print_replay(replay_run({str(run)!r}, ["dynamic_lambda", "d_skip"]))
heavy = {{"torch", "accelerate", "tensorboard", "PIL"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
