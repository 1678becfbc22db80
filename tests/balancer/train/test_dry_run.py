"""`train --dry-run` says what a run would be, from a look at the real thing, and leaves no trace."""

import itertools
import re
import subprocess
import sys
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
    parts = re.findall(r"([\d,]+) MiB ([a-zA-Z, ]+?)(?:, (?=\d)|$)", line.partition("of that ")[2])
    return {name: int(size.replace(",", "")) for size, name in parts}


def test_it_says_what_the_run_would_be(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    # A clock on which each look is a second after the last one: two items take one, and so do four, which is chance.
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
    assert re.search(r"^memory, estimated: [\d,]+ MiB of the process at its peak; of that ", out, re.MULTILINE)
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


def test_the_peak_is_what_a_run_takes(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each in a process of its own, of which what torch's libraries take is a part."""
    out = tmp_path_factory.mktemp("runs")
    common = [*POINTS, "--plugins", "", "--steps", "2", "--set", "train.batch_size=16000", "--set", "train.threads=1"]
    sizes = [word for one in ("model.points=16000", "model.width=128") for word in ("--set", one)]
    # VmHWM begins anew with a program; ru_maxrss would be that of the process which started it, where that is larger.
    program = (
        "from pathlib import Path\nfrom balancer.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"
    )

    def run(*words: str) -> list[str]:
        command = [sys.executable, "-c", program, "train", *common, *sizes, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=out).stdout.splitlines()

    (said,) = [line for line in run("--dry-run") if line.startswith("memory, estimated: ")]
    estimated = int(said.removeprefix("memory, estimated: ").split()[0].replace(",", ""))
    measured = int(run("--quiet", "--out", "run")[-1]) / 1024
    assert estimated == pytest.approx(measured, rel=0.2)


def test_a_checkpoint_is_as_large_as_it_says(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> None:
    words = ("--set", "model.width=512", "--set", "train.keep=2", "--plugins", "dynamic_lambda", "--steps", 2)
    (line,) = re.findall(r"^disk, estimated: .*$", dry(cli, *POINTS, *words), re.MULTILINE)
    run = tmp_path_factory.mktemp("runs") / "run"
    assert cli("train", *POINTS, *words, "--quiet", "--out", run).status == 0
    size = sum(path.stat().st_size for path in run.glob("checkpoints/step_*/*")) / 2**20
    found = [float(figure.replace(",", "")) for figure in re.findall(r"([\d,]+) MiB", line)]
    assert found == pytest.approx([size, 2 * size, 3 * size], abs=0.7, rel=0.02)
    assert "2 are kept" in line


def test_micro_batches_keep_what_one_of_them_keeps(cli: Cli) -> None:
    sizes = ("model.points=4000", "model.width=128", "train.batch_size=4000")
    words = [word for one in sizes for word in ("--set", one)]
    whole, part = (
        memory(dry(cli, *POINTS, "--plugins", "", "--steps", 5, *words, "--set", f"train.micro_batches={parts}"))
        for parts in (1, 4)
    )
    assert part["activations, at most"] == pytest.approx(whole["activations, at most"] / 4, rel=0.15)


def test_without_a_length_it_is_one_epoch(cli: Cli) -> None:
    assert "length: 32 steps, 32 an epoch" in dry(cli, *POINTS, "--plugins", "")


def test_a_run_that_would_be_refused_is_refused(cli: Cli) -> None:
    result = cli("train", "--dry-run", *POINTS, "--plugins", "d_skp")
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("balancer: unknown plugin 'd_skp'")
