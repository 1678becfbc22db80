"""A run directory holds what belongs to the run, and no more: sheets, columns, how many heads rest."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from balancer import Balancer, HeadSpec, Plugin, StepContext, hookimpl
from balancer.record.recorder import Recorder
from balancer.record.signals import read_signals


def test_a_cut_keeps_the_sheet_that_was_drawn_after_the_last_step_it_keeps(tmp_path: Path) -> None:
    telemetry = Recorder(tmp_path, 10)
    for done in (6, 12, 18):
        telemetry.sheet(done, Image.new("RGB", (4, 4)))
    telemetry.cut(12)
    assert sorted(path.name for path in (tmp_path / "sheets").iterdir()) == ["step_00000006.png", "step_00000012.png"]


class Growing(Plugin):
    """Rests one head more with each step."""

    name = "growing"
    writes = {"d_frozen": ("add",)}

    @hookimpl
    def on_step_start(self, ctx: StepContext) -> None:
        self.knobs["d_frozen"].add(*("a", "b", "c")[: ctx.step + 1])


def test_the_log_says_how_many_heads_rest_in_one_file_however_late_its_columns_came(tmp_path: Path) -> None:
    heads = dict.fromkeys(("a", "b", "c"), HeadSpec())
    with Balancer([Growing], obeys={"d_frozen"}, heads=heads, log_dir=tmp_path) as balance:
        for step in range(3):
            balance.start_step(epoch=0)
            balance.after_d_step(**({"d_adv": 0.5} if step else {}))
    columns = read_signals(tmp_path)
    assert columns["d_frozen"].tolist() == [1, 2, 3]
    assert columns["d_adv"][1:].tolist() == [0.5, 0.5]
    assert len(list(tmp_path.glob("signals*.bin"))) == 1
