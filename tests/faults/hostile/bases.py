"""Good runs, fonts and data sets that hostile input is made of, each made once."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from faults import runs
from zi2zi_model.data.font_data import EMBEDDED_SOURCE, EMBEDDED_TARGETS

POINTS = ("--model", "points", "--plugins", "dynamic_lambda", "--set", "train.batch_size=64", "--steps", 6)
GLYPHS = (
    "--model", "zi2zi", "--plugins", "dynamic_lambda", "--set", "model.max_characters=24", "--steps", 2,
    "--set", "model.charset=demo", "--set", "model.held_out=0.2", "--set", "model.max_channels=32",
    "--set", "model.d_channels=8", "--set", "train.batch_size=4",
)  # fmt: skip


class Bases:
    """Good input beneath a folder, which nobody changes."""

    font = EMBEDDED_TARGETS[0]
    source = EMBEDDED_SOURCE

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @cached_property
    def points(self) -> Path:
        """A run of points."""
        return self._made("points", "train", *POINTS, "--quiet", "--device", "cpu", "--set", "train.checkpoint_every=3")

    @cached_property
    def glyphs(self) -> Path:
        """A run of zi2zi."""
        return self._made("glyphs", "train", *GLYPHS, "--quiet", "--device", "cpu")

    @cached_property
    def data(self) -> Path:
        """A data set."""
        return self._made("data", "zi2zi", "data", "build", "--max-characters", 12, "--held-out", 0.3)

    def _made(self, name: str, *args: object) -> Path:
        """What a command makes in this process, so that what is forked from it has all modules."""
        path = self._folder / name
        if not path.exists():
            runs.here(*args, "--out", path)
        return path
