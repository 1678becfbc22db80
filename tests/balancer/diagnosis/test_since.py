"""`--since`: whether a change shows in the document's three indicators, and what comes next where it does not."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from support.histories import Rows, document_signals, healthy_signals, judged, run_of

from balancer.diagnosis.infer_units import stated_units
from balancer.diagnosis.since import Since
from balancer.errors import ConfigError
from balancer.show.as_json import as_data
from balancer.show.text import as_text

Signals = Callable[[float, np.random.Generator], dict[str, float]]
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


# Where there is nothing to mend.


def steady(**levels: tuple[float, float]) -> Signals:
    """Signals that vary around a level: for each its level and its spread, on logarithms."""

    def signals(t: float, random: np.random.Generator) -> dict[str, float]:
        return {name: level * math.exp(random.normal(0, spread)) for name, (level, spread) in levels.items()}

    return signals


NOTHING_WRONG = {
    "healthy": run_of(healthy_signals, rows=300),
    "d_adv alone": run_of(steady(d_adv=(0.25, 0.2)), rows=300),
    "below the healthy range": run_of(
        steady(d_loss_real=(0.08, 0.1), d_loss_fake=(0.08, 0.1), adv=(3.0, 0.1), l1=(0.2, 0.05)), rows=300
    ),
    "30 rows": run_of(steady(d_loss=(0.25, 0.2), adv=(2.0, 0.1), g_loss=(20.0, 0.05)), rows=30),
}


@pytest.mark.parametrize("rows", NOTHING_WRONG.values(), ids=NOTHING_WRONG)
@pytest.mark.parametrize("epoch", [None, 500.0])
def test_where_no_problem_was_found_there_was_nothing_to_mend(rows: Rows, epoch: float | None) -> None:
    judgement = judged(rows, steps_per_epoch=epoch)
    made = judgement.since(len(rows) * 50)
    assert judgement.findings == []
    assert (made.conclusion, made.next_remedy) == ("nothing_to_mend", None)
    assert "there was nothing to mend" in " ".join(as_text(judgement, since=made).split())
    assert as_data(judgement, since=made)["since"]["conclusion"] == "nothing_to_mend"


def test_a_critic_s_log_without_its_generator_s_loss_holds_no_indicator() -> None:
    def critic(t: float, random: np.random.Generator) -> dict[str, float]:
        return {"d_loss": random.normal(-5, 1), "adv": random.normal(-3, 1)}

    made = judged(run_of(critic), stated=stated_units("wasserstein", None, {})).since(20_000)
    assert (made.indicators, made.conclusion, made.next_remedy) == ((), "no_indicator", None)


def test_a_d_that_guesses_is_not_weakened_further() -> None:
    guessing = judged(run_of(steady(d_loss_real=(0.69, 0.01), d_loss_fake=(0.69, 0.01), l1=(0.2, 0.05)), rows=300))
    assert [finding.rule for finding in guessing.findings] == ["collapse"]
    assert (guessing.since(15_000).conclusion, guessing.since(15_000).next_remedy) == ("not_strong", None)


# What noise does.


def test_a_rise_that_goes_on_has_not_ended_where_few_rows_follow() -> None:
    def rising(t: float, random: np.random.Generator) -> dict[str, float]:
        return {"g_loss": 20 * (1 + t) * math.exp(random.normal(0, 0.08)), "d_loss": 0.25}

    for seed in range(20):
        made = judged(run_of(rising, rows=200, seed=seed)).since(18_500)
        assert outcomes(made)["g_loss"] != "improved"


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_noise_seldom_improves_or_gets_worse(rho: float) -> None:
    random = np.random.default_rng(0)
    said = 0
    for _ in range(60):
        rows = int(random.integers(40, 400))
        noise = np.exp(0.4 * correlated(rows, 3, rho, random))
        log = [
            (100.0 * step, {"d_loss": 0.1 * row[0], "adv": 2 * row[1], "g_loss": 20 * row[2]})
            for step, row in enumerate(noise.tolist())
        ]
        made = judged(log).since(100 * int(random.integers(5, rows - 4)))
        said += bool({"improved", "worse"} & {*outcomes(made).values()})
    assert said <= 2


def correlated(rows: int, signals: int, rho: float, random: np.random.Generator) -> np.ndarray:
    values = random.normal(size=(rows, signals))
    for index in range(1, rows):
        values[index] = rho * values[index - 1] + math.sqrt(1 - rho * rho) * values[index]
    return values


def test_few_rows_judge_nothing() -> None:
    assert set(outcomes(changed(run_of(healthy_signals, rows=3))).values()) == {"unknown"}


@pytest.mark.parametrize("step", [0, 40_000])
def test_a_step_outside_the_log_is_refused(step: int) -> None:
    with pytest.raises(ConfigError, match="the log holds steps 0 to 39900"):
        judged(run_of(healthy_signals)).since(step)


def test_a_cheat_loss_that_comes_to_rest_by_itself_was_not_mended() -> None:
    """It rose from 1.35 to 2.45, fast and then slowly, and nothing was changed."""
    random = np.random.default_rng(8)
    rows: Rows = [
        (step, {"adv": (1.2 + 1.4 * (1 - math.exp(-step / 50))) * math.exp(0.06 * random.standard_normal())})
        for step in range(200)
    ]
    assert outcomes(judged(rows).since(60))["adv"] != "improved"


def test_a_cheat_loss_whose_steady_rise_ends_was() -> None:
    random = np.random.default_rng(8)
    rows: Rows = [
        (step, {"adv": (1.2 + 1.4 * min(step / 100, 1)) * math.exp(0.04 * random.standard_normal())})
        for step in range(200)
    ]
    assert outcomes(judged(rows).since(100))["adv"] == "improved"


def test_a_loss_that_is_no_number_any_more_is_worse() -> None:
    rows = run_of(healthy_signals, rows=100)
    rows += [(10_000 + index * 100, dict.fromkeys(rows[0][1], math.nan)) for index in range(5)]
    made = judged(rows).since(7_000)
    assert set(outcomes(made).values()) == {"worse"} and not made.helped


def test_a_cheat_loss_that_jumps_and_stays_is_worse() -> None:
    random = np.random.default_rng(2)
    rows: Rows = [(n, {"adv": (1.1 if n < 100 else 180.0) * random.lognormal(0, 0.3)}) for n in range(200)]
    assert outcomes(judged(rows).since(100))["adv"] == "worse"
