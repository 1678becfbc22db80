"""The checks that run nothing: class and hooks, config through TOML, and the card with its sections."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import tomli_w

from balancer.conformance.report import Check, judged, sentence_of
from balancer.contract.make import plugin_config
from balancer.contract.moments import HOOK_NAMES
from balancer.contract.plugin import Plugin, check_plugin_class
from balancer.contract.registry import card_beside

# What a card says, and by which words its heading is known.
SECTIONS: Final = {
    "what it claims": r"claim",
    "the equation": r"equation|law",
    "signals and knobs": r"signal|knob",
    "settings with their defaults": r"setting|default",
    "when it fails": r"fail",
    "what it composes with": r"compose",
    "what was measured": r"measure|evidence",
}
UNFILLED: Final = re.compile(r"\b(TODO|TBD|FIXME|XXX|lorem ipsum)\b|to be (written|filled)|\(fill in\)", re.IGNORECASE)
WORDS: Final = 4
PUBLIC: Final = ("diagnosis", "errors", "testing")


def the_class(cls: type[Plugin], where: str) -> Iterator[Check]:
    """The class can be loaded, and each hook has a body that runs."""
    faults = []
    try:
        check_plugin_class(cls, where)
    except Exception as error:
        faults.append(sentence_of(error))
    for hook in HOOK_NAMES:
        function = inspect.getattr_static(cls, hook, None)
        if isinstance(function, staticmethod | classmethod):
            faults.append(f"{hook} is a {type(function).__name__}: hooks are plain methods")
        elif inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            faults.append(f"{hook} is a coroutine or a generator, whose body never runs: write a plain method")
    yield from judged("class", faults, f"api {cls.api}, every hook exists and is marked")
    private = sorted(_private(path_of(cls)))
    if private:
        yield Check("class", "remark", f"its module imports {', '.join(private)}, which may change at any time")


def _private(path: Path | None) -> Iterator[str]:
    """Files of our rooms that a module imports, beside the public names."""
    try:
        tree = ast.parse("" if path is None else path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for module in modules:
            top, _, rest = module.partition(".")
            if top == "balancer" and rest and rest not in PUBLIC:
                yield module


def config(cls: type[Plugin], settings: Mapping[str, Any]) -> Iterator[Check]:
    """A config goes through TOML and comes back the same; defaults pass their own checks; settings are described."""
    name = "config"
    faults = []
    made = plugin_config(cls, settings, "this check")
    table = made.model_dump(mode="json", exclude_none=True)
    try:
        back = tomllib.loads(tomli_w.dumps({cls.name: table}))[cls.name]
        again = plugin_config(cls, back, "this check")
        if again.model_dump() != made.model_dump():
            faults.append(f"it comes back from TOML as another one: {again!r} in place of {made!r}")
    except Exception as error:
        faults.append(f"what a run writes down of it cannot be read again, so no run resumes: {sentence_of(error)}")
    yield from judged(name, faults, "it comes back from TOML as it was")
    bare = [key for key, field in cls.Config.model_fields.items() if not field.description]
    if bare:
        yield Check(
            name, "remark", f"no description of {', '.join(bare)}: say what it is, and where its default comes from"
        )


def card(cls: type[Plugin], path: Path | None, uses: set[str]) -> Iterator[Check]:
    """A card is there, with its sections filled, and names what the plugin reads and writes."""
    text = card_beside(path, cls.name)
    if text is None:
        yield Check("card", "FAIL", f"there is none: write cards/{cls.name}.md beside the plugin's module")
        return
    sections = _sections(text)
    faults = []
    for what, known_by in SECTIONS.items():
        bodies = [body for heading, body in sections if re.search(known_by, heading, re.IGNORECASE)]
        body = " ".join(bodies)
        if not bodies:
            faults.append(f"it has no section on {what}")
        elif len(re.findall(r"\w+", body)) < WORDS or UNFILLED.search(body):
            faults.append(f"its section on {what} is not filled")
    unnamed = sorted(name for name in uses if name not in text)
    if unnamed:
        faults.append(f"it does not name {', '.join(unnamed)}, which the plugin reads, writes or is set by")
    yield from judged("card", faults, "there, with its sections filled")


def _sections(text: str) -> list[tuple[str, str]]:
    """Headings below the title, each with the text under it."""
    parts = re.split(r"^#{2,3}\s+(.+)$", text, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def path_of(cls: type[Plugin]) -> Path | None:
    """The file that a class stands in."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return None if file is None else Path(file)
