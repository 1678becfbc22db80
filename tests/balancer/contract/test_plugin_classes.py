"""Plugin classes: what is refused when one is loaded, and how an error in a hook says whose it is."""

from typing import Any

import pytest
from pydantic import BaseModel

from balancer import Balancer, Plugin, PluginConfig, RunInfo, SignalSpec, StepContext, hookimpl
from balancer.contract.moments import HOOK_NAMES
from balancer.contract.plugin import check_plugin_class
from balancer.errors import PluginError


def plugin(**attributes: Any) -> type[Plugin]:
    """A plugin class with these attributes."""
    return type("Sample", (Plugin,), {"name": "sample", **attributes})


def refused(candidate: object) -> str:
    with pytest.raises(PluginError) as caught:
        check_plugin_class(candidate, "plugin sample of distribution acme 1.0")
    message = str(caught.value)
    assert message.startswith("plugin sample of distribution acme 1.0")
    assert "\n" not in message
    return message


@hookimpl
def any_hook(self: Any) -> None: ...


def test_every_moment_of_the_design_is_a_hook() -> None:
    assert HOOK_NAMES == (
        "on_run_start",
        "on_epoch",
        "on_step_start",
        "transform_d_input",
        "d_loss_terms",
        "before_d_backward",
        "after_d_step",
        "g_loss_terms",
        "before_g_backward",
        "after_g_step",
        "on_step_end",
        "on_epoch_end",
        "on_run_end",
    )


def test_a_plugin_may_implement_every_hook_with_fewer_arguments() -> None:
    whole = plugin(**dict.fromkeys(HOOK_NAMES, any_hook))
    assert check_plugin_class(whole, "here") is whole


def test_an_unknown_hook_is_answered_with_the_nearest_one() -> None:
    assert "there is no hook after_d_steps; did you mean after_d_step?" in refused(plugin(after_d_steps=any_hook))
    assert refused(plugin(zzz=any_hook)).endswith("there is no hook zzz")


def test_a_hook_under_another_name_is_refused() -> None:
    @hookimpl(specname="on_epoch")
    def renamed(self: Any) -> None: ...

    assert "renamed uses an option of pluggy's hookimpl" in refused(plugin(renamed=renamed))


def test_an_unknown_argument_is_answered_with_what_the_hook_offers() -> None:
    @hookimpl
    def on_epoch(self: Any, epoch: int, trainer: Any) -> None: ...

    assert "on_epoch takes trainer, but the hook offers (run, epoch)" in refused(plugin(on_epoch=on_epoch))


def test_further_arguments_are_refused() -> None:
    @hookimpl
    def on_step_end(self: Any, **everything: Any) -> None: ...

    assert "on_step_end takes everything" in refused(plugin(on_step_end=on_step_end))


def with_default(self: Any, epoch: int = 0) -> None: ...


def keyword_only(self: Any, *, epoch: int) -> None: ...


@pytest.mark.parametrize("function", [with_default, keyword_only])
def test_an_argument_that_pluggy_does_not_fill_by_position_is_refused(function: Any) -> None:
    assert "epoch" in refused(plugin(on_epoch=hookimpl(function)))


def test_a_method_named_like_a_hook_but_not_marked_is_refused() -> None:
    def after_d_step(self: Any, ctx: StepContext) -> None: ...

    assert "after_d_step is named like a hook but is not marked with @hookimpl" in refused(
        plugin(after_d_step=after_d_step)
    )


def test_an_override_that_forgets_the_mark_is_refused() -> None:
    def on_epoch(self: Any) -> None: ...

    parent = plugin(on_epoch=any_hook)
    assert "on_epoch is named like a hook" in refused(type("Child", (parent,), {"on_epoch": on_epoch}))


@pytest.mark.parametrize("option", ["wrapper", "hookwrapper", "tryfirst", "trylast"])
def test_order_is_not_for_pluggy_options_to_decide(option: str) -> None:
    @hookimpl(**{option: True})
    def on_epoch(self: Any) -> Any:
        yield

    assert "on_epoch uses an option of pluggy's hookimpl; order belongs to `after`" in refused(
        plugin(on_epoch=on_epoch)
    )


@pytest.mark.parametrize("name", ["run", "train", "model", "two words", "with-dash", "", "1st", None, 3])
def test_a_bad_name_is_refused(name: Any) -> None:
    assert f"name = {name!r} is not usable" in refused(plugin(name=name))


def test_a_plugin_without_a_name_is_refused() -> None:
    assert "name = None is not usable" in refused(type("Nameless", (Plugin,), {}))


@pytest.mark.parametrize("candidate", [object, 3, Plugin(PluginConfig()), "dynamic_lambda"])
def test_what_is_not_a_plugin_class_is_refused(candidate: object) -> None:
    assert "not a subclass of balancer.Plugin" in refused(candidate)


def test_a_config_must_be_a_plugin_config() -> None:
    assert "Config must be a subclass of balancer.PluginConfig" in refused(plugin(Config=BaseModel))


def test_a_config_must_be_a_class() -> None:
    assert "Config must be a subclass" in refused(plugin(Config=None))


