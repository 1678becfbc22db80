"""d_skip: D is updated every k-th step only, or not while it is too accurate."""

from pydantic import Field

from balancer import Plugin, PluginConfig, RunInfo, StepContext, hookimpl


class DSkip(Plugin):
    """A period on D's updates and, where asked for, a gate that closes above an accuracy."""

    name = "d_skip"
    writes = {"d_update": ("period", "gate")}

    class Config(PluginConfig):
        """Settings of d_skip."""

        every: int | None = Field(
            None,
            ge=1,
            description="update D every k-th step; if not given 2 (source document, remedy 8), 1 with accuracy_above",
        )
        accuracy_above: float | None = Field(
            None,
            ge=0,
            le=1,
            description="also skip D while its accuracy in the step before was above this (3D-GAN: 0.8)",
        )

        @property
        def period(self) -> int:
            """Steps between two updates that the period alone allows."""
            if self.every is not None:
                return self.every
            return 2 if self.accuracy_above is None else 1

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.accuracy_above is not None:
            self.reads = ("d_acc",)

    @hookimpl
    def on_run_start(self, run: RunInfo) -> None:
        self.knobs["d_update"].period(self.config.period)
        if self.config.accuracy_above is None:
            self.knobs["d_update"].withdraw("gate")

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        # D's knobs take effect before D's forward pass, so the gate is for the next step. A skipped
        # step measures accuracy too, without gradients, or the gate would never open again.
        if self.config.accuracy_above is None:
            return
        reading = self.signals["d_acc"]
        # A host that measures nothing on skipped steps gets its gate opened again: nobody knows better.
        is_open = reading is None or not reading.fresh or reading.value <= self.config.accuracy_above
        self.knobs["d_update"].gate(is_open)
