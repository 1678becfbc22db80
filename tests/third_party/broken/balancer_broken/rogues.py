"""Plugins that pass every check before the run and misbehave in it."""

import math

from balancer import Plugin, PluginConfig, StepContext, hookimpl

FIRST_BAD_STEP = 5


class NanWriter(Plugin):
    """Divides by nothing at step 5; until then a factor of one."""

    name = "nan_writer"
    writes = {"lambda_adv": ("mul",)}

    @hookimpl
    def before_g_backward(self, ctx: StepContext) -> None:
        self.knobs["lambda_adv"].mul(1.0 if ctx.step < FIRST_BAD_STEP else math.nan)


class UndeclaredOperation(Plugin):
    """Declares a factor and sets."""

    name = "undeclared_operation"
    writes = {"lambda_adv": ("mul",)}

    @hookimpl
    def before_g_backward(self, ctx: StepContext) -> None:
        self.knobs["lambda_adv"].set(0.3)


class UndeclaredWriter(Plugin):
    """Declares nothing and turns a knob."""

    name = "undeclared_writer"

    @hookimpl
    def before_g_backward(self, ctx: StepContext) -> None:
        self.knobs["lambda_adv"].set(0.3)


class UndeclaredReader(Plugin):
    """Declares nothing and reads a signal."""

    name = "undeclared_reader"

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        assert self.signals["d_adv"] is not None


class Skip(Plugin):
    """Takes the name of a built-in."""

    name = "d_skip"


class RequiredSetting(Plugin):
    """Not broken, but cannot be made without a setting."""

    name = "required_setting"
    writes = {"lambda_adv": ("set",)}

    class Config(PluginConfig):
        """Settings of required_setting."""

        target: float
