"""Plugins that misbehave in a hook, and how a run with one ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from balancer import Plugin, hookimpl
from balancer.errors import BalancerError
from balancer.testing import toy_trainer
from balancer.train.progress import Progress

Hook = Callable[..., Any]
# Whose the error is that such a plugin makes.
WHOSE = f"plugin misbehaves of class {__name__}"


def misbehaving(hook: str, function: Hook) -> type[Plugin]:
    """A plugin that does this in this hook."""
    terms = {"brings_terms": ("x",)} if hook.endswith("loss_terms") else {}
    body = {"name": "misbehaves", "__module__": __name__, hook: hookimpl(function), **terms}
    return type("Misbehaves", (Plugin,), body)


def failure(plugin: type[Plugin], folder: Path) -> BalancerError:
    """How a run of three steps with that plugin ends; it must not end well."""
    trainer = toy_trainer([plugin], {"model": {"points": 64}}, folder)
    with pytest.raises(BalancerError) as caught:
        trainer.run(3, Progress(3, quiet=True))
    return caught.value


def line(error: BalancerError) -> str:
    text = " ".join([str(error), *getattr(error, "__notes__", ())])
    assert "\n" not in text
    assert len(text) < 1000
    return text


def changed(change: Callable[[Tensor], Any]) -> Hook:
    """A `transform_d_input` that does this to the images."""
    return lambda self, images, condition: (change(images), condition)
