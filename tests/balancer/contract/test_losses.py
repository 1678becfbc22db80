"""How an adversarial loss is found: by name, by class, among those that other distributions bring."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support.compositions import composed, refused
from torch import Tensor

import balancer
from balancer import AdversarialLoss, Balancer, Halves, ModelSpec, Plugin
from balancer.contract.host import model_host
from balancer.contract.losses import BUILT_IN, find_loss
from balancer.errors import BalancerError, ConfigError, PluginError
from balancer.train.points import PointsSettings


class Exponential(AdversarialLoss):
    name = "exponential"
    chance = 1.0

    def __init__(self, rate: float = 1.0) -> None:
        self.rate = rate

    def discriminator_loss(self, real: Tensor, fake: Tensor, real_label: float, fake_label: float) -> Halves:
        return Halves((-self.rate * real).exp().mean(), (self.rate * fake).exp().mean())

    def generator_loss(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return (-self.rate * fake).exp().mean()


class LevelReader(Plugin):
    name = "level_reader"
    reads = ("d_adv",)


class GapReader(Plugin):
    name = "gap_reader"
    reads = ("critic_gap",)


def test_a_loss_is_named_given_as_a_class_or_as_an_instance() -> None:
    assert find_loss("lsgan") is BUILT_IN["lsgan"]
    assert find_loss(Exponential).name == "exponential"
    own = Exponential(2.0)
    assert find_loss(own) is own
    assert Balancer([], adversarial=own).loss is own
    host = model_host("toy", ModelSpec(adversarial=Exponential), 1.0)
    assert isinstance(host.adversarial, Exponential)


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("wgan", "wasserstein"),
        ("WGAN-GP", "wasserstein"),
        ("wassertein", "wasserstein"),
        ("ragan", "relativistic_average"),
        ("relativistic average", "relativistic_average"),
        ("R3GAN", "relativistic"),
        ("vanilla", "bce"),
        ("hings", "hinge"),
    ],
)
def test_a_typo_gets_the_nearest_name(typo: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean {meant}\\?"):
        Balancer([], adversarial=typo)
    with pytest.raises(ConfigError, match=f"did you mean {meant}\\?"):
        model_host("toy", ModelSpec(adversarial=typo), 1.0)
    with pytest.raises(ValueError, match=f"did you mean {meant}\\?"):
        PointsSettings(adversarial=typo)


def test_a_name_that_is_like_none_gets_all() -> None:
    with pytest.raises(ConfigError, match=f"known are {', '.join(sorted(BUILT_IN))}"):
        find_loss("qqq")


def unusable(**attributes: Any) -> type[AdversarialLoss]:
    return type("Unusable", (Exponential,), attributes)


class Unfinished(AdversarialLoss):
    name = "unfinished"


class Needy(Exponential):
    def __init__(self, rate: float) -> None:
        super().__init__(rate)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (3, "adversarial 3: is neither the name of a loss"),
        (dict, "is neither the name of a loss"),
        (Unfinished, "does not define discriminator_loss, generator_loss"),
        (Needy, "cannot be made without arguments: pass an instance"),
        (unusable(name=""), 'its class has no name: say name = "…"'),
        (unusable(name="bce"), "'bce' is the name of a built-in loss: choose another"),
        (unusable(chance=0.0), "its chance level .0.0. must lie above its floor"),
        (unusable(healthy=(0.4, 0.1)), "is not a range of d_adv"),
    ],
)
def test_what_is_no_usable_loss_is_said_in_one_line(given: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        Balancer([], adversarial=given)
    assert "\n" not in str(error.value)


def test_a_loss_that_does_not_return_scalars_is_named() -> None:
    class Whole(Exponential):
        def discriminator_loss(self, real: Any, fake: Any, real_label: float, fake_label: float) -> Any:
            return (real - fake).mean()

        def generator_loss(self, fake: Any, real: Any) -> Any:
            return -fake

    logits = torch.zeros(3)
    with pytest.raises(
        ConfigError, match="adversarial exponential: discriminator_loss returned a Tensor, not balancer"
    ):
        Whole().d(logits, logits)
    with pytest.raises(ConfigError, match="adversarial exponential: generator_loss returned Tensor, not a scalar"):
        Whole().g(logits)


# Levels and what needs them.


def test_a_law_that_needs_a_level_is_refused_where_there_is_none() -> None:
    critic = model_host("toy", ModelSpec(adversarial="wasserstein"), 1.0)
    said = refused("dynamic_lambda", host=critic)
    assert "reads d_adv, but the wasserstein loss has no level of a perfect or of a guessing D" in said
    assert "read critic_gap, take a loss that has levels" in said and said.endswith("or leave dynamic_lambda out")
    raw = {"dynamic_lambda": {"signal": "d_loss"}}
    assert "the wasserstein loss has no levels, so bands of it mean" in refused(
        "dynamic_lambda", host=critic, settings=raw
    )
    gate = {"d_skip": {"accuracy_above": 0.8}}
    assert "reads d_acc, but the wasserstein loss has no level" in refused("d_skip", host=critic, settings=gate)
    composed("d_skip", GapReader, host=critic)
    with pytest.raises(
        BalancerError, match=r"plugin level_reader of .* reads d_adv, but the wasserstein loss has no level"
    ):
        Balancer([LevelReader], supplies={"d_adv"}, adversarial="wasserstein")
    assert Balancer([GapReader], supplies={"critic_gap"}, adversarial="wasserstein")


def test_a_gap_is_refused_where_there_are_levels() -> None:
    host = model_host("toy", ModelSpec(), 1.0)
    assert "reads critic_gap, but the bce loss has levels, of which d_adv tells: read d_adv" in refused(
        GapReader, host=host
    )


def test_pairs_are_refused_where_g_draws_several_images_for_each() -> None:
    two = ModelSpec(adversarial="relativistic", fakes_per_real=2)
    with pytest.raises(
        ConfigError, match="pairs each real image with one generated image, but here G draws 2 for each"
    ):
        model_host("toy", two, 1.0)
    model_host("toy", ModelSpec(adversarial="relativistic_average", fakes_per_real=2), 1.0)


# Other distributions.


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A distribution that brings three losses, of which one cannot be imported and one is none."""
    (tmp_path / "odd_losses.py").write_text(
        "import balancer\n"
        "class Odd(balancer.AdversarialLoss):\n"
        "    name = 'odd'\n"
        "    healthy = (0.2, 0.5)\n"
        "    def discriminator_loss(self, real, fake, real_label, fake_label):\n"
        "        return balancer.Halves((-real).exp().mean(), fake.exp().mean())\n"
        "    def generator_loss(self, fake, real):\n"
        "        return (-fake).exp().mean()\n",
        encoding="utf-8",
    )
    info = tmp_path / "odd_losses-3.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-losses\nVersion: 3.1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(
        "[balancer.losses]\nodd = odd_losses:Odd\nother = odd_losses:Odd\n"
        "broken = no_such_module:X\nnone = json:dumps\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("odd_losses", None)


def test_an_installed_loss_is_known_by_name_and_imported_when_named(installed: Path) -> None:
    assert PointsSettings(adversarial="odd").adversarial == "odd"
    assert "odd_losses" not in sys.modules, "a name is checked without an import"
    loss = Balancer([], adversarial="odd").loss
    assert (loss.name, loss.healthy) == ("odd", (0.2, 0.5))
    with pytest.raises(ConfigError, match=r"did you mean odd\?"):
        find_loss("oddd")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "broken",
            "loss broken of distribution odd-losses 3.1 cannot be imported from no_such_module:X: ModuleNotFound",
        ),
        ("none", "loss none of distribution odd-losses 3.1: json:dumps is not a subclass of balancer.AdversarialLoss"),
        ("other", "loss other of distribution odd-losses 3.1: its class calls itself 'odd'"),
    ],
)
def test_a_broken_one_is_blamed_on_its_distribution(installed: Path, name: str, said: str) -> None:
    with pytest.raises(PluginError, match=said):
        find_loss(name)
    assert find_loss("bce") is BUILT_IN["bce"], "whoever does not name it is not harmed"


def test_what_an_author_needs_is_public() -> None:
    assert {"AdversarialLoss", "AdversarialName", "Halves"} <= set(balancer.__all__)
