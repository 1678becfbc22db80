"""ADA (Karras et al. 2020, arXiv 2006.06676): images are augmented as often as D overfits; here by mirroring them."""

from collections.abc import Mapping
from typing import Any

import torch

from balancer import KnobSpec, Plugin, PluginConfig, RunInfo, StepContext, hookimpl


class Ada(Plugin):
    """p ← clip(p + sign(r_t − 0.6) · 4B / 500,000, 0, 1) every 4 steps; r_t = E[sign D(real)] over them."""

    name = "ada"
    reads = ("d_acc_real",)
    brings_knobs = (KnobSpec("ada_p", "probability of augmenting an item", ("set",), "on_step_start", 0.0, 1.0, 0.0),)
    writes = {"ada_p": ("set",)}

    class Config(PluginConfig):
        target: float = 0.6
        items: float = 500_000  # in which p goes from 0 to 1

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.signs: list[float] = []

    @hookimpl
    def on_run_start(self, run: RunInfo) -> None:
        self.batch = run.batch_size or 1

    @hookimpl
    def transform_d_input(self, ctx: StepContext, images: Any, condition: Any) -> Any:
        draws = torch.rand(len(images), generator=self.rank_rng).to(images.device)
        mirrored = (draws < self.knobs["ada_p"].held).view(-1, *[1] * (images.ndim - 1))
        return tuple(x if x is None else torch.where(mirrored, x.flip(-1), x) for x in (images, condition))

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        reading = self.signals["d_acc_real"]
        if reading is not None and reading.fresh:
            self.signs.append(2 * reading.value - 1)
        if len(self.signs) == 4:
            excess = sum(self.signs) / 4 - self.config.target
            step = 4 * self.batch / self.config.items * ((excess > 0) - (excess < 0))
            self.knobs["ada_p"].set(min(max(self.knobs["ada_p"].value + step, 0.0), 1.0))
            self.signs = []

    def state_dict(self) -> dict[str, Any]:
        return {"signs": list(self.signs)}

    def load_state_dict(self, state: Mapping[str, Any], version: int) -> None:
        self.signs = list(state["signs"])
