"""`--calibrate`: the proposed weights give the stated shares, and the flags set them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.histories import document_signals, judged, run_of

from balancer.diagnosis.calibrate import Calibration, calibrate, parse_shares
from balancer.diagnosis.infer_units import stated_units
from balancer.errors import ConfigError


def shares_of(made: Calibration) -> dict[str, float]:
    """Shares of G's loss that the proposed weights would give the measured terms."""
    weighted = {row.term: row.raw * row.new_weight for row in made.weights}
    return {term: value / sum(weighted.values()) for term, value in weighted.items()}


def test_without_targets_the_shares_are_those_of_the_documents_case_at_0_3() -> None:
    made = calibrate(judged(run_of(document_signals, first=64010), items=6645).case, {})
    assert shares_of(made) == pytest.approx({"adv": 3 / 32.2, "l1": 25 / 32.2, "const": 4.2 / 32.2})
    assert made.reference == "l1" and made.from_document
    weights = {row.term: row.new_weight for row in made.weights}
    assert weights["l1"] == pytest.approx(90, rel=0.01)
    assert weights["adv"] == pytest.approx(90 * 0.254 * 3 / 25 / 11.2, rel=0.05)
    assert (made.items, made.batch, made.steps_per_epoch) == (6645, 16, 416)
    assert made.flags() == []  # whose terms these are is not known
    assert replace(made, ours=True).flags() == [
        f"--set train.lambda_adv={weights['adv']:.4g}",
        f"--set model.lambda_const={weights['const']:.4g}",
    ]


@given(adv=st.floats(0.01, 0.6), const=st.floats(0.01, 0.3))
def test_stated_shares_are_reached(adv: float, const: float) -> None:
    made = calibrate(CASE, {"adv": adv, "const": const})
    assert shares_of(made) == pytest.approx({"adv": adv, "const": const, "l1": 1 - adv - const})


def test_terms_without_a_target_keep_their_proportions() -> None:
    made = calibrate(CASE, {"adv": 0.2})
    now = {row.term: row.share or 0 for row in made.weights}
    then = {row.term: row.new_share for row in made.weights}
    assert then["l1"] / then["const"] == pytest.approx(now["l1"] / now["const"])
    assert sum(then.values()) == pytest.approx(1)


CASE = judged(run_of(document_signals, first=64010)).case


@pytest.mark.parametrize(
    "text, message",
    [
        ("adv", "expected TERM=SHARE"),
        ("adv=much", "expected TERM=SHARE"),
        ("adv=0.7,l1=0.6", "add up to 1"),
        ("adv=-0.1", "between 0 and 1"),
        ("adv=nan", "between 0 and 1"),
    ],
)
def test_shares_that_are_none_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_shares(text)


def test_shares_may_be_percentages() -> None:
    assert parse_shares("adv=10%, l1=0.75") == {"adv": 0.1, "l1": 0.75}


def test_what_cannot_be_calibrated_says_why() -> None:
    with pytest.raises(ConfigError, match="no such term above 0: did you mean const"):
        calibrate(CASE, {"cost": 0.1})
    with pytest.raises(ConfigError, match="category"):
        calibrate(CASE, {"category": 0.1})  # a term that is 0 has no share to give
    with pytest.raises(ConfigError, match="adv and one more"):
        calibrate(judged([(float(i), {"d_loss": 0.1, "adv": 2.0}) for i in range(30)]).case, {})
    unknown = judged([(float(i), {"adv": 2.0 + i % 3, "l1": 0.2}) for i in range(30)]).case
    with pytest.raises(ConfigError, match="--weight l1=VALUE"):
        calibrate(unknown, {"adv": 0.1})
    with pytest.raises(ConfigError, match="must add up to 1"):
        calibrate(CASE, {"adv": 0.1, "l1": 0.5, "const": 0.1})


def test_a_weight_that_would_change_tenfold_is_told_and_is_not_among_the_flags() -> None:
    rows = run_of(lambda t, random: document_signals(t, random) | {"const": 0.0008 + random.normal(0, 1e-5)})
    stated = stated_units(None, "mean", {"adv": 1.0, "l1": 90.0, "const": 5.0})
    made = calibrate(judged(rows, family="mine", stated=stated).case, {})
    assert made.far == ("const",)
    assert any("lambda_adv" in flag for flag in made.flags()) and not any("const" in flag for flag in made.flags())
