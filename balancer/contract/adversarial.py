"""AdversarialLoss: what a family of adversarial losses is, on D's logits for real and generated images together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, TypeVar

from balancer.contract.levels import CHANCE
from balancer.contract.signals import OF_EACH_D
from balancer.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    # Of one discriminator, of any shape, items first; or of several, in the same order for real and generated images.
    Logits = Tensor | Sequence[Tensor]

T = TypeVar("T")

# What a record keeps of a loss, so that its levels are known where its class is not.
FACTS: Final = ("name", "floor", "chance", "threshold", "labels", "has_levels")


class Halves(NamedTuple):
    """D's loss on real and on generated images, scalars in fp32; D's loss is their mean.

    Where a family's loss is one of pairs, which does not fall into halves, both are that one loss.
    """

    real: Tensor
    fake: Tensor


class AdversarialLoss(ABC):
    """One family of adversarial losses.

    A family says what it is in class attributes and defines `discriminator_loss` and `generator_loss`, of the logits of
    one discriminator. Whoever trains calls `d` and `g`, which also take the logits of several discriminators.

    Attributes:
        name: what settings and records call it.
        floor: D's loss, the mean of its halves with hard labels, of a perfect D.
        chance: the same of a D whose output does not depend on its input, and is best at that.
        threshold: what `margins` must be above for D to call an image real.
        has_levels: False where there is neither floor nor chance, since D's loss has no bounds: then there is no
            `d_adv` and no accuracy, but `critic_gap`, and laws that need a level are refused.
        labels: whether other targets than 1 and 0 mean something (`real_label`, `fake_label`).
        healthy: the range of `d_adv` in a healthy run, where a source names one.
        relative: whether the loss compares real with generated images, so that G's needs the real ones' logits too.
        paired: whether it compares each real image with one generated image, so that there must be as many of each.
    """

    name: ClassVar[str]
    floor: ClassVar[float] = 0.0
    chance: ClassVar[float] = CHANCE
    threshold: ClassVar[float] = 0.0
    has_levels: ClassVar[bool] = True
    labels: ClassVar[bool] = False
    healthy: ClassVar[tuple[float, float] | None] = None
    relative: ClassVar[bool] = False
    paired: ClassVar[bool] = False

    @abstractmethod
    def discriminator_loss(self, real: Tensor, fake: Tensor, real_label: float, fake_label: float) -> Halves:
        """D's loss from one discriminator's logits in fp32; labels are the targets, 1 and 0 where they are hard."""

    @abstractmethod
    def generator_loss(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """G's loss from one discriminator's logits in fp32, against hard labels; `real` is None unless `relative`."""

    def margins(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """What D is asked about each real and each generated image: here its logits."""
        return real, fake

    def d(self, real_logits: Logits, fake_logits: Logits, real_label: float = 1.0, fake_label: float = 0.0) -> Halves:
        """D's loss; that of several discriminators is their mean.

        Raises:
            ConfigError: these are not logits, or not equally many for real and generated images.
        """
        halves = [
            self._halves(real.float(), fake.float(), real_label, fake_label)
            for real, fake in self.pairs(real_logits, fake_logits)
        ]
        return Halves(_mean([half.real for half in halves]), _mean([half.fake for half in halves]))

    def g(self, fake_logits: Logits, real_logits: Logits | None = None) -> Tensor:
        """G's loss, a scalar in fp32; that of several discriminators is their mean.

        `real_logits` count where the family is `relative`: D's, as it now is, on real images, without gradients.

        Raises:
            ConfigError: these are not logits, or those of real images are missing.
        """
        if not self.relative:
            return _mean([self._of_g(fake, None) for fake in as_list(fake_logits, "fake_logits")])
        if real_logits is None:
            raise ConfigError(
                f"G's {self.name} loss compares real with generated images: pass D's logits on real images too, "
                "such as loss.g(fake_logits, real_logits.detach())"
            )
        return _mean([self._of_g(fake, real) for real, fake in self.pairs(real_logits, fake_logits)])

    def signals(self, real_logits: Logits, fake_logits: Logits) -> dict[str, Tensor]:
        """What D's logits tell, scalars in fp32: `d_adv`, accuracies in [0, 1] and mean logits; where there are no
        levels `critic_gap` and mean logits.

        Of several discriminators these are means, and each one's `d_adv` (or `critic_gap`), `d_acc` and mean logits are
        there too, as `d_adv/0`, `d_adv/1`, ….

        Raises:
            ConfigError: as for `d`.
        """
        import torch

        with torch.no_grad():
            pairs = self.pairs(real_logits, fake_logits)
            each = [self._signals(real.detach().float(), fake.detach().float()) for real, fake in pairs]
            found = each[0] if len(each) == 1 else {name: _mean([one[name] for one in each]) for name in each[0]}
            if isinstance(real_logits, list | tuple):
                of_each = [name for name in OF_EACH_D if name in found]
                found |= {f"{name}/{index}": one[name] for name in of_each for index, one in enumerate(each)}
            return found

    def scaled(self, d_loss: T) -> T:
        """D's loss (the mean of its halves) as `d_adv`: 0 at the floor, ln 2 at chance; numbers, arrays or tensors.

        The identity where they are there already, as for BCE, for which it is the source document's binary d_loss.
        """
        value: Any = d_loss
        if self.floor == 0.0 and self.chance == CHANCE:
            return d_loss
        scaled: T = CHANCE * (value - self.floor) / (self.chance - self.floor)
        return scaled

    def facts(self) -> dict[str, Any]:
        """What a record keeps of it, as primitives."""
        healthy = None if self.healthy is None else list(self.healthy)
        return {**{fact: getattr(self, fact) for fact in FACTS}, "healthy": healthy}

    def pairs(self, real_logits: Logits, fake_logits: Logits) -> list[tuple[Tensor, Tensor]]:
        """Real and fake logits of each discriminator.

        Raises:
            ConfigError: these are not logits, or not equally many for real and generated images.
        """
        real, fake = as_list(real_logits, "real_logits"), as_list(fake_logits, "fake_logits")
        if len(real) != len(fake):
            raise ConfigError(
                f"real_logits are of {len(real)} and fake_logits of {len(fake)} discriminators: "
                "pass those of the same ones, in the same order"
            )
        if self.paired:
            for one, other in zip(real, fake, strict=True):
                if one.shape != other.shape:
                    raise ConfigError(
                        f"the {self.name} loss pairs each real image with a generated one, but their logits have the "
                        f"shapes {tuple(one.shape)} and {tuple(other.shape)}: pass equally many, or take another "
                        'loss, such as adversarial="relativistic_average"'
                    )
        return list(zip(real, fake, strict=True))

    def _of_g(self, fake: Tensor, real: Tensor | None) -> Tensor:
        loss = self.generator_loss(fake.float(), None if real is None else real.float())
        if getattr(loss, "shape", None) != ():
            raise ConfigError(
                f"adversarial {self.name}: generator_loss returned {type(loss).__name__}, not a scalar tensor"
            )
        return loss

    def _halves(self, real: Tensor, fake: Tensor, real_label: float, fake_label: float) -> Halves:
        halves: Any = self.discriminator_loss(real, fake, real_label, fake_label)
        if not (isinstance(halves, tuple) and [getattr(half, "shape", None) for half in halves] == [(), ()]):
            given = "a tuple of other things" if isinstance(halves, tuple) else f"a {type(halves).__name__}"
            raise ConfigError(
                f"adversarial {self.name}: discriminator_loss returned {given}, not balancer.Halves of two scalars"
            )
        return Halves(*halves)

    def _signals(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        means = {"d_logit_real": real.mean(), "d_logit_fake": fake.mean()}
        if not self.has_levels:
            return {"critic_gap": means["d_logit_real"] - means["d_logit_fake"], **means}
        halves = self._halves(real, fake, 1.0, 0.0)
        of_real, of_fake = self.margins(real, fake)
        acc_real = (of_real > self.threshold).float().mean()
        acc_fake = (of_fake <= self.threshold).float().mean()
        return {
            "d_adv": self.scaled(0.5 * (halves.real + halves.fake)),
            "d_acc": 0.5 * (acc_real + acc_fake),
            "d_acc_real": acc_real,
            "d_acc_fake": acc_fake,
            **means,
        }


class RecordedLoss(AdversarialLoss):
    """A loss as a record knows it, by its levels; it computes nothing."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        for fact in FACTS:
            setattr(self, fact, facts[fact])
        self.__dict__["healthy"] = None if facts["healthy"] is None else tuple(facts["healthy"])

    def discriminator_loss(self, real: Tensor, fake: Tensor, real_label: float, fake_label: float) -> Halves:
        raise NotImplementedError

    def generator_loss(self, fake: Tensor, real: Tensor | None) -> Tensor:
        raise NotImplementedError


