"""Balancer: keeps the discriminator and the generator of a GAN in balance, by plugins.

The public names below are imported on first use, so that `import balancer` stays cheap and torch-free.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from balancer.contract.adversarial import AdversarialLoss, Halves
    from balancer.contract.handles import KnobHandle
    from balancer.contract.host import CompositionView
    from balancer.contract.input_files import read_input
    from balancer.contract.knobs import Decision, KnobSpec
    from balancer.contract.losses import AdversarialName
    from balancer.contract.model import DOutput, FigureSpec, GanModel, GOutput, HeadSpec, ModelFamily, ModelSpec
    from balancer.contract.moments import RunInfo, StepContext, hookimpl
    from balancer.contract.plugin import Plugin, PluginConfig
    from balancer.contract.settings import Settings
    from balancer.contract.signals import MovingAverage, Reading, SignalSpec
    from balancer.diagnosis.diagnose import Diagnosis, diagnose
    from balancer.engine.balancer import Balancer
    from balancer.errors import BalancerError, CompositionError, ConfigError, KnobError, PluginError
    from balancer.hindsight.explain import explain
    from balancer.hindsight.replay import replay
    from balancer.lab.intervals import paired_interval
    from balancer.page.report import Report, report
    from balancer.record.outputs import write_atomically
    from balancer.record.saved_run import SavedRun, load_run
    from balancer.record.signals import read_signals
    from balancer.show.as_json import as_data
    from balancer.show.text import as_text
    from balancer.train.new_run import NewRun
    from balancer.watching.watch import watch

__all__ = [
    "AdversarialLoss",
    "AdversarialName",
    "Balancer",
    "BalancerError",
    "CompositionError",
    "CompositionView",
    "ConfigError",
    "DOutput",
    "Decision",
    "Diagnosis",
    "FigureSpec",
    "GOutput",
    "GanModel",
    "Halves",
    "HeadSpec",
    "KnobError",
    "KnobHandle",
    "KnobSpec",
    "ModelFamily",
    "ModelSpec",
    "MovingAverage",
    "NewRun",
    "Plugin",
    "PluginConfig",
    "PluginError",
    "Reading",
    "Report",
    "RunInfo",
    "SavedRun",
    "Settings",
    "SignalSpec",
    "StepContext",
    "as_data",
    "as_text",
    "diagnose",
    "explain",
    "hookimpl",
    "load_run",
    "paired_interval",
    "read_input",
    "read_signals",
    "replay",
    "report",
    "watch",
    "write_atomically",
]

_HOME = {
    "AdversarialLoss": "contract.adversarial",
    "AdversarialName": "contract.losses",
    "Balancer": "engine.balancer",
    "BalancerError": "errors",
    "CompositionError": "errors",
    "CompositionView": "contract.host",
    "ConfigError": "errors",
    "DOutput": "contract.model",
    "Decision": "contract.knobs",
    "Diagnosis": "diagnosis.diagnose",
    "FigureSpec": "contract.model",
    "GOutput": "contract.model",
    "GanModel": "contract.model",
    "Halves": "contract.adversarial",
    "HeadSpec": "contract.model",
    "KnobError": "errors",
    "KnobHandle": "contract.handles",
    "KnobSpec": "contract.knobs",
    "ModelFamily": "contract.model",
    "ModelSpec": "contract.model",
    "MovingAverage": "contract.signals",
    "NewRun": "train.new_run",
    "Plugin": "contract.plugin",
    "PluginConfig": "contract.plugin",
    "PluginError": "errors",
    "Reading": "contract.signals",
    "Report": "page.report",
    "RunInfo": "contract.moments",
    "SavedRun": "record.saved_run",
    "Settings": "contract.settings",
    "SignalSpec": "contract.signals",
    "StepContext": "contract.moments",
    "as_data": "show.as_json",
    "as_text": "show.text",
    "diagnose": "diagnosis.diagnose",
    "explain": "hindsight.explain",
    "hookimpl": "contract.moments",
    "load_run": "record.saved_run",
    "paired_interval": "lab.intervals",
    "read_input": "contract.input_files",
    "read_signals": "record.signals",
    "replay": "hindsight.replay",
    "report": "page.report",
    "watch": "watching.watch",
    "write_atomically": "record.outputs",
}


def __getattr__(name: str) -> Any:
    if name == "Alternative":  # until 0.3
        import warnings

        from balancer.errors import Deprecated

        warnings.warn("balancer.Alternative: laws are asked what else they answer", Deprecated, stacklevel=2)
        return import_module("balancer.contract.plugin").Alternative
    if name in ("diagnosis", "errors", "testing"):
        return import_module(f"balancer.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'balancer' has no attribute {name!r}")
    from balancer.extras import extras_named

    with extras_named():
        return getattr(import_module(f"balancer.{_HOME[name]}"), name)
