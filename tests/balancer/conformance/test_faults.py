"""The conformance run catches each kind of fault by the check that is meant for it, and passes plugins without one."""

from __future__ import annotations

import gc
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support.faulty_decisions import OF_DECISION, Idle, LocalGate
from support.faulty_declarations import OF_DECLARATION, Declared, TermNotDeclared
from support.faulty_memories import OF_MEMORY, Counting
from support.faulty_processes import KEPT, STOP, WITH_THE_PROCESS
from support.faulty_tensors import WITH_TENSORS
from torch.nn import functional as F

from balancer import Plugin
from balancer.conformance.check import check
from balancer.testing import check_plugin

Cli = Callable[..., Any]
FAULTS = [*WITH_TENSORS, *WITH_THE_PROCESS, *OF_MEMORY, *OF_DECISION, *OF_DECLARATION]
# As many as any of them needs to show.
STEPS = 4


@pytest.fixture(autouse=True, scope="module")
def old_objects() -> Iterator[None]:
    """Each conformance run collects garbage, also among what earlier tests left: a good part of its time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """What faulty plugins change for all is as before afterwards."""
    softplus, environment, ends = F.softplus, dict(os.environ), signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, ends)
    F.softplus = softplus  # type: ignore[assignment]
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)
    os.environ.clear()
    os.environ.update(environment)
    while KEPT:
        KEPT.pop().close()
    STOP.set()
    STOP.clear()


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:Exception ignored:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("cls", "name", "words"), FAULTS, ids=[f"{cls.name}-{name}" for cls, name, _ in FAULTS])
def test_a_fault_is_caught_by_its_check(cls: type[Plugin], name: str, words: str) -> None:
    skip = ["card"] if name == "two ranks" else ["card", "two ranks"]
    # What is remarked is a failure where that is asked.
    report = check(cls, steps=STEPS, skip=skip, strict=(cls, name, words) in OF_DECLARATION)
    caught = [one for one in report.failures if one.name.partition(":")[0] == name and words in str(one)]
    assert caught, "\n".join(map(str, report.checks))
    assert all("\n" not in str(one) for one in report.checks)


def test_ranks_that_decide_differently_are_ended_and_told_apart() -> None:
    (failure,) = [one for one in check(LocalGate, skip=["card"]).failures if one.name == "two ranks"]
    assert "rank 0 says gate d_update True, rank 1 False" in failure.sentence


def test_a_plugin_without_a_fault_passes_every_check() -> None:
    report = check_plugin(Counting, skip=["card"])
    assert {one.outcome for one in report.checks} == {"pass"}
    names = {one.name.partition(":")[0] for one in report.checks}
    assert names >= {"class", "config", "trains", "resume", "two ranks", "micro-batches", "switched off", "extremes"}


def test_what_a_plugin_sees_brings_requests_and_draws_is_offered_by_the_toys() -> None:
    report = check(Declared, skip=["card"], strict=True)
    assert report.passed, "\n".join(map(str, report.failures))


def test_a_term_that_is_not_declared_breaks_no_promise_yet() -> None:
    report = check(TermNotDeclared, steps=STEPS, skip=["card", "two ranks"])
    assert [one.outcome for one in report.checks if one.name == "terms"] == ["remark", "pass"]
    assert report.passed


def test_what_was_declared_and_never_used_is_remarked_and_a_failure_where_that_is_asked() -> None:
    report = check(Idle, skip=["card", "two ranks"])
    assert report.passed
    remarks = " ".join(one.sentence for one in report.checks if one.outcome == "remark")
    for words in (
        "d_loss_terms never returned a term",
        "mul on lambda_adv",
        "max on lambda_adv",
        "d_adv",
        "idle_signal",
    ):
        assert words in remarks
    assert "g_loss_terms" not in remarks  # it says itself that it returns nothing
    assert not check(Idle, skip=["card", "two ranks"], strict=True).passed
    with pytest.raises(AssertionError, match="idle breaks a promise:\nFAIL   exercised"):
        check_plugin(Idle, skip=["card", "two ranks"], strict=True)


CARD = """# mine

## What it claims
It halves the adversarial weight, and no more.

## Equation
    lambda_adv = 0.5 · base, at every step

## Signals and knobs
Reads no signal. Writes `lambda_adv` with `mul`.

## Settings
It has no settings of its own, and so no defaults.

## When it fails
Whenever the base is right already, which is often.

## Composes with
Every plugin that does not read signals to multiply it.

## Measured
No gain seen, on anything that was tried.
"""
MINE = """
from balancer import Plugin, hookimpl


