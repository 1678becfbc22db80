"""When D begins to be trained: VQGAN and others let G learn first, and print a loss of exactly 0 for D until then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from balancer.reading.history import History
from balancer.reading.source import Source

if TYPE_CHECKING:
    from balancer.reading.series import Series

# What means nothing before D is trained.
DISCRIMINATED: Final = ("d_loss", "d_loss_real", "d_loss_fake", "d_adv", "adv", "adv_share", "lambda_adv")
OF_OUTPUTS: Final = ("d_acc", "d_logit", "d_prob", "d_sign")
NEVER: Final = float("inf")
FEWEST: Final = 3  # rows of zeros are no rounding
FIRST_ROWS: Final = 0.02  # of its steps, where a log that begins there begins with the training


def drop_untrained(history: History, source: Source) -> float | None:
    """Forget what of D was logged before it is trained, and say from which step on it is.

    None where it always is, and infinity where it is not trained in any row.
    """
    losses = [history[name] for name in ("d_loss", "d_loss_real", "d_loss_fake") if name in history]
    if not losses:
        return None
    busy = (losses[0].high != 0) | (losses[0].low != 0)
    trained = np.flatnonzero(busy)
    step = NEVER
    if len(trained):
        if trained[0] < FEWEST or not busy[trained[0] :].all():
            return None  # zeros that come back are those of a saturated D, rounded in print
        step = float(losses[0].steps[trained[0]])
    elif (
        min(one.count for one in losses) < FEWEST
        or any(one.high.any() or one.low.any() for one in losses[1:])
        or not _is_idle(history, source)
    ):
        return None
    for name in list(history.series):
        if name in DISCRIMINATED or name.startswith(OF_OUTPUTS):
            if step == NEVER:
                del history.series[name]
            else:
                history.series[name] = history.series[name].since(step)
    return step


def _all_zero(losses: Sequence[Series]) -> bool:
    return all(one.count >= FEWEST and not one.high.any() and not one.low.any() for one in losses)


def _is_idle(history: History, source: Source) -> bool:
    """Whether a D whose loss is 0 in every row is one that is not trained yet, and not one that has won.

    So it is where it gives G nothing, where its outputs would cost more than 0, where its code lets it begin late, and
    in a log that begins with the training, since no new D is at 0.
    """
    if "lambda_adv" in history and not history["lambda_adv"].values.any():
        return True
    # What D's mean outputs on real and on generated images would have to pass, were its loss 0.
    for kind, real_at_0, fake_at_0 in (("logit", 1.0, -1.0), ("prob", 0.99, 0.01)):
        outputs = [f"d_{kind}_{side}" for side in ("real", "fake")]
        if all(name in history for name in outputs):
            real, fake = (float(np.median(history[name].values)) for name in outputs)
            return real < real_at_0 and fake > fake_at_0
    if source.code is not None:
        return "later_d" in source.code.flags
    return not source.numbered and from_the_start(history)


def from_the_start(history: History) -> bool:
    """Whether a log seems to begin with the training."""
    return history.first_step <= FIRST_ROWS * max(history.last_step, 1) + 1
