"""`--since`: whether a change shows in the document's three indicators, and what comes next where it does not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.histories import Rows, document_signals, healthy_signals, judged, run_of

from balancer.diagnosis.since import Since
from balancer.errors import ConfigError

EPOCH = 2000.0  # steps: 20 rows


def changed(after: Rows, **more: object) -> Since:
    """The document's case for 4,000 steps, then `after` from there on, judged at the seam."""
    rows = run_of(document_signals, rows=200)
    rows += [(20_000 + index * 100, row) for index, (_, row) in enumerate(after)]
    return judged(rows, steps_per_epoch=EPOCH, **more).since(20_000)


def outcomes(made: Since) -> dict[str, str]:
    return {indicator.name: indicator.outcome for indicator in made.indicators}


def test_a_change_that_helps_shows_in_every_indicator() -> None:
    made = changed(run_of(healthy_signals, rows=60))
    assert outcomes(made) == {"d_adv": "improved", "adv": "improved", "g_loss": "improved"}
    assert [indicator.within for indicator in made.indicators][:1] == [1]
    assert made.helped and made.next_remedy is None
    assert made.epochs == pytest.approx(3, abs=0.1)


def test_a_change_that_does_nothing_leads_to_the_next_remedy() -> None:
    def same(t: float, random: np.random.Generator) -> dict[str, float]:
        return document_signals(1 + 0.5 * t, random)

    made = changed(run_of(same, rows=60, seed=1))
    assert outcomes(made)["d_adv"] in ("unchanged", "worse")  # it went on falling
    assert (outcomes(made)["adv"], outcomes(made)["g_loss"]) == ("worse", "unchanged")  # and it went on rising
    assert made.next_remedy is not None and made.next_remedy.name == "d_lr_ratio"


def test_the_next_remedy_is_one_that_the_run_does_not_use_yet() -> None:
    def same(t: float, random: np.random.Generator) -> dict[str, float]:
        return document_signals(1 + 0.5 * t, random)

    config = {"run": {"plugins": ["d_lr_ratio"], "model": "x"}, "train": {}}
    made = changed(run_of(same, rows=60, seed=1), config=config)
    assert made.next_remedy is not None and made.next_remedy.name == "d_skip"


def test_a_slow_answer_is_seen_in_the_epoch_it_comes_in() -> None:
    def late(t: float, random: np.random.Generator) -> dict[str, float]:
        level = 0.0005 if t < 0.4 else 0.2
        return {"d_loss": level * math.exp(random.normal(0, 0.2)), "adv": 12.0 + random.normal(0, 0.3)}

    made = changed(run_of(late, rows=60))
    (indicator,) = [one for one in made.indicators if one.name == "d_adv"]
    assert (indicator.outcome, indicator.within) == ("improved", 2)


def test_what_comes_after_three_epochs_does_not_count() -> None:
    def much_later(t: float, random: np.random.Generator) -> dict[str, float]:
        level = 0.0005 if t < 0.7 else 0.2
        return {"d_loss": level * math.exp(random.normal(0, 0.2))}

    made = changed(run_of(much_later, rows=100))
    assert outcomes(made)["d_adv"] == "unchanged"
    assert made.until == 20_000 + 3 * EPOCH - 1


def test_a_worse_run_is_called_worse() -> None:
    rows = run_of(healthy_signals, rows=100)
    rows += [(10_000 + index * 100, row) for index, (_, row) in enumerate(run_of(document_signals, rows=60))]
    assert set(outcomes(judged(rows, steps_per_epoch=EPOCH).since(10_000)).values()) == {"worse"}


def test_few_rows_judge_nothing() -> None:
    assert set(outcomes(changed(run_of(healthy_signals, rows=3))).values()) == {"unknown"}


@pytest.mark.parametrize("step", [0, 40_000])
def test_a_step_outside_the_log_is_refused(step: int) -> None:
    with pytest.raises(ConfigError, match="the log holds steps 0 to 39900"):
        judged(run_of(healthy_signals)).since(step)
