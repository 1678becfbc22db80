"""Plugins that misbehave before a run: made, configured, asked what they declare, checked; each in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from pydantic import Field, field_validator

from balancer import Balancer, KnobSpec, Plugin, PluginConfig, SignalSpec, hookimpl
from balancer.contract.plugin import check_plugin_class
from balancer.errors import BalancerError, BalancerWarning, CompositionError, ConfigError, PluginError

WHOSE = f"plugin misbehaves of class {__name__}"


def plugin(**attributes: Any) -> type[Plugin]:
    return type("Misbehaves", (Plugin,), {"name": "misbehaves", "__module__": __name__, **attributes})


def refused(cls: Any, settings: dict[str, Any] | None = None) -> str:
    """What a composition with it is refused with."""
    with pytest.raises(BalancerError) as caught:
        Balancer([cls], settings={"misbehaves": settings or {}}, obeys={"lambda_adv"}, supplies={"d_adv"})
    assert type(caught.value) is PluginError, caught.value
    assert "\n" not in str(caught.value)
    return str(caught.value)


def raises(error: BaseException) -> Callable[..., Any]:
    def call(self: Any, *arguments: Any) -> Any:
        raise error

    return call


# Being made.


def without_super(self: Any, config: Any) -> None:
    self.law = 1


def another_name(self: Any, config: Any) -> None:
    Plugin.__init__(self, config)
    self.name = "else"


def another_config(self: Any, config: Any) -> None:
    Plugin.__init__(self, None)


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"__init__": raises(TypeError("no"))}, "cannot be made: TypeError: no"),
        ({"__init__": raises(SystemExit(0))}, "cannot be made: SystemExit: 0"),
        ({"__init__": raises(KeyboardInterrupt())}, "cannot be made: KeyboardInterrupt"),
        ({"__init__": lambda self: None}, "cannot be made: TypeError: "),
        ({"__init__": without_super}, "cannot be made: its __init__ must call super().__init__(config)"),
        ({"__init__": another_name}, "cannot be made: its __init__ must call super()"),
        ({"__init__": another_config}, "cannot be made: its __init__ must call super()"),
        ({"__new__": lambda cls, config: 3}, "cannot be made: its __init__ must call super()"),
    ],
)
def test_one_that_cannot_be_made(attributes: dict[str, Any], said: str) -> None:
    assert refused(plugin(**attributes)).startswith(f"{WHOSE} {said}")


# Its settings.


def config(**attributes: Any) -> type[PluginConfig]:
    annotations = {"x": int}
    return type(
        "Config", (PluginConfig,), {"x": 1, "__annotations__": annotations, "__module__": __name__, **attributes}
    )


def exits(value: Any) -> Any:
    raise SystemExit(0)


def broken(value: Any) -> Any:
    raise LookupError("nowhere")


class Refuses(PluginConfig):
    """A default that its own field refuses."""

    x: int = Field(-1, ge=0)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (config(check=field_validator("x")(exits)), "cannot check its settings: SystemExit: 0"),
        (config(check=field_validator("x")(broken)), "cannot check its settings: LookupError: nowhere"),
    ],
)
def test_a_validator_that_breaks(made: type[PluginConfig], said: str) -> None:
    assert refused(plugin(Config=made), {"x": 2}).startswith(f"{WHOSE} {said}")


def test_a_default_that_its_own_field_refuses() -> None:
    with pytest.raises(ConfigError) as caught:
        Balancer([plugin(Config=Refuses)])
    assert str(caught.value) == (f"misbehaves.x: input should be greater than or equal to 0, got -1 ({WHOSE})")


# What it declares.


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"reads": "d_adv"}, "reads = 'd_adv' is not a tuple of names"),
        ({"reads": (1,)}, "reads = (1,) is not a tuple of names"),
        ({"reads": None}, "reads = None is not a tuple of names"),
        ({"reads": (name for name in ("d_adv",))}, "reads = <generator object"),
        ({"after": "d_skip"}, "after = 'd_skip' is not a tuple of names"),
        ({"writes": ("lambda_adv",)}, "writes = ('lambda_adv',) is not a dict of operations by knob"),
        ({"writes": {"lambda_adv": "max"}}, "writes = {'lambda_adv': 'max'}: the values are tuples of names"),
        ({"writes": {"lambda_adv": ("sett",)}}, "writes 'lambda_adv' by 'sett': no such operation: did you mean set?"),
        ({"brings_knobs": KnobSpec("mine", "", ("set",), "on_step_end")}, "brings_knobs = KnobSpec("),
        ({"brings_signals": ("overfit",)}, "brings_signals = ('overfit',) is not a tuple of SignalSpec"),
        (
            {"brings_knobs": (KnobSpec("a\nb", "", ("set",), "on_step_end"),)},
            "brings_knobs: the name 'a\\nb' is not one",
        ),
    ],
)
def test_a_declaration_that_is_none(attributes: dict[str, Any], said: str) -> None:
    assert refused(plugin(**attributes)).startswith(f"{WHOSE}: {said}")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"ops": ("frob",)}, "whose ops = ('frob',) are not a tuple of set, "),
        ({"ops": ()}, "whose ops = () are not a tuple of"),
        ({"base": "x"}, "whose base = 'x' is none of its values"),
        ({"base": float("nan")}, "whose base = nan is none of its values"),
        ({"ops": ("add",)}, "whose base = 1.0 is none of its values"),
        ({"ops": ("gate",)}, "whose base = 1.0 is none of its values"),
        ({"minimum": 2.0}, "whose base = 1.0 is none of its values"),
        ({"maximum": "much"}, "whose range is from 0.0 to 'much', not between two numbers"),
        ({"choices": "ab"}, "whose choices = 'ab' are not a tuple of names"),
    ],
)
def test_a_knob_that_is_none(fields: dict[str, Any], said: str) -> None:
    spec = KnobSpec(**{"name": "mine", "summary": "", "ops": ("set",), "read_after": "on_step_end", **fields})
    assert refused(plugin(brings_knobs=(spec,))).startswith(f"{WHOSE}: brings the knob mine, {said}")


def test_a_signal_of_no_phase() -> None:
    spec = SignalSpec("mine", "x", "")  # type: ignore[arg-type]
    said = f"{WHOSE}: brings the signal mine in the phase 'x': "
    assert refused(plugin(brings_signals=(spec,))).startswith(said)


@pytest.mark.parametrize("what", ["reads", "writes", "after", "brings_knobs", "brings_signals"])
@pytest.mark.parametrize("error", [ValueError("not yet"), SystemExit(0)], ids=["ValueError", "SystemExit"])
def test_a_declaration_that_breaks(what: str, error: BaseException) -> None:
    said = refused(plugin(**{what: property(raises(error))}))
    assert said.startswith(f"{WHOSE} cannot say what it declares: {type(error).__name__}: ")


def test_one_that_breaks_when_it_is_bound() -> None:
    assert refused(plugin(bind=raises(SystemExit(0)))).startswith(f"{WHOSE} cannot be bound to a run: ")


# Its check.


def never(self: Any, composition: Any) -> Iterable[str]:
    yield "fine"
    raise ValueError("after all")


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (raises(ZeroDivisionError("0")), " cannot be checked: ZeroDivisionError: 0"),
        (raises(SystemExit(0)), " cannot be checked: SystemExit: 0"),
        (never, " cannot be checked: ValueError: after all"),
        (lambda self, composition: None, ": check returned None, not a list of sentences"),
        (lambda self, composition: "one sentence", ": check returned 'one sentence', not a list of sentences"),
        (lambda self, composition: [1], ": check returned [1], not a list of sentences"),
        (lambda self, composition: 3, " cannot be checked: TypeError: 'int' object is not iterable"),
    ],
)
def test_a_check_that_breaks(check: Any, said: str) -> None:
    assert refused(plugin(check=check)).startswith(f"{WHOSE}{said}")


def test_a_refusal_on_purpose_keeps_its_kind_and_says_whose_it_is() -> None:
    with pytest.raises(CompositionError, match="not with me") as caught:
        Balancer([plugin(check=raises(CompositionError("not with me")))])
    assert caught.value.__notes__ == [f"by {WHOSE}"]


def test_a_warning_cannot_steer_the_terminal() -> None:
    with pytest.warns(BalancerWarning, match="red"):
        made = Balancer([plugin(check=lambda self, composition: ["red \x1b[31m\nalert"])])
    assert made.composition.warnings == ("misbehaves: red \\x1b[31m alert",)


# Its hooks, when it is loaded.


async def a_coroutine(self: Any) -> None: ...


def a_generator(self: Any) -> Any:
    yield


async def an_async_generator(self: Any) -> Any:
    yield


@pytest.mark.parametrize(
    ("function", "said"),
    [(a_coroutine, "is async"), (a_generator, "yields"), (an_async_generator, "is async")],
)
def test_a_hook_that_is_no_plain_function_is_refused_when_it_is_loaded(function: Any, said: str) -> None:
    with pytest.raises(PluginError, match=f"here: on_step_end {said}, so that nobody would run its code"):
        check_plugin_class(plugin(on_step_end=hookimpl(function)), "here")


def test_a_hook_without_self_is_refused() -> None:
    @hookimpl
    def after_d_step(ctx: Any) -> None: ...

    with pytest.raises(PluginError, match="here: the first argument of after_d_step must be self"):
        check_plugin_class(plugin(after_d_step=after_d_step), "here")


def test_a_version_of_its_state_that_is_no_number_is_refused() -> None:
    with pytest.raises(PluginError, match="here: state_version = '1' is not a whole number"):
        check_plugin_class(plugin(state_version="1"), "here")
