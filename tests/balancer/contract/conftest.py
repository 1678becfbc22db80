"""Wheels of ours and of a third party, and a fresh environment with them."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from support.environments import THIRD_PARTY, Environment, execute, outer_packages, sources


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Wheels of balancer, balancer-notch and balancer-broken, by the first part of their file names."""
    work = tmp_path_factory.mktemp("wheels")
    built = work / "built"
    projects = [sources(work / "balancer")]
    projects += [Path(shutil.copytree(THIRD_PARTY / name, work / name)) for name in ("good", "broken")]
    for project in projects:
        done = execute([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", built, project])
        assert done.status == 0, done.err or done.out
    return {path.name.partition("-")[0]: path for path in built.glob("*.whl")}


@pytest.fixture(scope="session")
def fresh(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A fresh environment with the three wheels in it."""
    made = Environment(tmp_path_factory.mktemp("fresh") / "venv")
    made.install(*wheels.values())
    made.see(*outer_packages())
    return made
