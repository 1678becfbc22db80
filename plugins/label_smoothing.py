"""label_smoothing: D's binary loss aims at 0.9 and 0.1 instead of 1 and 0."""

from typing import Literal, Self

from pydantic import Field, model_validator

from balancer import Plugin, PluginConfig, RunInfo, hookimpl


class LabelSmoothing(Plugin):
    """Soft targets for D's binary loss; never for its category targets, never for G's target."""

    name = "label_smoothing"
    writes = {"real_label": ("set",), "fake_label": ("set",)}

    class Config(PluginConfig):
        """Settings of label_smoothing."""

        real: float = Field(0.9, gt=0.5, le=1, description="target for real images (source document, remedy 9)")
        fake: float = Field(0.1, ge=0, lt=0.5, description="target for generated images (source document, remedy 9)")
        sides: Literal["both", "real"] = Field("both", description="real smooths real images only (one-sided)")

        @model_validator(mode="after")
        def _fake_is_used(self) -> Self:
            if self.sides == "real" and self.fake != type(self).model_fields["fake"].default:
                raise ValueError('fake does nothing with sides = "real": leave one of them out')
            return self

    @hookimpl
    def on_run_start(self, run: RunInfo) -> None:
        self.knobs["real_label"].set(self.config.real)
        if self.config.sides == "both":
            self.knobs["fake_label"].set(self.config.fake)
        else:
            self.knobs["fake_label"].withdraw("set")
