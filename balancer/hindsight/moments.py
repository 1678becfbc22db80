"""When a decision begins to act: the last moment of a step before each knob is read."""

from __future__ import annotations

from typing import Final

from balancer.contract.knobs import Decision
from balancer.contract.moments import HOOK_NAMES

# A knob is read once in a step, right after one of the moments. A decision acts in its own step where it is taken
# no later than in this one; a later decision acts from the next step on.
LAST_MOMENTS: Final = {
    "d_update": "on_step_start",
    "real_label": "on_step_start",
    "fake_label": "on_step_start",
    "d_frozen": "on_step_start",
    "lr_d": "before_d_backward",
    "lr_g": "before_g_backward",
}


def last_moment(knob: str) -> str:
    """The last moment of a step at which a decision on this knob acts in the same step.

    Nobody knows when a knob is read that a plugin brings: its value is the one at the end of the step. The hooks are
    declared in the order of the moments.
    """
    return LAST_MOMENTS.get(knob, "before_g_backward" if knob.startswith("lambda_") else "on_step_end")


def acts_from(decision: Decision) -> int:
    """The first step in which a decision acts, where G is updated once in each step."""
    return decision.step + (HOOK_NAMES.index(decision.moment) > HOOK_NAMES.index(last_moment(decision.knob)))
