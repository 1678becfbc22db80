"""Adversarial losses, each with the two levels that make D's loss comparable: its floor and its chance level."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from torch import Tensor

AdversarialName = Literal["bce", "lsgan", "hinge"]


@dataclass(frozen=True)
class AdversarialLoss:
    """One adversarial loss on logits of any shape; every result is a scalar in fp32.

    `floor` is the mean of D's real and fake half, with hard labels, for a perfect D; `chance` is the
    same for a D whose output does not depend on its input and is best at that. `threshold` is the
    logit above which D calls an image real. `labels` says whether label knobs mean anything here.
    """

    name: AdversarialName
    floor: float
    chance: float
    threshold: float
    labels: bool

    def d_real(self, logits: Tensor, label: float = 1.0) -> Tensor:
        """D's loss on real images; `label` is the target for them (1 = hard)."""
        return self._towards(logits, label, sign=1.0)

    def d_fake(self, logits: Tensor, label: float = 0.0) -> Tensor:
        """D's loss on generated images; `label` is the target for them (0 = hard)."""
        return self._towards(logits, label, sign=-1.0)

    def generator(self, logits: Tensor) -> Tensor:
        """G's loss on D's logits for generated images, always against a hard "real" (non-saturating)."""
        if self.name == "hinge":
            return -logits.float().mean()
        return self._towards(logits, 1.0, sign=1.0)

    def d_adv(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Mean of D's real and fake half with hard labels, mapped so that the floor is 0 and chance is ln 2.

        The identity for BCE, for which it is the binary d_loss of the source document.
        """
        mean = 0.5 * (self.d_real(real_logits) + self.d_fake(fake_logits))
        if self.name == "bce":
            return mean
        return math.log(2.0) * (mean - self.floor) / (self.chance - self.floor)

    def signals(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """What D's logits on real and generated images tell: `d_adv`, accuracies in [0, 1], mean logits."""
        import torch

        with torch.no_grad():
            real, fake, threshold = real.detach().float(), fake.detach().float(), self.threshold
            acc_real = (real > threshold).float().mean()
            acc_fake = (fake <= threshold).float().mean()
            return {
                "d_adv": self.d_adv(real, fake),
                "d_acc": 0.5 * (acc_real + acc_fake),
                "d_acc_real": acc_real,
                "d_acc_fake": acc_fake,
                "d_logit_real": real.mean(),
                "d_logit_fake": fake.mean(),
            }

    def _towards(self, logits: Tensor, label: float, sign: float) -> Tensor:
        from torch.nn import functional as F

        x = logits.float()
        if self.name == "bce":
            # BCE with logits, label·softplus(−x) + (1 − label)·softplus(x), without a target tensor.
            return (F.softplus(x) - label * x).mean()
        if self.name == "lsgan":
            return (x - label).square().mean()
        return F.relu(1.0 - sign * x).mean()


# Levels: BCE at p = 1/2 is ln 2; least squares at D = 1/2 is 1/4 (LSGAN, Mao et al. 2017, b = 1, a = 0);
# hinge at D = 0 is 1 (Lim & Ye 2017).
LOSSES: Final[dict[str, AdversarialLoss]] = {
    "bce": AdversarialLoss("bce", floor=0.0, chance=math.log(2.0), threshold=0.0, labels=True),
    "lsgan": AdversarialLoss("lsgan", floor=0.0, chance=0.25, threshold=0.5, labels=True),
    "hinge": AdversarialLoss("hinge", floor=0.0, chance=1.0, threshold=0.0, labels=False),
}
