"""Compositions that a host does not offer, that make no sense or that deserve a warning."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from support.compositions import SPEC, composed, foreign, law, names, refused

from balancer import ModelSpec, Plugin, SignalSpec, hookimpl
from balancer.contract.host import model_host
from balancer.errors import CompositionError, ConfigError, PluginError

# What the host offers.


@pytest.mark.parametrize(
    ("plugin", "obeys", "sentence"),
    [
        (
            "dynamic_lambda",
            {"d_update"},
            "plugin dynamic_lambda of balancer 0.1.0 turns lambda_adv, which this script does not obey: this script "
            "would have to multiply the adv term by balance.lambda_adv and list 'lambda_adv' in obeys",
        ),
        ("d_skip", {"lambda_adv"}, "would have to update D only if balance.d_update and list 'd_update' in obeys"),
        ("d_lr_ratio", set(), "would have to pass optimizers={'d': …} (and 'g' for a ratio) and list 'lr_d' in obeys"),
        ("label_smoothing", {"fake_label"}, "would have to use balance.real_label in D's binary loss"),
        (law("mine", writes={"lambda_l1": ("mul",)}), set(), "multiply the l1 term by balance.lambda_l1"),
    ],
)
def test_a_knob_that_a_foreign_script_does_not_obey_is_refused_with_what_it_would_have_to_do(
    plugin: Any, obeys: set[str], sentence: str
) -> None:
    with pytest.raises(CompositionError) as caught:
        foreign(plugin, obeys=obeys, supplies={"d_adv"})
    assert sentence in str(caught.value)


def test_a_signal_that_a_foreign_script_does_not_supply_is_refused_with_what_it_would_have_to_do() -> None:
    with pytest.raises(CompositionError) as caught:
        foreign("dynamic_lambda", obeys={"lambda_adv"})
    assert str(caught.value) == (
        "plugin dynamic_lambda of balancer 0.1.0 reads d_adv, which this script does not supply: this script would "
        "have to pass real_logits= and fake_logits= to balance.after_d_step (or d_adv=) and list 'd_adv' in supplies"
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"obeys": {"lamda_adv"}}, "obeys: no such knob 'lamda_adv': did you mean lambda_adv?"),
        ({"obeys": {"lr_d"}}, "obeys lr_d, but the optimizer is missing"),
        ({"base": {"d_update": True}}, "base 'd_update' is not among the knobs obeyed (none)"),
        ({"obeys": {"d_loss_term"}}, "obeys: no such knob 'd_loss_term': did you mean d_loss_terms?"),
    ],
)
def test_what_a_foreign_script_says_of_itself_must_make_sense(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        foreign(**options)
    assert words in str(caught.value)


@pytest.mark.parametrize("hook", ["transform_d_input", "d_loss_terms", "before_d_backward", "g_loss_terms"])
def test_a_hook_that_a_foreign_script_does_not_call_is_refused_with_what_it_would_have_to_do(hook: str) -> None:
    @hookimpl
    def function(self: Any, ctx: Any) -> Any: ...

    acting = law("acting", **{hook: function})
    with pytest.raises(CompositionError) as caught:
        foreign(acting)
    message = str(caught.value)
    assert f"acts at {hook}, which this script does not call: this script would have to" in message
    assert f"balance.{hook}" in message
    assert message.endswith(f"and list {hook!r} in obeys")
    assert names(foreign(acting, obeys={hook}).composition) == ["acting"]
    assert names(composed(acting)) == ["acting"], "our own loop calls every hook"


def test_unknown_names_are_answered_with_the_nearest_ones() -> None:
    assert "turns d_updates: no such knob: did you mean d_update?" in refused(
        law("mine", writes={"d_updates": ("gate",)})
    )
    assert "reads d_advv: no such signal: did you mean d_adv?" in refused(law("mine", reads=("d_advv",)))
    assert "reads d_categry: no such signal: did you mean d_category?" in refused(law("mine", reads=("d_categry",)))


def test_an_operation_that_the_knob_does_not_take_is_refused() -> None:
    message = refused(law("mine", writes={"lr_d": ("set",)}))
    assert "plugin mine" in message
    assert "wants to set lr_d, which takes only mul, ratio" in message


def test_terms_of_the_model_are_signals_and_their_weights_knobs() -> None:
    mine = law("mine", reads=("l1", "d_category"), writes={"lambda_l1": ("mul",)})
    assert composed(mine).writers("lambda_l1") == [("mine", "mul")]
    assert "turns lambda_const, which model toy does not obey" in refused(
        law("mine", writes={"lambda_const": ("mul",)})
    )


# Combinations that make no sense, and those that deserve a warning.


def test_labels_are_refused_where_the_loss_has_none() -> None:
    hinge = model_host("toy", replace(SPEC, adversarial="hinge"), 1.0)
    message = refused("label_smoothing", host=hinge)
    assert message.startswith("plugin label_smoothing of balancer")
    assert "the hinge loss has no labels to smooth" in message
    for adversarial in ("bce", "lsgan"):
        composed("label_smoothing", host=model_host("toy", replace(SPEC, adversarial=adversarial), 1.0))


def test_labels_are_refused_on_a_foreign_script_with_hinge_too() -> None:
    with pytest.raises((CompositionError, ConfigError), match="hinge loss has no labels"):
        foreign("label_smoothing", obeys={"real_label", "fake_label"}, adversarial="hinge")


def test_freeze_head_is_refused_for_a_head_that_is_not_there() -> None:
    message = refused("freeze_head", settings={"freeze_head": {"head": "catagory"}})
    assert "freeze_head.head = 'catagory': model toy has no such head of D; known are category" in message
    headless = model_host("toy", ModelSpec(), 1.0)
    assert "D of model toy has no head that may be frozen" in refused("freeze_head", host=headless)


def test_two_loops_that_answer_to_one_signal_through_different_knobs_are_warned_of() -> None:
    slower = law("slower", reads=("d_adv",), writes={"lr_d": ("mul",)})
    (warning,) = composed("dynamic_lambda", slower).warnings
    assert warning.startswith("dynamic_lambda and slower both answer to d_adv through different knobs")
    other_signal = law("slower", reads=("d_acc",), writes={"lr_d": ("mul",)})
    assert composed("dynamic_lambda", other_signal).warnings == ()


def test_a_meter_that_turns_nothing_is_no_second_loop() -> None:
    meter = law("meter", reads=("d_adv",), brings_signals=(SignalSpec("slope", "plugin", ""),))
    assert composed("dynamic_lambda", meter).warnings == ()


@pytest.mark.parametrize(
    ("ratio", "every", "warned"), [(0.25, 2, False), (0.2, 2, False), (0.19, 2, True), (0.25, 3, True), (0.05, 1, True)]
)
def test_little_training_left_for_d_is_warned_of(ratio: float, every: int, warned: bool) -> None:
    settings = {"d_lr_ratio": {"ratio": ratio}, "d_skip": {"every": every}}
    warnings = composed("d_lr_ratio", "d_skip", settings=settings).warnings
    assert [w.startswith("d_lr_ratio: together with d_skip D gets") for w in warnings] == [True] * warned
    assert composed("d_lr_ratio", settings={"d_lr_ratio": {"ratio": ratio}}).warnings == ()


def test_smoothed_labels_under_a_law_on_the_raw_loss_are_warned_of() -> None:
    settings = {"dynamic_lambda": {"signal": "d_loss"}}
    warnings = composed("dynamic_lambda", "label_smoothing", settings=settings).warnings
    assert any("smoothed labels lift the raw d_loss above every band" in warning for warning in warnings)
    assert composed("dynamic_lambda", "label_smoothing").warnings == ()
    (warning,) = composed("dynamic_lambda", settings=settings).warnings
    assert "d_loss also holds category" in warning


def test_bands_that_the_ceiling_cuts_are_warned_of() -> None:
    bands = [[0.1, 1.0], [0.2, 2.0]]
    (warning,) = composed("dynamic_lambda", settings={"dynamic_lambda": {"bands": bands}}).warnings
    assert "the ceiling of 0.6 cuts some of its bands" in warning
    assert composed("dynamic_lambda", settings={"dynamic_lambda": {"bands": bands, "ceiling": 2.0}}).warnings == ()


def test_whose_a_broken_plugin_is_is_said() -> None:
    class Broken(Plugin):
        name = "broken"

        def __init__(self) -> None: ...

    with pytest.raises(PluginError, match=r"plugin broken of class .* cannot be made: TypeError"):
        composed(Broken)


def test_a_head_that_thaws_where_the_schedule_jumps_is_warned_of() -> None:
    def warnings(**freeze: Any) -> tuple[str, ...]:
        return composed("freeze_head", "lambda_schedule", settings={"freeze_head": freeze}).warnings

    (warning,) = warnings(until=5)
    assert "thaws in epoch 5, where lambda_schedule jumps too" in warning
    assert warnings(until=10) == ()
    assert warnings(until=5, clock="step") == ()


def test_bands_above_the_bound_of_a_schedule_are_warned_of() -> None:
    (warning,) = composed("dynamic_lambda", "lambda_schedule").warnings
    assert warning.startswith("lambda_schedule: it bounds what dynamic_lambda sets (0.1 from epoch 0, 0.3 from epoch 5")
    assert composed("lambda_schedule").warnings == ()


def test_a_plugin_may_refuse_a_composition_by_itself() -> None:
    def check(self: Plugin, composition: Any) -> Sequence[str]:
        if "d_skip" in composition.configs:
            raise CompositionError(f"not with d_skip on {composition.host.name}")
        return ["a word of caution"]

    picky = law("picky", check=check)
    assert composed(picky).warnings == ("picky: a word of caution",)
    assert refused(picky, "d_skip") == "not with d_skip on model toy"
