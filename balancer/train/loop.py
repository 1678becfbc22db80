"""The training loop: the run around the steps."""

from __future__ import annotations

import reprlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, ProjectConfiguration
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from balancer.contract.compose import Composition
from balancer.contract.model import GanModel
from balancer.contract.notes import Request
from balancer.engine.audit import AuditMode
from balancer.engine.balancer import Balancer
from balancer.engine.gradient_signals import how_often
from balancer.engine.ranks import distributed_mean
from balancer.errors import CheckpointError
from balancer.record import checkpoint
from balancer.record.checkpoint_form import require_moments
from balancer.record.folder import CHECKPOINTS, TRACKERS
from balancer.record.run_config import TrainSettings
from balancer.train.health import StrongStart
from balancer.train.progress import Progress
from balancer.train.random_state import random_state, set_random_state
from balancer.train.step import GanStep, Networks
from balancer.train.stopping import stop_requests
from balancer.train.trackers import Trackers

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor
    from torch.optim import Optimizer

    from balancer.contract.model import Batch


class Trainer:
    """Trains one model with one composition, in one run directory.

    Networks are wrapped once, with everything trainable, so that a head frozen later does not stall
    a distributed run. Parameters of G that the model does not train have `requires_grad` off from the start.

    Attributes:
        average: moving average of G's weights, with which samples are drawn, or None.
    """

    def __init__(
        self,
        model: GanModel,
        composition: Composition,
        train: TrainSettings,
        accelerator: Accelerator,
        folder: Path | None,
        audit: AuditMode = "warn",
    ) -> None:
        self.model: Final = model
        self.train: Final = train
        self.accelerator: Final = accelerator
        self.folder: Final = folder
        self.trackers: Final = Trackers(accelerator)
        self.G: Final = model.generator.to(accelerator.device)
        self.D: Final = model.discriminator.to(accelerator.device)
        betas = (train.beta1, train.beta2)
        self.optimizers: Final[dict[str, Optimizer]] = {
            "g": torch.optim.Adam(self.G.parameters(), lr=train.lr, betas=betas, fused=True),
            "d": torch.optim.Adam(self.D.parameters(), lr=train.lr_d or train.lr, betas=betas, fused=True),
        }
        self.batch_size: Final = min(train.batch_size, model.train_size)
        self.steps_per_epoch: Final = max(1, model.train_size // self.batch_size)
        self.balance: Final = Balancer(
            composition,
            optimizers=self.optimizers,
            log_dir=folder,
            log_every=train.log_every,
            seed=train.seed,
            steps_per_epoch=self.steps_per_epoch,
            batch_size=self.batch_size,
            steps=train.length(self.steps_per_epoch),
            last_layer=model.last_layer(),
            gradients_every=how_often(train.gradients_every, composition),
            audit=audit,
        )
        # The epoch whose data order is at hand, and that order.
        self._order: tuple[int, NDArray[np.int64]] | None = None
        with warnings.catch_warnings():
            # Newer releases of torch have another name for it, which older ones and accelerate do not know.
            warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
            wrapped_G, wrapped_D = accelerator.prepare(self.G, self.D)
        self._step: Final = GanStep(
            model,
            self.balance,
            Networks(self.G, self.D, wrapped_G, wrapped_D),
            self.optimizers,
            accelerator,
            micro_batches=train.micro_batches,
            g_updates=train.g_updates,
        )
        self.average: AveragedModel | None = None
        if train.ema_half_life is not None:
            # As in Karras et al. 2018 (PGGAN) and the later StyleGANs: a decay of 0.5^(batch / half-life) a step.
            decay = 0.5 ** (self.batch_size / train.ema_half_life)
            averaging = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
            self.average = AveragedModel(self.G, multi_avg_fn=averaging)

    def step(self, batch: Batch) -> None:
        """One step of training on this rank's part of a batch."""
        self.apply_schedule()
        self._step(batch, self.epoch)
        self.average_buffers()
        if self.average is not None:
            self.average.update_parameters(self.G)
        self.balance.end_step()

    def average_buffers(self) -> None:
        """Keep running statistics (batch norm) equal on all ranks."""
        mean = distributed_mean()
        if mean is not None:
            for network in (self.G, self.D):
                for buffer in network.buffers():
                    if buffer.is_floating_point():
                        buffer.copy_(mean(buffer))

    # The run around the step. The position in the data order follows from the step alone.

    @property
    def epoch(self) -> int:
        """The epoch that the present step belongs to."""
        return self.balance.step // self.steps_per_epoch

    def next_batch(self) -> dict[str, Tensor]:
        """This rank's part of the present step's batch, on the device; the order is seeded per epoch."""
        if self._order is None or self._order[0] != self.epoch:
            shuffle = np.random.Generator(np.random.PCG64([self.train.seed, self.epoch]))
            self._order = self.epoch, shuffle.permutation(self.model.train_size)
        order = self._order[1]
        first = self.balance.step % self.steps_per_epoch * self.batch_size
        mine = order[first : first + self.batch_size][self.accelerator.process_index :: self.accelerator.num_processes]
        batch = self.model.batch(mine.tolist())
        return {name: value.to(self.accelerator.device, non_blocking=True) for name, value in batch.items()}

    def apply_schedule(self) -> None:
        """Set the learning rates of this epoch."""
        for role, optimizer in self.optimizers.items():
            rate = self.train.scheduled_rate("d" if role == "d" else "g", self.epoch)
            for group in optimizer.param_groups:
                group["lr"] = rate

    def run(self, steps: int, progress: Progress) -> bool:
        """Train until `steps` are done; False if a signal ended it earlier. Either way a checkpoint is there.

        Raises:
            TrainingError: a loss is not finite. The checkpoints are left as they are.
            CheckpointError: a checkpoint cannot be written.
        """
        balance, train = self.balance, self.train
        balance.planned = steps
        start = StrongStart(balance.step > 0, balance.loss)
        self.G.train()
        self.D.train()
        with balance, stop_requests() as stop, progress:
            balance.start_run()
            while balance.step < steps:
                self.step(self.next_batch())
                done = balance.step
                if self.trackers and (done - 1) % train.log_every == 0:
                    self.trackers.log(done - 1, balance.last_row)
                progress.update(done, balance.row)
                if (warning := start.update(balance.row)) is not None:
                    progress.say(f"warning: {warning}")
                epoch_done = done % self.steps_per_epoch == 0
                if epoch_done:
                    balance.end_epoch()
                drawn = (epoch_done and done // self.steps_per_epoch % train.sheet_every == 0) or done == steps
                if drawn:
                    self.draw_sheet(done)
                asked = self._requested()
                if "sheet" in asked and not drawn:
                    self.draw_sheet(done)
                if done < steps and (end := asked.get("end")) is not None:
                    progress.say(f"plugin {end.plugin} ends the run after step {done}: {end.reason}")
                ending = self._any_rank(stop.requested) or "end" in asked
                if done % train.checkpoint_every == 0 or done == steps or ending or "checkpoint" in asked:
                    self.save()
                if ending and done < steps:
                    return False
        return True

    def draw_sheet(self, done: int) -> None:
        """Put a sheet of held-out samples into the run directory and into TensorBoard."""
        if self.balance.recorder is None:
            return
        sampler: torch.nn.Module = self.G if self.average is None else self.average.module
        sampler.eval()
        self.D.eval()
        with torch.no_grad(), self.accelerator.autocast():
            sheet = self.model.sheet(sampler)
        self.G.train()
        self.D.train()
        if sheet is not None:
            self.balance.recorder.sheet(done, sheet)

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs, on every rank; rank 0 has each rank's random state."""
        return {
            "generator": self.G.state_dict(),
            "discriminator": self.D.state_dict(),
            "optimizers": {role: optimizer.state_dict() for role, optimizer in self.optimizers.items()},
            "random": self._gather({**random_state(), "plugins": self.balance.rank_state()}),
            "average": None if self.average is None else self.average.state_dict(),
            "data": self.model.data_record(),
            "balance": self.balance.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any], *, other_data: bool = False) -> None:
        """Continue from what `state_dict` returned; on other data only where that is meant.

        Raises:
            CheckpointError: it belongs to other networks or other data.
        """
        now, then = self.model.data_record(), state["data"]
        short = reprlib.repr
        changed = [f"{k}: {short(now[k])}, the run had {short(then.get(k))}" for k in now if now[k] != then.get(k)]
        if changed and not other_data:
            raise CheckpointError(
                f"the data has changed ({'; '.join(changed)}): bring it back, or go on with --allow-change data"
            )
        try:
            self.G.load_state_dict(state["generator"])
            self.D.load_state_dict(state["discriminator"])
            for role, optimizer in self.optimizers.items():
                optimizer.load_state_dict(state["optimizers"][role])
                require_moments(role, optimizer)
            if self.average is not None:
                # A run without an average so far begins one here.
                self.average.module.load_state_dict(state["generator"])
                if state["average"] is not None:
                    self.average.load_state_dict(state["average"])
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(f"the checkpoint does not fit the model of this run: {error}") from None
        ranks, mine = state["random"], self.accelerator.process_index
        set_random_state(ranks[mine % len(ranks)])
        self.balance.load_state_dict(state["balance"])
        # A rank that was not there before has random numbers of its own.
        self.balance.load_rank_state(ranks[mine].get("plugins", {}) if mine < len(ranks) else None)

    def save(self) -> None:
        """Write a checkpoint, after the logs that belong to it."""
        state = self.state_dict()
        if self.accelerator.is_main_process and self.folder is not None:
            checkpoint.save(self.folder / CHECKPOINTS, self.balance.step, state, keep=self.train.keep)
        self.accelerator.wait_for_everyone()

    def _gather(self, value: Any) -> list[Any]:
        if self.accelerator.num_processes == 1:
            return [value]
        gathered: list[Any] = [None] * self.accelerator.num_processes
        torch.distributed.all_gather_object(gathered, value)
        return gathered

    def _requested(self) -> dict[str, Request]:
        """What plugins request after this step, on any rank, by kind; ranks ask only where a plugin may request."""
        requests: list[Request] = list(self.balance.requests)
        if self.accelerator.num_processes > 1 and any(p.requests for p in self.balance.composition.plugins):
            requests = [request for rank in self._gather(requests) for request in rank]
        return {request.kind: request for request in reversed(requests)}

    def _any_rank(self, flag: bool) -> bool:
        """Whether the flag is up on any rank; ranks ask each other only every `log_every` steps."""
        if self.accelerator.num_processes == 1:
            return flag
        if self.balance.step % self.train.log_every:
            return False
        votes = torch.tensor([int(flag)], device=self.accelerator.device)
        torch.distributed.all_reduce(votes)
        return bool(votes.item())


def make_accelerator(train: TrainSettings, composition: Composition, folder: Path | None = None) -> Accelerator:
    """Device, precision and process group of a run, from its settings and torchrun's environment.

    Its trackers, where it has a run directory, are yet to begin.
    """
    # A frozen head gets no gradients, and a reducer that waits for them would stall. D runs twice before
    # its backward pass, so its buffers must not be overwritten in between.
    freezes = bool(composition.writers("d_frozen"))
    distributed = DistributedDataParallelKwargs(find_unused_parameters=freezes, broadcast_buffers=False)
    return Accelerator(
        cpu=train.device == "cpu",
        mixed_precision="bf16" if train.precision == "bf16" else "no",
        kwargs_handlers=[distributed],
        log_with=None if folder is None else train.trackers,
        project_config=ProjectConfiguration(logging_dir=None if folder is None else str(folder / TRACKERS)),
    )
