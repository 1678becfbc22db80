"""Naming the plugins behind which a network's pass failed, since torch does not know of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from balancer.contract.boundary import described
from balancer.contract.moments import has_hook
from balancer.engine.balancer import Balancer
from balancer.engine.ranks import lost_rank
from balancer.errors import BalancerError, PluginError
from balancer.record.tracebacks import keep_traceback


@contextlib.contextmanager
def naming_plugins(balance: Balancer, network: str, *hooks: str) -> Iterator[None]:
    """Name the plugins that act on tensors, where a network's pass fails on what they may have made of them.

    Raises:
        PluginError: from what torch raised; without such plugins that is raised as it is.
    """
    try:
        yield
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        made = balance.composition
        acting = [(hook, plugin.name) for hook in hooks for plugin in made.plugins if has_hook(plugin, hook)]
        named = [f"{hook} of plugin {name} of {made.sources[name]}" for hook, name in acting]
        if not named or isinstance(error, BalancerError | torch.OutOfMemoryError) or lost_rank(error) is not None:
            raise
        where = f"step {balance.step}: the pass of {network} failed behind {', '.join(named)}"
        recorder = balance.recorder
        path = keep_traceback(recorder.folder, error, more=False) if recorder is not None else None
        kept = "" if path is None else f"; the traceback is in {path}"
        raise PluginError(f"{where}: {described(error)}{kept}") from error
