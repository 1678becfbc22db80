"""Did a change help? The source document's three indicators, before a step and within three epochs after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from balancer.diagnosis.finding import Case
from balancer.diagnosis.remedies import TRIAL_EPOCHS, Remedy, chosen
from balancer.diagnosis.trends import Curve, Trend, curve, logs, trend
from balancer.errors import ConfigError

if TYPE_CHECKING:
    from balancer.reading.series import Series

IndicatorOutcome = Literal["good", "improved", "unchanged", "worse", "unknown"]
FEWEST_ROWS: Final = 5  # rows on each side of the change, at least
# "If nothing changed, change D's learning rate or update count next", says the document; then what weakens D further.
NEXT: Final = ("d_lr_ratio", "d_skip", "label_smoothing", "freeze_head")


@dataclass(frozen=True)
class Indicator:
    """One indicator: its median before and after the change, and in which epoch after it the outcome showed first."""

    name: str
    outcome: IndicatorOutcome
    before: float | None = None
    after: float | None = None
    within: int | None = None


@dataclass(frozen=True)
class Since:
    """The judgement of a change at `step`; `epochs` have passed since, None where no epoch is known."""

    step: int
    epochs: float | None
    until: float
    indicators: tuple[Indicator, ...]
    next_remedy: Remedy | None

    @property
    def helped(self) -> bool:
        """Whether one of the indicators improved."""
        return any(indicator.outcome == "improved" for indicator in self.indicators)

    @property
    def early(self) -> bool:
        """Whether less than an epoch has passed, so that nothing can be said yet."""
        return self.epochs is not None and self.epochs < 1 and not self.helped

    @property
    def in_order(self) -> bool:
        """Whether every indicator stood where it should before the change, and does so after it."""
        known = [indicator.outcome for indicator in self.indicators if indicator.outcome != "unknown"]
        return bool(known) and all(outcome == "good" for outcome in known)


def since(case: Case, step: int) -> Since:
    """Judge a change made at `step`.

    Raises:
        ConfigError: the log does not reach so far, or begins there.
    """
    first, last = case.history.first_step, case.history.last_step
    if not first < step <= last:
        raise ConfigError(
            f"--since {step}: the log holds steps {first:.0f} to {last:.0f}; give the step in between at which "
            "the change was made"
        )
    epoch = case.source.steps_per_epoch
    until = min(last, step + TRIAL_EPOCHS * epoch - 1) if epoch else last
    reach = TRIAL_EPOCHS * epoch if epoch else last + 1 - step
    indicators = tuple(_first_good(name, case, step, until, reach, epoch) for name in _judged(case))
    answer = Since(step, (last + 1 - step) / epoch if epoch else None, until, indicators, None)
    if answer.helped or answer.early or answer.in_order or all(one.outcome == "unknown" for one in indicators):
        return answer
    return replace(answer, next_remedy=next(iter(chosen(NEXT, case)), None))


def _judged(case: Case) -> Iterator[str]:
    """The indicators that mean something: `d_adv` where its healthy range is known, `adv` where losses have levels."""
    loss = case.units.loss
    for name, means in (("d_adv", loss.healthy is not None), ("adv", loss.has_levels), ("g_loss", True)):
        if means and name in case.history:
            yield name


def _first_good(name: str, case: Case, step: int, until: float, reach: float, epoch: float | None) -> Indicator:
    """The indicator over the whole time after the change, and the first epoch whose end shows the same."""
    before = _part(case.history[name], step - reach, step)
    healthy = case.units.loss.healthy
    whole = _indicator(name, before, _part(case.history[name], step, until + 1), healthy)
    if epoch is None or whole.outcome not in ("improved", "good"):
        return whole
    for count in range(1, TRIAL_EPOCHS + 1):
        part = _part(case.history[name], step + (count - 1) * epoch, min(step + count * epoch, until + 1))
        if _indicator(name, before, part, healthy).outcome in ("improved", "good"):
            return Indicator(name, whole.outcome, whole.before, whole.after, count)
    return whole


def _indicator(name: str, before: Curve, after: Curve, healthy: tuple[float, float] | None) -> Indicator:
    if len(before) < FEWEST_ROWS or len(after) < FEWEST_ROWS:
        return Indicator(name, "unknown")
    levels = float(np.median(before.values)), float(np.median(after.values))
    if name == "d_adv":
        assert healthy is not None, "only then it is judged"
        return Indicator(name, _d_adv(before, after, healthy), *levels)
    return Indicator(name, (_adv if name == "adv" else _g_loss)(before, after), *levels)


def _d_adv(before: Curve, after: Curve, healthy: tuple[float, float]) -> IndicatorOutcome:
    """It oscillates in its healthy range: there, or clearly nearer than before."""
    far = [_distance(float(np.median(part.values)), healthy) for part in (before, after)]
    if far[1] == 0:
        return "good" if far[0] == 0 else "improved"
    if not _differ(before, after):
        return "unchanged"
    # Nearer by half an octave counts, farther by as much too.
    return "improved" if far[1] < far[0] - 0.35 else "worse" if far[1] > far[0] + 0.35 else "unchanged"


def _adv(before: Curve, after: Curve) -> IndicatorOutcome:
    """It falls slowly."""
    then, now = trend(before), trend(after)
    if now.rises(by=0.05) and not then.rises(by=0.05):
        return "worse"
    higher = float(np.median(after.values)) > 1.25 * float(np.median(before.values))
    if now.rises(by=0.05):
        return "worse" if higher and _differ(before, after) else "unchanged"
    lower = float(np.median(after.values)) < float(np.median(before.values))
    if then.rises(by=0.05) or (lower and _differ(before, after) and not then.falls(by=0.02)):
        return "improved"
    return "good" if now.falls(by=0.02) else "unchanged"


def _g_loss(before: Curve, after: Curve) -> IndicatorOutcome:
    """It no longer rises steadily; its level is not compared, since a change of a weight shifts it."""
    then, now = _steady(trend(before)), _steady(trend(after))
    if then and not now:
        return "improved"
    if now and not then:
        return "worse"
    return "unchanged" if now else "good"


def _steady(over: Trend) -> bool:
    return over.rises(by=0.02, rank=0.7)


def _distance(level: float, healthy: tuple[float, float]) -> float:
    """How far from the healthy range, in natural logarithms; 0 inside."""
    low, high = healthy
    if level <= 0:
        return float("inf")
    return max(float(np.log(low / level)), float(np.log(level / high)), 0.0)


def _differ(before: Curve, after: Curve) -> bool:
    """Whether the means differ by more than three standard errors, on logarithms, where spread is even."""
    one, two = logs(before.values), logs(after.values)
    error = np.sqrt(one.var() / len(one) + two.var() / len(two))
    return bool(abs(one.mean() - two.mean()) > 3 * error)


def _part(series: Series, start: float, end: float) -> Curve:
    whole = curve(series, bins=4096)
    return whole.since(start).until(end)
