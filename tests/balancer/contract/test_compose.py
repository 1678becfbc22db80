"""Compositions: an order that nothing accidental decides, and owners that do not contradict one another."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.built_in import TOGETHER
from support.compositions import composed, law, names, refused

from balancer import KnobSpec, Plugin, SignalSpec

# Order.


def test_producers_come_before_readers_then_after_then_names() -> None:
    overfit = SignalSpec("overfit", "plugin", "")
    meter = law("z_meter", brings_signals=(overfit,))
    reader = law("a_reader", reads=("overfit",))
    late = law("b_late", after=("y_first", "not_here"))
    first = law("y_first")
    assert names(composed(late, reader, first, meter)) == ["y_first", "b_late", "z_meter", "a_reader"]
    assert names(composed(late, law("c_plain"))) == ["b_late", "c_plain"], "an absent `after` asks for nothing"


def test_a_plugin_may_read_what_it_brings() -> None:
    own = law("own", brings_signals=(SignalSpec("mine", "plugin", ""),), reads=("mine",))
    assert names(composed(own)) == ["own"]


@settings(max_examples=15)
@given(given_order=st.permutations(TOGETHER))
def test_the_order_of_the_command_line_never_matters(given_order: list[str]) -> None:
    one, other = composed(*given_order), composed(*TOGETHER)
    assert names(one) == sorted(TOGETHER)
    assert one.operations == other.operations
    assert one.warnings == other.warnings


@st.composite
def webs(draw: st.DrawFn) -> tuple[list[type[Plugin]], dict[str, set[str]]]:
    """Plugins with wishes about order that can all be met, and what each waits for."""
    labels = draw(st.permutations("abcdef"))
    waits: dict[str, set[str]] = {}
    classes = []
    for index, name in enumerate(labels):
        earlier = st.sets(st.sampled_from(labels[:index])) if index else st.just(set())
        after, sources = draw(earlier), draw(earlier)
        waits[name] = after | sources
        classes.append(
            law(
                name,
                after=tuple(after),
                reads=tuple(f"from_{source}" for source in sources),
                brings_signals=(SignalSpec(f"from_{name}", "plugin", ""),),
            )
        )
    return classes, waits


@given(web=webs(), data=st.data())
def test_every_wish_is_met_and_only_wishes_and_names_decide(
    web: tuple[list[type[Plugin]], dict[str, set[str]]], data: st.DataObject
) -> None:
    classes, waits = web
    order = names(composed(*classes))
    assert names(composed(*data.draw(st.permutations(classes)))) == order
    for position, name in enumerate(order):
        done = set(order[:position])
        ready = sorted(other for other in set(order) - done if waits[other] <= done)
        assert name == ready[0], "the first name among those that need not wait"


def test_a_cycle_is_refused_with_its_plugins() -> None:
    assert "plugins one and two each want to act after the other" in refused(
        law("one", after=("two",)), law("two", after=("one",)), law("bystander")
    )


def test_after_cannot_turn_a_producer_behind_its_reader() -> None:
    meter = law("meter", brings_signals=(SignalSpec("mine", "plugin", ""),), after=("reader",))
    assert "meter and reader" in refused(meter, law("reader", reads=("mine",)))


# Who owns what.


def test_two_set_owners_are_refused_with_both_names_and_what_to_do() -> None:
    message = refused("dynamic_lambda", law("mine", writes={"lambda_adv": ("set",)}))
    assert message == "plugins dynamic_lambda and mine both set lambda_adv: a knob has one owner; leave one of them out"


def test_two_ratios_are_two_owners() -> None:
    assert "plugins d_lr_ratio and mine both set lr_d" in refused(
        "d_lr_ratio", law("mine", writes={"lr_d": ("ratio",)})
    )


@pytest.mark.parametrize("operations", [("mul", "mul"), ("set", "mul"), ("mul", "set")])
def test_two_loops_on_one_knob_are_refused_with_both_names(operations: Sequence[str]) -> None:
    one = law("one", reads=("d_adv",), writes={"lambda_adv": (operations[0],)})
    two = law("two", reads=("d_acc",), writes={"lambda_adv": (operations[1],)})
    message = refused(one, two)
    assert "plugins one and two each read signals or gradients and turn lambda_adv" in message
    assert "leave one of them out" in message


def test_a_loop_beside_an_open_factor_or_a_bound_is_fine() -> None:
    factor = law("factor", writes={"lambda_adv": ("mul",)})
    bound = law("bound", reads=("d_acc",), writes={"lambda_adv": ("max", "min")})
    together = composed("dynamic_lambda", factor, bound)
    assert together.writers("lambda_adv") == [
        ("bound", "max"),
        ("bound", "min"),
        ("dynamic_lambda", "set"),
        ("factor", "mul"),
    ]
    assert together.warnings == (), "they answer to different signals"


@pytest.mark.parametrize("law_first", [True, False])
def test_a_schedule_sets_alone_and_is_the_upper_bound_of_a_law(law_first: bool) -> None:
    assert composed("lambda_schedule").writers("lambda_adv") == [("lambda_schedule", "set")]
    pair = ("dynamic_lambda", "lambda_schedule")
    both = composed(*(pair if law_first else reversed(pair)))
    assert both.writers("lambda_adv") == [("dynamic_lambda", "set"), ("lambda_schedule", "max")]
    assert both.operations["lambda_schedule"] == {"lambda_adv": {"set_or_max": "max"}}


def test_a_schedule_is_an_owner_where_only_factors_stand_beside_it() -> None:
    loop = law("loop", reads=("d_adv",), writes={"lambda_adv": ("mul",)})
    assert composed("lambda_schedule", loop).writers("lambda_adv") == [("lambda_schedule", "set"), ("loop", "mul")]


@pytest.mark.parametrize("with_law", [True, False])
def test_two_schedules_are_refused(with_law: bool) -> None:
    other = law("other_schedule", writes={"lambda_adv": ("set_or_max",)})
    message = refused("lambda_schedule", other, *(["dynamic_lambda"] if with_law else []))
    assert "plugins lambda_schedule and other_schedule both set lambda_adv" in message


def test_a_plugin_named_twice_is_refused() -> None:
    assert "plugin d_skip is named twice" in refused("d_skip", "d_skip")
    assert "plugin d_skip is named twice" in refused("d_skip", law("d_skip"))


# What a plugin brings.


@pytest.mark.parametrize("name", ["lambda_adv", "lambda_l1", "lr_d"])
def test_a_knob_that_exists_cannot_be_brought(name: str) -> None:
    mine = law("mine", brings_knobs=(KnobSpec(name, "", ("set",), ""),))
    assert f"plugin mine brings the knob {name}, which exists already" in refused(mine)


def test_a_signal_that_exists_cannot_be_brought() -> None:
    for name in ("d_adv", "l1"):
        mine = law("mine", brings_signals=(SignalSpec(name, "plugin", ""),))
        assert f"plugin mine brings the signal {name}, which exists already" in refused(mine)


def test_two_plugins_cannot_bring_one_knob_or_one_signal() -> None:
    knob, signal = KnobSpec("d_noise", "", ("set",), ""), SignalSpec("overfit", "plugin", "")
    assert "plugin two brings the knob d_noise" in refused(
        law("one", brings_knobs=(knob,)), law("two", brings_knobs=(knob,))
    )
    assert "plugin two brings the signal overfit" in refused(
        law("one", brings_signals=(signal,)), law("two", brings_signals=(signal,))
    )


def test_a_brought_knob_may_be_turned_by_others_and_is_there_only_with_who_brings_it() -> None:
    noise = law("noise", brings_knobs=(KnobSpec("d_noise", "", ("mul",), "", base=0.1),))
    turner = law("turner", writes={"d_noise": ("mul",)})
    assert composed(noise, turner).writers("d_noise") == [("turner", "mul")]
    assert "turns d_noise: no such knob" in refused(turner)
