"""Did a change help? The source document's three indicators, before a step and within three epochs after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from balancer.contract.levels import CHANCE
from balancer.diagnosis.finding import Case, Finding
from balancer.diagnosis.noise import apart, bend, climb, needed, needed_at
from balancer.diagnosis.remedies import TRIAL_EPOCHS, Remedy, chosen
from balancer.diagnosis.trends import Curve, Trend, curve, logs, trend
from balancer.errors import ConfigError

if TYPE_CHECKING:
    from balancer.reading.series import Series

IndicatorOutcome = Literal["good", "improved", "unchanged", "worse", "unknown"]
Conclusion = Literal[
    "no_indicator", "helped", "unknown", "nothing_to_mend", "early", "in_order", "not_strong", "next", "last"
]
FEWEST_ROWS: Final = 5  # rows on each side of the change, at least
GUESSES: Final = 0.6  # times chance: a D above it is not too strong, whichever its loss
REACHED: Final = 1.1  # times what a rise had come to: as far as it may go on, once it has ended
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
    """The judgement of a change at `step`; `epochs` have passed since, None where no epoch is known.

    `conclusion` is the answer: `no_indicator` (the log holds none), `helped` (one improved), `unknown` (too few rows),
    `nothing_to_mend` (no problem was found in the whole log, and none came), `early` (no epoch has passed), `in_order`
    (every indicator stood where it should, and does), `not_strong` (none improved, but D is not too strong, which the
    document's next steps would mend), `next` (the document's next step is `next_remedy`), `last` (it has none left).
    """

    step: int
    epochs: float | None
    until: float
    indicators: tuple[Indicator, ...]
    conclusion: Conclusion
    next_remedy: Remedy | None = None

    @property
    def helped(self) -> bool:
        """Whether one of the indicators improved."""
        return self.conclusion == "helped"


def since(case: Case, findings: Sequence[Finding], step: int) -> Since:
    """Judge a change made at `step`, in a log of which these are the findings.

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
    if any(one.trailing and step <= one.trailing_since <= until for one in case.history.series.values()):
        indicators = tuple(replace(one, outcome="worse") for one in indicators)  # a loss is no longer a number
    epochs = (last + 1 - step) / epoch if epoch else None
    conclusion = _conclusion(case, findings, indicators, early=epochs is not None and epochs < 1)
    remedy = next(iter(chosen(NEXT, case)), None) if conclusion == "next" else None
    return Since(
        step, epochs, until, indicators, "last" if conclusion == "next" and remedy is None else conclusion, remedy
    )


def _conclusion(case: Case, findings: Sequence[Finding], indicators: Sequence[Indicator], *, early: bool) -> Conclusion:
    outcomes = {one.outcome for one in indicators}
    known = outcomes - {"unknown"}
    if not indicators:
        return "no_indicator"
    if "improved" in known:
        return "helped"
    if not known:
        return "unknown"
    if not findings and "worse" not in known:
        return "nothing_to_mend"
    if early:
        return "early"
    if known == {"good"}:
        return "in_order"
    return "next" if _is_strong(case, findings, indicators) else "not_strong"


def _is_strong(case: Case, findings: Sequence[Finding], indicators: Sequence[Indicator]) -> bool:
    """Whether anything says that D is too strong, which is what the next steps would mend."""
    if any(name in NEXT for finding in findings for name in finding.remedies):
        return True
    highest = case.units.healthy[1] if case.units.healthy is not None else GUESSES * CHANCE
    if "d_adv" in case.history and float(np.median(curve(case.history["d_adv"]).tail())) > highest:
        return False
    return any(one.outcome == "worse" or (one.name, one.outcome) == ("g_loss", "unchanged") for one in indicators)


def _judged(case: Case) -> Iterator[str]:
    """The indicators that mean something: `d_adv` where its healthy range is known, `adv` where losses have levels."""
    loss = case.units.loss
    # G's loss before D was trained and after it are two things.
    means_it = "began" not in case.units.evidence
    for name, means in (("d_adv", case.units.healthy is not None), ("adv", loss.has_levels), ("g_loss", means_it)):
        if means and name in case.history:
            yield name


