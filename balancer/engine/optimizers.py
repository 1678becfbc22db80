"""The optimizers of D and of G: what they do is watched at their own steps, whoever takes them and through what."""

from __future__ import annotations

import functools
import logging
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn
from weakref import WeakKeyDictionary, WeakSet, finalize, ref

from balancer.contract.host import ROLES, check_role
from balancer.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

# Which watch stands on an optimizer; a second one on the same takes the place of the first.
_watches: Final[WeakKeyDictionary[Any, ref[Optimizers]]] = WeakKeyDictionary()

# Hooks of watches that are gone without having been released.
_stale: Final[list[Any]] = []


class Watched:
    """One optimizer of a role, and whether it is within its step now."""

    __slots__ = ("depth", "index", "known", "moved", "optimizer", "role", "steps", "taken")

    def __init__(self, role: str, index: int, optimizer: Optimizer) -> None:
        self.role: Final = role
        # Its place among the optimizers of its role.
        self.index: Final = index
        self.optimizer: Final = optimizer
        # Steps done since the training step under way began.
        self.steps = 0
        # The same since it is watched, by itself.
        self.taken = 0
        # The same when an optimizer that was not passed last stepped.
        self.known = 0
        # How many of its `step` functions are on the stack: one that calls its parent's runs the hooks twice.
        self.depth = 0
        # Whether the newest step moved anything.
        self.moved = False

    def has_gradients(self) -> bool:
        """Whether any of its parameters has a gradient; a step without moves nothing."""
        return _has_gradients(self.optimizer)


