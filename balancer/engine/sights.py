"""What plugins see besides numbers: whether the host passed what it said it shows, and what they may ask of D."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from balancer.contract.adversarial import AdversarialLoss, Halves
from balancer.contract.compose import Composition
from balancer.contract.host import SIGHTS
from balancer.engine.knob_board import KnobBoard
from balancer.errors import ConfigError

if TYPE_CHECKING:
    from balancer.contract.adversarial import Logits

# The fields of a step that a sight needs, by the call with which a host passes them.
_FEATURES: Final = ("real_features", "fake_features")
_PASSED: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "d_loss_terms": {"features": _FEATURES, "condition": ("condition",)},
    "g_loss_terms": {"real_logits": ("real_logits",), "features": _FEATURES, "condition": ("condition",)},
    "before_g_backward": {"gradients": ("gradient_norm",)},
}


def require_shown(composition: Composition, step: int, call: str, shown: Mapping[str, Any]) -> None:
    """Insist on what the host said it shows, and plugins must see.

    Raises:
        ConfigError: it was not passed to this call.
    """
    for sight, names in _PASSED[call].items():
        if composition.sees(sight) and any(shown.get(name) is None for name in names):
            who = next(plugin.name for plugin in composition.plugins if sight in plugin.sees)
            raise ConfigError(
                f"step {step}: plugin {who} sees {sight}, which the host said it supplies but did not pass "
                f"to {call}: {SIGHTS[sight]}"
            )


def beside_fakes(step: int, call: str, shown: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a host showed, with `fake_condition`: what D sees beside G's images, one for each, where a host names none.

    Raises:
        ConfigError: there is not one for each, as where G draws a batch more than once and the host names the batch's.
    """
    fake, beside = shown.get("fake"), shown.get("fake_condition")
    if beside is None:
        beside = shown.get("condition")
    if fake is None or beside is None:
        return shown
    if len(fake) != len(beside):
        raise ConfigError(
            f"step {step}: {call} shows {len(fake)} of G's images beside {len(beside)} conditions: pass "
            "fake_condition=, what D sees beside each of them (a model: the condition of its GOutput)"
        )
    return {**shown, "fake_condition": beside}


def d_looks(loss: AdversarialLoss, board: KnobBoard, transform: Callable[..., Any]) -> dict[str, Any]:
    """What plugins may ask in D's part: what D is to see instead of further images, and D's loss on further logits."""

    def d_halves(real_logits: Logits, fake_logits: Logits) -> Halves:
        labels = board.read("real_label", 1.0), board.read("fake_label", 0.0)
        return loss.d(real_logits, fake_logits, *map(float, labels))

    return {"transform_d_input": transform, "d_halves": d_halves}
