"""Health: the word a newcomer asks for, and the warning about a strong start."""

import pytest

from balancer.contract.losses import BUILT_IN
from balancer.train.health import HALF_LIFE, STRONG_START_STEPS, Health, StrongStart


def word(d_adv: float, adv: float | None = 2.0) -> str:
    """The state after one step, without the count."""
    row = {("d", "d_adv"): d_adv} | ({} if adv is None else {("g", "adv"): adv})
    return Health().update(0, row).partition(" for ")[0]


@pytest.mark.parametrize(
    ("d_adv", "adv", "state"),
    [
        (0.0, 2.0, "D saturated"),
        (0.049, 4.0, "D saturated"),
        (0.049, 4.1, "G starved"),
        (0.0003, 12.0, "G starved"),
        (0.0003, None, "D saturated"),
        (0.05, 12.0, "below the document's band"),
        (0.099, 2.0, "below the document's band"),
        (0.1, 2.0, "in the document's band"),
        (0.25, 12.0, "in the document's band"),
        (0.4, 2.0, "in the document's band"),
        (0.41, 2.0, "above the document's band"),
        (0.69, 2.0, "above the document's band"),
        (0.6932, 2.0, "D at chance"),
        (2.0, 2.0, "D at chance"),
    ],
)
def test_the_word_follows_the_bands_of_the_document(d_adv: float, adv: float | None, state: str) -> None:
    assert word(d_adv, adv) == state


def test_a_state_says_for_how_many_steps_it_has_lasted() -> None:
    health = Health()
    words = [health.update(step, {("d", "d_adv"): 0.01}) for step in range(301)]
    assert words[0] == "D saturated for 0 steps"
    assert words[300] == "D saturated for 300 steps"


def test_a_new_state_counts_from_its_own_beginning_and_so_does_the_documents_band() -> None:
    health = Health()
    for step in range(100):
        health.update(step, {("d", "d_adv"): 0.01, ("g", "adv"): 1.0})
    words = [health.update(100 + step, {("d", "d_adv"): 0.2, ("g", "adv"): 1.0}) for step in range(200)]
    assert words[0] == "D saturated for 100 steps", "one step does not change the state"
    assert words[-1].startswith("in the document's band for ")
    states = list(dict.fromkeys(w.partition(" for ")[0] for w in words))
    assert states == ["D saturated", "below the document's band", "in the document's band"]
    first_below = next(w for w in words if w.startswith("below"))
    assert first_below == "below the document's band for 0 steps"


def test_the_state_is_that_of_an_average() -> None:
    health = Health()
    health.update(0, {("d", "d_adv"): 0.0})
    for step in range(1, int(HALF_LIFE) + 1):
        state = health.update(step, {("d", "d_adv"): 0.4})
    assert state.startswith("in the document's band"), "half of the way from 0 to 0.4"
    assert health.update(100, {("d", "d_adv"): 0.0}).startswith("in the document's band"), "one outlier is no state"


def test_without_a_measurement_there_is_no_word_and_a_gap_leaves_the_state() -> None:
    health = Health()
    assert health.update(0, {("g", "adv"): 3.0}) == ""
    health.update(1, {("d", "d_adv"): 0.01})
    assert health.update(5, {}) == "D saturated for 4 steps"


# A strong start.


def warnings(
    lambda_adv: float, d_adv: float, adv: float, *, resumed: bool = False, steps: int = 200
) -> list[tuple[int, str]]:
    start = StrongStart(resumed)
    row = {("knob", "lambda_adv"): lambda_adv, ("d", "d_adv"): d_adv, ("g", "adv"): adv}
    said = [(step, start.update(row)) for step in range(steps)]
    return [(step, sentence) for step, sentence in said if sentence is not None]


def test_the_documents_own_condition_is_not_warned_of() -> None:
    for d_adv, adv in ((0.15, 1.0), (0.25, 2.0), (0.4, 4.0)):
        assert warnings(0.6, d_adv, adv) == []


