"""What a checkpoint of our loop holds, and how a run goes on from it."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from balancer.errors import CheckpointError
from balancer.record.checkpoint_form import require_moments
from balancer.train.random_state import random_state, set_random_state

if TYPE_CHECKING:
    from balancer.train.loop import Trainer


def saved_state(trainer: Trainer) -> dict[str, Any]:
    """All that a resumed run needs, on every rank; rank 0 has each rank's random state."""
    return {
        "generator": trainer.G.state_dict(),
        "discriminator": trainer.D.state_dict(),
        "optimizers": {role: optimizer.state_dict() for role, optimizer in trainer.optimizers.items()},
        "random": trainer.gather({**random_state(), "plugins": trainer.balance.rank_state()}),
        "average": None if trainer.average is None else trainer.average.state_dict(),
        "data": trainer.model.data_record(),
        "balance": trainer.balance.state_dict(),
        "rollbacks": trainer.rollbacks,
        "settings": trainer.settings,
    }


def restore_state(trainer: Trainer, state: Mapping[str, Any], *, other_data: bool = False) -> None:
    """Continue from what `saved_state` returned; on other data only where that is meant.

    Raises:
        CheckpointError: it belongs to other networks or other data.
    """
    now, then = trainer.model.data_record(), state["data"]
    short = reprlib.repr
    changed = [f"{k}: {short(now[k])}, the run had {short(then.get(k))}" for k in now if now[k] != then.get(k)]
    if changed and not other_data:
        raise CheckpointError(
            f"the data has changed ({'; '.join(changed)}): bring it back, or go on with --allow-change data"
        )
    try:
        trainer.G.load_state_dict(state["generator"])
        trainer.D.load_state_dict(state["discriminator"])
        for role, optimizer in trainer.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][role])
            require_moments(role, optimizer)
        if trainer.average is not None:
            if state["average"] is None:  # a run without one so far begins it here
                trainer.average.begin(trainer.G)
            else:
                trainer.average.load_state_dict(state["average"])
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"the checkpoint does not fit the model of this run: {error}") from None
    ranks, mine = state["random"], trainer.accelerator.process_index
    set_random_state(ranks[mine % len(ranks)])
    trainer.balance.load_state_dict(state["balance"])
    # A rank that was not there before has random numbers of its own.
    trainer.balance.load_rank_state(ranks[mine].get("plugins", {}) if mine < len(ranks) else None)
    trainer.rollbacks = state.get("rollbacks", 0)  # states of before 0.2 have none
