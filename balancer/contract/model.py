"""What a model offers the loop: the GanModel protocol, and the ModelFamily an entry point names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from balancer.contract.adversarial import AdversarialLoss
from balancer.contract.settings import Settings

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor, nn

    from balancer.contract.adversarial import Logits

    Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class HeadSpec:
    """A head of D that may be frozen, and the terms that fall to weight 0 while it is."""

    d_terms: tuple[str, ...] = ()
    g_terms: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelSpec:
    """What is known of a model from its settings alone, before anything is built.

    `weights` names G's terms besides the adversarial one, with their default weights; the loop adds
    `adv`, weighted by `lambda_adv`. `d_terms` names what D's loss holds besides its adversarial half;
    the model returns those already weighted. Where G draws several images for each real one,
    `fakes_per_real` weighs D's loss on them: a batch of fakes counts as much as the batch of reals. `features` says
    whether D's outputs hold its intermediate maps, `conditional` whether D sees a `condition` beside the images,
    `structure_error` whether `probe` gives a figure of that name.
    `adversarial` is the name of a loss, a subclass of `AdversarialLoss` or an instance of one. Where D is several
    networks, or judges at several scales, `discriminators` says of how many the logits are.
    """

    adversarial: str | type[AdversarialLoss] | AdversarialLoss = "bce"
    weights: Mapping[str, float] = field(default_factory=dict)
    d_terms: tuple[str, ...] = ()
    heads: Mapping[str, HeadSpec] = field(default_factory=dict)
    fakes_per_real: int = 1
    discriminators: int = 1
    features: bool = False
    structure_error: bool = False
    conditional: bool = False


class DOutput(NamedTuple):
    """D's answer to a batch of images: adversarial logits, and the logits of its other heads by name.

    Logits are a tensor, or a list of one tensor for each of several discriminators. `features` are intermediate maps,
    items first, where `spec.features` says so: for plugins such as feature matching.
    """

    logits: Logits
    heads: Mapping[str, Tensor]
    features: tuple[Tensor, ...] = ()


class GOutput(NamedTuple):
    """G's images for a batch, and what else it computed that its own terms can use, by name.

    `condition` is what D sees beside these images, where that is not the batch's own condition.
    """

    images: Tensor
    extras: Mapping[str, Tensor] = MappingProxyType({})
    condition: Tensor | None = None


class GanModel(ABC):
    """A pair of networks with its data, as the loop trains it.

    The loop decides when D and G see what, and weighs the terms; the model computes. Networks are
    passed in where the loop may have wrapped them (distributed training).
    """

    spec: ModelSpec
    generator: nn.Module
    discriminator: nn.Module
    train_size: int

    @abstractmethod
    def batch(self, indices: Sequence[int]) -> Batch:
        """Training items as CPU tensors by name, items first; `indices` are in [0, train_size)."""

    @abstractmethod
    def real(self, batch: Batch) -> Tensor:
        """The real images of a batch."""

    def condition(self, batch: Batch) -> Tensor | None:
        """What D sees beside the images (pix2pix's input), or None for an unconditional D."""
        return None

    @abstractmethod
    def generate(self, generator: nn.Module, batch: Batch) -> GOutput:
        """G's forward pass for a batch, differentiable; images are shaped as `real(batch)`.

        Their number is `spec.fakes_per_real` times that of the real ones.
        """

    @abstractmethod
    def discriminate(self, discriminator: nn.Module, images: Tensor, condition: Tensor | None) -> DOutput:
        """D's outputs on images (real or generated)."""

    def d_terms(self, real: DOutput, fake: DOutput, batch: Batch) -> dict[str, Tensor]:
        """The scalar terms of D's loss named in `spec.d_terms`, weighted."""
        return {}

    def g_terms(self, fake: GOutput, judged: DOutput, batch: Batch) -> dict[str, Tensor]:
        """The scalar terms of G's loss named in `spec.weights`, unweighted; `judged` is D's answer to `fake`."""
        return {}

    def head_parameters(self, head: str) -> Iterable[nn.Parameter]:
        """The parameters of a head named in `spec.heads`."""
        raise KeyError(head)

    def last_layer(self) -> nn.Parameter | None:
        """The weight of G's last layer, for laws that compare gradients there, or None: then at G's images."""
        return None

    def begin(self) -> Sequence[str]:
        """A new run begins, before its first step: load what the networks are to start from; sentences for the user.

        Raises:
            DataError, CheckpointError: it cannot be used.
        """
        return ()

    def sheet(self, generator: nn.Module) -> Image | None:
        """A picture of held-out samples by this generator (G or its average), the same ones each time, or None.

        The loop calls it with the networks in evaluation mode and without gradients.
        """
        return None

    def probe_batch(self, *, held_out: bool) -> Batch | None:
        """The batch that probes look at, the same each time, of held-out items or of training items, or None.

        It takes nothing from torch's random state. Both are of about one size.
        """
        return None

    def probe(self, images: Tensor, batch: Batch) -> Mapping[str, float]:
        """Figures by name of what G, or its average, drew for the held-out batch of `probe_batch`.

        `structure_error`, where it is among them, is read by laws: 0 where each item has the structure that it should
        have, whatever its realism.
        """
        return {}

    def data_record(self) -> dict[str, Any]:
        """What tells this data from other data, as primitives; each checkpoint keeps it, a resumed run must match."""
        return {"training items": self.train_size}

    def remarks(self) -> Sequence[str]:
        """What a user should know about the data before training, one sentence each; printed at the start."""
        return ()

    def counts(self) -> dict[str, int]:
        """Figures about the data for `--dry-run`, by name (items, held-out items, …)."""
        return {"training items": self.train_size}


class FigureSpec(NamedTuple):
    """A figure of how good a trained run is: its value where nothing is left to wish, and what it says in words."""

    best: float
    meaning: str

    def distance(self, value: float) -> float:
        """How far from the best a value is; the smaller, the better."""
        return abs(value - self.best)


class ModelFamily(ABC):
    """What an entry point of the group `balancer.models` names: settings, and how to build from them.

    Importing it must not import torch; `build` may.
    """

    Settings: ClassVar[type[Settings]] = Settings

    @abstractmethod
    def spec(self, settings: Any) -> ModelSpec:
        """Terms, weights and heads for these settings."""

    def train_defaults(self, settings: Any) -> dict[str, Any]:
        """Values of `train.*` that suit these settings better than the framework's own defaults."""
        return {}

    def figures(self) -> Mapping[str, FigureSpec]:
        """The figures that `measure` gives, by name; empty where the model has none."""
        return {}

    def measure(self, folder: Path) -> Mapping[str, Mapping[str, float]]:
        """Figures by name of a trained run in its directory, for each group of what it draws (such as a style).

        With one thread they are the same each time.

        Raises:
            ConfigError, CheckpointError, DataError: the run cannot be measured.
        """
        return {}

    @abstractmethod
    def build(self, settings: Any) -> GanModel:
        """Networks and data, on the CPU, from torch's current random state.

        Raises:
            DataError: the data named by the settings cannot be used.
        """
