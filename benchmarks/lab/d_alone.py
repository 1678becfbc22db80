"""d_alone: D learns and G does not, until D has won; it makes the source document's situation in minutes."""

from __future__ import annotations

from pydantic import Field

from balancer import MovingAverage, Plugin, PluginConfig, StepContext, hookimpl


class DAlone(Plugin):
    """Holds G's learning rate at 0, and ends the run once an average of d_adv is below a bound."""

    name = "d_alone"
    reads = ("d_adv",)
    writes = {"lr_g": ("mul",)}
    requests = ("end",)

    class Config(PluginConfig):
        """Settings of d_alone."""

        below: float = Field(0.01, gt=0, description="d_adv at which D has won (source document: 0.0003 to 0.01)")
        half_life: float = Field(20.0, ge=0, description="half-life of the average, in steps (our choice)")

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.average = MovingAverage(config.half_life)

    @hookimpl
    def on_step_start(self, ctx: StepContext) -> None:
        self.knobs["lr_g"].mul(0.0)

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        reading = self.signals["d_adv"]
        if reading is not None and reading.fresh and self.average.update(reading.value) < self.config.below:
            self.request("end", f"d_adv is {self.average.value:.4f} on average, below {self.config.below}")

    def state_dict(self) -> dict[str, float | None]:
        return {"average": self.average.value}

    def load_state_dict(self, state: dict[str, float | None], version: int) -> None:
        self.average.value = state["average"]