class Optimizers:
    """Counts the steps that the optimizers of D and of G really take, and tells who listens of each.

    An optimizer's own hooks tell, so that it does not matter whether a script calls `step` itself, leaves it to a
    gradient scaler (which may skip it), hands over a closure, or wraps the optimizer.

    An optimizer that was not passed but updates the same parameters counts too, and is told of.

    Args:
        given: optimizers by role ("d", "g"): one, or several that together update one network; wrappers that have
            the real one as `.optimizer` will do.
        before: called right before an optimizer's step.
        after: called right after, also where the step raised an error.
        strange: called after the step of an optimizer that was not passed.

    Raises:
        ConfigError: another role, or something that is no optimizer of torch.
    """

    def __init__(
        self,
        given: Mapping[str, Any],
        before: Callable[[Watched], None],
        after: Callable[[Watched], None],
        strange: Callable[[Watched, Any], None] = lambda one, optimizer: None,
    ) -> None:
        self._before: Final = before
        self._after: Final = after
        self._strange: Final = strange
        # Of optimizers that were not passed: the one of ours whose parameters they update, or None.
        self._kin: Final[WeakKeyDictionary[Any, Watched | None]] = WeakKeyDictionary()
        self._undo: Final[list[Callable[[], object]]] = []
        # Updates of each role's network in the step under way: the steps of that optimizer which took most.
        self.updates: Final = dict.fromkeys(ROLES, 0)
        # Optimizers within their step now, as one is while its closure runs.
        self.within: Final[list[Watched]] = []
        self.replaced = False
        self.by_role: Final = {role: _listed(role, value) for role, value in given.items()}
        for one in self:
            former = _watches.get(one.optimizer)
            if former is not None and (watch := former()) is not None and watch is not self and watch._undo:
                logging.getLogger("balancer").warning(
                    "a Balancer that was not ended watches this optimizer of %s: the new one takes its place", one.role
                )
                watch.release()
                watch.replaced = True
        for one in self:
            self._watch(one)
        if self.by_role:
            self._watch_others()

    def __iter__(self) -> Iterator[Watched]:
        return (one for several in self.by_role.values() for one in several)

    def require_watch(self) -> None:
        """Insist that nobody else watches them by now.

        Raises:
            ConfigError: another Balancer was made of them since.
        """
        if self.replaced:
            raise ConfigError("another Balancer has taken over this one's optimizers: go on with that one")

    def knows(self, role: str) -> bool:
        """Whether this role's updates are counted by its optimizers."""
        return role in self.by_role

    def begin_step(self, **done: int) -> None:
        """Count anew: from 0, or from the updates by role that a restored step had seen."""
        for one in self:
            one.steps = done.get(one.role, 0)
        for role in ROLES:
            self.updates[role] = done.get(role, 0) if role in self.by_role else 0

    def settle(self) -> None:
        """End the steps that an error broke off where nothing else noticed; between two training steps none is left."""
        for one in tuple(self.within):
            self._broke_off(one)

    def parameters(self, role: str) -> Iterator[Tensor]:
        """The parameters that this role's optimizers update."""
        for one in self.by_role.get(role, ()):
            for group in one.optimizer.param_groups:
                yield from group["params"]

    def unrelated(self) -> list[Optimizer]:
        """Optimizers that have stepped, were not passed, and update none of the parameters of those that were."""
        return [optimizer for optimizer, one in self._kin.items() if one is None]

    def has_gradients(self, role: str) -> bool:
        """Whether a backward pass has reached this role's network since its gradients were last thrown away."""
        return any(one.has_gradients() for one in self.by_role.get(role, ()))

    def overflowed(self, role: str) -> bool:
        """Whether this role's gradients are not all finite: a scaler then leaves out the step; waits for the device."""
        import torch

        gradients = [parameter.grad for parameter in self.parameters(role) if parameter.grad is not None]
        dense = [gradient.coalesce().values() if gradient.is_sparse else gradient for gradient in gradients]
        finite = [torch.isfinite(gradient).all() for gradient in dense]
        return bool(finite) and not torch.stack([one.to(finite[0].device) for one in finite]).all()

    def release(self) -> None:
        """Leave the optimizers as they were found."""
        self.settle()
        for undo in self._undo:
            undo()
        self._undo.clear()

    def _watch(self, one: Watched) -> None:
        optimizer = one.optimizer

        def begins(*_: object) -> None:
            one.depth += 1
            if one.depth == 1:
                one.moved = one.has_gradients()
                self.within.append(one)
                self._before(one)

        def ends(*_: object) -> None:
            one.depth -= 1
            if one.depth == 0:
                # A scaler lets a fused optimizer take a step that changes nothing where gradients overflowed.
                overflowed = getattr(optimizer, "found_inf", None)
                one.moved = one.moved or one.has_gradients()  # a closure makes them within the step
                if one.moved and overflowed is not None:
                    one.moved = not float(overflowed)
                if one.moved:
                    self._count(one)
                one.taken += 1
                self._ended(one)

        hooks = optimizer.register_step_pre_hook(begins), optimizer.register_step_post_hook(ends)
        self._undo.extend(hook.remove for hook in hooks)
        self._undo.append(self._guard(one))
        _watches[optimizer] = ref(self)

    def _watch_others(self) -> None:
        from torch.optim.optimizer import register_optimizer_step_post_hook

        # torch keeps the hook for good: it must keep neither the optimizers nor what watches them.
        mine, this = WeakSet(one.optimizer for one in self), ref(self)

        def stepped(optimizer: Any, *_: object) -> None:
            watch = this()
            if watch is None or optimizer in mine:
                return
            if optimizer not in watch._kin:
                watch._kin[optimizer] = watch._relative(optimizer)
            one = watch._kin[optimizer]
            # A wrapper that steps around ours, or within it, is not another one.
            if one is None or one.depth or one.taken != one.known:
                if one is not None:
                    one.known = one.taken
                return
            if not _has_gradients(optimizer):
                return
            one.moved = True
            watch._count(one)
            watch._after(one)
            watch._strange(one, optimizer)

        while _stale:
            _stale.pop().remove()
        hook = register_optimizer_step_post_hook(stepped)
        self._undo.append(hook.remove)
        # Not removed there and then: torch may be going through its hooks when memory is tidied up.
        finalize(self, _stale.append, hook)

    def _relative(self, optimizer: Any) -> Watched | None:
        """The one of ours that updates a parameter of this optimizer's."""
        theirs = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        for one in self:
            if any(id(parameter) in theirs for group in one.optimizer.param_groups for parameter in group["params"]):
                return one
        return None

    def _guard(self, one: Watched) -> Callable[[], object]:
        """See to it that a step which raises an error ends too: torch calls no hook then."""
        optimizer, own = one.optimizer, one.optimizer.step
        had = optimizer.__dict__.get("step")

        # A method, as a scheduler made later wants it; one made earlier has put a function in its place.
        @functools.wraps(getattr(own, "__func__", own))
        def step(_: Any, *args: Any, **kwargs: Any) -> Any:
            depth = one.depth
            try:
                return own(*args, **kwargs)
            except BaseException:
                if one.depth > depth == 0:
                    self._broke_off(one)
                raise

        guarded = types.MethodType(step, optimizer)
        optimizer.step = guarded  # type: ignore[method-assign]

        def undo() -> None:
            # A scheduler made since has wrapped it in its turn; then it stays, and does nothing any more.
            if optimizer.__dict__.get("step") is guarded:
                if had is None:
                    del optimizer.step
                else:
                    optimizer.step = had  # type: ignore[method-assign]

        return undo

    def _count(self, one: Watched) -> None:
        one.steps += 1
        self.updates[one.role] = max(self.updates[one.role], one.steps)

    def _broke_off(self, one: Watched) -> None:
        one.moved = False
        self._ended(one)

    def _ended(self, one: Watched) -> None:
        one.depth = 0
        self.within.remove(one)
        self._after(one)


def _listed(role: str, value: Any) -> tuple[Watched, ...]:
    check_role(role)
    several: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
    if not several:
        raise ConfigError(f"optimizers: the list of {role} is empty: leave {role!r} out, or name its optimizers")
    return tuple(Watched(role, index, _unwrapped(role, one)) for index, one in enumerate(several))


def _has_gradients(optimizer: Any) -> bool:
    return any(tensor.grad is not None for group in optimizer.param_groups for tensor in group["params"])


def _unwrapped(role: str, given: Any) -> Optimizer:
    found = given
    while hasattr(getattr(found, "optimizer", None), "param_groups"):
        found = found.optimizer
    if not (hasattr(found, "param_groups") and hasattr(found, "register_step_pre_hook")):
        _refuse(role, given)
    optimizer: Optimizer = found
    return optimizer


def _refuse(role: str, given: object) -> NoReturn:
    raise ConfigError(
        f"optimizers: {role!r} is a {type(given).__name__}, which is no torch.optim.Optimizer and has none as "
        "`.optimizer`: pass the optimizer itself"
    )
