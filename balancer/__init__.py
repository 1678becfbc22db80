"""Balancer: keeps the discriminator and the generator of a GAN in balance, by plugins.

The public names below are imported on first use, so that `import balancer` stays cheap and torch-free.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from balancer.engine import Balancer
    from balancer.hookspecs import RunInfo, StepContext, hookimpl
    from balancer.host import CompositionView
    from balancer.knobs import Decision, KnobSpec
    from balancer.model import DOutput, GanModel, GOutput, HeadSpec, ModelFamily, ModelSpec
    from balancer.plugin import Alternative, Plugin, PluginConfig
    from balancer.settings import Settings
    from balancer.signals import MovingAverage, SignalSpec

__all__ = [
    "Alternative",
    "Balancer",
    "CompositionView",
    "DOutput",
    "Decision",
    "GOutput",
    "GanModel",
    "HeadSpec",
    "KnobSpec",
    "ModelFamily",
    "ModelSpec",
    "MovingAverage",
    "Plugin",
    "PluginConfig",
    "RunInfo",
    "Settings",
    "SignalSpec",
    "StepContext",
    "hookimpl",
]

_HOME = {
    "Alternative": "plugin",
    "Balancer": "engine",
    "CompositionView": "host",
    "DOutput": "model",
    "Decision": "knobs",
    "GOutput": "model",
    "GanModel": "model",
    "HeadSpec": "model",
    "KnobSpec": "knobs",
    "ModelFamily": "model",
    "ModelSpec": "model",
    "MovingAverage": "signals",
    "Plugin": "plugin",
    "PluginConfig": "plugin",
    "RunInfo": "hookspecs",
    "Settings": "settings",
    "SignalSpec": "signals",
    "StepContext": "hookspecs",
    "hookimpl": "hookspecs",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'balancer' has no attribute {name!r}")
    return getattr(import_module(f"balancer.{_HOME[name]}"), name)
