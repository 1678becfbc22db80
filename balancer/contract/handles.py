"""A plugin's grip on its knobs: only what it declared works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NoReturn, Protocol, get_args

from balancer.contract.knobs import Op, Value
from balancer.errors import KnobError, PluginError, nearest

OPERATIONS: Final[tuple[str, ...]] = get_args(Op)


class Contributions(Protocol):
    """Where plugins' contributions stand; the engine's board of knobs."""

    def write(self, plugin: str, knob: str, op: Op, value: Value | None, why: str = "") -> None:
        """Make, rewrite or (with None) withdraw the contribution of one plugin with one operation, for a reason."""
        ...

    def own(self, plugin: str, knob: str, op: Op) -> Value | None:
        """The contribution of one plugin, or None."""
        ...

    def value(self, knob: str) -> Value:
        """The effective value now."""
        ...

    def held(self, knob: str) -> Value:
        """The value that holds in this step."""
        ...


class KnobHandle:
    """One plugin's grip on one knob; only the operations the plugin declared work.

    A plugin that declared `set_or_max` calls `set_or_max`; the composition has resolved which it means.
    """

    __slots__ = ("_board", "_knob", "_ops", "_plugin")

    def __init__(self, board: Contributions, plugin: str, knob: str, ops: Mapping[Op, Op]) -> None:
        self._board = board
        self._plugin = plugin
        self._knob = knob
        # Declared operation -> the one the composition resolved it to.
        self._ops = ops

    @property
    def value(self) -> Value:
        """The knob's effective value now."""
        return self._board.value(self._knob)

    @property
    def held(self) -> Value:
        """The value that holds in this step: the one after the knob's `read_after`; before it, the value now."""
        return self._board.held(self._knob)

    def own(self, op: Op) -> Value | None:
        """This plugin's contribution with that operation, or None: nothing written yet, or withdrawn."""
        return self._board.own(self._plugin, self._knob, self._resolved(op))

    def write(self, op: Op, value: Value, why: str = "") -> None:
        """Contribute `value` with operation `op`; it stays until rewritten or withdrawn, across a resume too.

        `why` is a line for the log of decisions, where there is more to say than the signals that it was taken on.
        """
        if value is None:
            raise KnobError(f"plugin {self._plugin} wrote None to {self._knob} ({op}): use withdraw()")
        self._board.write(self._plugin, self._knob, self._resolved(op), value, why)

    def withdraw(self, op: Op) -> None:
        """Take the contribution back; the knob falls to what the others, or the base, say."""
        self._board.write(self._plugin, self._knob, self._resolved(op), None)

    def set(self, value: float, why: str = "") -> None:
        """Own the knob: its value before factors and bounds."""
        self.write("set", value, why)

    def set_or_max(self, value: float) -> None:
        """Own the knob where no other plugin sets it; be an upper bound where one does."""
        self.write("set_or_max", value)

    def mul(self, factor: float, why: str = "") -> None:
        """Multiply the knob."""
        self.write("mul", factor, why)

    def max(self, bound: float, why: str = "") -> None:
        """Bound the knob from above."""
        self.write("max", bound, why)

    def min(self, bound: float, why: str = "") -> None:
        """Bound the knob from below."""
        self.write("min", bound, why)

    def ratio(self, ratio: float) -> None:
        """Make the learning rate of D this multiple of that of G."""
        self.write("ratio", ratio)

    def gate(self, is_open: bool) -> None:
        """Agree (or not) to an update of D."""
        self.write("gate", is_open)

    def period(self, steps: int) -> None:
        """Agree to an update of D on every `steps`-th step, from step 0."""
        self.write("period", steps)

    def add(self, *names: str) -> None:
        """Put names into a knob that holds a set of names."""
        self.write("add", names)

    def __getattr__(self, name: str) -> NoReturn:
        near = nearest(name, [*OPERATIONS, "value", "held", "own", "write", "withdraw"])
        raise AttributeError(f"plugin {self._plugin}: a knob's handle has no {name}{near}")

    def _resolved(self, op: Op) -> Op:
        if op in self._ops:
            return self._ops[op]
        who = f"plugin {self._plugin}"
        if op not in OPERATIONS:
            raise PluginError(f"{who} used {op!r} on {self._knob}, which is no operation{nearest(op, OPERATIONS)}")
        add = f"add it to writes = {{{self._knob!r}: (…)}}"
        raise PluginError(f"{who} used {op} on {self._knob} without declaring it: {add}")


class KnobHandles(dict[str, KnobHandle]):
    """One plugin's handles by knob."""

    def __init__(self, plugin: str, handles: Mapping[str, KnobHandle]) -> None:
        super().__init__(handles)
        self._plugin = plugin

    def __missing__(self, knob: str) -> KnobHandle:
        near = nearest(knob, list(self))
        raise PluginError(f"plugin {self._plugin} used {knob} without declaring it: add it to writes{near}")
