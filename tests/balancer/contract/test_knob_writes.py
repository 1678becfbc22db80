"""What a bad write costs, what a handle knows, and what holds for any writes."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.knob_boards import SPECS, Change, board

from balancer import Balancer, Plugin, StepContext, hookimpl
from balancer.contract.handles import KnobHandle
from balancer.contract.knobs import Decision
from balancer.engine.knob_board import KnobBoard
from balancer.errors import KnobError, PluginError

# Bad writes.

BAD = [
    ("lambda_adv", "set", math.nan),
    ("lambda_adv", "set", math.inf),
    ("lambda_adv", "set", -0.1),
    ("lambda_adv", "set", 1e7),
    ("lambda_adv", "set", True),
    ("lambda_adv", "set", "0.5"),
    ("lambda_adv", "set", [0.5]),
    ("lambda_adv", "mul", -math.inf),
    ("lambda_adv", "mul", -1.0),
    ("lambda_adv", "mul", False),
    ("lambda_adv", "max", math.nan),
    ("lambda_adv", "min", 1e7),
    ("lr_d", "ratio", -0.25),
    ("lr_d", "ratio", math.nan),
    ("real_label", "set", 1.1),
    ("d_update", "gate", 1),
    ("d_update", "gate", 0.0),
    ("d_update", "period", 0),
    ("d_update", "period", 1.5),
    ("d_update", "period", True),
    ("d_update", "period", math.nan),
    ("d_frozen", "add", "category"),
    ("d_frozen", "add", ("category", 3)),
    ("d_frozen", "add", ("head",)),
]


@pytest.mark.parametrize(("knob", "op", "value"), BAD)
def test_a_bad_write_names_plugin_and_knob_and_never_reaches_the_board(knob: str, op: Any, value: Any) -> None:
    changes: list[Change] = []
    knobs = board(changes=changes)
    with pytest.raises(KnobError) as caught:
        knobs.write("b", knob, op, value)
    message = str(caught.value)
    assert f"plugin b wrote {value!r} to {knob} ({op})" in message
    assert "\n" not in message
    assert knobs.contributions(knob) == []
    assert knobs.value(knob) == SPECS[knob].base
    assert changes == []


def test_an_integer_beyond_any_float_is_a_bad_write_too() -> None:
    with pytest.raises(KnobError, match="plugin b wrote"):
        board().write("b", "lambda_adv", "set", 10**400)


def test_a_bad_write_leaves_the_good_one_before_it_in_force() -> None:
    knobs = board()
    knobs.write("a", "lambda_adv", "set", 0.4)
    with pytest.raises(KnobError):
        knobs.write("a", "lambda_adv", "set", math.nan)
    assert knobs.value("lambda_adv") == 0.4


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(KnobError, match="there is no 'head'; known are category, style"):
        board().write("b", "d_frozen", "add", ("head",))


# Handles.


def test_a_handle_knows_only_declared_operations() -> None:
    knobs = board()
    handle = KnobHandle(knobs, "a", "lambda_adv", {"set": "set"})
    handle.set(0.4)
    assert (handle.value, handle.own("set")) == (0.4, 0.4)
    for use in (lambda: handle.mul(2.0), lambda: handle.withdraw("max"), lambda: handle.own("min")):
        with pytest.raises(PluginError, match=r"plugin a used (mul|max|min) on lambda_adv without declaring it"):
            use()
    with pytest.raises(KnobError, match=r"plugin a wrote None to lambda_adv \(set\): use withdraw"):
        handle.set(None)  # type: ignore[arg-type]
    assert knobs.contributions("lambda_adv") == [("a", "set", 0.4)]


@pytest.mark.parametrize(("means", "value"), [("set", 0.5), ("max", 0.2)])
def test_set_or_max_writes_what_the_composition_resolved_it_to(means: Any, value: float) -> None:
    knobs = board({"lambda_adv": 0.2})
    handle = KnobHandle(knobs, "a", "lambda_adv", {"set_or_max": means})
    handle.set_or_max(0.5)
    assert knobs.contributions("lambda_adv") == [("a", means, 0.5)]
    assert (handle.own("set_or_max"), handle.value) == (0.5, value)


class Halver(Plugin):
    """Halves lambda_adv where d_adv is low."""

    name = "halver"
    reads = ("d_adv",)
    writes = {"lambda_adv": ("mul",)}

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        reading = self.signals["d_adv"]
        assert reading is not None
        self.knobs["lambda_adv"].mul(0.5 if reading.value < 0.1 else 1.0)


def test_a_decision_is_taken_only_on_a_change_and_keeps_the_signals_it_was_taken_on() -> None:
    decisions: list[Decision] = []
    balance = Balancer(
        [Halver],
        supplies={"d_adv", "d_loss"},
        obeys={"lambda_adv"},
        base={"lambda_adv": 0.6},
        on_decision=decisions.append,
    )
    for step, d_adv in enumerate((0.3, 0.3, 0.05, 0.06, 0.2)):
        balance.start_step(epoch=step // 2)
        balance.after_d_step(d_adv=d_adv, d_loss=9.0)
    balance.end_run()
    assert [(d.step, d.epoch, d.old, d.new, d.effective, dict(d.signals)) for d in decisions] == [
        (0, 0, None, 1.0, 0.6, {"d_adv": 0.3}),
        (2, 1, 1.0, 0.5, 0.3, {"d_adv": 0.05}),
        (4, 2, 0.5, 1.0, 0.6, {"d_adv": 0.2}),
    ]
    assert {(d.plugin, d.knob, d.op, d.moment) for d in decisions} == {("halver", "lambda_adv", "mul", "after_d_step")}


# Properties.

PLUGINS = ("a", "b", "c", "d", "e")
WEIGHT = st.floats(0, 1e6, allow_nan=False)
CONTRIBUTIONS = st.dictionaries(
    st.tuples(st.sampled_from(PLUGINS), st.sampled_from(["mul", "max", "min"])), WEIGHT, max_size=12
)


def weight_board(base: float) -> KnobBoard:
    return board({"lambda_adv": base}, PLUGINS)


@given(base=WEIGHT, owned=st.none() | WEIGHT, contributions=CONTRIBUTIONS, data=st.data())
def test_the_effective_value_is_finite_bounded_and_independent_of_the_order_of_writes(
    base: float, owned: float | None, contributions: dict[tuple[str, Any], float], data: st.DataObject
) -> None:
    writes = [(plugin, op, value) for (plugin, op), value in contributions.items()]
    if owned is not None:
        writes.append(("c", "set", owned))
    one, two = weight_board(base), weight_board(base)
    for plugin, op, value in writes:
        one.write(plugin, "lambda_adv", op, value)
    # The second board takes a detour: another order, and an earlier value of each.
    for plugin, op, value in data.draw(st.permutations(writes)):
        two.write(plugin, "lambda_adv", op, value / 2)
        two.write(plugin, "lambda_adv", op, value)
    value = one.number("lambda_adv")
    assert value == two.number("lambda_adv")
    assert math.isfinite(value)
    assert value >= 0
    upper = [v for (_, op), v in contributions.items() if op == "max"]
    lower = [v for (_, op), v in contributions.items() if op == "min"]
    assert all(value <= bound for bound in upper)
    assert all(value >= min(bound, *upper) if upper else value >= bound for bound in lower)
    if not contributions:
        assert value == (base if owned is None else owned)


@given(writes=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["set", "mul", "max"]), st.none() | WEIGHT)))
def test_after_all_are_withdrawn_nothing_is_left(writes: list[tuple[str, Any, float | None]]) -> None:
    knobs = board({"lambda_adv": 0.3})
    for plugin, op, value in writes:
        knobs.write(plugin, "lambda_adv", op, value)
    for plugin, op, _ in knobs.contributions("lambda_adv"):
        knobs.write(plugin, "lambda_adv", op, None)
    assert knobs.value("lambda_adv") == 0.3


@given(value=st.floats() | st.integers() | st.booleans() | st.text() | st.none())
def test_whatever_is_written_the_effective_value_stays_a_number_in_range(value: Any) -> None:
    knobs = board({"lambda_adv": 0.3})
    try:
        knobs.write("a", "lambda_adv", "set", value)
    except KnobError as error:
        assert "plugin a" in str(error)
        assert "lambda_adv" in str(error)
    assert 0 <= knobs.number("lambda_adv") <= 1e6
