"""Plugins that are refused before a run: hooks misspelt, unmarked or asking too much, a knob that is none."""

from balancer import Plugin, StepContext, hookimpl


class WrongHook(Plugin):
    """Misspells after_d_step."""

    name = "wrong_hook"

    @hookimpl
    def after_d_steps(self, ctx: StepContext) -> None: ...


class UnmarkedHook(Plugin):
    """Forgot @hookimpl, so that pluggy would never call it."""

    name = "unmarked_hook"

    def after_d_step(self, ctx: StepContext) -> None: ...


class WrongArgument(Plugin):
    """Asks for the trainer, which no hook hands out."""

    name = "wrong_argument"

    @hookimpl
    def after_d_step(self, ctx: StepContext, trainer: object) -> None: ...


class UnknownKnob(Plugin):
    """Declares a knob that nobody offers."""

    name = "unknown_knob"
    writes = {"lamda_adv": ("set",)}
