"""The core and the extras: what pyproject.toml declares, what each room imports, and what a missing module says."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
from support.declared import EXTRAS, names, required
from support.environments import ROOT

import balancer
from balancer.contract.registry import Entry
from balancer.errors import BalancerError, MissingExtra, PluginError
from balancer.extras import EXTRA_OF, extra_of, extras_named, install

OURS = {"balancer", "balancer_plugins", "zi2zi_model"}
# Where a module's name is not its distribution's.
DISTRIBUTION = {"PIL": "pillow", "fontTools": "fonttools", "google": "protobuf", "tomli_w": "tomli-w"}
# The rooms that an extra makes usable; everything else is core.
ROOMS = {"balancer/conformance": "train", "balancer/train": "train", "balancer/page": "page", "zi2zi_model": "zi2zi"}
# Single files that an extra makes usable.
FILES = {"balancer/lab/tune.py": "sweep", "balancer/lab/cluster.py": "cluster"}
# What the core imports all the same, inside functions to which the extra's things are handed.
LENT = {"balancer": {"torch", "safetensors"}}


class Import(NamedTuple):
    file: str
    module: str
    in_function: bool


def imports(path: Path) -> Iterator[Import]:
    """Imports of other people's modules, but for those under TYPE_CHECKING."""

    def walk(node: ast.AST, in_function: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
                continue
            modules = []
            if isinstance(child, ast.Import):
                modules = [alias.name for alias in child.names]
            elif isinstance(child, ast.ImportFrom) and not child.level:
                modules = [child.module or ""]
            for module in modules:
                root = module.partition(".")[0]
                if root not in sys.stdlib_module_names and root not in OURS:
                    yield Import(str(path.relative_to(ROOT)), root, in_function)
            yield from walk(child, in_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))

    return walk(ast.parse(path.read_text(encoding="utf-8")), False)


def distribution(module: str) -> str:
    return DISTRIBUTION.get(module, module)


FOUND = [
    one for folder in ("balancer", "plugins", "zi2zi_model")
    for path in (ROOT / folder).rglob("*.py") for one in imports(path)
]  # fmt: skip


def test_the_scan_sees_what_there_is() -> None:
    assert Import("balancer/page/page.py", "jinja2", False) in FOUND
    assert Import("zi2zi_model/drawing/outlines.py", "vtracer", True) in FOUND
    assert not any(one.module == "torch" and one.file == "balancer/engine/balancer.py" for one in FOUND)  # types only


def test_every_room_imports_what_its_extra_brings() -> None:
    for one in FOUND:
        room = next((extra for folder, extra in ROOMS.items() if one.file.startswith(f"{folder}/")), None)
        room = FILES.get(one.file, room)
        brought = names() | (names(room) if room else set())
        if distribution(one.module) not in brought:
            # Inside a function it may be another extra's, which the message then names.
            assert one.in_function and one.module in {*EXTRA_OF}, one
            assert room == "zi2zi" or one.module in LENT["balancer"], one


def test_nothing_is_required_that_nobody_imports() -> None:
    used = {distribution(one.module) for one in FOUND}
    for extra in (None, "train", "page", "zi2zi", "export", "sweep", "cluster"):
        assert names(extra) <= used, extra


def test_the_message_names_an_extra_that_brings_the_module() -> None:
    assert set(EXTRA_OF.values()) <= set(EXTRAS)
    for module, extra in EXTRA_OF.items():
        assert distribution(module) in names(extra) - names(), module
    core = names()
    known = {distribution(module) for module in EXTRA_OF}
    assert {
        name for extra in ("train", "page", "zi2zi", "export", "sweep", "cluster") for name in names(extra)
    } - core <= known


def test_all_is_all_and_what_developers_install_holds_it() -> None:
    for extra in EXTRAS:
        assert extra == "dev" or names(extra) <= names("all"), extra
    assert names("all") <= names("dev")
    assert "torch>=2.10" in required("train")
    assert not names() & {"torch", "accelerate", "safetensors", "fonttools", "torchmetrics"}


# The message.


def lacking(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)


def as_module(name: str, code: str) -> ModuleType:
    """A module of that name, which `use` makes import something."""
    made = ModuleType(name)
    exec(compile(code, name, "exec"), made.__dict__)
    return made


def test_a_missing_module_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking(monkeypatch, "accelerate")
    with pytest.raises(MissingExtra) as caught, extras_named():
        import accelerate.utils  # noqa: F401
    assert str(caught.value) == 'this needs accelerate, which is not installed: pip install "balancer[train]"'
    assert isinstance(caught.value, BalancerError) and isinstance(caught.value, ImportError)


@pytest.mark.parametrize(
    "error", [ModuleNotFoundError("of nobody", name="nobody"), ImportError("broken", name="torch")]
)
def test_what_no_extra_would_mend_is_passed_on(error: ImportError) -> None:
    assert extra_of(error) is None
    with pytest.raises(ImportError) as caught, extras_named("zi2zi_model.family"):
        raise error
    assert caught.value is error


def test_a_package_with_an_extra_of_its_own_names_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking(monkeypatch, "torch", "vtracer")
    model = as_module("zi2zi_model.some", "def use(module):\n    return __import__(module)\n")
    for module, extra in (("torch", "zi2zi"), ("vtracer", "export")):
        with pytest.raises(MissingExtra, match="pip install") as caught, extras_named(), extras_named():
            model.use(module)
        assert str(caught.value).endswith(install(extra))
    with pytest.raises(MissingExtra) as caught, extras_named(), extras_named("zi2zi_model.family"):
        import torch  # noqa: F401
    assert str(caught.value).endswith(install("zi2zi"))


def test_what_is_said_within_is_said_better_by_who_knows_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command of zi2zi that loads a run needs more than what loads a run."""
    lacking(monkeypatch, "torch")
    program = "from balancer.extras import extras_named\n@extras_named()\ndef use():\n    import torch\n"
    loads = as_module("balancer.record.some", program)
    with pytest.raises(MissingExtra) as caught, extras_named():
        loads.use()
    assert str(caught.value).endswith(install("train"))
    model = as_module("zi2zi_model.some", "def use(inner):\n    inner()\n")
    with pytest.raises(MissingExtra) as caught, extras_named():
        model.use(loads.use)
    assert str(caught.value).endswith(install("zi2zi"))


def test_a_plugin_that_cannot_be_imported_for_want_of_it_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking(monkeypatch, "torch")
    monkeypatch.setitem(sys.modules, "theirs", None)
    for module, installs in (("torch", True), ("theirs", False)):
        point = EntryPoint("law", f"{module}:Law", "balancer.plugins")
        with pytest.raises(PluginError, match=f"of distribution balancer-theirs 1.0 cannot .*{module}") as caught:
            Entry("law", point.value, "balancer-theirs", "1.0", "", point).load("plugin")
        assert str(caught.value).endswith(f"; {install('train')}") is installs


def test_a_public_name_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("balancer.page")]:
        monkeypatch.delitem(sys.modules, module)
    lacking(monkeypatch, "jinja2")
    with pytest.raises(MissingExtra, match=r'jinja2.*pip install "balancer\[page\]"'):
        _ = balancer.report
