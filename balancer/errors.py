"""Every error a user may see: one line that says what, where and what to do."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final, TextIO
from unicodedata import category

# Known names that one is compared with, and that are listed: each takes time, and a file may hold any number.
MOST_NAMES: Final = 500


class BalancerError(Exception):
    """Base class; the command line prints its message on one line and exits with status 2."""


class ConfigError(BalancerError, ValueError):
    """A setting, a config file or a command-line value is unknown, mistyped or out of range."""


class PluginError(BalancerError):
    """A plugin or model cannot be found, imported or validated, or broke its own declaration."""


class CompositionError(BalancerError):
    """Plugins that cannot work together, or that ask for what the host does not offer."""


class KnobError(BalancerError, ValueError):
    """A plugin wrote a value that the knob does not take."""


class DataError(BalancerError):
    """Training data that cannot be used: fonts, charsets, images."""


class CheckpointError(BalancerError):
    """A checkpoint that cannot be written, is damaged, or does not fit the run."""


class AuditError(BalancerError):
    """What a training script says does not fit what it does, where that is to be an error."""


class BalancerWarning(UserWarning):
    """What a training script says does not fit what it does, or plugins may not work well together."""


class TrainingError(BalancerError):
    """Training cannot go on, for example because a loss is not finite."""


class RanksDiffer(BalancerError):
    """Ranks that train together have not the same settings, plugins, data or knobs; all raise it, the first says it."""


class NotFiniteError(TrainingError):
    """A loss, a gradient or a weight is NaN or infinite."""


class Deprecated(DeprecationWarning):
    """Something of ours that goes, and what to write instead; the command line says it once."""


class MissingExtra(BalancerError, ModuleNotFoundError):
    """What was asked for needs an extra that is not installed; the message is the line that installs it."""


def printable(text: str) -> str:
    """A text without control characters, which would steer the terminal that shows it; spaces and line ends stay."""
    return "".join(c if c.isprintable() or c == "\n" or category(c) == "Zs" else _escaped(c) for c in text)


def say(text: object = "", *, file: TextIO | None = None) -> None:
    """Print a text without control characters: what commands show may come from anybody's file."""
    print(printable(str(text)), file=file, flush=file is not None)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def one_line(text: str) -> str:
    """A text on one line, without control characters."""
    return printable(" ".join(text.split()))


def suggestion(name: str, known: Sequence[str]) -> str:
    """The end of an error about an unknown name: the nearest known one, else all of them."""
    near = get_close_matches(name, known[:MOST_NAMES], n=1)
    if near:
        return f"did you mean {near[0]}?"
    more = f" and {len(known) - MOST_NAMES:,} more" if len(known) > MOST_NAMES else ""
    return f"known are {', '.join(known[:MOST_NAMES])}{more}" if known else "none is installed"


def nearest(name: object, known: Sequence[str], cutoff: float = 0.6) -> str:
    """The end of an error about a name that may be mistyped: the nearest known one in brackets, else nothing."""
    near = get_close_matches(str(name), known, n=1, cutoff=cutoff)
    return f" (did you mean {near[0]}?)" if near else ""


def mistyped(name: str, known: str) -> bool:
    """Whether a name is a known one with a letter left out or doubled, or two neighbours exchanged.

    Other differences, such as another digit or one more, make names of one's own.
    """
    cut = range(len(known))
    left_out = {known[:i] + known[i + 1 :] for i in cut}
    doubled = {known[:i] + known[i] + known[i:] for i in cut}
    exchanged = {known[:i] + known[i : i + 2][::-1] + known[i + 2 :] for i in cut}
    return len(known) > 2 and name != known and name in left_out | doubled | exchanged
