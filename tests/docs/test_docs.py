"""The documentation says what the code does: signatures, tables, cards, commands, links, and its examples run."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from support.built_in import BUILT_IN

from balancer import Balancer
from balancer.cli.app import app
from balancer.contract.knobs import STANDARD_KNOBS, VALUE_OPS
from balancer.contract.losses import BUILT_IN as BUILT_IN_LOSSES
from balancer.contract.moments import HOOK_NAMES, Moments, RunInfo, StepContext
from balancer.contract.plugin import Plugin
from balancer.contract.registry import load_plugin
from balancer.contract.signals import STANDARD_SIGNALS
from balancer.errors import CompositionError
from balancer.testing import replay, toy_trainer

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CARDS = ROOT / "plugins" / "cards"
PAGES = sorted([*DOCS.glob("*.md"), *CARDS.glob("*.md")])
LINKING = [*PAGES, *sorted(ROOT.glob("*.md")), ROOT / "benchmarks" / "README.md"]
OPERATIONS = {*VALUE_OPS, *(op for spec in STANDARD_KNOBS.values() for op in spec.ops)}


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def row(text: str, name: str) -> str:
    """The row of a table that begins with this name."""
    found = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
    assert len(found) == 1, f"{name} has {len(found)} rows"
    return found[0]


def in_code(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", text))


def squeezed(text: str | None) -> str:
    return " ".join((text or "").split())


# The reference pages.


def test_hooks_are_listed_with_their_exact_signatures_and_no_others() -> None:
    expected = set()
    for name in HOOK_NAMES:
        signature = inspect.signature(getattr(Moments, name))
        arguments = [p.name if p.name == "self" else f"{p.name}: {p.annotation}" for p in signature.parameters.values()]
        expected.add(f"def {name}({', '.join(arguments)}) -> {signature.return_annotation}\n")
    assert set(blocks(page("hooks.md"), "python")) == expected


@pytest.mark.parametrize("name", HOOK_NAMES)
def test_a_hook_is_described_in_the_words_of_its_specification(name: str) -> None:
    sentence = squeezed(getattr(Moments, name).__doc__).split(". ")[0]
    after = page("hooks.md").partition(f"def {name}(")[2]
    assert squeezed(after.partition("```")[2]).startswith(sentence.removesuffix("."))


@pytest.mark.parametrize("carrier", [RunInfo, StepContext])
def test_what_a_moment_carries_is_listed(carrier: Any) -> None:
    section = page("hooks.md").partition(f"`{carrier.__name__}` is frozen")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)
    assert listed == [field.name for field in dataclasses.fields(carrier)]


@pytest.mark.parametrize("spec", STANDARD_KNOBS.values(), ids=lambda spec: spec.name)
def test_a_knob_is_listed_with_its_operations_range_and_moment(spec: Any) -> None:
    found = row(page("knobs.md"), spec.name)
    assert in_code(found) & OPERATIONS == set(spec.ops)
    assert f"`{spec.read_after}`" in found
    if {"set", "mul"} & set(spec.ops):
        assert f"[{spec.minimum:g}, {spec.maximum:g}]" in found


def test_every_operation_is_explained() -> None:
    for operation in OPERATIONS:
        row(page("knobs.md"), operation)


@pytest.mark.parametrize("spec", STANDARD_SIGNALS.values(), ids=lambda spec: spec.name)
def test_a_signal_is_listed_with_its_phase_and_definition(spec: Any) -> None:
    assert row(page("signals.md"), spec.name) == f"| `{spec.name}` | {spec.phase} | {spec.summary} |"


def test_the_columns_of_signals_bin_are_listed(tmp_path: Path) -> None:
    trainer = toy_trainer(["freeze_head"], folder=tmp_path)
    with trainer.balance:
        trainer.step(trainer.next_batch())
    columns = json.loads((tmp_path / "signals.json").read_text(encoding="utf-8"))["columns"]
    section = page("signals.md").partition("`signals.bin`")[2]
    assert set(columns) <= in_code(section)


def test_the_house_shows_every_room_with_its_files_in_forty_rows_at_most() -> None:
    house = page("architecture.md").partition("## The house")[2].partition("\n## ")[0]
    shown = {
        room.strip("`/ "): set(files.split())
        for room, _, files in (line.strip("| ").split(" | ") for line in house.splitlines() if line.startswith("| `"))
    }
    tree: dict[str, set[str]] = {}
    for top in ("balancer", "plugins", "zi2zi_model"):
        for path in (ROOT / top).rglob("*.py"):
            files = tree.setdefault(path.parent.relative_to(ROOT).as_posix(), set())
            if not path.name.startswith("__"):
                files.add(path.stem)
    assert shown == tree
    assert len(shown) <= 40


# Cards.


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_card_covers_its_plugin(name: str) -> None:
    cls, _ = load_plugin(name)
    plugin = cls(cls.Config())
    text = (CARDS / f"{name}.md").read_text(encoding="utf-8")
    lines = text.splitlines()
    assert lines[0] == f"# {name}"
    headings = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    assert headings == [
        "What it claims",
        "Equation",
        "Signals and knobs",
        "Settings",
        "When it fails",
        "Composes with",
        "Measured",
    ]
    by_hand = text.partition("\n## Measured\n")[0].splitlines()  # what follows is made: test_evidence.py
    assert len(by_hand) < 65 and max(map(len, by_hand)) <= 110
    assert {*plugin.reads, *plugin.writes} <= in_code(text)
    assert {op for ops in plugin.writes.values() for op in ops} <= in_code(text)
    for key, field in cls.Config.model_fields.items():
        default = "not given" if field.default is None else json.dumps(field.default)
        assert f"- `{key}` = {default} — " in text


def test_there_is_no_card_without_a_plugin() -> None:
    assert {path.stem for path in CARDS.glob("*.md")} == set(BUILT_IN)


def test_the_table_of_losses_says_what_their_classes_say() -> None:
    for name, loss in BUILT_IN_LOSSES.items():
        *_, floor, chance, healthy, labels = row(page("signals.md"), name).strip("| ").split(" | ")
        levels = {"ln 2": math.log(2), "–": None}
        said = [levels[text] if text in levels else float(text) for text in (floor, chance)]
        assert said == ([loss.floor, loss.chance] if loss.has_levels else [None, None])
        assert healthy.startswith("0.1–0.4") == (loss.healthy is not None)
        assert (labels == "yes") == loss.labels


def test_the_loss_of_one_s_own_is_one() -> None:
    (code,) = [block for block in blocks(page("signals.md"), "python") if "AdversarialLoss" in block]
    made: dict[str, Any] = {}
    exec(code, made)
    same = torch.zeros(4)
    assert Balancer([], adversarial=made["Exponential"]).loss.signals(same, same)["d_adv"] == pytest.approx(math.log(2))


# Examples.


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Plugin]]:
    monkeypatch.syspath_prepend(DOCS)
    yield import_module("example_plugin").ProportionalLambda
    del sys.modules["example_plugin"]


def test_the_page_shows_the_example_as_it_is() -> None:
    assert blocks(page("writing-a-plugin.md"), "python")[0] == (DOCS / "example_plugin.py").read_text(encoding="utf-8")


def test_the_example_passes_the_tests_that_the_page_shows(example: type[Plugin]) -> None:
    shown: dict[str, Any] = {}
    exec(blocks(page("writing-a-plugin.md"), "python")[1], shown)
    tests = [test for name, test in shown.items() if name.startswith("test_")]
    assert len(tests) == 3
    for test in tests:
        test()


def test_the_example_multiplies_what_a_schedule_sets_and_is_refused_beside_dynamic_lambda(
    example: type[Plugin],
) -> None:
    weights = replay([example, "lambda_schedule"], [{"d_adv": 0.01}] * 2)["lambda_adv"]
    assert weights == pytest.approx([0.101, 0.102])
    with pytest.raises(CompositionError, match="two closed loops"):
        replay([example, "dynamic_lambda"], [])


def test_the_foreign_loop_runs_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    script, resume = blocks(page("foreign-loop.md"), "python")
    names: dict[str, Any] = {}
    exec(script, names)
    assert (names["balance"].step, names["balance"].d_updates) == (24, 12)
    assert names["balance"].last_row["lr/d"] == pytest.approx(5e-5)
    assert {"signals.bin", "decisions.jsonl"} <= {path.name for path in (tmp_path / "runs/mine").iterdir()}
    exec(resume, names)
    assert names["balance"].step == 24
    names["balance"].end_run()


def test_a_foreign_loop_hears_what_it_would_have_to_pass_or_obey() -> None:
    with pytest.raises(CompositionError, match="would have to pass real_logits= and fake_logits="):
        Balancer(["dynamic_lambda"], obeys={"lambda_adv"})
    with pytest.raises(CompositionError, match=r"would have to update D only if balance\.d_update"):
        Balancer(["d_skip"])


# Commands and links.


def commands(text: str) -> list[list[str]]:
    """Every `balancer …` command in a console block or in backticks, without those that hold a placeholder."""
    lines = [line for block in blocks(text, "console") for line in block.splitlines()]
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    lines += [squeezed(code) for code in re.findall(r"`([^`]+)`", prose)]
    found = [
        shlex.split(line.removeprefix("$ "), comments=True) for line in lines if re.match(r"(\$ )?balancer ", line)
    ]
    return [words for words in found if not any(re.fullmatch(r"…|[A-Z][A-Z,]*", word) for word in words)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_work(path: Path, cli: Callable[..., Any]) -> None:
    for _, *words in commands(path.read_text(encoding="utf-8")):
        if words[0] == "plugins":
            result = cli(*words)
            assert result.status == 0, f"{words}: {result.err}"
        else:
            root: Any = typer.main.get_command(app)
            with root.make_context("balancer", list(words), resilient_parsing=True) as context:
                name, command, rest = root.resolve_command(context, list(words))
                command.make_context(name, rest)


def test_the_pages_show_commands() -> None:
    assert any(commands(path.read_text(encoding="utf-8")) for path in PAGES)


@pytest.mark.parametrize("path", LINKING, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_resolve(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        linked = path.parent / name if name else path
        assert linked.exists(), f"{path.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
