"""Virtual environments of their own, and the commands that run in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
THIRD_PARTY = ROOT / "tests" / "third_party"
# The plugins that third_party/broken declares.
BROKEN = (
    "d_skip",
    "import_error",
    "nan_writer",
    "no_class",
    "other_name",
    "required_setting",
    "undeclared_operation",
    "undeclared_reader",
    "undeclared_writer",
    "unknown_knob",
    "unmarked_hook",
    "wrong_argument",
    "wrong_hook",
)
TRAIN = ("train", "--model", "points", "--device", "cpu", "--seed", "3", "--set", "train.threads=1", "--quiet")


class Result(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


class Environment:
    """A virtual environment which sees the packages of this one, but not its editable balancer."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))

    def install(self, *what: Path | str, path: Path | None = None) -> None:
        """pip, offline; this environment's own pip works on that interpreter."""
        command = [sys.executable, "-m", "pip", "--python", self.python, "install", "--no-index", "--no-deps"]
        environment = {} if path is None else {"PYTHONPATH": str(path)}
        done = execute([*command, "--disable-pip-version-check", *what], environment=environment)
        assert done.status == 0, done.err

    def see(self, *folders: str) -> None:
        """Add folders behind its own packages; `.pth` files in them, such as those of an editable install, stay idle.

        After the installs: pip would take what it sees there for its own.
        """
        (self.packages / "outer.pth").write_text("".join(f"{folder}\n" for folder in folders), encoding="utf-8")

    def take(self, *requirements: str) -> None:
        """Take these distributions and what they require, and nothing else, from this environment, by links."""
        for distribution in closure(requirements):
            for top in {
                path.parts[0] for path in distribution.files or () if path.parts[0] not in ("..", "__pycache__")
            }:
                source, link = Path(str(distribution.locate_file(top))), self.packages / top
                if not link.exists():  # several distributions may share a folder
                    link.symlink_to(source)

    def balancer(self, *args: object, environment: Mapping[str, str] | None = None) -> Result:
        """The real command."""
        return execute([self.folder / "bin" / "balancer", *args], cwd=self.folder, environment=environment)

    def run(self, program: str, *args: object) -> Result:
        return execute([self.python, "-c", program, *args], cwd=self.folder)


def execute(
    command: Sequence[object], *, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> Result:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PIP_", "COV_"))}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**inherited, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def closure(requirements: Sequence[str]) -> list[metadata.Distribution]:
    """The installed distributions that requirements name, and those that these require, in turn."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        name = canonicalize_name(waiting.pop().name)
        if name not in found:
            found[name] = metadata.distribution(name)
            further = [Requirement(text) for text in found[name].requires or ()]
            waiting += [one for one in further if one.marker is None or one.marker.evaluate({"extra": ""})]
    return list(found.values())


def outer_packages() -> list[str]:
    return list(dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]))


def sources(folder: Path) -> Path:
    """What our distribution is built from, where a build may leave its traces."""
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".*", "runs", "tests")
    return Path(shutil.copytree(ROOT, folder, ignore=ignore))
