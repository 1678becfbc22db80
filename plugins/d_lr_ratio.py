"""d_lr_ratio: D learns at a fixed fraction of G's learning rate."""

from collections.abc import Iterable

from pydantic import Field

from balancer import CompositionView, Plugin, PluginConfig, RunInfo, hookimpl


class DLrRatio(Plugin):
    """lr_D = ratio · lr_G, whatever D's own base is, applied after the schedulers."""

    name = "d_lr_ratio"
    writes = {"lr_d": ("ratio",)}

    class Config(PluginConfig):
        """Settings of d_lr_ratio."""

        ratio: float = Field(0.25, gt=0, le=100, description="lr_D / lr_G (source document, remedy 7)")

    @hookimpl
    def on_run_start(self, run: RunInfo) -> None:
        self.knobs["lr_d"].ratio(self.config.ratio)

    def check(self, composition: CompositionView) -> Iterable[str]:
        skip = composition.configs.get("d_skip")
        if skip is not None:
            work = self.config.ratio / getattr(skip, "period", 1)
            if work < 0.1:
                yield f"together with d_skip D gets {work:.3g} of its usual training, below 0.1: it may stop judging"
