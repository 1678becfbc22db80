"""Which adversarial losses a log's figures contradict, and whether they can be those of a known code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from balancer.diagnosis.loss_bounds import BOUNDS, as_logits
from balancer.diagnosis.units import below_least, g_terms
from balancer.reading.codes import Code
from balancer.reading.history import History

if TYPE_CHECKING:
    from balancer.reading.series import Floats

FEWEST: Final = 10  # rows that say which loss does not fit
MOST_OFF: Final = 0.5  # of the rows, where a loss is the wrong one
FEW_OFF: Final = 0.25  # of the rows, where it is the right one
PROBABILITIES: Final = ("d_prob_real", "d_prob_fake")
# Of what BCE allows: so low is a term that was multiplied by its weight before it was printed (SRGAN's is 0.001).
PRINTED_WEIGHED: Final = 0.05
MAY_BE_NEGATIVE: Final = frozenset({"nll", "kl", "dur"})  # terms of G's loss, beside which its sign says nothing


class Printed(NamedTuple):
    """How a code prints its figures.

    `discriminators` are added up; `halves` times `d_loss` is at most the sum of D's two halves: 2 where it may be their
    mean; `adv` times G's figure is its adversarial loss; `whole` says that `g_loss` is that and no more.
    """

    discriminators: int = 1
    halves: float = 2.0
    adv: float = 1.0
    whole: bool = False


def printed_by(code: Code) -> Printed:
    """How a known code prints them."""
    halves = (1 if code.d_loss == "sum" else 2) / code.d_weight
    whole = not (code.weights or code.weighted or code.configured)
    return Printed(code.discriminators, halves, 1 / code.weighted.get("adv", 1.0), whole)


def off_share(history: History, name: str, printed: Printed) -> float | None:
    """In which part of the rows the figures contradict this loss; None where nothing is logged that could."""
    if name not in BOUNDS:
        return None
    shares = [*_off_by_halves(history, name, printed)]
    if printed.discriminators == 1:
        shares += _off_by_outputs(history, name, printed)
    return max(shares, default=None)


def falls_below_zero(history: History, *names: str) -> bool:
    """Whether one of these falls clearly below 0, more than once."""
    return any(name in history and int((history[name].low < -1e-6).sum()) > 1 for name in names)


def g_falls_below_zero(history: History) -> bool:
    """Whether G's adversarial loss does, or all of G's loss where no other term of it can."""
    if "adv" in history:
        return falls_below_zero(history, "adv")
    return falls_below_zero(history, "g_loss") and not MAY_BE_NEGATIVE.intersection(g_terms(history))


def contradicts(history: History, code: Code) -> bool:
    """Whether the figures can be of none of the losses that a known code has, so that another code wrote the log."""
    losses = set(code.losses)
    if not losses or "d_adv" in history:
        return False
    if losses == {"bce"} and _unbounded(history):
        return True  # it prints what a sigmoid makes of D's outputs
    if "wasserstein" not in losses:
        if falls_below_zero(history, "d_loss", "d_loss_real", "d_loss_fake"):
            return True
        if "hinge" not in losses and g_falls_below_zero(history):
            return True
    if "adv" in code.configured or code.category_inside:  # by a weight that nobody knows; with another loss in it
        return False
    shares = [off_share(history, name, printed_by(code)) for name in losses]
    return all(share is not None and share > MOST_OFF for share in shares)


def is_weighed(history: History) -> bool:
    """Whether G's adversarial loss seems to be printed times its weight: far below what any loss allows beside D's."""
    name = _fake_name(history)
    if "adv" not in history or name not in history:
        return False
    _, rows = history.aligned([name, "adv"])
    _, least = below_least(rows[name] / (1 if name == "d_loss" else 2), rows["adv"])
    return bool(0 < np.median(rows["adv"]) < PRINTED_WEIGHED * np.median(least))


def outputs_as_they_are(history: History) -> None:
    """D's mean outputs that go by the name of probabilities, and are none, become logits."""
    if _unbounded(history):
        for name in PROBABILITIES:
            if name in history.series:
                history.series[name.replace("prob", "logit")] = history.series.pop(name)


def _unbounded(history: History) -> bool:
    series = [history[name] for name in PROBABILITIES if name in history]
    return any(one.low.min() < -0.001 or one.high.max() > 1.001 for one in series)


def d_cost(history: History, name: str, figure: str) -> tuple[Floats, Floats] | None:
    """A figure (`d_loss`, or G's) row by row, and what D's mean outputs make of it at least in this loss.

    None where they are not logged, or nothing is known of them in this loss.
    """
    kind = next((kind for kind in ("prob", "logit") if {f"d_{kind}_real", f"d_{kind}_fake"} <= {*history.measured}), "")
    if not kind or figure not in history or name not in BOUNDS:
        return None
    outputs = [f"d_{kind}_real", f"d_{kind}_fake"]
    _, rows = history.aligned([*outputs, figure])
    logits = as_logits(name, rows[outputs[0]], rows[outputs[1]], kind == "prob")
    if logits is None or len(rows[figure]) < FEWEST:
        return None
    loss = BOUNDS[name]
    return rows[figure], loss.d_least(*logits) if figure == "d_loss" else loss.g_least(logits[1])


def _g_figure(history: History, printed: Printed) -> str | None:
    """G's adversarial loss: `adv`, or `g_loss` where it is that alone; what else a sum holds may weigh more than it."""
    if "adv" in history:
        return "adv"
    return "g_loss" if printed.whole and "g_loss" in history and not g_terms(history) else None


def _fake_name(history: History) -> str:
    """Where D's half on generated images stands, by itself or within its loss; it need not be logged."""
    return "d_loss_fake" if "d_loss_real" in history and "d_loss_fake" in history else "d_loss"


def _off_by_halves(history: History, name: str, printed: Printed) -> Iterator[float]:
    adv_name = _g_figure(history, printed)
    fake_name = _fake_name(history)
    if adv_name is None or fake_name not in history:
        return
    _, rows = history.aligned([fake_name, adv_name])
    # Sums over discriminators obey what each of them obeys on the average.
    fake, adv = rows[fake_name] / printed.discriminators, rows[adv_name] * printed.adv / printed.discriminators
    if len(adv) < FEWEST:
        return
    if fake_name == "d_loss":  # this half is all of it at most
        yield float(BOUNDS[name].too_low(printed.halves * fake, adv).mean())
    else:
        off = BOUNDS[name].too_low(fake, adv)
        yield float((off | BOUNDS[name].too_high(fake, adv) if adv_name == "adv" else off).mean())


def _off_by_outputs(history: History, name: str, printed: Printed) -> Iterator[float]:
    for figure, times, room in (("d_loss", printed.halves, 0.04), (_g_figure(history, printed), printed.adv, 0.1)):
        found = d_cost(history, name, figure) if figure is not None else None
        if found is not None:
            level, least = found
            yield float((level * times < least - 0.2 * np.abs(least) - room).mean())
