"""`balancer plugins new`: what it writes installs, passes its own tests and the conformance run; what it refuses."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.environments import Environment, execute, outer_packages, sources

Cli = Callable[..., Any]


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_it_writes_a_distribution_without_a_word_of_the_template(tmp_path: Path, cli: Cli) -> None:
    made = tmp_path / "mine"
    result = cli("plugins", "new", "soft_start", "--out", made)
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"{made}: install it with pip install -e {made}")
    assert files(made) == {
        ".github/workflows/test.yml",
        ".gitignore",
        "LICENSE.md",
        "README.md",
        "balancer_soft_start/__init__.py",
        "balancer_soft_start/cards/soft_start.md",
        "balancer_soft_start/plugin.py",
        "balancer_soft_start/py.typed",
        "pyproject.toml",
        "tests/test_soft_start.py",
    }
    for path in made.rglob("*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert not any(word in text for word in ("@NAME@", "@CLASS@", "@PACKAGE@", "@DISTRIBUTION@", "@API@"))
        if path.suffix == ".py":
            ast.parse(path.read_text(encoding="utf-8"))
    project = tomllib.loads((made / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["balancer.plugins"] == {"soft_start": "balancer_soft_start.plugin:SoftStart"}
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_what_it_writes_installs_and_passes_its_tests_and_the_conformance_run_at_once(tmp_path: Path) -> None:
    environment = Environment(tmp_path / "venv")
    environment.install("--no-build-isolation", sources(tmp_path / "sources"), path=Path(outer_packages()[0]))
    environment.see(*outer_packages())
    made = environment.balancer("plugins", "new", "soft_start")
    assert made.status == 0, made.err
    folder = environment.folder / "balancer-soft-start"
    environment.install("--no-build-isolation", folder, path=Path(outer_packages()[0]))
    tests = execute([environment.python, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=folder)
    assert tests.status == 0, tests.out
    assert "3 passed" in tests.out
    conforms = environment.balancer("plugins", "test", "soft_start", "--strict")
    assert conforms.status == 0, conforms.out
    listed = environment.balancer("plugins", "list").out
    assert "soft_start" in listed


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Soft", "write it as small letters"),
        ("soft-start", "write it as small letters"),
        ("../soft", "write it as small letters"),
        ("a" * 41, "write it as small letters"),
        ("lambda", "Python has that word"),
        ("match", "Python has that word"),
        ("train", "run, train, model are tables of a config"),
        ("d_adv", "a signal or a knob is called so"),
        ("lambda_l1", "a signal or a knob is called so"),
        ("step", "a signal or a knob is called so"),
        ("d_skip", "a plugin of balancer 0.1.0 has it"),
        ("plugins", "a package balancer_plugins is installed already"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli, name: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = cli("plugins", "new", name)
    assert result.status == 2
    (line,) = result.err.splitlines()
    assert words in line
    assert [*tmp_path.iterdir()] == []


def test_a_folder_that_is_there_is_left_alone_and_one_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    refused = cli("plugins", "new", "soft_start", "--out", tmp_path / "there")
    assert (refused.status, "is there already" in refused.err) == (2, True)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert cli("plugins", "new", "soft_start", "--out", tmp_path / "dangling").status == 2
    gone = cli("plugins", "new", "soft_start", "--out", tmp_path / "gone" / "mine")
    assert (gone.status, "is no folder" in gone.err) == (2, True)

    def full(self: Path, *arguments: Any, **named: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        broken = cli("plugins", "new", "soft_start", "--out", tmp_path / "mine")
    assert (broken.status, "No space left on device" in broken.err) == (2, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "there"]
