"""How good a run of the points model is: its points beside the real ones, class by class."""

from __future__ import annotations

from pathlib import Path

import torch

from balancer.contract.settings import Settings
from balancer.record.saved_run import load_run
from balancer.train.points import PointsFamily, PointsModel, PointsSettings


def measured(folder: Path) -> dict[str, dict[str, float]]:
    """The figures of each class, of as many drawn points as there are real ones; drawn from one noise each time."""
    run = load_run(folder, "points")
    settings: Settings = run.settings
    assert isinstance(settings, PointsSettings)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = PointsModel(settings, PointsFamily().spec(settings))
        model.generator.load_state_dict(run.generator if run.average is None else run.average)
        model.generator.eval()
        batch = model.batch(range(model.train_size))
        drawn, real, mode = model.generate(model.generator, batch).images, model.real(batch), batch["mode"]
    figures = {}
    for number in sorted({*mode.tolist()}):
        ours, theirs = drawn[mode == number], real[mode == number]
        figures[f"class {number}"] = {
            "class error": float((ours - theirs.mean(0)).norm(dim=1).mean()),
            "energy distance": energy_distance(ours, theirs),
        }
    return figures


def energy_distance(one: torch.Tensor, two: torch.Tensor) -> float:
    """Square root of 2·E‖x − y‖ − E‖x − x'‖ − E‖y − y'‖, of points (n, 2) and (m, 2)."""
    between, *within = (torch.cdist(a, b).mean() for a, b in ((one, two), (one, one), (two, two)))
    return float((2 * between - within[0] - within[1]).clamp(min=0).sqrt())