# Undeclared use, at work.


def running(*classes: type[Plugin]) -> Balancer:
    return Balancer(list(classes), supplies={"d_adv"}, obeys={"lambda_adv", "lambda_l1"}, seed=3)


class OtherOperation(Plugin):
    """Declares a factor and uses a bound."""

    name = "other_operation"
    writes = {"lambda_adv": ("mul",)}

    @hookimpl
    def before_g_backward(self, ctx: StepContext) -> None:
        self.knobs["lambda_adv"].write("max", 0.5)


def test_an_undeclared_operation_is_an_error() -> None:
    balance = running(OtherOperation)
    balance.start_step(epoch=0)
    with pytest.raises(PluginError, match="plugin other_operation used max on lambda_adv without declaring it"):
        balance.before_g_backward(adv=1.0)
    assert balance.board.contributions("lambda_adv") == []


class OtherKnob(Plugin):
    """Turns a knob that it did not declare."""

    name = "other_knob"
    writes = {"lambda_adv": ("set",)}

    @hookimpl
    def on_step_start(self, ctx: StepContext) -> None:
        self.knobs["lambda_l1"].set(0.5)


def test_an_undeclared_knob_is_an_error_that_names_plugin_and_knob() -> None:
    with pytest.raises(PluginError, match=r"plugin other_knob .*lambda_l1"):
        running(OtherKnob).start_step(epoch=0)


class Publisher(Plugin):
    """Publishes a signal of its own, then one that it did not bring."""

    name = "publisher"
    brings_signals = (SignalSpec("overfit", "plugin", "how far D memorises"),)

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        self.publish("overfit" if ctx.step == 0 else "d_adv", 0.75)


def test_a_published_signal_is_read_and_logged_and_an_undeclared_one_is_an_error() -> None:
    balance = running(Publisher)
    balance.start_step(epoch=0)
    balance.after_d_step(d_adv=0.2)
    balance.end_step()
    assert balance.last_row["signal/overfit"] == 0.75
    balance.start_step(epoch=0)
    with pytest.raises(PluginError, match="plugin publisher published d_adv without declaring it"):
        balance.after_d_step(d_adv=0.2)
    assert balance.signals.fresh() == {"d_adv": 0.2}


# Whose exception.


class Fragile(Plugin):
    """Fails in the hook and step that its config names."""

    name = "fragile"

    class Config(PluginConfig):
        """Where to fail."""

        hook: str
        step: int = 2

    def fail(self, hook: str, step: int) -> None:
        if (hook, step) == (self.config.hook, self.config.step):
            raise ZeroDivisionError("division by zero")

    @hookimpl
    def on_run_start(self, run: RunInfo) -> None:
        self.fail("on_run_start", run.step)

    @hookimpl
    def on_step_start(self, ctx: StepContext) -> None:
        self.fail("on_step_start", ctx.step)

    @hookimpl
    def transform_d_input(self, ctx: StepContext, images: Any, condition: Any) -> Any:
        self.fail("transform_d_input", ctx.step)
        return images, condition

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        self.fail("after_d_step", ctx.step)

    @hookimpl
    def on_step_end(self, ctx: StepContext) -> None:
        self.fail("on_step_end", ctx.step)


@pytest.mark.parametrize(
    ("hook", "step"),
    [("on_run_start", 0), ("on_step_start", 2), ("transform_d_input", 1), ("after_d_step", 0), ("on_step_end", 2)],
)
def test_an_exception_becomes_an_error_that_names_plugin_source_hook_and_step(hook: str, step: int) -> None:
    settings = {"fragile": {"hook": hook, "step": step}}
    balance = Balancer([Fragile], settings=settings, obeys={"transform_d_input"})
    with pytest.raises(PluginError) as caught:
        for _ in range(4):
            balance.start_step(epoch=0)
            balance.transform_d_input(None, None)  # type: ignore[arg-type]
            balance.after_d_step()
            balance.end_step()
    where = f"plugin fragile of class {__name__}, hook {hook}, step {step}"
    assert str(caught.value) == f"{where}: ZeroDivisionError: division by zero"
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert balance.step == step


class Draws(Plugin):
    """Has randomness of its own."""

    name = "draws"

    def draw(self) -> float:
        import torch

        return float(torch.rand((), generator=self.rng))


class DrawsToo(Draws):
    """The same under another name."""

    name = "draws_too"


def test_a_plugins_randomness_follows_from_seed_and_name_and_goes_on_after_a_resume() -> None:
    def draws(seed: int, cls: type[Draws] = Draws) -> tuple[Balancer, Draws]:
        balance = Balancer([cls], seed=seed)
        (drawn,) = balance.composition.plugins
        assert isinstance(drawn, Draws)
        return balance, drawn

    first, same, other, named = draws(1), draws(1), draws(2), draws(1, DrawsToo)
    start = first[1].draw()
    assert start == same[1].draw()
    assert len({start, other[1].draw(), named[1].draw()}) == 3
    state = first[0].state_dict()
    resumed = draws(1)
    resumed[0].load_state_dict(state)
    assert resumed[1].draw() == first[1].draw() != start
