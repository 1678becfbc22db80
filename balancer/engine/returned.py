"""What a hook gave back and what it did to the tensors it was shown: checked before anything is made of it."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from balancer.contract.boundary import short
from balancer.contract.moments import SHOWN, StepContext

if TYPE_CHECKING:
    from torch import Tensor

# The fields of a step that may hold tensors, alone or in lists and dicts.
_OTHER: Final = ("discriminate", "transform_d_input", "d_halves", "gradient_norm", "weights")
_TENSORS: Final = tuple(name for name in SHOWN if name not in _OTHER)
_PAIR: Final = "a pair of images and condition"


class Watch:
    """The tensors that a hook is shown, torch's modes and the working directory, and whether it left them as they were.

    torch counts the changes of a tensor. Some ways past the count (`.data`, `.numpy()`) are seen where values are
    compared, too, which is done once for each hook of a plugin, since it takes a copy.
    """

    __slots__ = ("_folder", "_modes", "_seen")

    def __init__(self, offered: Mapping[str, Any], compare: bool) -> None:
        self._seen: list[tuple[str, Tensor, int, Tensor | None]] = [
            (name, tensor, tensor._version, tensor.detach().clone() if compare else None)
            for name, tensor in _shown(offered)
            if not tensor.is_inference()
        ]
        self._modes = _modes()
        self._folder = _folder()

    def __bool__(self) -> bool:
        return bool(self._seen)

    def complaint(self) -> str | None:
        """What the hook changed, as the rest of a sentence; None where nothing."""
        if self._folder and _folder() != self._folder:
            os.chdir(self._folder)  # or the run goes on in another place
            return "changed the working directory of the whole process: use whole paths"
        if _modes() != self._modes:
            return (
                "changed torch's gradient mode or default dtype for everybody: use with torch.no_grad(): and the like"
            )
        for name, tensor, version, before in self._seen:
            if tensor._version != version or (before is not None and not _same(tensor.detach(), before)):
                return f"changed {name} in place: work on a new tensor (x * 2 instead of x *= 2, or x.clone())"
        return None


def complaint(hook: str, offered: Mapping[str, Any], returned: Any) -> str | None:
    """What is wrong with what a hook returned, as the rest of a sentence; None where nothing is."""
    if returned is None:
        return f"returned None, not {_PAIR}" if hook == "transform_d_input" else None
    if inspect.isawaitable(returned) or inspect.isgenerator(returned) or inspect.isasyncgen(returned):
        if hasattr(returned, "close"):
            with contextlib.suppress(Exception):
                returned.close()  # or Python warns of a coroutine that nobody awaited
        return f"returned {_kind(returned)}, whose code nobody runs: a hook is a plain function that returns its result"
    if hook in ("d_loss_terms", "g_loss_terms"):
        return _of_terms(hook, offered["ctx"], returned)
    if hook == "transform_d_input":
        return _of_transform(offered["images"], offered["condition"], returned)
    return f"returned {_kind(returned)}, but {hook} returns nothing: say it by a knob, a signal or the plugin's state"


def _of_terms(hook: str, ctx: StepContext, terms: Any) -> str | None:
    import torch

    if not isinstance(terms, dict):
        return f"returned {_kind(terms)}, not a dict of scalar tensors by name, or None"
    shown = [tensor for _, tensor in _shown({"ctx": ctx})]
    trains = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in shown)
    for name, value in dict.items(terms):
        if not isinstance(name, str) or not name or not name.isprintable():
            return f"returned a term with the name {short(name)}: a name is a text of printable characters"
        if not isinstance(value, torch.Tensor):
            return f"returned the term {name} as {_kind(value)}, not as a scalar tensor"
        if value.ndim != 0:
            return f"returned the term {name} with shape {tuple(value.shape)}: a term is a scalar, such as x.mean()"
        if not value.is_floating_point():
            return f"returned the term {name} in {value.dtype}: a term is a real floating-point number"
        if shown and value.device != shown[0].device:
            return f"returned the term {name} on {value.device}, while the step runs on {shown[0].device}"
        # A constant 0 is how some say that a step needs no term.
        if trains and not value.requires_grad and float(value) != 0.0:
            whose = "D's outputs or ctx.discriminate" if hook == "d_loss_terms" else "G's images or D's outputs"
            return (
                f"returned the term {name} outside the graph, so that it trains nothing: compute it from {whose}, "
                "without detach() or item(), and leave it out in a step that needs none"
            )
    return None


def _of_transform(images: Any, condition: Any, returned: Any) -> str | None:
    import torch

    if not isinstance(returned, tuple | list) or len(returned) != 2:
        return f"returned {_kind(returned)}, not {_PAIR}"
    new_images, new_condition = returned
    if (condition is None) is not (new_condition is None):
        said = "a condition where there is none" if condition is None else "no condition where there is one"
        return f"returned {said}: return it as it came, or transformed alike"
    for what, old, new in (("images", images, new_images), ("condition", condition, new_condition)):
        if not isinstance(old, torch.Tensor):
            continue  # a script's own kind of input, of which nothing is known
        if not isinstance(new, torch.Tensor):
            return f"returned {_kind(new)} as {what}, not a tensor"
        if new.shape[:1] != old.shape[:1]:
            return f"returned {what} of shape {tuple(new.shape)} for {tuple(old.shape)}: the batch must stay whole"
        if old.is_floating_point() is not new.is_floating_point():
            return f"returned {what} in {new.dtype} for {old.dtype}"
        if new.device != old.device:
            return f"returned {what} on {new.device} for {old.device}"
        if torch.is_grad_enabled() and old.requires_grad and not new.requires_grad:
            return f"returned {what} outside the graph, so that G learns nothing from D: transform differentiably"
    return None


def _shown(offered: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Every tensor that a hook is shown, with the name by which it knows it."""
    for name, value in offered.items():
        if isinstance(value, StepContext):
            for field in _TENSORS:
                held = getattr(value, field)
                if held is not None:
                    yield from _within(f"ctx.{field}", held)
        elif value is not None and not isinstance(value, int):
            yield from _within(name, value)


def _within(name: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    torch = sys.modules.get("torch")
    if torch is None:  # then there are no tensors
        return
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _within(f"{name}[{index}]", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _within(f"{name}[{key!r}]", item)


def _modes() -> tuple[bool, Any] | None:
    torch = sys.modules.get("torch")
    return None if torch is None else (torch.is_grad_enabled(), torch.get_default_dtype())


def _folder() -> str:
    """The working directory, or nothing where it is gone."""
    try:
        return os.getcwd()  # noqa: PTH109, since it is asked around every call of a plugin
    except OSError:
        return ""


def _same(one: Tensor, two: Tensor) -> bool:
    import torch

    if one.shape != two.shape:
        return False
    return bool(((one == two) | (torch.isnan(one) & torch.isnan(two))).all())


def _kind(value: object) -> str:
    name = type(value).__name__
    if isinstance(value, tuple | list):
        return f"a {name} of {len(value)}"
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
