"""The 0.1–0.4 of the source document is BCE's: of other losses nothing is said by it, of critics nothing of levels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.histories import document_signals, judged, run_of

from balancer import as_text
from balancer.diagnosis.infer_units import stated_units


def saturated(name: str, lang: str = "en") -> str:
    made = judged(run_of(document_signals, rows=200), stated=stated_units(name, "mean", {}))
    assert any(finding.words == "saturated.lasting" for finding in made.findings)
    return " ".join(as_text(made, lang).split())


@pytest.mark.parametrize("lang", ["en", "zh-TW"])
def test_a_d_that_has_won_is_found_under_every_loss_with_levels(lang: str) -> None:
    assert "0.1–0.4" in saturated("bce", lang)
    for name in ("hinge", "relativistic", "relativistic_average"):
        said = saturated(name, lang)
        assert "0.1–0.4" not in said and "ln 2 ≈ 0.693" in said


def critic(t: float, random: np.random.Generator) -> dict[str, float]:
    """A gap that closes, while the critic's outputs drift, and G's loss with them."""
    gap, drift = 5 - 3 * t, 40 * t
    adv = drift + gap / 2 + random.normal(0, 0.1)
    row = {"critic_gap": gap + random.normal(0, 0.1), "d_loss": -gap / 2, "adv": adv, "l1": 0.25}
    return {**row, "g_loss": adv + 10 * row["l1"]}


def test_a_critic_whose_outputs_drift_is_accused_of_nothing() -> None:
    made = judged(run_of(critic))
    assert made.case.units.adversarial == "wasserstein", "by its gap"
    assert [finding.words for finding in made.findings] == []
    assert made.verdict.words == "verdict.no_levels"
    assert "critic_gap" in as_text(made)


def indicators(name: str, signals: Any) -> list[str]:
    made = judged(run_of(signals, rows=80), stated=stated_units(name, "mean", {}))
    return [indicator.name for indicator in made.since(4_000).indicators]


def test_a_change_is_judged_by_what_means_something() -> None:
    assert indicators("bce", document_signals) == ["d_adv", "adv", "g_loss"]
    assert indicators("hinge", document_signals) == ["adv", "g_loss"]
    assert indicators("wasserstein", critic) == ["g_loss"]


def test_remedies_that_mean_nothing_are_not_offered() -> None:
    for name, offered in (("bce", True), ("relativistic_average", True), ("relativistic", False), ("hinge", False)):
        made = judged(run_of(document_signals, rows=200), stated=stated_units(name, "mean", {}))
        assert ("--plugins label_smoothing" in as_text(made) or "show label_smoothing" in as_text(made)) == offered, (
            name
        )
