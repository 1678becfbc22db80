"""Whether one network's backward pass leaks into the other's update, and in what mode D is trained."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from balancer.engine.optimizers import Optimizers
from balancer.engine.turns import Turn

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.utils.hooks import RemovableHandle

# Steps in which gradients are watched: the first ones, then two in every so many.
FIRST: Final = 12
EVERY: Final = 256
OTHER: Final = {"d": "g", "g": "d"}
NAMES: Final = {"d": "D", "g": "G"}


class GradientAudit:
    """Watches gradients arrive at one or two parameters of each network.

    What is there when a network's own backward pass arrives, and came from the other's, goes into its next update.
    """

    def __init__(self, optimizers: Optimizers, turns: Mapping[str, Turn], say: Callable[[str, str], None]) -> None:
        self._optimizers: Final = optimizers
        self._turns: Final = turns
        self._say: Final = say
        self._hooks: list[RemovableHandle] = []
        # Whether the other's backward pass came last to a network, what its own then found, and how often in a row.
        self._foreign: Final = {"d": False, "g": False}
        self._mixed: Final = {"d": False, "g": False}
        self._times: Final = {"d": 0, "g": 0}
        # A backward pass that reached D while G's part was open, and whether D would mix by it, were it D's own.
        self._unclear: tuple[int, bool] | None = None
        self._compared = False

    def begin_step(self, steps: int) -> None:
        """A step begins, after so many in this process."""
        if not (self._optimizers.knows("d") and self._optimizers.knows("g")):
            return
        if not self._compared:
            self._compared = True
            self._compare()
        watched = steps < FIRST or steps % EVERY < 2
        if watched and not self._hooks:
            for role in ("d", "g"):
                self._foreign[role] = self._mixed[role] = False
                for parameter in _ends([p for p in self._optimizers.parameters(role) if p.requires_grad]):
                    self._watch(role, parameter)
        elif not watched:
            self.release()

    def stepped(self, role: str) -> None:
        """An optimizer of this role took a step with the gradients that were there."""
        if not self._hooks:
            return
        self._settle()
        self._times[role] = self._times[role] + 1 if self._mixed[role] else 0
        self._mixed[role] = False
        if self._times[role] == 2:
            mine, other = NAMES[role], NAMES[OTHER[role]]
            self._say(
                f"gradients_{role}",
                f"{mine}'s update also takes the gradients that {other}'s backward pass left in {mine}: call "
                f"zero_grad() of {mine}'s optimizer right before {mine}'s backward pass"
                + (", and detach G's images in D's pass" if role == "g" else ""),
            )

    def release(self) -> None:
        """Watch no more."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def _settle(self) -> None:
        """What is unclear still was D's own: among micro-batches it comes while G's part is open, and stops at D."""
        if self._unclear is not None:
            self._mixed["d"] |= self._unclear[1]
        self._unclear = None

    def _watch(self, role: str, parameter: Tensor) -> None:
        import torch

        def arrives(gradient: Tensor) -> None:
            there = parameter.grad is not None and bool(parameter.grad.any())
            if not there:
                self._foreign[role] = self._mixed[role] = False
            # G's part is open from before its backward pass.
            of_g = self._turns["g"].open and not self._turns["g"].updated
            backward = torch._C._current_graph_task_id()
            if self._unclear is None or self._unclear[0] != backward:
                self._settle()
            elif role == "g":  # G's own pass, which reached D on its way
                self._foreign["d"], self._unclear = True, None
            if of_g == (role == "g"):
                self._mixed[role] |= there and self._foreign[role]
            elif role == "g":
                self._foreign["g"] = True
            else:
                self._unclear = backward, there and self._foreign["d"]

        self._hooks.append(parameter.register_hook(arrives))  # type: ignore[no-untyped-call]

    def _compare(self) -> None:
        mine = {id(parameter) for parameter in self._optimizers.parameters("d")}
        shared = sum(id(parameter) in mine for parameter in self._optimizers.parameters("g"))
        if shared:
            self._say(
                "shared",
                f"the optimizers of D and G share {shared} parameters, so that each moves the other's network: "
                "give each the parameters of its own",
            )


def modules_of(parameters: Iterable[Tensor]) -> list[nn.Module]:
    """The modules that hold these parameters themselves, wherever they are.

    An optimizer does not know them, and a host that had to name its networks would name the wrong one as easily.
    """
    from torch import nn

    wanted = {id(parameter) for parameter in parameters}
    # Classes by their ids: there are some hundred thousand objects to look at.
    classes: dict[int, type] = {}
    found: list[type] = [nn.Module]
    while found:
        if id(cls := found.pop()) not in classes:
            classes[id(cls)] = cls
            found += type.__subclasses__(cls)
    return [
        module
        for module in gc.get_objects()
        if id(type(module)) in classes
        and any(id(parameter) in wanted for parameter in module.__dict__.get("_parameters", {}).values())
    ]


def in_evaluation(modules: Sequence[nn.Module]) -> bool:
    """Whether all of them are in evaluation mode."""
    return bool(modules) and not any(module.training for module in modules)


def _ends(parameters: Sequence[Tensor]) -> list[Tensor]:
    return [] if not parameters else [parameters[-1]] if len(parameters) == 1 else [parameters[0], parameters[-1]]
