"""Plugins that change what belongs to the process: random generators, output, files, threads. Each with its check."""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional as F

from balancer import Plugin, PluginConfig, StepContext, hookimpl

# The plugin, the check that must catch it, and words of its sentence.
Fault = tuple[type[Plugin], str, str]


class GlobalTorch(Plugin):
    """Draws from torch's generator."""

    name = "global_torch"

    @hookimpl
    def on_step_start(self, ctx: StepContext) -> None:
        torch.rand(1)


class GlobalPython(Plugin):
    """Draws from Python's generator."""

    name = "global_python"
    writes = {"lambda_adv": ("mul",)}

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        self.knobs["lambda_adv"].mul(random.uniform(0.9, 1.1))


class GlobalNumpy(Plugin):
    """Seeds NumPy's generator."""

    name = "global_numpy"

    @hookimpl
    def after_g_step(self, ctx: StepContext) -> None:
        np.random.seed(ctx.step)


class Prints(Plugin):
    """Tells standard output what it does."""

    name = "prints"

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        print("step", ctx.step)


class OwnLog(Plugin):
    """Keeps a log of its own beside the run's."""

    name = "own_log"

    @hookimpl
    def on_step_end(self, ctx: StepContext) -> None:
        (Path(tempfile.gettempdir()) / "own_log.csv").write_text(f"{ctx.step}\n")


class OpenFile(Plugin):
    """Opens a file and never closes it."""

    name = "open_file"

    @hookimpl
    def on_run_start(self, run: Any) -> None:
        KEPT.append(Path(__file__).open())  # noqa: SIM115


KEPT: list[Any] = []


class Thread(Plugin):
    """Leaves a thread behind."""

    name = "thread"

    @hookimpl
    def on_run_start(self, run: Any) -> None:
        threading.Thread(target=STOP.wait, args=(60,), daemon=True, name="uploader").start()


STOP = threading.Event()


class Environment(Plugin):
    """Sets a variable of the process."""

    name = "environment"

    @hookimpl
    def on_step_start(self, ctx: StepContext) -> None:
        os.environ["BALANCER_FAULT"] = str(ctx.step)


class Dtype(Plugin):
    """Makes half precision the default of all."""

    name = "dtype"

    @hookimpl
    def on_step_end(self, ctx: StepContext) -> None:
        torch.set_default_dtype(torch.float64)


class SwitchesGradients(Plugin):
    """Leaves gradients off."""

    name = "switches_gradients"

    @hookimpl
    def after_g_step(self, ctx: StepContext) -> None:
        torch.set_grad_enabled(False)


class Coroutine(Plugin):
    """A hook whose body never runs."""

    name = "coroutine"

    @hookimpl
    async def after_d_step(self, ctx: StepContext) -> None:
        raise AssertionError


class Generator(Plugin):
    """Yields terms, so that none is there."""

    name = "generator"

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> Any:
        yield ctx


class Leaves(Plugin):
    """Ends the process as if all were well."""

    name = "leaves"

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        if ctx.step == 3:
            sys.exit(0)


class Global(Plugin):
    """Changes a function of torch for all who come later."""

    name = "changes_torch"

    @hookimpl
    def on_run_start(self, run: Any) -> None:
        if not hasattr(F.softplus, "patched"):
            real = F.softplus

            def softplus(*arguments: Any, **named: Any) -> Any:
                return 1.01 * real(*arguments, **named)

            softplus.patched = True  # type: ignore[attr-defined]
            F.softplus = softplus  # type: ignore[assignment]


class InInit(Plugin):
    """Seeds all generators where it is made."""

    name = "in_init"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        torch.manual_seed(3)


class InState(Plugin):
    """Says on standard output that it is saved."""

    name = "in_state"

    def state_dict(self) -> dict[str, Any]:
        print("saved")
        return {}


class Stops(Plugin):
    """Takes the signals that end a run for itself."""

    name = "stops"

    @hookimpl
    def on_run_start(self, run: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


class OwnConfig(Plugin):
    """Keeps what it remembers in its settings."""

    name = "own_config"

    class Config(PluginConfig):
        """Settings."""

        steps: list[int] = Field([], description="steps seen")

    @hookimpl
    def on_step_end(self, ctx: StepContext) -> None:
        self.config.steps.append(ctx.step)


WITH_THE_PROCESS: list[Fault] = [
    (GlobalTorch, "random state", "torch's global generator"),
    (GlobalPython, "random state", "Python's global random"),
    (GlobalNumpy, "random state", "NumPy's global generator"),
    (Prints, "process", "prints to standard output"),
    (OwnLog, "process", "writes to"),
    (OpenFile, "leftovers", "a file is left open"),
    (Thread, "leftovers", "a thread is left running (uploader)"),
    (Environment, "process", "the environment's variables"),
    (Dtype, "process", "torch's default dtype"),
    (SwitchesGradients, "process", "whether gradients are recorded"),
    (Coroutine, "class", "whose body never runs"),
    (Generator, "class", "whose body never runs"),
    (Leaves, "trains", "SystemExit"),
    (Global, "switched off", "it changed something for all"),
    (InInit, "random state", "__init__ draws from torch's global generator"),
    (InState, "process", "state_dict prints to standard output"),
    (Stops, "process", "what signals do"),
    (OwnConfig, "process", "changes its config"),
]