@pytest.mark.parametrize(
    ("d_adv", "adv", "reasons"),
    [
        (0.01, 2.0, ["the mean d_adv of its first steps is 0.01, not 0.15–0.4"]),
        (0.69, 2.0, ["the mean d_adv of its first steps is 0.69, not 0.15–0.4"]),
        (0.25, 6.0, ["the mean adv of its first steps is 6, not 1–4"]),
        (0.01, 0.5, ["the mean d_adv", " and the mean adv of its first steps is 0.5"]),
    ],
)
@pytest.mark.parametrize("lambda_adv", [0.6, 1.0])
def test_a_strong_start_outside_it_is_warned_of_once_with_the_reasons(
    lambda_adv: float, d_adv: float, adv: float, reasons: list[str]
) -> None:
    ((step, sentence),) = warnings(lambda_adv, d_adv, adv)
    assert step == STRONG_START_STEPS - 1
    assert sentence.startswith(f"lambda_adv started at {lambda_adv:g}, and the mean")
    for reason in reasons:
        assert reason in sentence
    assert "the source document advises 0.2–0.3" in sentence


def test_a_resumed_run_is_warned_of_at_its_first_step_only() -> None:
    ((step, sentence),) = warnings(0.6, 0.25, 2.0, resumed=True)
    assert step == 0
    assert "the run was resumed" in sentence


@pytest.mark.parametrize("resumed", [True, False])
def test_a_gentle_start_is_not_warned_of(resumed: bool) -> None:
    assert warnings(0.59, 0.001, 12.0, resumed=resumed) == []


def test_what_counts_is_the_weight_at_the_start_and_the_mean_of_the_first_steps() -> None:
    start = StrongStart(resumed=False)
    for step in range(STRONG_START_STEPS):
        row = {("knob", "lambda_adv"): 0.25 if step == 0 else 1.0, ("d", "d_adv"): 0.001, ("g", "adv"): 9.0}
        assert start.update(row) is None, "a law that rises later is no strong start"
    start = StrongStart(resumed=False)
    for step in range(STRONG_START_STEPS):
        row = {("knob", "lambda_adv"): 1.0, ("d", "d_adv"): 0.0 if step % 2 else 0.5, ("g", "adv"): 2.0}
        assert start.update(row) is None, "0.25 on average"


def test_a_run_shorter_than_that_is_not_judged() -> None:
    assert warnings(1.0, 0.01, 12.0, steps=STRONG_START_STEPS - 1) == []


# Other losses than BCE, whose healthy range nobody has named.


@pytest.mark.parametrize("name", ["lsgan", "hinge", "relativistic", "relativistic_average"])
def test_of_a_loss_without_a_healthy_range_only_the_ends_are_named(name: str) -> None:
    loss = BUILT_IN[name]
    words = {
        d_adv: Health(loss).update(0, {("d", "d_adv"): d_adv, ("g", "adv"): 12.0}).partition(" for ")[0]
        for d_adv in (0.01, 0.07, 0.2, 0.6, 0.7)
    }
    assert words == {0.01: "D saturated", 0.07: "", 0.2: "", 0.6: "", 0.7: "D at chance"}


def test_a_critic_has_no_state_and_no_strong_start() -> None:
    critic = BUILT_IN["wasserstein"]
    health, start = Health(critic), StrongStart(resumed=False, loss=critic)
    row = {("d", "critic_gap"): 3.0, ("g", "adv"): -4.0, ("knob", "lambda_adv"): 1.0}
    assert {health.update(step, row) for step in range(100)} == {""}
    assert {start.update(row) for _ in range(2 * STRONG_START_STEPS)} == {None}


def test_a_resume_with_a_strong_start_is_warned_about_whatever_the_loss() -> None:
    row = {("d", "critic_gap"): 3.0, ("knob", "lambda_adv"): 1.0}
    said = StrongStart(resumed=True, loss=BUILT_IN["wasserstein"]).update(row)
    assert said is not None and "the run was resumed: the source document advises" in said
