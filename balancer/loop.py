"""The training loop, and nothing else: one step on one screen, then the run around it."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from balancer import checkpoint
from balancer.compose import Composition
from balancer.config import TrainSettings
from balancer.engine import Balancer
from balancer.errors import CheckpointError
from balancer.health import StrongStart
from balancer.model import GanModel, GOutput
from balancer.progress import Progress
from balancer.random_state import random_state, set_random_state
from balancer.ranks import distributed_mean
from balancer.stopping import stop_requests

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from balancer.model import Batch


class Trainer:
    """Trains one model with one composition, in one run directory.

    Networks are wrapped once, with everything trainable, so that a head frozen later does not stall
    a distributed run; G's pass and probes use D unwrapped, since D's gradients are not wanted there.
    """

    def __init__(
        self,
        model: GanModel,
        composition: Composition,
        train: TrainSettings,
        accelerator: Accelerator,
        folder: Path | None,
    ) -> None:
        self.model: Final = model
        self.train: Final = train
        self.accelerator: Final = accelerator
        self.folder: Final = folder
        self.G: Final = model.generator.to(accelerator.device)
        self.D: Final = model.discriminator.to(accelerator.device)
        betas = (train.beta1, train.beta2)
        self.base_lr: Final = {"g": train.lr, "d": train.lr if train.lr_d is None else train.lr_d}
        self.optimizers: Final = {
            "g": torch.optim.Adam(self.G.parameters(), lr=self.base_lr["g"], betas=betas, fused=True),
            "d": torch.optim.Adam(self.D.parameters(), lr=self.base_lr["d"], betas=betas, fused=True),
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
        )
        # The epoch whose data order is at hand, and that order.
        self._order: tuple[int, NDArray[np.int64]] | None = None
        with warnings.catch_warnings():
            # Newer releases of torch have another name for it, which older ones and accelerate do not know.
            warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
            self.wrapped_G, self.wrapped_D = accelerator.prepare(self.G, self.D)

    def step(self, batch: Batch) -> None:
        """One step: D once (or a look without an update), then G."""
        balance, model = self.balance, self.model
        opt_d, opt_g = self.optimizers["d"], self.optimizers["g"]
        self.apply_schedule()
        balance.start_step(epoch=self.epoch)
        real, condition = model.real(batch), model.condition(batch)
        with self.accelerator.autocast():
            fake = model.generate(self.wrapped_G, batch)

        if balance.d_update:
            self.set_trainable_d(True)
            opt_d.zero_grad(set_to_none=True)
            d_loss = self.d_loss(self.wrapped_D, batch, real, fake.images.detach(), condition)
            balance.before_d_backward()
            d_loss.backward()  # type: ignore[no-untyped-call]
            balance.require_finite()
            opt_d.step()
        else:
            with undisturbed(self.D):  # for the signals alone
                self.d_loss(self.D, batch, real, fake.images.detach(), condition)
                balance.require_finite()
        balance.after_d_step()

        self.set_trainable_d(False)
        for update in range(self.train.g_updates):
            if update > 0:
                with self.accelerator.autocast():
                    fake = model.generate(self.wrapped_G, batch)
            opt_g.zero_grad(set_to_none=True)
            terms = self.g_terms(batch, fake, condition)
            balance.before_g_backward(**terms)
            # The weights, lambda_adv among them, are read here.
            g_loss = torch.stack([balance.weight(term) * value for term, value in terms.items()]).sum()
            g_loss.backward()  # type: ignore[no-untyped-call]
            balance.require_finite()
            opt_g.step()
            balance.after_g_step()
        self.average_buffers()
        balance.end_step()

    def d_loss(self, D: nn.Module, batch: Batch, real: Tensor, fake: Tensor, condition: Tensor | None) -> Tensor:
        """D's loss, its signals on their way to the host: half of each side, the model's terms, the plugins'."""
        balance, model = self.balance, self.model
        with self.accelerator.autocast():
            outputs = [model.discriminate(D, *balance.transform_d_input(images, condition)) for images in (real, fake)]
            real_out, fake_out = outputs
            terms = {
                "loss_real": balance.loss.d_real(real_out.logits, balance.real_label),
                "loss_fake": balance.loss.d_fake(fake_out.logits, balance.fake_label),
                **model.d_terms(real_out, fake_out, batch),
            }
            if balance.d_update:
                terms |= balance.d_loss_terms(
                    real=real,
                    fake=fake,
                    condition=condition,
                    real_logits=real_out.logits,
                    fake_logits=fake_out.logits,
                    discriminate=lambda images, condition: model.discriminate(self.D, images, condition).logits,
                )
        weights = {"loss_real": 0.5, "loss_fake": 0.5, **dict.fromkeys(balance.frozen_d_terms(), 0.0)}
        counted = [weights.get(term, 1.0) * value for term, value in terms.items() if weights.get(term) != 0.0]
        loss = torch.stack(counted).sum()
        named = {f"d_{term}": value for term, value in terms.items()}
        balance.measure_d(real_logits=real_out.logits, fake_logits=fake_out.logits, d_loss=loss, **named)
        return loss

    def g_terms(self, batch: Batch, fake: GOutput, condition: Tensor | None) -> dict[str, Tensor]:
        """G's unweighted terms on its images as the updated D sees them."""
        balance, model = self.balance, self.model
        with self.accelerator.autocast():
            judged = model.discriminate(self.D, *balance.transform_d_input(fake.images, condition))
            return {
                "adv": balance.loss.generator(judged.logits),
                **model.g_terms(fake, judged, batch),
                **balance.g_loss_terms(fake=fake.images, condition=condition, fake_logits=judged.logits),
            }

    def set_trainable_d(self, trainable: bool) -> None:
        """Switch D's gradients; heads that plugins froze stay off, without gradients for Adam to go on with."""
        for parameter in self.D.parameters():
            parameter.requires_grad_(trainable)
        for head in self.balance.d_frozen:
            for parameter in self.model.head_parameters(head):
                parameter.requires_grad_(False)
                parameter.grad = None

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
        """Learning rates of this epoch: base · decay^epoch, not below the floor (or the base, where that is lower)."""
        for role, optimizer in self.optimizers.items():
            base = self.base_lr[role]
            rate = max(base * self.train.lr_decay**self.epoch, min(base, self.train.lr_floor))
            for group in optimizer.param_groups:
                group["lr"] = rate

    def run(self, steps: int, progress: Progress) -> bool:
        """Train until `steps` are done; False if a signal ended it earlier. Either way a checkpoint is there.

        Raises:
            TrainingError: a loss is not finite. The checkpoints are left as they are.
            CheckpointError: a checkpoint cannot be written.
        """
        balance, train = self.balance, self.train
        start = StrongStart(balance.step > 0, balance.loss.name)
        self.G.train()
        self.D.train()
        with balance, stop_requests() as stop, progress:
            balance.start_run()
            while balance.step < steps:
                self.step(self.next_batch())
                done = balance.step
                progress.update(done, balance.last_row)
                if (warning := start.update(balance.last_row)) is not None:
                    progress.say(f"warning: {warning}")
                epoch_done = done % self.steps_per_epoch == 0
                if epoch_done:
                    balance.end_epoch()
                if (epoch_done and done // self.steps_per_epoch % train.sheet_every == 0) or done == steps:
                    self.draw_sheet(done)
                ending = self._any_rank(stop.requested)
                if done % train.checkpoint_every == 0 or done == steps or ending:
                    self.save()
                if ending and done < steps:
                    return False
        return True

    def draw_sheet(self, done: int) -> None:
        """Put a sheet of held-out samples into the run directory and into TensorBoard."""
        if self.balance.telemetry is None:
            return
        self.G.eval()
        self.D.eval()
        with torch.no_grad(), self.accelerator.autocast():
            sheet = self.model.sheet()
        self.G.train()
        self.D.train()
        if sheet is not None:
            self.balance.telemetry.sheet(done, sheet)

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs, on every rank; rank 0 has each rank's random state."""
        return {
            "generator": self.G.state_dict(),
            "discriminator": self.D.state_dict(),
            "optimizers": {role: optimizer.state_dict() for role, optimizer in self.optimizers.items()},
            "random": self._gather(random_state()),
            "train_size": self.model.train_size,
            "balance": self.balance.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned.

        Raises:
            CheckpointError: it belongs to other networks or other data.
        """
        if state["train_size"] != self.model.train_size:
            raise CheckpointError(
                f"the data has changed: {self.model.train_size} training items, the run had {state['train_size']}; "
                "bring the data back, or start a new run"
            )
        try:
            self.G.load_state_dict(state["generator"])
            self.D.load_state_dict(state["discriminator"])
            for role, optimizer in self.optimizers.items():
                optimizer.load_state_dict(state["optimizers"][role])
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(f"the checkpoint does not fit the model of this run: {error}") from None
        ranks = state["random"]
        set_random_state(ranks[self.accelerator.process_index % len(ranks)])
        self.balance.load_state_dict(state["balance"])

    def save(self) -> None:
        """Write a checkpoint, after the logs that belong to it."""
        state = self.state_dict()
        if self.accelerator.is_main_process and self.folder is not None:
            checkpoint.save(self.folder / checkpoint.FOLDER, self.balance.step, state, keep=self.train.keep)
        self.accelerator.wait_for_everyone()

    def _gather(self, value: Any) -> list[Any]:
        if self.accelerator.num_processes == 1:
            return [value]
        gathered: list[Any] = [None] * self.accelerator.num_processes
        torch.distributed.all_gather_object(gathered, value)
        return gathered

    def _any_rank(self, flag: bool) -> bool:
        """Whether the flag is up on any rank; ranks ask each other only every `log_every` steps."""
        if self.accelerator.num_processes == 1:
            return flag
        if self.balance.step % self.train.log_every:
            return False
        votes = torch.tensor([int(flag)], device=self.accelerator.device)
        torch.distributed.all_reduce(votes)
        return bool(votes.item())


def make_accelerator(train: TrainSettings, composition: Composition) -> Accelerator:
    """Device, precision and process group of a run, from its settings and torchrun's environment."""
    # A frozen head gets no gradients, and a reducer that waits for them would stall. D runs twice before
    # its backward pass, so its buffers must not be overwritten in between.
    freezes = bool(composition.writers("d_frozen"))
    distributed = DistributedDataParallelKwargs(find_unused_parameters=freezes, broadcast_buffers=False)
    return Accelerator(
        cpu=train.device == "cpu",
        mixed_precision="bf16" if train.precision == "bf16" else "no",
        kwargs_handlers=[distributed],
    )


@contextlib.contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """Let a module compute without gradients, and leave its buffers and the random state as they were."""
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        yield
    for name, buffer in module.named_buffers():
        buffer.copy_(buffers[name])
