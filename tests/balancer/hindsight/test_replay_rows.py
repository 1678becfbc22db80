"""Replaying logs of scripts and rows of anybody's: rows stream, and gaps are bridged."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.replayed import assert_exact

from balancer import Balancer, Plugin, StepContext, hookimpl
from balancer.contract.knobs import Decision
from balancer.errors import CheckpointError, CompositionError, ConfigError, DataError
from balancer.hindsight.replay_run import replay_run
from balancer.record import folder as names
from balancer.record.compositions import read_compositions
from balancer.record.signals import read_signals
from balancer.testing import replay


def script(folder: Path, plugins: Sequence[str], steps: int, epoch: int | None = 0, **measured: float) -> Path:
    obeys = {"lambda_adv", "d_update"}
    with Balancer(list(plugins), obeys=obeys, supplies=set(measured), log_dir=folder) as balance:
        for step in range(steps):
            balance.start_step(epoch=epoch)
            balance.after_d_step(**{name: value + 0.01 * step for name, value in measured.items()})
    return folder


def test_a_script_s_log_is_replayed_like_a_run_of_ours(tmp_path: Path) -> None:
    script(tmp_path / "bare", [], 20, d_adv=0.01)
    laws = {"dynamic_lambda": {"warmup_steps": 1}}
    again = replay_run(tmp_path / "bare", ["dynamic_lambda"], laws)
    assert again.replay["lambda_adv"] == [0.25, *[0.35] * 6, *[0.5] * 12, 0.6]
    based = replay_run(tmp_path / "bare", None, {"train": {"lambda_adv": 2.0}})
    assert based.replay["lambda_adv"] == [2.0] * 20
    with pytest.raises(ConfigError, match=r"train.lr: the signals are recorded"):
        replay_run(tmp_path / "bare", [], {"train": {"lr": 1.0}})
    folder = script(tmp_path / "ruled", ["dynamic_lambda", "d_skip"], 130, d_adv=0.01)
    assert_exact(folder)
    assert replay_run(folder).plugins == ("d_skip", "dynamic_lambda")


def test_a_script_s_own_schedule_of_rates_is_replayed(tmp_path: Path) -> None:
    optimizers = {
        role: torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=rate) for role, rate in (("d", 0.5), ("g", 0.25))
    }
    obeys = {"lambda_adv", "d_update", "lr_d"}
    settings = {"d_lr_ratio": {"ratio": 0.5}, "dynamic_lambda": {"warmup_steps": 0}}
    names = ["d_lr_ratio", "dynamic_lambda", "d_skip"]
    with Balancer(
        names, settings=settings, obeys=obeys, supplies={"d_adv"}, optimizers=optimizers, log_dir=tmp_path
    ) as balance:
        for step in range(12):
            balance.start_step(epoch=step // 4)
            if balance.d_update:
                optimizers["d"].step()
            balance.after_d_step(d_adv=0.02 * step)
            assert balance.lambda_adv >= 0
            optimizers["g"].step()
            for optimizer in optimizers.values():
                optimizer.param_groups[0]["lr"] *= 0.9
    columns = read_signals(tmp_path)
    assert columns["lr_d"][::2].tolist() == pytest.approx([0.125 * 0.9**step for step in range(0, 12, 2)])
    assert_exact(tmp_path)


def test_a_signal_that_the_log_does_not_hold_refuses_the_plugin(tmp_path: Path) -> None:
    script(tmp_path, [], 3, d_adv=0.1)
    with pytest.raises(CompositionError, match=r"d_skip of .* reads d_acc, which this script does not supply"):
        replay_run(tmp_path, ["d_skip"], {"d_skip": {"accuracy_above": 0.8}})
    with pytest.raises(
        CompositionError, match="plugin dynamic_lambda reads d_adv, which what is replayed does not hold"
    ):
        replay(["dynamic_lambda"], [{"d_acc": 0.1}])
    with pytest.raises(CompositionError, match="it holds no signals"):
        replay(["dynamic_lambda"], [])


def test_a_log_without_epochs_refuses_who_acts_on_them(tmp_path: Path) -> None:
    script(tmp_path, [], 3, epoch=None, d_adv=0.1)
    assert len(replay_run(tmp_path, ["dynamic_lambda"]).replay) == 3
    with pytest.raises(CompositionError, match="plugin lambda_schedule acts on epochs"):
        replay_run(tmp_path, ["lambda_schedule"])


def test_steps_that_were_not_measured_hold_a_law_and_stop_nothing(tmp_path: Path) -> None:
    # The script skips every second update and measures nothing there.
    obeys = {"lambda_adv", "d_update"}
    settings = {"dynamic_lambda": {"warmup_steps": 2}}
    names = ["dynamic_lambda", "d_skip"]
    with Balancer(names, settings=settings, obeys=obeys, supplies={"d_adv"}, log_dir=tmp_path) as balance:
        for step in range(12):
            balance.start_step(epoch=0)
            balance.after_d_step(**({"d_adv": 0.02 * step} if balance.d_update else {}))
    columns = read_signals(tmp_path)
    assert np.isnan(columns["d_adv"][1::2]).all()
    again = replay_run(tmp_path, names, settings)
    assert again.replay.numbers("lambda_adv").tolist() == columns["lambda_adv"].tolist()
    # One that would update D there has nothing to go by in those steps.
    others = replay_run(tmp_path, ["dynamic_lambda"], settings)
    assert others.replay.numbers("lambda_adv").tolist() == columns["lambda_adv"].tolist()


def test_rows_say_which_step_they_are(tmp_path: Path) -> None:
    rows = [{"step": step, "epoch": step // 1000, "d_adv": 0.1} for step in range(500, 3000, 100)]
    settings: dict[str, dict[str, Any]] = {
        "d_skip": {"every": 200},
        "freeze_head": {"clock": "step", "until": 1000},
        "lambda_schedule": {"steps": [[0, 0.1], [1, 0.2], [2, 0.3]]},
    }
    run = replay([*settings], rows, settings=settings)
    assert run["d_update"] == [step % 200 == 0 for step in range(500, 3000, 100)]
    assert run["d_frozen"] == [("category",) if step < 1000 else () for step in range(500, 3000, 100)]
    assert [(d.step, d.new) for d in run.decisions if d.plugin == "lambda_schedule"] == [
        (500, 0.1),
        (1000, 0.2),
        (2000, 0.3),
    ]
    assert run.steps.tolist() == [row["step"] for row in rows]


def test_a_gap_counts_the_updates_of_d_that_its_knobs_allow() -> None:
    class Counts(Plugin):
        """Notes the updates of D."""

        name = "counts"
        seen: list[tuple[int, int]] = []

        @hookimpl
        def on_step_start(self, ctx: StepContext) -> None:
            self.seen.append((ctx.step, ctx.d_updates))

    far = 5 * 10**15  # that many are not counted one by one
    replay([Counts, "d_skip"], [{"step": step} for step in (0, 1, 10, 20, far)], settings={"d_skip": {"every": 5}})
    assert Counts.seen == [(0, 0), (1, 1), (10, 2), (20, 4), (far, 10**15)]


@pytest.mark.parametrize("clock", ["step", "epoch"])
@pytest.mark.parametrize("count", [float("nan"), float("inf"), -1e300, 2.0**60])
def test_what_no_run_counts_is_refused(clock: str, count: float) -> None:
    with pytest.raises(DataError, match=f"a row is of {clock} .*, which no run counts"):
        replay(["d_skip"], [{"step": 0, "epoch": 0}, {"step": 1, "epoch": 0, clock: count}])


def test_rows_out_of_order_are_refused() -> None:
    with pytest.raises(ConfigError, match="step 3 is replayed after step 5: rows must be in order"):
        replay([], [{"step": 5}, {"step": 3}])
    with pytest.raises(ConfigError, match="step 5 is replayed after step 5"):
        replay([], [{"step": 5}, {"step": 5}])


def endless() -> Iterator[Mapping[str, float]]:
    for step in itertools.count():
        yield {"d_adv": (0.01, 0.3)[step % 2]}


def test_rows_may_come_from_an_iterator_one_by_one() -> None:
    run = replay(["dynamic_lambda"], itertools.islice(endless(), 200), settings={"dynamic_lambda": {"warmup_steps": 0}})
    assert run["lambda_adv"] == [0.2, 0.6] * 100
    rows: list[Mapping[str, float]] = [{}, {"d_adv": 0.01}]
    with pytest.raises(CompositionError, match="reads d_adv"):
        replay(["dynamic_lambda"], iter(rows))
    named = replay(["dynamic_lambda"], iter(rows), names=["d_adv"], settings={"dynamic_lambda": {"warmup_steps": 0}})
    assert named["lambda_adv"] == [0.25, 0.2]


def test_a_long_replay_holds_no_rows_and_no_decisions() -> None:
    def peak(steps: int) -> int:
        told: list[int] = [0]

        def count(decision: Decision) -> None:
            told[0] += 1

        tracemalloc.start()
        run = replay(["dynamic_lambda"], itertools.islice(endless(), steps), on_decision=count)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert told[0] > steps // 2
        assert len(run) == steps
        assert run.decisions == []
        return most

    peak(300)
    more = peak(5000) - peak(1000)
    # A step, an epoch and the value of each knob: 8 bytes each, and arrays that grow ahead.
    assert more < 4000 * 8 * (2 + len(replay([], [{}]).knobs[0])) * 1.5


def test_a_folder_that_does_not_say_what_ran_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such folder"):
        replay_run(tmp_path / "none", [])
    folder = script(tmp_path / "run", [], 3, d_adv=0.1)
    for text in ("nonsense", "[]", '{"columns": ["d_adv"], "file": "signals.bin"}'):
        (folder / "signals.json").write_text(text)
        with pytest.raises(DataError, match="it is damaged"):
            replay_run(folder, [])
    (folder / "signals.json").write_text('{"columns": ["step", "epoch"], "file": "signals.2.bin"}')
    with pytest.raises(DataError, match=r"signals.2.bin cannot be read"):
        replay_run(folder, [])
    (folder / "signals.json").unlink()
    with pytest.raises(DataError, match=r"keeps no signals: signals.json is missing"):
        replay_run(folder, [])
    (folder / names.COMPOSITIONS).write_text("{}\n")
    with pytest.raises(CheckpointError, match=r"compositions.jsonl does not say what the run was composed of"):
        read_compositions(folder)
    (folder / names.COMPOSITIONS).unlink()
    with pytest.raises(ConfigError, match=r"does not say what it was composed of \(compositions.jsonl is missing\)"):
        replay_run(folder, [])


def test_knobs_row_by_row() -> None:
    run = replay(["lambda_schedule"], [{}] * 12, steps_per_epoch=1)
    assert len(run.knobs) == 12
    assert run.knobs[-1]["lambda_adv"] == run.knobs[5]["lambda_adv"] == 0.3
    assert [row["lambda_adv"] for row in run.knobs[3:7]] == [0.1, 0.1, 0.3, 0.3]
    with pytest.raises(IndexError):
        run.knobs[12]
