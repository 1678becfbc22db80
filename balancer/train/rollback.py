"""Going back to the last good checkpoint after a value that is not finite, with one change each time.

All that a rollback changes follows from how many there were, which checkpoints hold. A run that is killed between a
rollback and its next checkpoint meets the same value again, goes back again, and ends with the same bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from balancer.errors import CheckpointError, NotFiniteError
from balancer.record import checkpoint
from balancer.record.folder import CHECKPOINTS

if TYPE_CHECKING:
    from balancer.train.loop import Trainer

LOWER_RATE: Final = 0.5  # on both learning rates, each time


def order_change(trainer: Trainer) -> list[int]:
    """What the data order is drawn from besides the seed and the epoch."""
    changes = trainer.rollbacks and trainer.train.rollback_change == "order"
    return [trainer.rollbacks] if changes else []


def rate_change(trainer: Trainer) -> float:
    """The factor on both learning rates."""
    return LOWER_RATE**trainer.rollbacks if trainer.train.rollback_change == "rate" else 1.0


def roll_back(trainer: Trainer, error: NotFiniteError) -> str:
    """Restore the last good checkpoint, cut the logs back to it, note it there; the sentence to say.

    Raises:
        NotFiniteError: the run may not go back, or has done so often enough, or no checkpoint is there.
    """
    train, tried = trainer.train, trainer.rollbacks
    if train.on_nan == "stop" or trainer.folder is None:
        raise error
    if tried >= train.rollbacks:
        error.add_note(f"the run went back {tried} times already: train.rollbacks")
        raise error
    try:
        loaded = checkpoint.load_latest(trainer.folder / CHECKPOINTS)
    except CheckpointError as none:
        error.add_note(f"it cannot go back: {none}")
        raise error from None
    at = trainer.balance.step
    trainer.load_state_dict(loaded.state, other_data=True)
    trainer.rollbacks = tried + 1
    changed = "another order of the data"
    if train.rollback_change == "rate":
        changed = f"learning rates times {rate_change(trainer):g}"
    text = f"back from step {at} to {loaded.step}, with {changed} (rollback {tried + 1} of {train.rollbacks}): {error}"
    trainer.balance.note("rollback", "balancer", text)
    return text