def _first_good(name: str, case: Case, step: int, until: float, reach: float, epoch: float | None) -> Indicator:
    """The indicator over the whole time after the change, and the first epoch whose end shows the same."""
    before = _part(case.history[name], step - reach, step)
    healthy = case.units.healthy
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
    differ = _differ(before, after)
    if far[1] == 0:
        return "improved" if far[0] and differ else "good"
    if not differ:
        return "unchanged"
    # Nearer by half an octave counts, farther by as much too.
    return "improved" if far[1] < far[0] - 0.35 else "worse" if far[1] > far[0] + 0.35 else "unchanged"


def _adv(before: Curve, after: Curve) -> IndicatorOutcome:
    """It falls slowly."""
    then, now = trend(before), trend(after)
    pace = _pace_changed(before, after)
    if now.rises(by=0.05) and not then.rises(by=0.05) and pace > 0:
        return "worse"
    higher = float(np.median(after.values)) > 1.25 * float(np.median(before.values))
    if not then.rises(by=0.05) and float(np.median(after.values)) > 1.5 * float(np.median(before.values)):
        return "worse" if _differ(before, after) else "unchanged"
    if now.rises(by=0.05):
        return "worse" if higher and _differ(before, after) else "unchanged"
    lower = float(np.median(after.values)) < float(np.median(before.values))
    # A rise has ended where it had come to, and not where it would have come to rest by itself.
    ended = then.rises(by=0.05) and pace < 0 and _went_on(before)
    ended &= float(np.median(after.values)) <= REACHED * float(np.median(before.tail()))
    if ended or (lower and _differ(before, after) and not then.falls(by=0.02)):
        return "improved"
    return "good" if now.falls(by=0.02) else "unchanged"


def _g_loss(before: Curve, after: Curve) -> IndicatorOutcome:
    """It no longer rises steadily; its level is not compared, since a change of a weight shifts it."""
    then, now = trend(before), trend(after)
    if _steady(then) and _steady(now):
        return "unchanged"
    pace = _pace_changed(before, after)
    # What was or is now too short to show its own rise may show that the pace is another.
    if _goes_up(then) and pace < 0 and not _steady(now):
        return "improved" if _went_on(before) else "unchanged"
    if _goes_up(now) and pace > 0 and not _steady(then):
        return "worse"
    return "unchanged" if _steady(then) or _steady(now) else "good"


def _steady(over: Trend) -> bool:
    return over.rises(by=0.02, rank=0.7)


def _goes_up(over: Trend) -> bool:
    """The same without the test against noise, for where another test speaks against it."""
    return over.rank >= 0.7 and over.change >= 0.02


def _went_on(before: Curve) -> bool:
    """Whether a rise had not begun to flatten by itself: in its second half it went on at six tenths of its pace."""
    middle = len(before) // 2
    halves = [slice(0, middle), slice(middle, None)]
    if middle < 3:
        return True
    paces = [np.polyfit(before.steps[part], before.values[part], 1)[0] for part in halves]
    return bool(paces[1] >= 0.6 * paces[0])


def _distance(level: float, healthy: tuple[float, float]) -> float:
    """How far from the healthy range, in natural logarithms; 0 inside."""
    low, high = healthy
    if level <= 0:
        return float("inf")
    return max(float(np.log(low / level)), float(np.log(level / high)), 0.0)


def _differ(before: Curve, after: Curve) -> bool:
    """Whether the levels differ as those of noise do not, on logarithms, where spread is even; at once, or late."""
    values = logs(np.concatenate([before.values, after.values]))
    if apart(values, len(before), len(values) - 1) >= needed_at(len(values)):
        return True
    upwards = np.median(after.values) > np.median(before.values)
    return climb(values if upwards else -values) >= needed(len(values))


def _pace_changed(before: Curve, after: Curve) -> int:
    """1 where values rise faster after than before, −1 where slower, 0 where noise may be all of the difference."""
    times, values = (np.concatenate(pair) for pair in ((before.steps, after.steps), (before.values, after.values)))
    if bend(times, values, len(before)) < needed_at(len(values)):
        return 0
    paces = [np.polyfit(part.steps, part.values, 1)[0] for part in (before, after)]
    return 1 if paces[1] > paces[0] else -1


def _part(series: Series, start: float, end: float) -> Curve:
    whole = curve(series, bins=4096)
    return whole.since(start).until(end)