class Mine(Plugin):
    name = "mine"
    writes = {"lambda_adv": ("mul",)}

    @hookimpl
    def on_run_start(self, run):
        self.knobs["lambda_adv"].mul(0.5)
"""


MEASURES = """
from balancer import Plugin, SignalSpec, hookimpl


class Spread(Plugin):
    name = "spread"
    brings_signals = (SignalSpec("spread", "plugin", "how far D's logits lie apart"),)
    reads = ("d_logit_real", "d_logit_fake")

    @hookimpl
    def after_d_step(self, ctx):
        real, fake = self.signals["d_logit_real"], self.signals["d_logit_fake"]
        if real is not None and fake is not None:
            self.publish("spread", real.value - fake.value)


class Answers(Plugin):
    name = "answers"
    reads = ("spread",)
    writes = {"lambda_adv": ("max",)}

    @hookimpl
    def after_d_step(self, ctx):
        spread = self.signals["spread"]
        if spread is not None:
            self.knobs["lambda_adv"].max(min(1.0, abs(spread.value)))


class Misnamed(Plugin):
    name = "misnamed"

    @hookimpl
    def after_d_steps(self, ctx): ...
"""


def test_a_plugin_is_tried_beside_one_whose_signal_it_reads(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.py").write_text(MEASURES)
    alone = cli("plugins", "test", "two.py:Answers", "--skip", "card", "--skip", "two ranks")
    assert alone.status == 1
    assert "FAIL   composes: images: plugin answers" in alone.out
    both = cli("plugins", "test", "two.py:Answers", "--with", "two.py:Spread", "--skip", "card", "--strict")
    assert both.status == 0, both.out


def test_a_class_that_cannot_be_used_is_a_failure_and_one_that_is_not_there_an_error(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.py").write_text(MEASURES)
    (tmp_path / "loud.py").write_text(f"print('here I am')\nimport balancer.engine.balancer\n{MINE}")
    loud = cli("plugins", "test", "loud.py:Mine", "--skip", "two ranks")
    assert "FAIL   process: its import prints to standard output" in loud.out
    assert "remark class: its module imports balancer.engine.balancer" in loud.out
    misnamed = cli("plugins", "test", "two.py:Misnamed")
    assert misnamed.status == 1
    assert misnamed.out.startswith("FAIL   class: plugin two.py:Misnamed: there is no hook after_d_steps; did you mean")
    for name in ("gone.py:Misnamed", "no_such_plugin"):
        gone = cli("plugins", "test", name)
        assert (gone.status, len(gone.err.splitlines())) == (2, 1)


@pytest.mark.parametrize(
    ("card", "words"),
    [
        (None, "write cards/mine.md beside the plugin's module"),
        (CARD.replace("## When it fails\nWhenever the base is right already, which is often.\n", ""), "when it fails"),
        (CARD.replace("Whenever the base is right already, which is often.", "TODO"), "when it fails is not filled"),
        (CARD.replace("No gain seen, on anything that was tried.", ""), "what was measured is not filled"),
        (CARD.replace("lambda_adv", "the weight"), "it does not name lambda_adv"),
    ],
)
def test_a_card_that_is_missing_or_not_filled_fails(
    tmp_path: Path, cli: Cli, card: str | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    if card is not None:
        (tmp_path / "cards").mkdir()
        (tmp_path / "cards" / "mine.md").write_text(card)
    result = cli("plugins", "test", "mine.py:Mine", "--skip", "two ranks")
    assert result.status == 1
    (line,) = [line for line in result.out.splitlines() if line.startswith("FAIL")]
    assert line.startswith("FAIL   card: ")
    assert words in line


def test_the_command_prints_a_line_for_each_check_or_json(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "mine.md").write_text(CARD)
    result = cli("plugins", "test", "mine.py:Mine", "--skip", "two ranks")
    assert (result.status, result.err) == (0, ""), result.out
    *lines, last = result.out.splitlines()
    assert all(line.startswith("pass   ") for line in lines)
    assert last == f"mine: {len(lines)} checks passed"
    found = json.loads(cli("plugins", "test", "mine.py:Mine", "--skip", "two ranks", "--json").out)
    assert (found["plugin"], found["passed"], len(found["checks"])) == ("mine", True, len(lines))
    refused = cli("plugins", "test", "mine.py:Mine", "--skip", "cards")
    assert (refused.status, refused.err) == (2, "balancer: skip 'cards': no such check: did you mean card?\n")
    other = cli("plugins", "test", "mine.py:Mine", "--set", "other.factor=1")
    assert (other.status, "--set other.…" in other.err) == (2, True)
