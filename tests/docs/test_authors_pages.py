"""The pages for authors of models and of diagnosis extensions: what they show runs, as installed distributions do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import balancer.diagnosis
from balancer import load_run
from balancer.reading.codes import read_codes

Cli = Callable[..., Any]
DOCS = Path(__file__).parents[2] / "docs"
MODEL, DIAGNOSIS = (
    (DOCS / name).read_text(encoding="utf-8") for name in ("writing-a-model.md", "extending-the-diagnosis.md")
)
RUN = ("--steps", 6, "--device", "cpu", "--quiet", "--set", "model.pictures=64")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def install(folder: Path, name: str, toml: str) -> None:
    """A distribution of this name in a folder, with the entry points that a page shows."""
    info = folder / f"{name.replace('-', '_')}-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    groups = re.findall(r'^\[project\.entry-points\."([\w.]+)"\]\n(\w+) = "([\w.:]+)"', toml, flags=re.MULTILINE)
    (info / "entry_points.txt").write_text("".join(f"[{group}]\n{key} = {value}\n" for group, key, value in groups))


@pytest.fixture
def modules() -> Iterator[None]:
    before = {*sys.modules}
    yield
    for name in {*sys.modules} - before:
        if name.startswith(("example_", "edges_")):
            del sys.modules[name]


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modules: None) -> Path:
    """A folder in which the model of the page is installed with its commands."""
    example, _, commands = blocks(MODEL, "python")
    (tmp_path / "example_model.py").write_text(example, encoding="utf-8")
    (tmp_path / "example_commands.py").write_text(commands, encoding="utf-8")
    install(tmp_path, "balancer-shapes", blocks(MODEL, "toml")[0])
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_the_page_shows_the_example_as_it_is() -> None:
    assert blocks(MODEL, "python")[0] == (DOCS / "example_model.py").read_text(encoding="utf-8")


def test_the_example_passes_the_tests_that_the_page_shows(shapes: Path) -> None:
    shown: dict[str, Any] = {}
    exec(blocks(MODEL, "python")[1], shown)
    tests = [test for name, test in shown.items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()


def test_the_example_trains_with_plugins_and_its_commands_work(shapes: Path, cli: Cli) -> None:
    run = shapes / "run"
    made = cli(
        "train",
        "--model",
        "shapes",
        "--plugins",
        "dynamic_lambda,freeze_head",
        *RUN,
        "--set",
        "freeze_head.head=shape",
        "--out",
        run,
    )
    assert made.status == 0, made.err
    assert len([*(run / "sheets").iterdir()]) > 0
    drawn = cli("shapes", "draw", run, shapes / "drawn.png")
    assert (drawn.status, drawn.out) == (0, f"drawn at step 6: {shapes / 'drawn.png'}\n"), drawn.err
    assert (shapes / "drawn.png").read_bytes().startswith(b"\x89PNG")

    state = load_run(run)
    torch.save({"G": state.generator, "D": state.discriminator, "step": 40}, shapes / "theirs.pt")
    imported = cli("shapes", "import", shapes / "theirs.pt", shapes / "imported")
    assert imported.status == 0, imported.err
    went_on = cli("train", "--resume", shapes / "imported", "--steps", 42, "--quiet")
    assert went_on.status == 0, went_on.err
    assert load_run(shapes / "imported", "shapes").step == 42
    (shapes / "other.pt").write_bytes(b"nothing")
    refused = cli("shapes", "import", shapes / "other.pt", shapes / "other")
    assert refused.status == 2
    assert not (shapes / "other").exists()


def test_neither_a_family_nor_an_extension_costs_torch(shapes: Path) -> None:
    program = """if True:
        import sys, balancer, balancer.diagnosis
        assert "numpy" not in sys.modules, "public names are imported on first use"
        import example_model, zi2zi_model.diagnosis.extension
        example_model.ShapesFamily().spec(example_model.ShapesSettings())
        assert "torch" not in sys.modules
    """
    done = subprocess.run([sys.executable, "-c", program], cwd=shapes, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_on_a_page() -> None:
    table = MODEL.partition("## What is public")[2]
    for name in ("ModelFamily", "GanModel", "load_run", "NewRun", "write_atomically", "AdversarialName"):
        assert f"`{name}`" in table
    for name in balancer.diagnosis.__all__:
        getattr(balancer.diagnosis, name)


def test_the_extension_reads_its_log_and_finds_what_it_should(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modules: None, cli: Cli
) -> None:
    package = tmp_path / "edges_diagnosis"
    (package / "words").mkdir(parents=True)
    code, test = blocks(DIAGNOSIS, "python")
    codes = 'EXTENSION.codes = Path(__file__).parent / "codes.toml"\n'
    (package / "__init__.py").write_text(f"{code}{codes}", encoding="utf-8")
    entry, english, chinese, table, twins = blocks(DIAGNOSIS, "toml")
    (package / "codes.toml").write_text(table, encoding="utf-8")
    (package / "codes.zh-TW.toml").write_text(twins, encoding="utf-8")
    for language, words in (("en", english), ("zh-TW", chinese)):
        (package / "words" / f"edges.{language}.toml").write_text(words, encoding="utf-8")
    install(tmp_path, "edges", entry)
    monkeypatch.syspath_prepend(tmp_path)
    rows = [f"[{i:04}] D .531 G 1.{i % 9}4 gp {'.020' if i < 60 else '.00000'}" for i in range(120)]
    (tmp_path / "edges.log").write_text("\n".join(["start", *rows, "[0120] D .5 gp"]) + "\n")

    for language, words in (("en", "The gradient penalty has died"), ("zh-TW", "梯度懲罰已經失效")):
        made = cli("diagnose", tmp_path / "edges.log", "--lang", language)
        assert made.status == 0, made.err
        assert words in made.out
    found = json.loads(cli("diagnose", tmp_path / "edges.log", "--json").out)
    assert "a row cut off" in json.dumps(found)

    shown: dict[str, Any] = {}
    exec(test, shown)
    shown["test_a_penalty_that_died_is_found"]()

    (known,) = read_codes(package / "codes.toml").values()
    assert known.fits(frozenset({"loss_d", "loss_gen", "edge"}), ()) and known.healthy == (0.2, 0.6)
    listed = {language: cli("diagnose", "--families", "--lang", language).out for language in ("en", "zh-TW")}
    assert "edges2shoes of our laboratory" in listed["en"] and "本實驗室的 edges2shoes" in listed["zh-TW"]
    rows = [f"step {i}: loss_D: 0.00{1 + i % 3} loss_G: 6.{i % 9}2 edge: 2.{i % 7}1" for i in range(60)]
    (tmp_path / "edges.log").write_text("\n".join(rows) + "\n")
    for language, flags in (
        ("en", "in this code: --d_lr, beside --g_lr"),
        ("zh-TW", "在這套程式中：--d_lr，G 的是 --g_lr"),
    ):
        made = cli("diagnose", tmp_path / "edges.log", "--lang", language)
        # What has no twin is said in English.
        assert flags in made.out and "--critic_steps of both stages" in made.out
