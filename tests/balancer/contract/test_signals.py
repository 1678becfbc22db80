"""Signals: fresh or stale, declared or not, averaged by half-life, and off the device in one transfer."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from balancer import Balancer, MovingAverage, Plugin, StepContext, hookimpl
from balancer.contract.signals import Reading, SignalReader
from balancer.engine.clock import Clock
from balancer.engine.signal_board import SignalBoard, Transfer
from balancer.errors import PluginError


def test_a_value_is_fresh_in_its_step_and_stale_afterwards() -> None:
    clock = Clock()
    board = SignalBoard(clock)
    assert board.read("d_adv") is None
    clock.step = 4
    board.put({"d_adv": 0.2}, "d")
    board.put({"adv": 3.0}, "g")
    assert board.read("d_adv") == Reading(0.2, step=4, fresh=True)
    clock.step = 5
    board.put({"adv": 2.5}, "g")
    assert board.read("d_adv") == Reading(0.2, step=4, fresh=False)
    assert board.read("adv") == Reading(2.5, step=5, fresh=True)
    assert board.fresh() == {"adv": 2.5}
    assert board.row() == {("g", "adv"): 2.5}


def test_newest_values_and_their_steps_survive_a_round_trip() -> None:
    clock = Clock()
    board = SignalBoard(clock)
    clock.step = 7
    board.begin(Transfer({"d_adv": torch.tensor(0.25)}, None), "d")
    restored = SignalBoard(clock)
    restored.load_state_dict(board.state_dict())
    clock.step = 8
    assert restored.read("d_adv") == Reading(0.25, step=7, fresh=False)


def test_a_reader_shows_declared_signals_only_and_names_who_asked() -> None:
    clock = Clock()
    board = SignalBoard(clock)
    board.put({"d_adv": 0.2, "adv": 3.0}, "d")
    reader = SignalReader(board, "curious", frozenset({"d_adv", "l1"}))
    assert reader["d_adv"] == Reading(0.2, 0, True)
    assert reader["l1"] is None
    assert reader.snapshot() == {"d_adv": 0.2}
    with pytest.raises(PluginError, match="plugin curious read adv without declaring it: add it to reads"):
        reader["adv"]


class Watcher(Plugin):
    """Notes every reading of d_adv."""

    name = "watcher"
    reads = ("d_adv",)

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.seen: list[Reading | None] = []

    @hookimpl
    def on_step_start(self, ctx: StepContext) -> None:
        self.seen.append(self.signals["d_adv"])

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        self.seen.append(self.signals["d_adv"])


def watched(**options: Any) -> tuple[Balancer, list[Reading | None]]:
    balance = Balancer([Watcher], supplies={"d_adv"}, obeys={"lambda_adv", "d_update"}, **options)
    watcher = balance.composition.plugins[0]
    assert isinstance(watcher, Watcher)
    return balance, watcher.seen


def test_a_law_is_told_whether_a_value_is_fresh() -> None:
    balance, seen = watched()
    for value in (0.5, 0.25):
        balance.start_step(epoch=0)
        balance.after_d_step(d_adv=value)
    assert seen == [None, Reading(0.5, 0, True), Reading(0.5, 0, False), Reading(0.25, 1, True)]


def test_what_is_not_a_number_is_no_reading() -> None:
    balance, seen = watched()
    for value in (0.5, math.nan, math.inf, 0.25):
        balance.start_step(epoch=0)
        balance.after_d_step(d_adv=value)
    assert seen[1::2] == [Reading(0.5, 0, True), None, None, Reading(0.25, 3, True)]


class Undeclared(Plugin):
    """Reads what it did not declare."""

    name = "undeclared"
    reads = ("d_adv",)

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        self.signals["d_loss"]


def test_an_undeclared_read_is_an_error_even_where_the_host_supplies_it() -> None:
    balance = Balancer([Undeclared], supplies={"d_adv", "d_loss"})
    balance.start_step(epoch=0)
    with pytest.raises(PluginError, match="plugin undeclared read d_loss without declaring it"):
        balance.after_d_step(d_adv=0.1, d_loss=0.2)


WEIGHTS = {"lambda_adv": 0.5, "lambda_l1": 1.0}


def test_shares_of_the_loss_of_g_are_signals_once_g_was_updated() -> None:
    class Shares(Plugin):
        name = "shares"
        reads = ("adv_share", "g_loss")
        seen: list[Any] = []

        @hookimpl
        def after_g_step(self, ctx: StepContext) -> None:
            self.seen.append([self.signals[name] for name in self.reads])

    balance = Balancer([Shares], supplies={"adv_share", "g_loss"}, obeys={"lambda_adv"}, base=WEIGHTS)
    balance.start_step(epoch=0)
    balance.after_d_step()
    balance.before_g_backward(adv=2.0, l1=3.0)
    balance.after_g_step()
    assert Shares.seen == [[Reading(0.25, 0, True), Reading(4.0, 0, True)]]


# Off the device.


def test_scalars_are_packed_averaged_over_ranks_and_copied_once() -> None:
    vectors: list[torch.Tensor] = []

    def mean(vector: torch.Tensor) -> torch.Tensor:
        vectors.append(vector)
        return vector * 2

    scalars = {"l1": torch.tensor([0.25], requires_grad=True), "adv": torch.tensor(3.0, dtype=torch.float64)}
    transfer = Transfer(scalars, mean)
    assert transfer.values() == {"l1": 0.5, "adv": 6.0}
    assert [tuple(vector.shape) for vector in vectors] == [(2,)]
    assert not vectors[0].requires_grad


def test_a_law_sees_the_mean_over_ranks_and_a_phase_needs_one_reduction(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def other_rank_says_zero(vector: torch.Tensor) -> torch.Tensor:
        sizes.append(vector.numel())
        return vector / 2

    monkeypatch.setattr("balancer.engine.measuring.distributed_mean", lambda: other_rank_says_zero)
    balance, seen = watched()
    balance.start_step(epoch=0)
    balance.after_d_step(real_logits=torch.zeros(3, 1), fake_logits=torch.zeros(3, 1), d_loss=torch.tensor(0.5))
    reading = seen[-1]
    assert reading is not None
    assert reading.value == pytest.approx(math.log(2) / 2)
    balance.before_g_backward(adv=torch.tensor(1.0), l1=torch.tensor(0.25))
    balance.end_step()
    assert sizes == [7, 2]
    assert balance.last_row["loss/l1"] == 0.125


class Syncs(TorchDispatchMode):
    """Counts what reads one element of a tensor, such as `.item()`."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            self.count += 1
        return func(*args, **(kwargs or {}))


