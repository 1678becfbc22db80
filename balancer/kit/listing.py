"""What a list says of each installed plugin, from metadata and source files alone: nothing is imported.

The sentence is the first of the class's docstring, or where that cannot be found the distribution's summary. Hooks are
the methods marked with `@hookimpl` in the class, and in bases of it in the same file.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from balancer.contract.moments import HOOK_NAMES
from balancer.contract.plugin_evidence import evidence_beside
from balancer.contract.registry import PLUGINS, Broken, Entry, installed

ABBREVIATED: Final = (" et al", " e.g", " i.e", " cf", " vs", " eq")
LONGEST: Final = 200  # characters of a sentence that are shown
LARGEST: Final = 2**20  # bytes of a source file that is read

Parse = Callable[[Path], ast.Module | None]


@dataclass(frozen=True)
class Listed:
    """One plugin in a list; what is not known without an import is None, or empty."""

    name: str
    distribution: str
    version: str
    module: str
    sentence: str
    hooks: tuple[str, ...] | None
    homepage: str
    # What was measured of it, as whoever brings it says.
    evidence: str
    # What is wrong with it, if anything.
    remark: str

    def as_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {**asdict(self), "hooks": None if self.hooks is None else list(self.hooks)}


def listed() -> tuple[list[Listed], list[Broken]]:
    """Every installed plugin by name, and the distributions of which it cannot be said what they bring."""
    found, broken = installed(PLUGINS)
    # One distribution, or one file, may bring any number of plugins.
    told, parsed = cache(_metadata), cache(_parsed)
    return [_listed(entry, told, parsed) for entry in found], broken


def _listed(entry: Entry, told: Callable[[str], tuple[str, str]], parsed: Parse) -> Listed:
    found = _class_of(entry.value, parsed)
    summary, homepage = told(entry.distribution)
    sentence = summary
    hooks = None
    if found is not None:
        classes = [*_with_bases(*found)]
        marked = {name for one in classes for name in _marked(one)}
        hooks = tuple(name for name in HOOK_NAMES if name in marked)
        sentence = _first_sentence(ast.get_docstring(classes[0]) or "") or summary
    distribution, version = map(printable, (entry.distribution, entry.version))
    # JSON escapes what a name holds; whoever prints one makes it printable.
    return Listed(
        entry.name,
        distribution,
        version,
        printable(entry.value),
        printable(sentence),
        hooks,
        printable(homepage),
        evidence_beside(_place(entry.value), entry.name),
        entry.remark,
    )


def _place(value: str) -> Path | None:
    """The source file of the module that an entry point names, or None."""
    try:
        return _file_of(value.partition(":")[0].strip())
    except (OSError, ValueError, ImportError, AttributeError):
        return None


def printable(text: str) -> str:
    """A text as one line of at most 200 characters, without those that a terminal would obey."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _metadata(distribution: str) -> tuple[str, str]:
    """A distribution's summary and homepage, empty where it says none."""
    try:
        told: Any = metadata.metadata(distribution)
        urls = [url.partition(",") for url in told.get_all("Project-URL") or []]
        named = {label.strip().lower(): url.strip() for label, _, url in urls}
        home = named.get("homepage") or named.get("home") or told.get("Home-page") or named.get("repository") or ""
        return str(told.get("Summary") or ""), str(home)
    except Exception:  # whatever is wrong with one distribution, the list is of all
        return "", ""


def _first_sentence(text: str) -> str:
    """Up to the first full stop, but for those within brackets and of abbreviations."""
    paragraph = " ".join(text.strip().split("\n\n")[0].split())
    for stop in re.finditer(r"\.(?= )", paragraph):
        before = paragraph[: stop.start()]
        if before.count("(") <= before.count(")") and not before.endswith(ABBREVIATED):
            return before + "."
    return paragraph


def _class_of(value: str, parsed: Parse) -> tuple[ast.ClassDef, ast.Module] | None:
    """The class that an entry point names, as its source file has it; None where it cannot be found so."""
    module, _, name = value.partition(":")
    try:
        path = _file_of(module.strip())
        for _ in range(3):  # a package may hand on what a file of it holds
            tree = None if path is None else parsed(path)
            if path is None or tree is None:
                return None
            for node in tree.body:
                if isinstance(node, ast.ClassDef) and node.name == name.strip():
                    return node, tree
            path = _handed_on(tree, name.strip(), path)
    except (OSError, SyntaxError, ValueError, ImportError, AttributeError, RecursionError, MemoryError):
        return None  # MemoryError is what Python's parser raises of a source that is nested too deeply
    return None


def _file_of(module: str) -> Path | None:
    """The source file of a module; only the spec of its top package is asked for, which imports nothing."""
    top, *rest = module.split(".")
    spec = find_spec(top)
    if spec is None:
        return None
    if not rest:
        return None if spec.origin is None else Path(spec.origin)
    for folder in spec.submodule_search_locations or ():
        base = Path(folder, *rest)
        for path in (base.with_name(f"{base.name}.py"), base / "__init__.py"):
            if path.is_file():
                return path
    return None


def _parsed(path: Path) -> ast.Module | None:
    if path.suffix != ".py" or path.stat().st_size > LARGEST:
        return None
    return ast.parse(path.read_bytes())


def _handed_on(tree: ast.Module, name: str, path: Path) -> Path | None:
    """The file beside this one from which it imports a name."""
    for node in tree.body:
        if not (isinstance(node, ast.ImportFrom) and node.level == 1 and node.module):
            continue
        if any(alias.name == name and alias.asname in (None, name) for alias in node.names):
            base = path.parent.joinpath(*node.module.split("."))
            beside = base.with_name(f"{base.name}.py")
            return beside if beside.is_file() else base / "__init__.py"
    return None


def _with_bases(cls: ast.ClassDef, tree: ast.Module) -> Iterator[ast.ClassDef]:
    """A class and those of its bases that stand in the same file."""
    known = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    waiting, seen = [cls], set[str]()
    while waiting:
        one = waiting.pop(0)
        if one.name in seen:
            continue
        seen.add(one.name)
        yield one
        waiting += [known[base.id] for base in one.bases if isinstance(base, ast.Name) and base.id in known]


def _marked(cls: ast.ClassDef) -> Iterator[str]:
    for node in cls.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for mark in node.decorator_list:
                name = mark.func if isinstance(mark, ast.Call) else mark
                if getattr(name, "id", getattr(name, "attr", "")) == "hookimpl":
                    yield node.name
