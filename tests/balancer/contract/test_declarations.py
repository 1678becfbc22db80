"""What a plugin declares: its api, mistyped names and what was meant, a forgotten `super().__init__`, its handles."""

from typing import Any

import pytest

import balancer
from balancer import Balancer, KnobHandle, Plugin, PluginError, SignalSpec, StepContext, hookimpl
from balancer.contract.plugin import check_plugin_class
from balancer.testing import replay


def plugin(**attributes: Any) -> type[Plugin]:
    """A plugin class with these attributes."""
    return type("Sample", (Plugin,), {"name": "sample", **attributes})


def refused(candidate: object) -> str:
    with pytest.raises(PluginError) as caught:
        check_plugin_class(candidate, "plugin sample of distribution acme 1.0")
    return str(caught.value)


@pytest.mark.parametrize(
    ("api", "words"),
    [
        (2, "it is written for api = 2; this release speaks 1: update balancer"),
        (0, "it is written for api = 0; this release speaks 1: update the plugin"),
        ("1", "it is written for api = '1'; this release speaks 1: update the plugin"),
        (True, "api = True"),
    ],
)
def test_a_plugin_for_another_contract_is_refused_with_what_to_do(api: Any, words: str) -> None:
    assert plugin().api == 1
    assert words in refused(plugin(api=api))


@pytest.mark.parametrize(
    ("attribute", "meant"),
    [
        ("read", "reads"),
        ("write", "writes"),
        ("brings_signal", "brings_signals"),
        ("bring_knobs", "brings_knobs"),
        ("state_versions", "state_version"),
    ],
)
def test_a_mistyped_declaration_is_refused(attribute: str, meant: str) -> None:
    assert refused(plugin(**{attribute: ()})).endswith(
        f"{attribute} is nothing that a plugin declares: did you mean {meant}?"
    )


def test_an_attribute_of_its_own_is_no_mistyped_declaration() -> None:
    own = plugin(reading=3, _write=(), written={}, wait=1, read=lambda self: None)
    assert check_plugin_class(own, "here") is own


def test_a_plugin_that_leaves_out_its_base_classs_init_gets_a_sentence() -> None:
    def __init__(self: Any, config: Any) -> None:
        self.count = 0

    with pytest.raises(PluginError, match=r"its __init__ must call super\(\).__init__\(config\)"):
        Balancer([plugin(__init__=__init__)])


# Names mistyped at work.


def doing(act: Any) -> type[Plugin]:
    """A plugin that does this after D's step."""

    @hookimpl
    def after_d_step(self: Any, ctx: StepContext) -> None:
        act(self)

    return plugin(
        reads=("d_adv",),
        writes={"lambda_adv": ("mul", "max", "min")},
        brings_signals=(SignalSpec("overfit", "plugin", "how far D memorises"),),
        after_d_step=after_d_step,
    )


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda own: own.knobs["lamda_adv"], "add it to writes (did you mean lambda_adv?)"),
        (lambda own: own.signals["d_avd"], "add it to reads (did you mean d_adv?)"),
        (lambda own: own.publish("overfitt", 1.0), "add it to brings_signals (did you mean overfit?)"),
        (lambda own: own.knobs["lambda_adv"].write("mull", 1.0), "'mull' on lambda_adv, which is no operation"),
        (lambda own: own.knobs["lambda_adv"].write("mull", 1.0), "(did you mean mul?)"),
        (lambda own: own.knobs["lambda_adv"].withdrew("mul"), "has no withdrew (did you mean withdraw?)"),
        (lambda own: own.knobs["lambda_adv"].set(1.0), "used set on lambda_adv without declaring it"),
    ],
)
def test_a_mistyped_name_is_answered_with_the_nearest_one(act: Any, words: str) -> None:
    with pytest.raises((PluginError, AttributeError)) as caught:
        replay([doing(act)], [{"d_adv": 0.1}])
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"writes": {"lambda_adv": ("mull",)}}, "writes 'lambda_adv' by 'mull': no such operation: did you mean mul?"),
        ({"writes": {"lambda_advv": ("mul",)}}, "(did you mean lambda_adv?)"),
        ({"reads": ("d_avd",)}, "no such signal: did you mean"),
    ],
)
def test_a_mistyped_name_in_a_declaration_is_answered_before_the_run(declared: Any, words: str) -> None:
    with pytest.raises((balancer.CompositionError, PluginError)) as caught:
        Balancer([plugin(**declared)], supplies={"d_adv"}, obeys={"lambda_adv"})
    assert words in str(caught.value)


# A handle.


def test_a_bound_is_made_kept_and_withdrawn_by_its_handle() -> None:
    seen: list[Any] = []

    def act(own: Any) -> None:
        handle = own.knobs["lambda_adv"]
        assert isinstance(handle, KnobHandle)
        if not seen:
            handle.max(0.5)
        elif len(seen) == 1:
            handle.withdraw("max")
            handle.min(2.0)
        seen.append((handle.own("max"), handle.own("min"), handle.value))

    weights = replay([doing(act)], [{"d_adv": 0.1}] * 2)["lambda_adv"]
    assert seen == [(0.5, None, 0.5), (None, 2.0, 2.0)]
    assert weights == [0.5, 2.0]


def test_what_an_author_catches_is_exported() -> None:
    assert issubclass(balancer.CompositionError, balancer.BalancerError)
    assert balancer.errors.PluginError is PluginError
    assert callable(balancer.testing.replay)
