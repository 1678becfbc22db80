"""One step of training: D once (or a look without an update), then G; in one pass or over micro-batches."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch
from accelerate import Accelerator

from balancer.contract.compose import Composition
from balancer.contract.model import DOutput, GanModel, GOutput
from balancer.contract.moments import has_hook
from balancer.engine.balancer import Balancer
from balancer.train.finite import require_finite_gradients
from balancer.train.micro_batches import concatenated, detached, means, of_batch, split
from balancer.train.plugins_named import naming_plugins
from balancer.train.undisturbed import own_buffers, random_state_kept, undisturbed

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from balancer.contract.model import Batch


# The hooks with which plugins take part in a network's pass.
OF_D: Final = ("transform_d_input", "d_loss_terms")
OF_G: Final = ("transform_d_input", "g_loss_terms")


class Networks(NamedTuple):
    """G and D plain, and as the training loop may have wrapped them for several processes."""

    G: nn.Module
    D: nn.Module
    wrapped_G: nn.Module
    wrapped_D: nn.Module


class GanStep:
    """Trains one model on one batch at a time, at the moments of a `Balancer`.

    G's pass and probes use D unwrapped, since D's gradients are not wanted there. With several micro-batches, all of
    D's come first, then D's optimizer step, then all of G's; signals are means over the whole batch.
    """

    def __init__(
        self,
        model: GanModel,
        balance: Balancer,
        networks: Networks,
        optimizers: dict[str, Optimizer],
        accelerator: Accelerator,
        *,
        micro_batches: int,
        g_updates: int,
    ) -> None:
        self.model: Final = model
        self.balance: Final = balance
        self.networks: Final = networks
        self.optimizers: Final = optimizers
        self.accelerator: Final = accelerator
        self._of_d: Final = dict(networks.D.named_parameters())
        self._of_g: Final = dict(networks.G.named_parameters())
        self.micro_batches: Final = micro_batches
        self.g_updates: Final = g_updates
        self._autocast: Final = accelerator.autocast if accelerator.native_amp else contextlib.nullcontext

    def __call__(self, batch: Batch, epoch: int) -> None:
        """One step on a batch of `epoch`, whose items the micro-batches share evenly."""
        balance = self.balance
        opt_d, opt_g = self.optimizers["d"], self.optimizers["g"]
        parts = split(batch, self.micro_batches)
        balance.start_step(epoch=epoch)
        # One pass serves D and G; of several, only the images are kept, since memory is what they are to save.
        with torch.set_grad_enabled(len(parts) == 1):
            fakes = [self.generate(part) for part in parts]

        if balance.d_update:
            self.set_trainable_d(True)
            opt_d.zero_grad(set_to_none=True)
            with naming_plugins(balance, "D", *OF_D):
                self.d_pass(self.networks.wrapped_D, parts, fakes)
            balance.require_finite()
            require_finite_gradients(balance, self._of_d, "D", *OF_D)
            opt_d.step()
        else:
            with undisturbed(self.networks.D):  # for the signals alone
                with naming_plugins(balance, "D", "transform_d_input"):
                    self.d_pass(self.networks.D, parts, fakes)
                balance.require_finite()
        balance.after_d_step()

        self.set_trainable_d(False)
        for update in range(self.g_updates):
            opt_g.zero_grad(set_to_none=True)
            with naming_plugins(balance, "G", *OF_G):
                self.g_pass(parts, fakes if update == 0 and len(parts) == 1 else None)
            balance.require_finite()
            require_finite_gradients(balance, self._of_g, "G", *OF_G)
            opt_g.step()
            balance.after_g_step()

    def generate(self, part: Batch) -> GOutput:
        """G's forward pass."""
        with self._autocast():
            return self.model.generate(self.networks.wrapped_G, part)

    def d_pass(self, D: nn.Module, parts: Sequence[Batch], fakes: Sequence[GOutput]) -> None:
        """D's loss and signals over all parts; the backward passes too, where D is updated."""
        balance = self.balance
        real_logits, fake_logits, scalars = [], [], []
        for part, fake in zip(parts, fakes, strict=True):
            real_out, fake_out, loss, terms = self.d_loss(D, part, fake)
            real_logits.append(detached(real_out.logits))
            fake_logits.append(detached(fake_out.logits))
            scalars.append({"d_loss": loss, **{f"d_{term}": value for term, value in terms.items()}})
            if len(parts) > 1:
                scalars[-1] = {name: value.detach() for name, value in scalars[-1].items()}  # not the graph
            if len(scalars) == len(parts):
                balance.measure_d(
                    real_logits=concatenated(real_logits), fake_logits=concatenated(fake_logits), **means(scalars)
                )
                if balance.d_update:
                    balance.before_d_backward()
            if balance.d_update:
                of_batch(loss, len(parts)).backward()  # type: ignore[no-untyped-call]

    def d_loss(self, D: nn.Module, part: Batch, fake: GOutput) -> tuple[DOutput, DOutput, Tensor, dict[str, Tensor]]:
        """D's outputs, its loss and the terms of it: half of each side, the model's terms, the plugins'."""
        balance, model = self.balance, self.model
        real, images, condition = model.real(part), fake.images.detach(), model.condition(part)
        fake_condition = self.fake_condition(part, fake)
        with self._autocast():
            real_out = model.discriminate(D, *balance.transform_d_input(real, condition))
            fake_out = model.discriminate(D, *balance.transform_d_input(images, fake_condition))
            halves = balance.loss.d(real_out.logits, fake_out.logits, balance.real_label, balance.fake_label)
            terms = {
                "loss_real": halves.real,
                "loss_fake": halves.fake,
                **model.d_terms(real_out, fake_out, part),
            }
            if balance.d_update:
                terms |= balance.d_loss_terms(
                    real=real,
                    fake=images,
                    condition=condition,
                    fake_condition=fake_condition,
                    real_logits=real_out.logits,
                    fake_logits=fake_out.logits,
                    **self.features(real_out, fake_out),
                    discriminate=self.look,
                )
        weights = {"loss_real": 0.5, "loss_fake": 0.5 * model.spec.fakes_per_real}
        weights |= dict.fromkeys(balance.frozen_d_terms(), 0.0)
        counted = [weights.get(term, 1.0) * value for term, value in terms.items() if weights.get(term) != 0.0]
        return real_out, fake_out, torch.stack(counted).sum(), terms

    def look(self, images: Tensor, condition: Tensor | None) -> Tensor | Sequence[Tensor]:
        """D's logits as plugins may ask for them: D is left as it was, and without gradients the random state too."""
        with contextlib.nullcontext() if torch.is_grad_enabled() else random_state_kept(), own_buffers(self.networks.D):
            return self.model.discriminate(self.networks.D, images, condition).logits

    def g_pass(self, parts: Sequence[Batch], fakes: Sequence[GOutput] | None) -> None:
        """G's loss, signals and backward passes over all parts; `fakes`, where G's forward pass is done already."""
        balance = self.balance
        several = len(parts) > 1
        if several:
            # The weights are read before the first of several backward passes.
            if balance.composition.sees("gradients"):
                balance.before_g_backward(**self.foreseen(parts, gradients=True))
            else:
                balance.before_g_backward(**(self.foreseen(parts) if acts_on_g_terms(balance.composition) else {}))
        scalars = []
        for index, part in enumerate(parts):
            fake = self.generate(part) if fakes is None else fakes[index]
            terms = self.g_terms(part, fake, plugins=True)
            if several:
                balance.measure_g_gradients(fake.images, **terms)
                scalars.append({term: value.detach() for term, value in terms.items()})
            else:
                balance.before_g_backward(fake.images, **terms)
            # The weights, lambda_adv among them, are read here.
            g_loss = torch.stack([balance.weight(term) * value for term, value in terms.items()]).sum()
            of_batch(g_loss, len(parts)).backward()  # type: ignore[no-untyped-call]
        if several:
            balance.measure_g(**means(scalars))

    def foreseen(self, parts: Sequence[Batch], *, gradients: bool = False) -> dict[str, Tensor]:
        """Means of G's terms over all parts as the passes to come will see them.

        Where a plugin sees gradients, each part's are handed over, and the terms of plugins are among them.
        """
        with undisturbed(self.networks.G), undisturbed(self.networks.D):
            if not gradients:
                return means([self.g_terms(part, self.generate(part), plugins=False) for part in parts])
            rows = []
            with torch.enable_grad():
                for part in parts:
                    # Not through the wrapper, which would wait for a backward pass.
                    with self._autocast():
                        fake = self.model.generate(self.networks.G, part)
                    terms = self.g_terms(part, fake, plugins=True)
                    self.balance.foresee_g(fake.images, **terms)
                    rows.append({term: value.detach() for term, value in terms.items()})
            return means(rows)

    def g_terms(self, part: Batch, fake: GOutput, *, plugins: bool) -> dict[str, Tensor]:
        """G's unweighted terms on its images as the updated D sees them, with or without those that plugins add.

        Where the adversarial loss compares with real images, the updated D sees those too, before, without gradients
        and in the same mode, as in ESRGAN and R3GAN; with micro-batches it compares within each part.
        """
        balance, model = self.balance, self.model
        fake_condition = self.fake_condition(part, fake)
        with self._autocast():
            sees = balance.composition.sees
            shown = plugins and (sees("real_logits") or sees("features"))
            real_out = self.updated_d_on_real(part) if balance.loss.relative or shown else None
            real_logits = real_out.logits if real_out is not None and balance.loss.relative else None
            judged = model.discriminate(self.networks.D, *balance.transform_d_input(fake.images, fake_condition))
            terms = {"adv": balance.loss.g(judged.logits, real_logits), **model.g_terms(fake, judged, part)}
            if plugins:
                terms |= balance.g_loss_terms(
                    real=model.real(part),
                    fake=fake.images,
                    condition=model.condition(part),
                    fake_condition=fake_condition,
                    fake_logits=judged.logits,
                    real_logits=None if real_out is None else real_out.logits,
                    **({} if real_out is None else self.features(real_out, judged)),
                )
            return terms

    def updated_d_on_real(self, part: Batch) -> DOutput:
        """The outputs of the updated D on real images, without gradients.

        Where the loss itself compares with them, they count in D's running statistics; for plugins alone they do not.
        """
        looks = torch.no_grad() if self.balance.loss.relative else undisturbed(self.networks.D)
        with looks:
            real = self.balance.transform_d_input(self.model.real(part), self.model.condition(part))
            return self.model.discriminate(self.networks.D, *real)

    def features(self, real: DOutput, fake: DOutput) -> dict[str, Any]:
        """D's intermediate maps, where a plugin sees them."""
        if not self.balance.composition.sees("features"):
            return {}
        return {"real_features": real.features, "fake_features": fake.features}

    def fake_condition(self, part: Batch, fake: GOutput) -> Tensor | None:
        """The condition that D sees with G's images."""
        return self.model.condition(part) if fake.condition is None else fake.condition

    def set_trainable_d(self, trainable: bool) -> None:
        """Switch D's gradients; heads that plugins froze stay off, without gradients for Adam to go on with."""
        for parameter in self.networks.D.parameters():
            parameter.requires_grad_(trainable)
        for head in self.balance.d_frozen:
            for parameter in self.model.head_parameters(head):
                parameter.requires_grad_(False)
                parameter.grad = None


def acts_on_g_terms(composition: Composition) -> bool:
    """Whether a plugin acts in `before_g_backward` on what G's terms are in the same step."""
    acting = [p for p in composition.plugins if has_hook(p, "before_g_backward")]
    return any(composition.signals[name].phase == "g" for plugin in acting for name in plugin.reads)
