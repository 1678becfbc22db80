"""The built-in adversarial losses, and how one is found by its name, its class, or among those installed."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import AfterValidator

from balancer.contract.adversarial import AdversarialLoss, Halves
from balancer.contract.levels import HEALTHY_D_ADV
from balancer.contract.registry import LOSSES, entries, load_loss
from balancer.errors import ConfigError, suggestion

if TYPE_CHECKING:
    from torch import Tensor


class Bce(AdversarialLoss):
    """Binary cross-entropy on logits, G non-saturating (Goodfellow et al. 2014); at D = 1/2 it is ln 2."""

    name = "bce"
    labels = True
    healthy = HEALTHY_D_ADV  # the source document's

    def discriminator_loss(self, real: Tensor, fake: Tensor, real_label: float, fake_label: float) -> Halves:
        return Halves(_bce(real, real_label), _bce(fake, fake_label))

    def generator_loss(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return _bce(fake, 1.0)


class Lsgan(AdversarialLoss):
    """Least squares with b = c = 1 and a = 0 (Mao et al. 2017); at D = 1/2 it is 1/4."""

    name = "lsgan"
    chance = 0.25
    threshold = 0.5
    labels = True

    def discriminator_loss(self, real: Tensor, fake: Tensor, real_label: float, fake_label: float) -> Halves:
        return Halves((real - real_label).square().mean(), (fake - fake_label).square().mean())

    def generator_loss(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return (fake - 1.0).square().mean()


class Hinge(AdversarialLoss):
    """The hinge loss (Lim & Ye 2017), with G's −D(G(z)); at D = 0 it is 1."""

    name = "hinge"
    chance = 1.0

    def discriminator_loss(self, real: Tensor, fake: Tensor, real_label: float, fake_label: float) -> Halves:
        from torch.nn.functional import relu

        return Halves(relu(1.0 - real).mean(), relu(1.0 + fake).mean())

    def generator_loss(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return -fake.mean()


class Wasserstein(AdversarialLoss):
    """The critic's difference of means (Arjovsky et al. 2017); its scale is D's own, so there are no levels.

    D's loss is the mean of its halves as everywhere, so half of the paper's: a penalty beside it weighs half as much.
    """

    name = "wasserstein"
    has_levels = False

    def discriminator_loss(self, real: Tensor, fake: Tensor, real_label: float, fake_label: float) -> Halves:
        return Halves(-real.mean(), fake.mean())

    def generator_loss(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return -fake.mean()


class Relativistic(AdversarialLoss):
    """Softplus of the difference of each pair of a real and a generated image: RpGAN of Jolicoeur-Martineau (2018),
    R3GAN of Huang et al. (2024); where the logits are equal it is ln 2.

    It does not fall into halves: both are the whole. An accuracy is the share of pairs that D puts in order.
    """

    name = "relativistic"
    relative = True
    paired = True

    def discriminator_loss(self, real: Tensor, fake: Tensor, real_label: float, fake_label: float) -> Halves:
        loss = _bce(real - fake, 1.0)
        return Halves(loss, loss)

    def generator_loss(self, fake: Tensor, real: Tensor | None) -> Tensor:
        assert real is not None
        return _bce(fake - real, 1.0)

    def margins(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        return real - fake, fake - real


class RelativisticAverage(AdversarialLoss):
    """BCE of each logit less the mean of the other side's (Jolicoeur-Martineau 2018; ESRGAN, Wang et al. 2018).

    G's loss is the mean of the same two halves with the targets exchanged, as in ESRGAN.
    """

    name = "relativistic_average"
    labels = True
    relative = True

    def discriminator_loss(self, real: Tensor, fake: Tensor, real_label: float, fake_label: float) -> Halves:
        of_real, of_fake = self.margins(real, fake)
        return Halves(_bce(of_real, real_label), _bce(of_fake, fake_label))

    def generator_loss(self, fake: Tensor, real: Tensor | None) -> Tensor:
        assert real is not None
        of_real, of_fake = self.margins(real, fake)
        return 0.5 * (_bce(of_real, 0.0) + _bce(of_fake, 1.0))

    def margins(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        return real - fake.mean(), fake - real.mean()


class RelativisticHinge(RelativisticAverage):
    """The hinge of each logit less the mean of the other side's (Jolicoeur-Martineau 2018); at equal logits it is 1.

    It is 0 as soon as the two sides are 1 apart, in balanced runs too.
    """

    name = "relativistic_hinge"
    labels = False
    chance = 1.0

    def discriminator_loss(self, real: Tensor, fake: Tensor, real_label: float, fake_label: float) -> Halves:
        from torch.nn.functional import relu

        of_real, of_fake = self.margins(real, fake)
        return Halves(relu(1.0 - of_real).mean(), relu(1.0 + of_fake).mean())

    def generator_loss(self, fake: Tensor, real: Tensor | None) -> Tensor:
        from torch.nn.functional import relu

        assert real is not None
        of_real, of_fake = self.margins(real, fake)
        return 0.5 * (relu(1.0 + of_real).mean() + relu(1.0 - of_fake).mean())


BUILT_IN: Final[dict[str, AdversarialLoss]] = {
    loss.name: loss
    for loss in (Bce(), Lsgan(), Hinge(), Wasserstein(), Relativistic(), RelativisticAverage(), RelativisticHinge())
}
# What else people call them.
ALIASES: Final = {
    "wgan": "wasserstein",
    "wgan-gp": "wasserstein",
    "wgangp": "wasserstein",
    "vanilla": "bce",
    "gan": "bce",
    "nsgan": "bce",
    "softplus": "bce",
    "mse": "lsgan",
    "ls": "lsgan",
    "l2": "lsgan",
    "rgan": "relativistic",
    "rpgan": "relativistic",
    "r3gan": "relativistic",
    "ragan": "relativistic_average",
    "esrgan": "relativistic_average",
    "rahinge": "relativistic_hinge",
}


def find_loss(given: Any, where: str = "adversarial") -> AdversarialLoss:
    """The adversarial loss that a name, a subclass of `AdversarialLoss` or an instance of one means.

    `where` begins the message of an error.

    Raises:
        ConfigError: there is none of that name, or the class is not usable.
        PluginError: an installed one cannot be imported, or two distributions bring it.
    """
    if isinstance(given, str):
        if given in BUILT_IN:
            return BUILT_IN[given]
        installed = {entry.name for entry in entries(LOSSES)}
        if given not in installed:
            raise ConfigError(f"{where} {given!r}: there is no such loss: {_near(given, [*BUILT_IN, *installed])}")
        given = load_loss(given)
    return _made(given, where)


def known_name(name: str) -> str:
    """The name itself, where it is one of a built-in or an installed loss.

    Raises:
        ConfigError: it is not; the nearest is suggested.
    """
    if name not in BUILT_IN and name not in {entry.name for entry in entries(LOSSES)}:
        raise ConfigError(f"there is no such loss ({_near(name, [*BUILT_IN, *(e.name for e in entries(LOSSES))])})")
    return name


# The type of a model's setting that names its loss.
AdversarialName = Annotated[str, AfterValidator(known_name)]


def _near(name: str, known: list[str]) -> str:
    plain = name.lower().replace(" ", "_")
    names = get_close_matches(plain, [*known, *ALIASES], n=1)
    return f"did you mean {ALIASES.get(names[0], names[0])}?" if names else suggestion(plain, sorted(known))


def _made(given: Any, where: str) -> AdversarialLoss:
    if isinstance(given, type) and issubclass(given, AdversarialLoss):
        try:
            given = given()
        except Exception as error:
            if missing := sorted(given.__abstractmethods__):
                raise ConfigError(f"{where} {given.__name__}: its class does not define {', '.join(missing)}") from None
            cause = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ConfigError(
                f"{where} {given.__name__}: it cannot be made without arguments: pass an instance ({cause})"
            ) from error
    if not isinstance(given, AdversarialLoss):
        raise ConfigError(
            f"{where} {given!r}: is neither the name of a loss ({', '.join(BUILT_IN)}) nor an AdversarialLoss"
        )
    name = getattr(given, "name", None)
    if not isinstance(name, str) or not name:
        raise ConfigError(f'{where} {type(given).__name__}: its class has no name: say name = "…"')
    if name in BUILT_IN and type(given) is not type(BUILT_IN[name]):
        raise ConfigError(f"{where} {type(given).__name__}: {name!r} is the name of a built-in loss: choose another")
    if given.has_levels and not given.floor < given.chance:
        raise ConfigError(
            f"{where} {name}: its chance level ({given.chance}) must lie above its floor ({given.floor}): give both, "
            "or has_levels = False where there are none"
        )
    if given.healthy is not None and not given.healthy[0] < given.healthy[1]:
        raise ConfigError(f"{where} {name}: healthy = {given.healthy} is not a range of d_adv, such as (0.1, 0.4)")
    return given


def _bce(logits: Tensor, label: float) -> Tensor:
    """BCE with logits, label·softplus(−x) + (1 − label)·softplus(x), without a target tensor."""
    from torch.nn.functional import softplus

    return (softplus(logits) - label * logits).mean()
