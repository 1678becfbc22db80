"""Plugins that misbehave in a hook: every kind ends the run with one line that says whose it is, and where."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch
from support.misbehaving import WHOSE, Hook, changed, failure, line, misbehaving
from torch import Tensor

from balancer import StepContext
from balancer.contract.moments import HOOK_NAMES
from balancer.errors import BalancerError, KnobError, PluginError, TrainingError
from balancer.testing import toy_trainer
from balancer.train.progress import Progress

LOSSES = ("d_loss_terms", "g_loss_terms")
SILENT = [hook for hook in HOOK_NAMES if hook not in (*LOSSES, "transform_d_input")]


def raising(error: BaseException) -> Hook:
    def hook(self: Any) -> Any:
        raise error

    return hook


def returning(value: Any) -> Hook:
    return lambda self: value


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Rude(BaseException):
    """Not an Exception."""


# What is raised, in any hook.

RAISED: list[tuple[BaseException, str]] = [
    (ValueError("two\nlines"), "ValueError: two lines"),
    (KeyError("x"), "KeyError: 'x'"),
    (AssertionError(), "AssertionError"),
    (StopIteration(), "StopIteration"),
    (MemoryError(), "MemoryError"),
    (RecursionError("deep"), "RecursionError: deep"),
    (SystemExit(0), "SystemExit: 0"),
    (SystemExit(), "SystemExit"),
    (KeyboardInterrupt(), "KeyboardInterrupt"),
    (GeneratorExit(), "GeneratorExit"),
    (asyncio.CancelledError(), "CancelledError"),
    (Rude("away"), "Rude: away"),
    (Unprintable(), "Unprintable: (its message cannot be shown)"),
    (ValueError("\x1b[2J\x07"), "ValueError: \\x1b[2J\\x07"),
    (ValueError("long " * 1000), "ValueError: long long"),
]


@pytest.mark.parametrize(("error", "said"), RAISED, ids=[type(error).__name__ for error, _ in RAISED])
def test_whatever_it_raises_becomes_one_line(error: BaseException, said: str, tmp_path: Path) -> None:
    caught = failure(misbehaving("after_d_step", raising(error)), tmp_path)
    where = f"{WHOSE}, hook after_d_step, step 0: "
    assert line(caught).startswith(f"{where}{said}")
    assert type(caught) is PluginError
    assert caught.__cause__ is error


@pytest.mark.parametrize("hook", HOOK_NAMES)
@pytest.mark.parametrize("error", [OSError("gone"), SystemExit(0)], ids=["OSError", "SystemExit"])
def test_in_every_hook_and_its_traceback_is_kept(hook: str, error: BaseException, tmp_path: Path) -> None:
    caught = failure(misbehaving(hook, raising(error)), tmp_path)
    assert f"{WHOSE}, hook {hook}, step " in line(caught)
    kept = tmp_path / "traceback.txt"
    assert line(caught).endswith(f"; the traceback is in {kept}")
    text = kept.read_text(encoding="utf-8")
    assert type(error).__name__ in text
    assert "in hook\n" in text, "the plugin's own frame"


@pytest.mark.parametrize("error", [KnobError("no such value"), TrainingError("enough")])
def test_an_error_of_balancers_own_keeps_its_kind_and_says_whose_it_is(error: BalancerError, tmp_path: Path) -> None:
    caught = failure(misbehaving("on_step_end", raising(error)), tmp_path)
    assert caught is error
    assert f"raised in {WHOSE}, hook on_step_end, step 0" in line(caught)


# What is returned.


def detached(self: Any, ctx: StepContext) -> dict[str, Tensor]:
    assert ctx.fake_logits is not None
    return {"x": ctx.fake_logits.mean().detach()}


def integers(self: Any, ctx: StepContext) -> dict[str, Tensor]:
    return {"x": torch.tensor(1)}


async def coroutine(self: Any) -> None: ...


def generator(self: Any) -> Any:
    yield


RETURNED_TERMS: list[tuple[str, Hook, str]] = [
    ("list", returning([torch.tensor(0.0)]), "returned a list of 1, not a dict of scalar tensors by name, or None"),
    ("tensor", returning(torch.tensor(0.0)), "returned a Tensor, not a dict"),
    ("number", returning({"x": 0.5}), "returned the term x as a float, not as a scalar tensor"),
    ("nothing in it", returning({"x": None}), "returned the term x as a NoneType"),
    ("key", returning({1: torch.tensor(0.0)}), "returned a term with the name 1: a name is a text"),
    ("empty key", returning({"": torch.tensor(0.0)}), "returned a term with the name ''"),
    ("control key", returning({"a\x1b": torch.tensor(0.0)}), "returned a term with the name 'a\\x1b'"),
    ("vector", returning({"x": torch.zeros(3)}), "returned the term x with shape (3,): a term is a scalar"),
    ("one element", returning({"x": torch.zeros(1)}), "returned the term x with shape (1,)"),
    ("integer", integers, "returned the term x in torch.int64"),
    ("complex", returning({"x": torch.tensor(1j)}), "returned the term x in torch.complex64"),
    ("device", returning({"x": torch.zeros((), device="meta")}), "returned the term x on meta, while the step runs on"),
    ("detached", detached, "returned the term x outside the graph, so that it trains nothing"),
    ("constant", returning({"x": torch.tensor(0.5)}), "returned the term x outside the graph"),
    ("coroutine", lambda self: coroutine(self), "returned a coroutine, whose code nobody runs"),
    ("generator", lambda self: generator(self), "returned a generator, whose code nobody runs"),
]


@pytest.mark.parametrize("hook", LOSSES)
@pytest.mark.parametrize(("kind", "function", "said"), RETURNED_TERMS, ids=[row[0] for row in RETURNED_TERMS])
def test_a_term_that_is_none_is_refused(hook: str, kind: str, function: Hook, said: str, tmp_path: Path) -> None:
    caught = failure(misbehaving(hook, function), tmp_path)
    assert line(caught).startswith(f"{WHOSE}, hook {hook}, step 0: {said}")


@pytest.mark.parametrize("hook", LOSSES)
def test_a_term_of_nothing_may_be_a_constant(hook: str, tmp_path: Path) -> None:
    trainer = toy_trainer([misbehaving(hook, returning({"x": torch.zeros(())}))], {}, tmp_path)
    assert trainer.run(2, Progress(2, quiet=True))


RETURNED_IMAGES: list[tuple[str, Hook, str]] = [
    ("nothing", returning(None), "returned None, not a pair of images and condition"),
    ("images alone", lambda self, images: images, "returned a Tensor, not a pair"),
    ("three", lambda self, images: (images, None, None), "returned a tuple of 3, not a pair"),
    ("dict", returning({}), "returned a dict, not a pair"),
    ("no tensor", changed(lambda images: images.tolist()), "returned a list of 32 as images, not a tensor"),
    ("part of the batch", changed(lambda images: images[1:]), "returned images of shape (31, 2) for (32, 2)"),
    ("a mean", changed(lambda images: images.mean()), "returned images of shape () for (32, 2)"),
    ("integers", changed(lambda images: images.long()), "returned images in torch.int64 for torch.float32"),
    ("another device", changed(lambda images: images.to("meta")), "returned images on meta for cpu"),
    ("a condition", lambda self, images: (images, images), "returned a condition where there is none"),
    ("generator", lambda self: generator(self), "returned a generator, whose code nobody runs"),
    ("coroutine", lambda self: coroutine(self), "returned a coroutine, whose code nobody runs"),
    (
        "detached",
        changed(lambda images: images.detach()),
        "returned images outside the graph, so that G learns nothing",
    ),
]


@pytest.mark.parametrize(("kind", "function", "said"), RETURNED_IMAGES, ids=[row[0] for row in RETURNED_IMAGES])
def test_images_that_are_none_are_refused(kind: str, function: Hook, said: str, tmp_path: Path) -> None:
    caught = failure(misbehaving("transform_d_input", function), tmp_path)
    assert line(caught).startswith(f"{WHOSE}, hook transform_d_input, step 0: {said}")


@pytest.mark.parametrize("hook", SILENT)
def test_a_value_from_a_hook_that_returns_nothing_is_refused(hook: str, tmp_path: Path) -> None:
    caught = failure(misbehaving(hook, returning(0.5)), tmp_path)
    assert f"returned a float, but {hook} returns nothing" in line(caught)
