"""The boundary around plugins: what their code lets out becomes one line that says whose it is."""

from __future__ import annotations

import dis
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any, Final

from balancer.errors import BalancerError, PluginError, one_line

# Characters of a foreign message that a line keeps.
LONGEST: Final = 500


@contextmanager
def calling(
    what: str, note: str | None = None, keep: Callable[[BaseException], str] = lambda error: ""
) -> Iterator[None]:
    """Run a plugin's code; `what` begins the line of its errors, such as "plugin X of Y 1.0 cannot be made".

    An error of balancer's own, which the code raised on purpose or ran into, is raised on with a note: `what`, or
    another one. `keep` keeps a traceback and says where, as the end of a sentence.

    Raises:
        PluginError: from whatever the code raised, `SystemExit` among it.
        BaseException: what came from a signal, such as a Ctrl-C, meanwhile.
    """
    try:
        yield
    except BaseException as error:
        if not from_outside(error):
            blame(error, what, what if note is None else note, keep(error))
        raise


def blame(error: BaseException, what: str, note: str, kept: str) -> None:
    """Raise somebody's exception as a PluginError whose line `what` begins; one of ours gets a note, and returns.

    Raises:
        PluginError: from `error`.
    """
    if not isinstance(error, BalancerError):
        raise PluginError(f"{what}: {described(error)}{kept}") from error
    if note and note not in described(error):
        error.add_note(note + kept)


def described(error: BaseException) -> str:
    """An exception as `Type: message`, on one line, whatever its message is."""
    try:
        message = one_line(str(error))
    except Exception:
        message = "(its message cannot be shown)"
    if len(message) > LONGEST:
        message = f"{message[:LONGEST]} …"
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def short(value: object) -> str:
    """A plugin's value as text, on one line, whatever its `repr` does."""
    try:
        text = one_line(repr(value))
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:60]} …"


def from_outside(error: BaseException) -> bool:
    """Whether an exception is that of a signal that arrived meanwhile: a Ctrl-C, or whatever a script's handler raises.

    Python's own handler raises KeyboardInterrupt between two instructions, and not, as a plugin does, by a statement.
    """
    trace = error.__traceback__
    if trace is None:
        return False
    handlers = {_code(signal.getsignal(number)) for number in signal.valid_signals()}
    while trace.tb_frame.f_code not in handlers:
        if trace.tb_next is None:
            at = trace.tb_lasti
            stated = at >= 0 and dis.opname[trace.tb_frame.f_code.co_code[at]] == "RAISE_VARARGS"
            return isinstance(error, KeyboardInterrupt) and not stated
        trace = trace.tb_next
    return True


def _code(handler: Any) -> CodeType | None:
    """The code of a signal handler that is written in Python."""
    function = getattr(handler, "func", handler)
    called = (part.__dict__["__call__"] for part in type(function).__mro__ if "__call__" in part.__dict__)
    code = getattr(function, "__code__", None) or getattr(next(called, None), "__code__", None)
    return code if isinstance(code, CodeType) else None
