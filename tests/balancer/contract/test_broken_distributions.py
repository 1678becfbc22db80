"""Distributions whose metadata is broken or hostile: what does not name them works as if they were not there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from support.built_in import BUILT_IN
from support.distributions import distribution
from support.environments import TRAIN, Result, execute

from balancer.contract.distributions import distributions

GROUP = "[balancer.plugins]\n"
PACKAGES = {
    "exits": "import sys; sys.exit(0)",
    "raises": "raise BaseException('no')",
    "interrupts": "raise KeyboardInterrupt",
    "prints": "print('{\"noise\": 1}')\nfrom balancer import Plugin\nclass Prints(Plugin):\n    name = 'prints'",
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sys.path full of distributions that are broken, each in its own way, and a good one."""
    folder = tmp_path_factory.mktemp("hostile")
    for package, code in PACKAGES.items():
        (folder / package).mkdir()
        (folder / package / "__init__.py").write_text(code, encoding="utf-8")
        recipes = f"[balancer.recipes]\n{package} = {package}.deeper\n"
        points = f"{GROUP}{package} = {package}:{package.capitalize()}\n{recipes}"
        models = f"[balancer.diagnosis]\n{package} = {package}:FAMILY\n[balancer.commands]\n{package} = {package}:app\n"
        distribution(folder, f"acme-{package}", {"entry_points.txt": points + models})
    distribution(folder, "no-metadata", {"METADATA": "", "entry_points.txt": f"{GROUP}nameless = json:loads\n"})
    distribution(folder, "no-version", {"METADATA": "Name: no-version\n", "entry_points.txt": f"{GROUP}b = json:l\n"})
    distribution(folder, "bytes", {"METADATA": b"Name: \xff\xfe\n", "entry_points.txt": f"{GROUP}c = json:loads\n"})
    distribution(folder, "bad-points", {"entry_points.txt": f"{GROUP}this line has no equals sign\n"})
    distribution(folder, "byte-points", {"entry_points.txt": b"[balancer.plugins]\nx\xff = json:loads\n"})
    distribution(folder, "escape", {"entry_points.txt": f"{GROUP}red\x1b[31m = json:loads\nbidi\u202e = json:loads\n"})
    distribution(folder, "terminal", {"METADATA": "Name: t\x1b]0;x\x07\n", "entry_points.txt": f"{GROUP}d = json:l\n"})
    distribution(folder, "value", {"entry_points.txt": f"{GROUP}nonsense = not a module!!\nempty =\n"})
    distribution(
        folder, "spaces", {"entry_points.txt": f"{GROUP}two words = json:l\n[balancer.commands]\n\x07 = x:y\n"}
    )
    distribution(folder, "odd-recipes", {"entry_points.txt": "[balancer.recipes]\na = ..x\nb = :\nc = json.nothing\n"})
    for version in ("1.0", "1.1"):
        distribution(folder, "twice", {"entry_points.txt": f"{GROUP}twice = json:loads\n"}, version)
    (folder / "folder-1.0.dist-info").mkdir()
    (folder / "folder-1.0.dist-info" / "entry_points.txt").mkdir()
    (folder / "file-1.0.dist-info").write_text("not a folder", encoding="utf-8")
    (folder / "dangling-1.0.dist-info").symlink_to(folder / "nowhere")
    return folder


def balancer(hostile: Path, *words: object, cwd: Path | None = None) -> Result:
    return execute([sys.executable, "-m", "balancer", *words], cwd=cwd, environment={"PYTHONPATH": str(hostile)})


def test_list_shows_the_good_ones_and_says_what_is_wrong_with_the_others(hostile: Path) -> None:
    done = balancer(hostile, "plugins", "list")
    assert done.status == 0, done.err
    assert done.err == ""
    lines = {line.split()[0]: line for line in done.out.splitlines() if line}
    assert set(BUILT_IN) <= set(lines)
    assert "acme-prints 1.0" in lines["prints"]
    assert lines["nonsense"].endswith("value 1.0 ('not a module!!' is not of the form package.module:Class)")
    assert lines["b"].endswith("no-version ? (its distribution does not say its version: reinstall it)")
    assert lines["twice"].endswith("(its distribution is installed twice in one folder (1.0, 1.1): reinstall it)")
    unknown = [line for line in done.out.splitlines() if line.startswith("?")]
    assert [line.split()[1] for line in unknown] == ["bad-points", "byte-points"]
    assert all("its entry_points.txt cannot be read (" in line for line in unknown)


@pytest.mark.parametrize("words", [("plugins", "list"), ("plugins", "list", "--json"), ("--help",)])
def test_no_control_character_reaches_the_terminal(hostile: Path, words: tuple[str, ...]) -> None:
    done = balancer(hostile, *words)
    assert done.status == 0, done.err
    assert [character for character in done.out + done.err if not character.isprintable() and character != "\n"] == []


def test_list_as_json_is_json_and_names_each(hostile: Path) -> None:
    listed = json.loads(balancer(hostile, "plugins", "list", "--json").out)
    names = [row["name"] for row in listed["plugins"]]
    assert {"red\x1b[31m", "bidi\u202e", "nonsense", "two words", *BUILT_IN} <= set(names)
    assert [row["distribution"] for row in listed["broken"]] == ["bad-points", "byte-points"]
    assert "document" in listed["recipes"]


def test_check_and_a_run_that_do_not_name_them_work(hostile: Path, tmp_path: Path) -> None:
    checked = balancer(hostile, "plugins", "check", "dynamic_lambda", "--model", "points", "--json")
    assert checked.status == 0, checked.err
    assert json.loads(checked.out)["order"] == ["dynamic_lambda"]
    trained = balancer(hostile, *TRAIN, "--plugins", "dynamic_lambda", "--steps", 2, "--out", tmp_path / "run")
    assert trained.status == 0, trained.err
    diagnosed = balancer(hostile, "diagnose", tmp_path / "run")
    assert "Traceback" not in diagnosed.err
    assert diagnosed.status == 0, diagnosed.err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("exits", "cannot be imported from exits:Exits: SystemExit: 0"),
        ("raises", "cannot be imported from raises:Raises: BaseException: no"),
        ("interrupts", "cannot be imported from interrupts:Interrupts: KeyboardInterrupt"),
        ("nonsense", "cannot be imported: 'not a module!!' is not of the form package.module:Class"),
        ("nameless", "is <function loads"),
    ],
)
def test_one_that_is_named_is_refused_in_one_line(hostile: Path, name: str, said: str) -> None:
    done = balancer(hostile, "plugins", "check", name, "--model", "points")
    assert (done.status, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1, done.err
    assert done.err.startswith(f"balancer: plugin {name} of distribution ")
    assert said in done.err


def test_what_one_prints_when_it_is_imported_does_not_spoil_json(hostile: Path) -> None:
    done = balancer(hostile, "plugins", "check", "prints", "--model", "points", "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["order"] == ["prints"]
    assert "noise" in done.err


def test_a_folder_that_the_search_path_names_twice_holds_each_distribution_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "acme_law-1.0.dist-info"
    made.mkdir()
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-law\nVersion: 1.0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", str(tmp_path), f"{tmp_path}/.", *sys.path])
    (found,) = [one for one in distributions() if one.name == "acme-law"]
    assert found.doubles == []
