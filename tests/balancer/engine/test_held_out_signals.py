"""What a look at held-out items finds is a signal, read as a step ends: in our loop, in a script, in the record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from balancer import Balancer, Plugin, StepContext, hookimpl, read_signals
from balancer.errors import CompositionError
from balancer.testing import toy_trainer


class Reads(Plugin):
    """Notes what it reads of held-out items at each step's end."""

    name = "reads"
    reads = ("val/structure_error",)

    def __init__(self, config: object) -> None:
        super().__init__(config)  # type: ignore[arg-type]
        self.seen: list[tuple[int, float, bool] | None] = []

    @hookimpl
    def on_step_end(self, ctx: StepContext) -> None:
        reading = self.signals["val/structure_error"]
        self.seen.append(None if reading is None else (reading.step, reading.value, reading.fresh))


def test_our_loop_measures_it_where_a_plugin_reads_it_and_it_is_fresh_at_the_steps_end() -> None:
    trainer = toy_trainer([Reads], probe_every=3)
    for _ in range(7):
        trainer.step(trainer.next_batch())
    (plugin,) = trainer.balance.composition.plugins
    assert isinstance(plugin, Reads)
    assert plugin.seen[:2] == [None, None]
    steps = [(seen[0], seen[2]) for seen in plugin.seen[2:] if seen is not None]
    assert steps == [(2, True), (2, False), (2, False), (5, True), (5, False)]
    assert toy_trainer([Reads])._probe_every == 50
    assert toy_trainer([])._probe_every == 0


def test_a_script_passes_its_own_measure(tmp_path: Path) -> None:
    optimizers = {role: torch.optim.SGD(torch.nn.Linear(2, 1).parameters(), lr=0.1) for role in "dg"}
    with pytest.raises(CompositionError, match=r"have to call balance.signals.held_out\(structure_error=…\)"):
        Balancer([Reads], optimizers=optimizers, supplies={"d_adv"}, obeys=set())
    balance = Balancer(
        [Reads],
        optimizers=optimizers,
        supplies={"d_adv", "val/structure_error"},
        obeys=set(),
        log_dir=tmp_path / "run",
        audit="off",
    )
    for step in range(4):
        balance.start_step(epoch=0)
        balance.after_d_step(d_adv=0.3)
        balance.before_g_backward(adv=1.0)
        if step % 2:
            balance.signals.held_out(structure_error=0.5 - 0.1 * step, ssim=0.9)
        balance.end_step()
    balance.end_run()
    (plugin,) = balance.composition.plugins
    assert isinstance(plugin, Reads)
    assert plugin.seen == [None, (1, 0.4, True), (1, 0.4, False), (3, pytest.approx(0.2), True)]
    columns = read_signals(tmp_path / "run")
    assert columns["val/structure_error"] == pytest.approx([np.nan, 0.4, np.nan, 0.2], nan_ok=True)
    assert columns["val/ssim"] == pytest.approx([np.nan, 0.9, np.nan, 0.9], nan_ok=True)
