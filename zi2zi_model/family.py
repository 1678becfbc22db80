"""zi2zi as the framework finds it: settings, terms and heads, without importing torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balancer import FigureSpec, HeadSpec, ModelFamily, ModelSpec
from zi2zi_model.settings import Zi2ziSettings

if TYPE_CHECKING:
    from zi2zi_model.network.model import Zi2zi

# Ports train with batches of 16 at lr 1e-3, × 0.99 an epoch down to 2e-4 (max32002/zi2zi-pytorch). They keep no average
# of G's weights; 10,000 items is its half-life in StyleGAN and StyleGAN2 (G_smoothing_kimg, Karras et al. 2019), 1 % of
# the source document's 64,000 steps. That of `tiny`, 100 steps, was chosen on runs of 250 to 1,500 steps.
_PORTS = {"batch_size": 16, "lr": 1e-3, "lr_decay": 0.99, "lr_floor": 2e-4, "ema_half_life": 10_000.0}
_TINY = {"batch_size": 8, "lr": 5e-4, "ema_half_life": 800.0}


class Zi2ziFamily(ModelFamily):
    """Draws the characters of a typeface from those of another."""

    Settings = Zi2ziSettings

    def spec(self, settings: Zi2ziSettings) -> ModelSpec:
        weights = {"l1": settings.lambda_l1, "const": settings.lambda_const, "category": settings.lambda_category}
        return ModelSpec(
            adversarial=settings.adversarial,
            weights=weights,
            d_terms=("category",),
            heads={"category": HeadSpec(d_terms=("category",), g_terms=("category",))},
            fakes_per_real=2 if settings.shuffle_labels else 1,
            features=True,
            structure_error=True,
            conditional=True,
        )

    def train_defaults(self, settings: Zi2ziSettings) -> dict[str, Any]:
        return _TINY if settings.preset == "tiny" else _PORTS

    def figures(self) -> Mapping[str, FigureSpec]:
        from zi2zi_model.judges.figures import FIGURES

        return {name: FigureSpec(figure.best, figure.meaning) for name, figure in FIGURES.items()}

    def measure(self, folder: Path) -> Mapping[str, Mapping[str, float]]:
        """Those of `balancer zi2zi evaluate`, of each style by its name."""
        from zi2zi_model.judging.evaluation import figures_of_run

        return figures_of_run(folder)

    def build(self, settings: Zi2ziSettings) -> Zi2zi:
        from zi2zi_model.network.model import Zi2zi

        return Zi2zi(settings, self.spec(settings))
