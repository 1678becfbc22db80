"""Small zi2zi models and short runs of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from balancer.cli.main import main
from balancer.contract.compose import compose
from balancer.contract.host import model_host
from balancer.record import checkpoint
from balancer.record.train_settings import TrainSettings
from balancer.train.accelerator import make_accelerator
from balancer.train.loop import Trainer
from zi2zi_model.data.font_data import EMBEDDED_SOURCE, EMBEDDED_TARGETS
from zi2zi_model.family import Zi2ziFamily
from zi2zi_model.network.model import Zi2zi
from zi2zi_model.settings import Zi2ziSettings

SMALL: dict[str, Any] = {"max_characters": 40, "held_out": 0.2, "max_channels": 64, "d_channels": 8, "charset": "demo"}
TWO_STYLES: dict[str, Any] = {"source": EMBEDDED_SOURCE, "targets": [EMBEDDED_TARGETS[0], EMBEDDED_SOURCE]}


def zi2zi_trainer(plugins: list[Any] | None = None, model: dict[str, Any] | None = None, **train: Any) -> Trainer:
    """Small zi2zi on the CPU, without dropout: a step then depends on weights and data alone."""
    chosen = Zi2ziSettings(**{**SMALL, **(model or {})})
    options = TrainSettings(**{"device": "cpu", "batch_size": 8, "lr": 5e-4, **train})
    composition = compose(plugins or [], {}, host=model_host("zi2zi", Zi2ziFamily().spec(chosen), options.lambda_adv))
    torch.manual_seed(0)
    trainer = Trainer(Zi2ziFamily().build(chosen), composition, options, make_accelerator(options, composition), None)
    trainer.G.train()
    return trainer


def zi2zi(**model: Any) -> Zi2zi:
    """Small zi2zi with these settings of the model."""
    torch.manual_seed(0)
    return Zi2ziFamily().build(Zi2ziSettings(**{**SMALL, **model}))


def arguments(out: Path, steps: int = 3, plugins: str = "", **model: Any) -> list[str]:
    """A short run of the command, as its arguments; values of `model` go to `--set model.…`."""
    given = [f"model.{key}={','.join(map(str, v)) if isinstance(v, list) else v}" for key, v in model.items()]
    sets = [word for item in given for word in ("--set", item)]
    words = ["train", "--plugins", plugins, "--steps", str(steps), "--quiet", "--device", "cpu", "--out", str(out)]
    return [*words, *sets]


def call(*words: str) -> None:
    """Run the command line where the fixture `cli` cannot be asked for: in one of a wider scope."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["balancer", *words])
        try:
            main()
        except SystemExit as exit:
            assert not exit.code


def ok(result: Any) -> Any:
    """A command's result, which has to be a success."""
    assert result.status == 0, result.err
    return result


def state(run: Path) -> dict[str, Any]:
    """What the run's newest checkpoint holds."""
    return checkpoint.load_latest(run / "checkpoints").state
