"""zi2zi and the built-in plugins stand on the framework's public names alone."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PUBLIC = ("balancer", "balancer.errors", "balancer.testing", "balancer.diagnosis")


@pytest.mark.parametrize("package", ["zi2zi_model", "plugins"])
def test_only_public_names_of_the_framework_are_used(package: str) -> None:
    taken: set[tuple[str, str]] = set()
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 0 and str(node.module).split(".")[0] == "balancer":
                taken |= {(str(node.module), alias.name) for alias in node.names}
            if isinstance(node, ast.Import):
                taken |= {(alias.name, "") for alias in node.names if alias.name.split(".")[0] == "balancer"}
    assert taken
    for module, name in taken:
        assert module in PUBLIC, f"{name} of {module}"
        home = import_module(module)
        assert name in getattr(home, "__all__", dir(home)), f"{name} of {module}"
