"""What a script's record keeps of its adversarial loss and of each discriminator, and that everything reads it back."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from support.sealed_rows import unsealed
from torch import Tensor

from balancer import (
    AdversarialLoss,
    Balancer,
    Halves,
    Plugin,
    StepContext,
    diagnose,
    explain,
    hookimpl,
    read_signals,
    replay,
    report,
)
from balancer.errors import CheckpointError
from balancer.record.compositions import read_compositions
from balancer.testing import recorded
from balancer.testing import replay as replay_rows


class Exponential(AdversarialLoss):
    """Of this test alone: no distribution brings it."""

    name = "exponential"
    chance = 1.0

    def discriminator_loss(self, real: Tensor, fake: Tensor, real_label: float, fake_label: float) -> Halves:
        return Halves((-real).exp().mean(), fake.exp().mean())

    def generator_loss(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return (-fake).exp().mean()


class SecondLaw(Plugin):
    """lambda_adv is what the second discriminator's d_adv is."""

    name = "second_law"
    reads = ("d_adv/1",)
    writes = {"lambda_adv": ("set",)}

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        if (reading := self.signals["d_adv/1"]) is not None:
            self.knobs["lambda_adv"].set(reading.value)


def logged(folder: Path, adversarial: str | type[AdversarialLoss], steps: int = 30) -> Path:
    """The log_dir of a script with two discriminators, of which the second wins ever more."""
    levels = adversarial != "wasserstein"
    balance = Balancer(
        [SecondLaw] if levels else [],
        adversarial=adversarial,
        supplies={"d_adv", "d_adv/1"} if levels else {"critic_gap"},
        obeys={"lambda_adv"},
        log_dir=folder,
        log_every=1,
    )
    with balance:
        for step in range(steps):
            balance.start_step(epoch=step // 10)
            sure = step / 10
            real = [torch.full((4, 1), 0.1), torch.full((4, 1, 2, 2), sure)]
            fake = [torch.full((4, 1), -0.1), torch.full((4, 1, 2, 2), -sure)]
            balance.after_d_step(real_logits=real, fake_logits=fake)
            balance.before_g_backward(adv=balance.loss.g(fake, real))
    return folder


@pytest.mark.parametrize("adversarial", ["bce", "relativistic", Exponential])
def test_signals_of_each_discriminator_survive_every_record(
    adversarial: str | type[AdversarialLoss], tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = logged(tmp_path / "run", adversarial)
    columns = read_signals(run)
    one, two = columns["d_adv/0"], columns["d_adv/1"]
    assert columns["d_adv"].tolist() == pytest.approx(((one + two) / 2).tolist(), rel=1e-5)
    assert columns["lambda_adv"].tolist() == two.tolist()
    assert replay(run, [SecondLaw]).replay["lambda_adv"] == two.tolist()
    assert replay_rows([SecondLaw], recorded(run))["lambda_adv"] == two.tolist()
    events = EventAccumulator(str(run)).Reload()
    drawn = [event.value for event in events.Scalars("signal/d_adv/1")]
    assert drawn == pytest.approx(two.tolist(), rel=1e-6)
    assert "d_adv/1" in repr(explain(run, 12))
    page = tmp_path / "page.html"
    report([run]).write(page)
    assert "d_adv/1" in page.read_text(encoding="utf-8")
    diagnosis = diagnose(str(run))
    assert {"d_adv", "d_adv/0", "d_adv/1", "d_acc/1"} <= set(diagnosis.case.history)
    assert diagnosis.case.history["d_adv"].values.tolist() == pytest.approx(columns["d_adv"].tolist())


def test_a_table_with_such_columns_is_read_as_what_it_says(tmp_path: Path) -> None:
    columns = read_signals(logged(tmp_path / "run", "bce"))
    table = tmp_path / "log.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        names = ["step", "d_adv/1", "d_adv/0", "d_adv", "loss_adv"]
        rows = csv.writer(file)
        rows.writerow(names)
        rows.writerows(zip(*(columns[name] for name in names), strict=True))
    history = diagnose(str(table)).case.history
    assert history["d_adv"].values.tolist() == pytest.approx(columns["d_adv"].tolist(), rel=1e-6)


def test_a_loss_of_the_script_s_own_is_known_by_its_levels(tmp_path: Path) -> None:
    run = logged(tmp_path / "run", Exponential)
    kept = read_compositions(run)[-1].host.adversarial
    assert (kept.name, kept.floor, kept.chance, kept.healthy, kept.labels) == ("exponential", 0.0, 1.0, None, False)
    units = diagnose(str(run)).case.units
    assert units.adversarial == "exponential"
    assert units.d_adv({"d_loss_real": 0.5, "d_loss_fake": 0.5}) == pytest.approx(0.5 * float(torch.tensor(2.0).log()))


def test_a_script_is_diagnosed_by_the_loss_that_it_named(tmp_path: Path) -> None:
    critic = diagnose(str(logged(tmp_path / "critic", "wasserstein"))).case
    assert (critic.units.adversarial, critic.units.levels, "d_adv" in critic.history) == ("wasserstein", False, False)
    assert diagnose(str(logged(tmp_path / "hinge", "hinge"))).case.units.adversarial == "hinge"


def test_a_record_that_names_a_loss_only_is_read_too(tmp_path: Path) -> None:
    path = logged(tmp_path / "run", "hinge") / "compositions.jsonl"
    row = {**unsealed(path.read_bytes()), "format": 1}
    row["host"]["adversarial"] = row["host"]["adversarial"]["name"]
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    assert read_compositions(path.parent)[-1].host.adversarial.name == "hinge"
    row["host"]["adversarial"] = "unheard of"
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(CheckpointError, match="does not say what the run was composed of"):
        read_compositions(path.parent)
