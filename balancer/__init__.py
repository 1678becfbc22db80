"""Balancer: keeps the discriminator and the generator of a GAN in balance, by plugins.

The public names below are imported on first use, so that `import balancer` stays cheap and torch-free.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from balancer.contract.adversarial import AdversarialName
    from balancer.contract.host import CompositionView
    from balancer.contract.knobs import Decision, KnobSpec
    from balancer.contract.model import DOutput, GanModel, GOutput, HeadSpec, ModelFamily, ModelSpec
    from balancer.contract.moments import RunInfo, StepContext, hookimpl
    from balancer.contract.plugin import Alternative, Plugin, PluginConfig
    from balancer.contract.settings import Settings
    from balancer.contract.signals import MovingAverage, SignalSpec
    from balancer.engine.balancer import Balancer
    from balancer.record.files import write_atomically
    from balancer.record.saved_run import SavedRun, load_run
    from balancer.train.new_run import NewRun

__all__ = [
    "AdversarialName",
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
    "NewRun",
    "Plugin",
    "PluginConfig",
    "RunInfo",
    "SavedRun",
    "Settings",
    "SignalSpec",
    "StepContext",
    "hookimpl",
    "load_run",
    "write_atomically",
]

_HOME = {
    "AdversarialName": "contract.adversarial",
    "Alternative": "contract.plugin",
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
    "NewRun": "train.new_run",
    "Plugin": "contract.plugin",
    "PluginConfig": "contract.plugin",
    "RunInfo": "contract.moments",
    "SavedRun": "record.saved_run",
    "Settings": "contract.settings",
    "SignalSpec": "contract.signals",
    "StepContext": "contract.moments",
    "hookimpl": "contract.moments",
    "load_run": "record.saved_run",
    "write_atomically": "record.files",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'balancer' has no attribute {name!r}")
    return getattr(import_module(f"balancer.{_HOME[name]}"), name)