def test_no_term_is_read_by_itself() -> None:
    with Syncs() as probe:
        torch.ones(()).item()
    assert probe.count == 1, "this test can see an item()"
    balance, _ = watched()
    with Syncs() as syncs:
        balance.start_step(epoch=0)
        balance.after_d_step(real_logits=torch.ones(4), fake_logits=torch.zeros(4), d_loss=torch.tensor(0.5))
        balance.before_g_backward(adv=torch.tensor(1.0), l1=torch.tensor(0.25), const=torch.tensor(0.1))
        balance.end_step()
    assert syncs.count == 0
    assert balance.last_row["loss/const"] == pytest.approx(0.1)


def test_signals_from_logits_are_those_of_hard_labels() -> None:
    balance = Balancer([], supplies={"d_adv"})
    balance.start_step(epoch=0)
    real, fake = torch.tensor([2.0, -1.0, 3.0, 0.5]), torch.tensor([-2.0, 1.0])
    balance.after_d_step(real_logits=real, fake_logits=fake)
    values = balance.signals.fresh()
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    expected = 0.5 * (bce(real, torch.ones(4)) + bce(fake, torch.zeros(2)))
    assert values["d_adv"] == pytest.approx(expected.item(), rel=1e-6)
    assert (values["d_acc_real"], values["d_acc_fake"], values["d_acc"]) == (0.75, 0.5, 0.625)
    assert (values["d_logit_real"], values["d_logit_fake"]) == (1.125, -0.5)


# The moving average.

MEASURED = st.floats(-1e6, 1e6)


@given(half_life=st.integers(1, 200), start=MEASURED, target=MEASURED)
def test_after_one_half_life_half_of_a_step_is_left(half_life: int, start: float, target: float) -> None:
    average = MovingAverage(half_life)
    assert average.update(start) == start
    for _ in range(half_life):
        value = average.update(target)
    assert value == pytest.approx((start + target) / 2, rel=1e-6, abs=1e-6)


@given(half_life=st.floats(0, 1e6), measured=st.lists(MEASURED, min_size=1))
def test_an_average_stays_among_what_was_measured(half_life: float, measured: list[float]) -> None:
    average = MovingAverage(half_life)
    for value in measured:
        mean = average.update(value)
    assert min(measured) - 1e-6 <= mean <= max(measured) + 1e-6
    assert mean == average.value


def test_half_life_zero_does_not_average() -> None:
    average = MovingAverage(0)
    assert [average.update(value) for value in (1.0, 5.0, -2.0)] == [1.0, 5.0, -2.0]
