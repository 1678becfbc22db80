"""A replay of a run by its own laws, held against what was recorded."""

from __future__ import annotations

from pathlib import Path

from balancer.contract.knobs import Decision
from balancer.hindsight.replay_run import replay_run
from balancer.record.decisions import read_decisions
from balancer.record.signals import read_signals


def assert_exact(folder: Path) -> None:
    """A replay of the run as it was has every knob column, and every decision, that was recorded."""
    columns = read_signals(folder)
    decisions: list[Decision] = []
    again = replay_run(folder, on_decision=decisions.append)
    assert again.replay.steps.tolist() == columns["step"].tolist()
    assert again.replay.epochs.tolist() == columns["epoch"].tolist()
    assert set(again.replay) <= set(columns)
    for knob in again.replay:
        assert again.replay.numbers(knob).tolist() == columns[knob].tolist(), knob
    for one in again.comparisons:
        assert (one.first, one.differs) == (None, 0.0)
        assert one.recorded == one.replayed
    ends = ("on_epoch_end", "on_run_end")  # of which the log does not say whether they came
    plain, acted = (
        [(d.step, d.moment, d.plugin, d.knob, d.op, d.old, d.new, d.signals) for d in made if d.moment not in ends]
        for made in (decisions, read_decisions(folder))
    )
    assert plain == acted
    assert again.decisions == len(decisions)
