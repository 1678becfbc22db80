"""The example model of the documentation, which is without randomness of its own, with D's maps and G's last layer."""

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from balancer import DOutput, ModelSpec
from balancer.train.loop import Trainer
from balancer.train.toy import small_trainer

_spec = importlib.util.spec_from_file_location("example_model", Path(__file__).parents[2] / "docs" / "example_model.py")
assert _spec is not None and _spec.loader is not None
_example: Any = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _example  # where pydantic looks up names
_spec.loader.exec_module(_example)


class SeenShapes(_example.Shapes):  # type: ignore[misc]
    def discriminate(self, discriminator: nn.Module, images: Tensor, condition: Tensor | None) -> DOutput:
        maps: list[Tensor] = []
        hooks = [
            layer.register_forward_hook(lambda module, seen, made: maps.append(made))
            for layer in self.discriminator.body
            if isinstance(layer, nn.LeakyReLU)
        ]
        output = super().discriminate(discriminator, images, condition)
        for hook in hooks:
            hook.remove()
        return DOutput(output.logits, output.heads, tuple(maps))

    def last_layer(self) -> nn.Parameter:
        weight: nn.Parameter = self.generator[2].weight
        return weight


class SeenShapesFamily(_example.ShapesFamily):  # type: ignore[misc]
    def spec(self, settings: Any) -> ModelSpec:
        from dataclasses import replace

        return replace(super().spec(settings), features=True)

    def build(self, settings: Any) -> SeenShapes:
        return SeenShapes(settings, self.spec(settings))


def shapes_trainer(
    plugins: Any, settings: Mapping[str, Mapping[str, Any]] | None = None, folder: Path | None = None, **train: Any
) -> Trainer:
    """A trainer of it on the CPU; `train` are settings of `train.*`."""
    family = SeenShapesFamily()
    model = family.Settings(**{"pictures": 64, "width": 8, **(settings or {}).get("model", {})})
    options = {"batch_size": 16, "lr": 2e-3, **train}
    return small_trainer("shapes", family, model, plugins, settings or {}, folder, options)
