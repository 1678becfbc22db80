"""Balancer: keeps the discriminator and the generator of a GAN in balance, by plugins.

The public names below are imported on first use, so that `import balancer` stays cheap and torch-free.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from balancer.contract.host import CompositionView
    from balancer.contract.knobs import Decision, KnobSpec
    from balancer.contract.model import DOutput, GanModel, GOutput, HeadSpec, ModelFamily, ModelSpec
    from balancer.contract.moments import RunInfo, StepContext, hookimpl
    from balancer.contract.plugin import Plugin, PluginConfig
    from balancer.contract.settings import Settings
    from balancer.contract.signals import MovingAverage, SignalSpec
    from balancer.engine.balancer import Balancer
    from balancer.hindsight.explain import explain
    from balancer.hindsight.replay_any import replay
    from balancer.record.signals import read_signals

__all__ = [
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
    "explain",
    "hookimpl",
    "read_signals",
    "replay",
]

_HOME = {
    "Balancer": "engine.balancer",
    "CompositionView": "contract.host",
    "DOutput": "contract.model",
    "Decision": "contract.knobs",
    "GOutput": "contract.model",
    "GanModel": "contract.model",
    "HeadSpec": "contract.model",
    "KnobSpec": "contract.knobs",
    "ModelFamily": "contract.model",
    "ModelSpec": "contract.model",
    "MovingAverage": "contract.signals",
    "Plugin": "contract.plugin",
    "PluginConfig": "contract.plugin",
    "RunInfo": "contract.moments",
    "Settings": "contract.settings",
    "SignalSpec": "contract.signals",
    "StepContext": "contract.moments",
    "explain": "hindsight.explain",
    "hookimpl": "contract.moments",
    "read_signals": "record.signals",
    "replay": "hindsight.replay_any",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'balancer' has no attribute {name!r}")
    return getattr(import_module(f"balancer.{_HOME[name]}"), name)