def as_list(logits: Any, argument: str) -> list[Tensor]:
    """The logits of each discriminator, where they are those of one or a list of those of several.

    Raises:
        ConfigError: they are neither; `argument` is what they were passed as.
    """
    if hasattr(logits, "detach") and logits.numel():
        return [logits]
    several = isinstance(logits, list | tuple)
    found = list(logits) if several else [logits]
    for where, one in _named(found, argument, several):
        if not hasattr(one, "detach"):
            kind = type(one).__name__
            raise ConfigError(
                f"{where} is {'a list' if kind in ('list', 'tuple') else repr(one) if one is None else f'a {kind}'}: "
                "pass a tensor of logits, or a list of one tensor for each discriminator"
            )
        if not one.numel():
            raise ConfigError(f"{where} is empty (its shape is {tuple(one.shape)}): pass the logits of a batch")
    if not found:
        raise ConfigError(f"{argument} is an empty list: pass the logits of at least one discriminator")
    return found


def _named(found: Sequence[Any], argument: str, several: bool) -> Iterator[tuple[str, Any]]:
    for index, one in enumerate(found):
        yield f"{argument}[{index}]" if several else argument, one


def _mean(values: Sequence[Tensor]) -> Tensor:
    """The mean of scalars; a single one as it is."""
    if len(values) == 1:
        return values[0]
    import torch

    return torch.stack(list(values)).mean()
