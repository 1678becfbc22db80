"""The commands, and what a user sees of an error. Nothing here imports torch until a command needs it."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from balancer.cli import diagnose, hindsight, lab, plugins, train, watch
from balancer.contract.distributions import spare_others
from balancer.contract.registry import COMMANDS, entries, find
from balancer.engine.ranks import is_first_rank
from balancer.errors import BalancerError, Deprecated, PluginError, RanksDiffer, one_line, printable
from balancer.extras import extras_named

# Characters of an error: a name that it repeats may be as long as a file.
LONGEST_LINE: Final = 2000


class _ModelCommands(TyperGroup):
    """The sub-application of a model, imported when one of its commands is asked for, not to list its name."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, help=f"Commands of the model {name}.", no_args_is_help=True)

    def _loaded(self) -> TyperGroup:
        loaded = find(COMMANDS, str(self.name), "model command").load("commands of")
        if not isinstance(loaded, typer.Typer):
            raise PluginError(f"commands of model {self.name}: {loaded!r} is not a typer application")
        return typer.main.get_group(loaded)

    # typer brings its own copy of click, whose types have no public names.
    def list_commands(self, ctx: Any) -> list[str]:
        return self._loaded().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return self._loaded().get_command(ctx, cmd_name)


class _Root(TyperGroup):
    """Our own commands, and one group for each model that brings some."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [
            *super().list_commands(ctx),
            *sorted({entry.name for entry in entries(COMMANDS) if entry.name.isidentifier()}),
        ]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        if own is None and any(entry.name == cmd_name for entry in entries(COMMANDS)):
            return _ModelCommands(cmd_name)
        return own


app = typer.Typer(
    cls=_Root,
    name="balancer",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keeps the discriminator and the generator of a GAN in balance while it trains.",
)


@app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Print the traceback of an error, too; may stand behind a command.")
    ] = False,
) -> None:
    if version:
        print(metadata.version("balancer"))
        raise typer.Exit()


app.command()(train.train)
app.command()(diagnose.diagnose)
app.command()(diagnose.report)
app.command()(watch.watch)
app.command()(hindsight.explain)
app.command()(hindsight.replay)
app.add_typer(plugins.app, name="plugins")
app.add_typer(lab.app, name="lab")


def run(words: Sequence[str]) -> None:
    """Run a command line and leave; an error that a user may see is one line and exit status 2."""
    warnings.formatwarning = lambda message, *where, **more: f"warning: {printable(str(message))}\n"
    warnings.filterwarnings("once", category=Deprecated)
    spare_others()
    arguments, rest = _before_dashes(words)
    debug = "--debug" in arguments
    try:
        with extras_named():
            app([word for word in arguments if word != "--debug"] + rest, standalone_mode=True)
    except BalancerError as error:
        if debug:
            print(printable("".join(traceback.format_exception(error))), file=sys.stderr, end="")
        notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
        line = one_line(f"{error}{notes}")
        if error.__cause__ is not None and isinstance(error, PluginError) and not debug and "traceback" not in line:
            line += " (--debug shows the traceback)"
        if is_first_rank() or not isinstance(error, RanksDiffer):
            print(f"balancer: {_shortened(line)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:  # in a thread that may not catch signals
        sys.exit(130)


def _shortened(line: str) -> str:
    """A line without its middle where it is too long to read: what it is about comes first, what to do last."""
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE * 2 // 3]} … {line[-LONGEST_LINE // 3 :]}"


def _before_dashes(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words of a command line that may be options, and those from `--` on, which are none."""
    at = words.index("--") if "--" in words else len(words)
    return [*words[:at]], [*words[at:]]
