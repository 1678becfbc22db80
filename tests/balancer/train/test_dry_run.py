"""`train --dry-run` says what a run would be, from a look at the real thing, and leaves no trace."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from balancer.train import dry_run as measuring
from balancer.train.points import PointsFamily, PointsSettings
from zi2zi_model.network.networks import Discriminator, Generator
from zi2zi_model.settings import Zi2ziSettings

Cli = Callable[..., Any]
POINTS = ("--model", "points", "--device", "cpu")


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty current directory, which is still empty afterwards."""
    monkeypatch.chdir(tmp_path)
    yield
    assert list(tmp_path.iterdir()) == []


def dry(cli: Cli, *args: object) -> str:
    result = cli("train", "--dry-run", *args)
    assert result.status == 0, result.err
    assert result.err == "measuring one step …\n"
    return str(result.out)


def memory(out: str) -> dict[str, int]:
    """Mebibytes by name."""
    (line,) = re.findall(r"^memory, estimated: .*$", out, re.MULTILINE)
    parts = re.findall(r"([\d,]+) MiB ([a-zA-Z, ]+?)(?:, (?=\d)|\))", line)
    return {name: int(size.replace(",", "")) for size, name in parts}


def test_it_says_what_the_run_would_be(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    # A clock on which each look is a second after the last one: two steps of two items take one.
    monkeypatch.setattr(measuring, "time", SimpleNamespace(perf_counter=itertools.count().__next__))
    out = dry(
        cli, *POINTS, "--plugins", "lambda_schedule,dynamic_lambda,freeze_head", "--epochs", 3,
        "--set", "train.batch_size=100", "--set", "train.lambda_adv=0.8", "--out", "never",
    )  # fmt: skip
    model = PointsFamily().build(PointsSettings())
    assert "model:   points" in out
    assert "plugins: dynamic_lambda → freeze_head → lambda_schedule" in out
    assert "lambda_adv: base 0.8; dynamic_lambda (sets it), lambda_schedule (upper bound)" in out
    assert f"generator: {sum(p.numel() for p in model.generator.parameters()):,} parameters" in out
    assert f"discriminator: {sum(p.numel() for p in model.discriminator.parameters()):,} parameters" in out
    assert "training items: 512" in out
    assert "length: 15 steps, 5 an epoch" in out
    assert re.search(r"^memory, estimated: [\d,]+ MiB \(", out, re.MULTILINE)
    assert "time, estimated: 25 s a step, 6 min in all" in out


def test_it_takes_the_real_data_of_zi2zi(cli: Cli) -> None:
    out = dry(cli, "--plugins", "d_lr_ratio", "--steps", 50, "--device", "cpu", "--set", "model.max_characters=30")
    assert "characters: 30" in out
    assert re.search(r"^training items: 2\d$", out, re.MULTILINE)
    assert re.search(r"^held-out items: \d$", out, re.MULTILINE)
    assert "length: 50 steps, 3 an epoch" in out
    nets = Generator(Zi2ziSettings()), Discriminator(Zi2ziSettings())
    counts = [sum(parameter.numel() for parameter in net.parameters()) for net in nets]
    assert f"generator: {counts[0]:,} parameters" in out
    assert f"discriminator: {counts[1]:,} parameters" in out
    parts = memory(out)
    # A weight, its gradient and Adam's two moments are four floats of four bytes.
    assert parts["weights, gradients and Adam"] == pytest.approx(16 * sum(counts) / 2**20, abs=1)
    # Two items keep 4.1 MiB that are not weights; the batch has eight.
    assert 15 < parts["activations, at most"] < 18


def test_activations_grow_with_the_batch_and_weights_do_not(cli: Cli) -> None:
    sizes = []
    for batch in (1000, 4000):
        out = dry(cli, *POINTS, "--plugins", "", "--steps", 5, "--set", f"train.batch_size={batch}",
                  "--set", "model.points=4000", "--set", "model.width=128")  # fmt: skip
        sizes.append(memory(out))
    small, large = sizes
    assert small["weights, gradients and Adam"] == large["weights, gradients and Adam"]
    assert large["activations, at most"] == pytest.approx(4 * small["activations, at most"], rel=0.1)


def test_a_plugin_that_skips_d_does_not_hide_what_a_full_step_needs(cli: Cli) -> None:
    args = ("--steps", 5, "--set", "train.batch_size=4000", "--set", "model.points=4000", "--set", "model.width=128")
    plain = memory(dry(cli, *POINTS, "--plugins", "", *args))
    skipping = memory(dry(cli, *POINTS, "--plugins", "d_skip", *args))
    assert skipping == plain


def test_without_a_length_it_is_one_epoch(cli: Cli) -> None:
    assert "length: 32 steps, 32 an epoch" in dry(cli, *POINTS, "--plugins", "")


def test_a_run_that_would_be_refused_is_refused(cli: Cli) -> None:
    result = cli("train", "--dry-run", *POINTS, "--plugins", "d_skp")
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("balancer: unknown plugin 'd_skp'")
