"""The training loop: the run around the steps."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from accelerate import Accelerator

from balancer.contract.compose import Composition
from balancer.contract.model import GanModel
from balancer.contract.notes import Request
from balancer.engine.audit import AuditMode
from balancer.engine.balancer import Balancer
from balancer.engine.gradient_signals import how_often
from balancer.engine.ranks import distributed_mean
from balancer.errors import NotFiniteError
from balancer.record.train_settings import TrainSettings
from balancer.train.average import MovingAverage
from balancer.train.divergence import Divergence
from balancer.train.finite import require_finite_weights
from balancer.train.health import StrongStart
from balancer.train.held_out import look_at_held_out, probes_every
from balancer.train.place import Place
from balancer.train.progress import Progress
from balancer.train.rollback import order_change, rate_change, roll_back
from balancer.train.same_everywhere import require_same_knobs
from balancer.train.saved_state import restore_state, saved_state
from balancer.train.step import GanStep, Networks
from balancer.train.stopping import StopRequests, stop_requests
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
        self.settings: str | None = None  # what the run was made with, for its checkpoints
        self.trackers: Final = Trackers(accelerator)
        # How often this run has gone back to a checkpoint because of a value that was not finite.
        self.rollbacks = 0
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
        self._probe_every: Final = probes_every(train.probe_every, composition)
        if self.balance.recorder is not None:
            self.balance.recorder.thin = train.thin
        # What the data order at hand was drawn from, and that order.
        self._order: tuple[list[int], NDArray[np.int64]] | None = None
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
        self._place: Final = Place(folder) if folder is not None and accelerator.is_main_process else None
        self.divergence: Final = Divergence(self.balance.loss)
        half_life = train.ema_half_life
        self.average: Final = MovingAverage(self.G, self.batch_size, half_life) if half_life else None

    def step(self, batch: Batch) -> None:
        """One step of training on this rank's part of a batch."""
        self.apply_schedule()
        self._step(batch, self.epoch)
        self.average_buffers()
        if self.average is not None:
            self.average.update_parameters(self.G)
        if self._probe_every and (self.balance.step + 1) % self._probe_every == 0:
            self.balance.signals.put(self.probed(), "val")
        self.balance.end_step()

    def probed(self) -> dict[str, float]:
        """`probe` of the first rank, on all ranks, whose plugins may decide by it."""
        if self.accelerator.num_processes == 1:
            return self.probe()
        found = [self.probe() if self.accelerator.is_main_process else {}]
        torch.distributed.broadcast_object_list(found)
        return found[0]

    def probe(self) -> dict[str, float]:
        """What is measured on held-out items, by name, with the weights as they are."""
        sampler: torch.nn.Module = self.G if self.average is None else self.average.module
        with self.accelerator.autocast():
            return look_at_held_out(self.model, self.balance, sampler, self.G, self.D, self.accelerator.device)

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
        drawn_from = [self.train.seed, self.epoch, *order_change(self)]
        if self._order is None or self._order[0] != drawn_from:
            shuffle = np.random.Generator(np.random.PCG64(drawn_from))
            self._order = drawn_from, shuffle.permutation(self.model.train_size)
        order = self._order[1]
        first = self.balance.step % self.steps_per_epoch * self.batch_size
        mine = order[first : first + self.batch_size][self.accelerator.process_index :: self.accelerator.num_processes]
        batch = self.model.batch(mine.tolist())
        return {name: value.to(self.accelerator.device, non_blocking=True) for name, value in batch.items()}

    def apply_schedule(self) -> None:
        """Set the learning rates of this epoch."""
        for role, optimizer in self.optimizers.items():
            rate = rate_change(self) * self.train.scheduled_rate("d" if role == "d" else "g", self.epoch)
            for group in optimizer.param_groups:
                group["lr"] = rate

    def run(self, steps: int, progress: Progress, stop: StopRequests | None = None) -> bool:
        """Train until `steps` are done; False if a signal ended it earlier. Either way a checkpoint is there.

        Args:
            stop: who catches signals; if nobody does, they are caught here meanwhile.

        Raises:
            RanksDiffer: ranks hold different knobs, which they compare every `log_every` steps.
            NotFiniteError: a loss, a gradient or a weight is not finite. The checkpoints are left as they are.
            CheckpointError: a checkpoint cannot be written, or the run directory is gone.
        """
        self.balance.planned = steps
        self.G.train()
        self.D.train()
        with contextlib.ExitStack() as around:
            around.enter_context(self.balance)
            if stop is None:
                stop = around.enter_context(stop_requests())
            around.enter_context(progress)
            stop.begin()
            start = StrongStart(self.balance.step > 0, self.balance.loss)
            self.balance.start_run()
            while self.balance.step < steps:
                try:
                    self.step(self.next_batch())
                    ended = self._after_step(steps, progress, start, stop)
                except NotFiniteError as error:
                    progress.say(f"warning: {roll_back(self, error)}")
                    continue
                if ended:
                    return False
        return True

    def _after_step(self, steps: int, progress: Progress, start: StrongStart, stop: StopRequests) -> bool:
        """Say, draw and save what is due after a step; whether the run ends here, short of its length."""
        balance, train = self.balance, self.train
        done = balance.step
        if self._place is not None and done % train.log_every == 0:
            self._place.require()
        if self.trackers and (done - 1) % train.log_every == 0:
            self.trackers.log(done - 1, balance.last_row)
        found = self.divergence.update(done, balance.row), start.update(balance.row)
        progress.update(done, balance.row, self.divergence.standing[0])
        for warning in filter(None, found):
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
        asked_by = self._any_rank(stop.number)
        stop.number = asked_by or stop.number  # so that every rank ends with the same status
        ending = asked_by > 0 or "end" in asked
        if done % train.checkpoint_every == 0 or done == steps or ending or "checkpoint" in asked:
            self.save()
        return ending and done < steps

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
        return saved_state(self)

    def load_state_dict(self, state: Mapping[str, Any], *, other_data: bool = False) -> None:
        """Continue from what `state_dict` returned; on other data only where that is meant.

        Raises:
            CheckpointError: it belongs to other networks or other data.
        """
        restore_state(self, state, other_data=other_data)

    def save(self) -> None:
        """Write a checkpoint, after the logs that belong to it."""
        done = self.balance.step
        require_finite_weights({"G": self.G, "D": self.D}, done)
        state = self.state_dict()
        if self._place is not None:
            self._place.save(done, state, keep=self.train.keep)
        self.accelerator.wait_for_everyone()

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value, on every rank."""
        if self.accelerator.num_processes == 1:
            return [value]
        gathered: list[Any] = [None] * self.accelerator.num_processes
        torch.distributed.all_gather_object(gathered, value)
        return gathered

    def _requested(self) -> dict[str, Request]:
        """What plugins request after this step, on any rank, by kind; ranks ask only where a plugin may request."""
        requests: list[Request] = list(self.balance.requests)
        if self.accelerator.num_processes > 1 and any(p.requests for p in self.balance.composition.plugins):
            requests = [request for rank in self.gather(requests) for request in rank]
        return {request.kind: request for request in reversed(requests)}

    def _any_rank(self, number: int) -> int:
        """The largest of all ranks' numbers; ranks ask each other only every `log_every` steps, 0 meanwhile."""
        if self.accelerator.num_processes == 1:
            return number
        if self.balance.step % self.train.log_every:
            return 0
        require_same_knobs(self.balance)
        votes = torch.tensor([number], device=self.accelerator.device)
        torch.distributed.all_reduce(votes, op=torch.distributed.ReduceOp.MAX)
        return int(votes.item())
