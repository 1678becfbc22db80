"""What needs more than the core of balancer: which extra brings a module that is missing, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from balancer.errors import MissingExtra

# Module -> the extra of pyproject.toml that brings it.
EXTRA_OF: Final = {
    "accelerate": "train",
    "safetensors": "train",
    "torch": "train",
    "jinja2": "page",
    "markupsafe": "page",
    "PIL": "page",
    "fontTools": "zi2zi",
    "torchmetrics": "zi2zi",
    "vtracer": "export",
    "optuna": "sweep",
    "submitit": "cluster",
}
# Packages of ours that need an extra of their own, which holds those of what they use.
_EXTRA_OF_PACKAGE: Final = {"zi2zi_model": "zi2zi"}


@contextmanager
def extras_named(*at_work: str) -> Iterator[None]:
    """Let a module that is missing within be an error that says which line installs it; other modules are passed on.

    Where a package of ours that has an extra of its own is at work, it is that extra: by its modules in the traceback,
    or by one named here that would have come into it.

    Raises:
        MissingExtra: an extra is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        extra = extra_of(error)
        if extra is None:
            raise
        roots = {module.partition(".")[0] for module in (*at_work, *_modules(error))}
        own = [_EXTRA_OF_PACKAGE[root] for root in roots & _EXTRA_OF_PACKAGE.keys()]
        if own and extra != "export":
            extra = own[0]
        elif isinstance(error, MissingExtra):
            raise  # said already, nearer to it
        name = (error.name or "").partition(".")[0]
        raise MissingExtra(f"this needs {name}, which is not installed: {install(extra)}", name=error.name) from None


def extra_of(error: BaseException) -> str | None:
    """The extra that brings the module which an import did not find; None where none does."""
    missing = isinstance(error, ModuleNotFoundError) and error.name
    return EXTRA_OF.get(missing.partition(".")[0]) if missing else None


def install(extra: str) -> str:
    """The command that installs an extra."""
    return f'pip install "balancer[{extra}]"'


def _modules(error: BaseException) -> Iterator[str]:
    """The modules through which an error came."""
    trace = error.__traceback__
    while trace is not None:
        yield str(trace.tb_frame.f_globals.get("__name__", ""))
        trace = trace.tb_next
