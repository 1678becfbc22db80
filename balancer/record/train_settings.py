"""`train.*`: the settings of the training loop."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field, field_validator

from balancer.contract.settings import Settings

# What the records and torch can hold: steps are exact in a float, sizes and counts fit 32 bits.
_MOST_STEPS: Final = 2**53 - 1
_MOST: Final = 2**31 - 1
_MOST_THREADS: Final = 1024


class TrainSettings(Settings):
    """`train.*`: what the loop itself needs."""

    batch_size: int = Field(16, ge=1, le=_MOST, description="items per optimizer step, over all ranks together")
    lambda_adv: float = Field(1.0, ge=0, le=1e6, description="weight of G's adversarial term where no plugin sets it")
    lr: float = Field(2e-4, gt=0, le=1, description="Adam's learning rate, of G and of D")
    lr_d: float | None = Field(None, gt=0, le=1, description="D's own learning rate, where it differs from train.lr")
    lr_decay: float = Field(1.0, gt=0, le=1, description="factor on the learning rates at each new epoch")
    lr_floor: float = Field(0.0, ge=0, le=1, description="the decay stops here")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's first beta")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's second beta")
    g_updates: int = Field(1, ge=1, le=16, description="updates of G in each step (zi2zi and its ports: 2)")
    micro_batches: int = Field(
        1,
        ge=1,
        le=_MOST,
        description="parts in which a batch is computed, so that a larger one fits (gradient accumulation)",
    )
    ema_half_life: float | None = Field(
        None,
        ge=0,
        description="half-life, in training items, of the average of G's weights that samples are drawn with, at most "
        "5 % of the items so far (StyleGAN2-ADA); 0: no average; if not given, the model's own, or none",
    )
    steps: int | None = Field(None, ge=1, le=_MOST_STEPS, description="length of the run in steps")
    epochs: int | None = Field(
        None, ge=1, le=_MOST_STEPS, description="length of the run in epochs, where steps is not given"
    )
    seed: int = Field(0, ge=0, lt=2**31, description="seed of weights, data order, dropout and plugins")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where to train")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16 runs forward passes under autocast")
    threads: int | None = Field(
        None, ge=1, le=_MOST_THREADS, description="CPU threads; runs are bit-equal only with the same number"
    )
    timeout: int = Field(
        1800,
        ge=1,
        le=10**6,
        description="seconds that ranks wait for each other, before the run ends because one is lost",
    )
    log_every: int = Field(10, ge=1, le=_MOST_STEPS, description="steps between two points in TensorBoard, at first")
    probe_every: int | None = Field(
        None,
        ge=0,
        le=_MOST_STEPS,
        description="steps between two looks at held-out items (val/… in TensorBoard), which change nothing, 0 for "
        "none; if not given, 50 where a plugin reads them",
    )
    thin: bool = Field(
        True, description="let sheets and TensorBoard's points lie further apart in a long run; false keeps them all"
    )
    trackers: list[str] | None = Field(
        None, description="trackers of accelerate that get every logged row too, such as wandb,mlflow"
    )
    gradients_every: int | None = Field(
        None,
        ge=0,
        le=_MOST_STEPS,
        description="steps between two measurements of gradients (g_grad_adv, d_grad_norm, …), 0 for never; "
        "if not given, 16 where a plugin reads them",
    )
    sheet_every: int = Field(1, ge=1, le=_MOST_STEPS, description="epochs between two sample sheets")
    on_nan: Literal["stop", "rollback"] = Field(
        "stop", description="on a loss, gradient or weight that is not finite: stop, or go back to the last checkpoint"
    )
    rollbacks: int = Field(3, ge=1, le=_MOST, description="how often a run may go back")
    rollback_change: Literal["order", "rate"] = Field(
        "order", description="what is changed each time: the order of the data, or the learning rates, halved"
    )
    checkpoint_every: int = Field(500, ge=1, le=_MOST_STEPS, description="steps between two checkpoints")
    keep: int = Field(3, ge=1, le=_MOST, description="checkpoints to keep")

    @field_validator("trackers", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
        return None if names in ([], [""]) else names

    def length(self, steps_per_epoch: int) -> int | None:
        """The run's length in steps, where it is known; a count of steps goes before one of epochs."""
        if self.steps is None and self.epochs is not None:
            return self.epochs * steps_per_epoch
        return self.steps

    def scheduled_rate(self, role: Literal["d", "g"], epoch: int) -> float:
        """The learning rate of an epoch: base · decay^epoch, not below the floor (or the base, where that is lower)."""
        base = self.lr_d if role == "d" and self.lr_d is not None else self.lr
        return max(base * self.lr_decay**epoch, min(base, self.lr_floor))
