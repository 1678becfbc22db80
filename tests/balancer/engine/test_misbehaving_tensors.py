"""Plugins that do to tensors and to torch what is not theirs to do: named, where it is seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.misbehaving import WHOSE, Hook, changed, failure, line, misbehaving
from torch import Tensor

from balancer import Plugin, StepContext
from balancer.errors import NotFiniteError
from balancer.testing import toy_trainer
from balancer.train.progress import Progress

# What is changed in place.


def in_place(self: Any, images: Tensor, condition: Any) -> Any:
    return images.detach().mul_(0.5), condition


def past_the_count(self: Any, images: Tensor, condition: Any) -> Any:
    images.data.mul_(0.5)
    return images, condition


def through_numpy(self: Any, ctx: StepContext) -> None:
    assert ctx.real is not None
    array = ctx.real.numpy()
    array *= 0.5


def logits(self: Any, ctx: StepContext) -> None:
    assert ctx.real_logits is not None
    with torch.no_grad():
        ctx.real_logits.zero_()


@pytest.mark.parametrize(
    ("hook", "function", "said"),
    [
        ("transform_d_input", in_place, "changed images in place"),
        ("transform_d_input", past_the_count, "changed images in place"),
        ("d_loss_terms", through_numpy, "changed ctx.real in place"),
        ("d_loss_terms", logits, "changed ctx.real_logits in place"),
    ],
)
def test_a_change_in_place_is_noticed(hook: str, function: Hook, said: str, tmp_path: Path) -> None:
    caught = failure(misbehaving(hook, function), tmp_path)
    assert line(caught).startswith(f"{WHOSE}, hook {hook}, step 0: {said}")


def test_a_change_in_place_is_noticed_in_any_step(tmp_path: Path) -> None:
    def later(self: Any, ctx: StepContext, images: Tensor, condition: Any) -> Any:
        return (images.detach().mul_(0.5) if ctx.step == 2 else images), condition

    assert "step 2: changed images in place" in line(failure(misbehaving("transform_d_input", later), tmp_path))


def test_transformations_of_a_correct_plugin_pass(tmp_path: Path) -> None:
    def doubled(self: Any, images: Tensor, condition: Any) -> Any:
        return [images.clone().mul_(2).bfloat16().float(), condition]

    trainer = toy_trainer([misbehaving("transform_d_input", doubled)], {}, tmp_path)
    assert trainer.run(2, Progress(2, quiet=True))


# What comes out only behind the hook, in the pass of a network.


def backward(self: Any, ctx: StepContext) -> None:
    assert ctx.fake_logits is not None
    ctx.fake_logits.mean().backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("hook", "function", "network"),
    [
        ("transform_d_input", changed(lambda images: images.repeat(1, 2)), "D"),
        ("transform_d_input", changed(lambda images: images.double()), "D"),
        ("d_loss_terms", backward, "D"),
        ("g_loss_terms", backward, "G"),
    ],
)
def test_a_pass_that_fails_behind_a_hook_names_the_plugins_of_it(
    hook: str, function: Hook, network: str, tmp_path: Path
) -> None:
    caught = failure(misbehaving(hook, function), tmp_path)
    whose = f"{hook} of {WHOSE}"
    assert line(caught).startswith(f"step 0: the pass of {network} failed behind {whose}: RuntimeError: ")
    assert (tmp_path / "traceback.txt").is_file()


def gradients_off(self: Any) -> None:
    torch.set_grad_enabled(False)


def other_dtype(self: Any) -> None:
    torch.set_default_dtype(torch.float64)


@pytest.mark.parametrize("function", [gradients_off, other_dtype])
def test_torchs_modes_are_not_a_plugins_to_change(function: Hook, tmp_path: Path) -> None:
    try:
        caught = failure(misbehaving("on_step_start", function), tmp_path)
    finally:
        torch.set_grad_enabled(True)
        torch.set_default_dtype(torch.float32)
    assert "hook on_step_start, step 0: changed torch's gradient mode or default dtype for everybody" in line(caught)


def not_finite(self: Any, ctx: StepContext) -> dict[str, Tensor]:
    assert ctx.fake_logits is not None
    return {"x": ctx.fake_logits.mean() * float("nan")}


def test_a_term_that_is_not_finite_names_its_plugin(tmp_path: Path) -> None:
    caught = failure(misbehaving("d_loss_terms", not_finite), tmp_path)
    assert type(caught) is NotFiniteError
    assert line(caught).endswith(f"; d_x is of {WHOSE}")


def test_attributes_that_a_plugin_makes_up_are_no_hooks(tmp_path: Path) -> None:
    def made_up(self: Any, name: str) -> Any:
        raise KeyError(name)

    plugin = type("MadeUp", (Plugin,), {"name": "made_up", "__getattr__": made_up})
    assert toy_trainer([plugin], {}, tmp_path).run(1, Progress(1, quiet=True))
