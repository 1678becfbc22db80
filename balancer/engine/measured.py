"""What a host passes as measured: checked to be numbers, scalars and logits before anything is made of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

from balancer.contract.adversarial import AdversarialLoss
from balancer.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


class Measured(NamedTuple):
    """Scalars by name: those that are numbers already, and those that still lie in tensors."""

    numbers: dict[str, float]
    tensors: dict[str, Tensor]


def measured(scalars: Mapping[str, Any], step: int) -> Measured:
    """The scalars that a host passes at `step`: numbers, tensors or arrays of one element.

    Raises:
        ConfigError: one is something else; the line names it, the step and what to pass.
    """
    found = Measured({}, {})
    for name, value in scalars.items():
        if _is_tensor(value):
            if value.numel() != 1 or value.is_complex():
                raise ConfigError(f"step {step}: {name} {_shaped(name, value)}")
            found.tensors[name] = value
        elif isinstance(value, Real):
            found.numbers[name] = float(value)
        elif getattr(value, "size", None) == 1 and hasattr(value, "item"):  # numpy's array of one number
            if not isinstance(number := value.item(), Real):
                raise ConfigError(f"step {step}: {name} holds {number!r}: pass a number or a scalar tensor")
            found.numbers[name] = float(number)
        elif hasattr(value, "shape"):
            raise ConfigError(f"step {step}: {name} {_shaped(name, value)}")
        else:
            given = "None" if value is None else f"a {type(value).__name__}"
            more = f", or leave {name} out where it was not measured" if value is None else ""
            raise ConfigError(f"step {step}: {name} is {given}: pass a number or a scalar tensor{more}")
    return found


def tensors_of(terms: Mapping[str, Any]) -> dict[str, Tensor]:
    """Those of a host's terms that are tensors."""
    return {name: value for name, value in terms.items() if _is_tensor(value)}


def logit_signals(loss: AdversarialLoss, real_logits: Any, fake_logits: Any, step: int) -> dict[str, Tensor]:
    """What D's logits on real and generated images tell; nothing where neither is passed.

    Raises:
        ConfigError: only one of them is passed, or they are not logits.
    """
    if real_logits is None and fake_logits is None:
        return {}
    for name, missing, other in (
        ("real_logits", real_logits, "fake_logits"),
        ("fake_logits", fake_logits, "real_logits"),
    ):
        if missing is None:
            raise ConfigError(f"step {step}: {other} without {name}: D's signals follow from both, so pass both")
    try:
        return loss.signals(real_logits, fake_logits)
    except ConfigError as error:
        raise ConfigError(f"step {step}: {error}") from None


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _shaped(name: str, value: Any) -> str:
    if _is_tensor(value) and value.is_complex():
        return f"is complex: pass a real number, such as {name}.abs()"
    return f"has the shape {tuple(value.shape)}: pass a scalar, such as its mean, {name}.mean()"
