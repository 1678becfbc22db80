"""The boundary around plugins: what their code lets out becomes one line that says whose it is."""

from __future__ import annotations

import dis
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
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
        KeyboardInterrupt: a Ctrl-C that came meanwhile.
    """
    try:
        yield
    except BaseException as error:
        if not is_ctrl_c(error):
            blame(error, what, what if note is None else note, keep(error))
        raise


def blame(error: BaseException, what: str, note: str, kept: str) -> None:
    """Raise somebody's exception as a PluginError whose line `what` begins; one of ours gets a note, and returns.

    Raises:
        PluginError: from `error`.
    """
    if not isinstance(error, BalancerError):
        raise PluginError(f"{what}: {described(error)}{kept}") from error
    if note and note not in str(error):
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


def is_ctrl_c(error: BaseException) -> bool:
    """Whether an exception is a KeyboardInterrupt that came from outside, not from a `raise` in the code that ran.

    Python's handler raises it between two instructions. A handler of a script's own may raise it by a statement, and
    is given the benefit of the doubt.
    """
    if not isinstance(error, KeyboardInterrupt):
        return False
    handler: Any = signal.getsignal(signal.SIGINT)
    known = handler in (signal.default_int_handler, signal.SIG_DFL, signal.SIG_IGN, None)
    if not known and not type(handler).__module__.startswith("balancer."):
        return True
    innermost: TracebackType | None = error.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    if innermost is None or innermost.tb_lasti < 0:
        return True
    code = innermost.tb_frame.f_code.co_code
    return dis.opname[code[innermost.tb_lasti]] != "RAISE_VARARGS"
