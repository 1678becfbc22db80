"""One run of a comparison: what it is made of, and the name by which its results are known."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

Tables = Mapping[str, Mapping[str, Any]]
START: Final = "{start}"


@dataclass(frozen=True, eq=False)
class Job:
    """A run of an arm on a task; with an empty task the run of a start, which `arm` then names.

    Attributes:
        after: the folder name of the start that it goes on from, or an empty text.
        start_seed: the seed of that start, or None.
        seed: by which runs of different arms are paired; the run's own stands in `tables`.
        position: of its seed among its task's.
        digest: of all that it is made of, its start's included; with other settings it is another run.
    """

    model: str
    task: str
    arm: str
    after: str
    start_seed: int | None
    seed: int
    plugins: tuple[str, ...]
    tables: Tables
    position: int
    digest: str

    @classmethod
    def made(
        cls,
        model: str,
        task: str,
        arm: str,
        start: Job | None,
        seed: int,
        plugins: tuple[str, ...],
        tables: Tables,
        position: int,
    ) -> Job:
        """A run of these settings, with one thread."""
        tables = {**tables, "train": {"threads": 1, "device": "cpu", **tables.get("train", {}), "seed": seed}}
        after, before = ("", "") if start is None else (start.folder, start.digest)
        content = json.dumps([model, list(plugins), tables, before], sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:12]
        start_seed = None if start is None else start.seed
        return cls(model, task, arm, after, start_seed, seed, plugins, tables, position, digest)

    @classmethod
    def from_json(cls, text: str) -> Job:
        """What `as_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, "plugins": tuple(values["plugins"])})

    def as_json(self) -> str:
        """All of it, for another process."""
        return json.dumps(asdict(self))

    def named(self, *, arm: str, seed: int) -> Job:
        """The same run under another arm's name, paired by another seed."""
        return replace(self, arm=arm, seed=seed)

    @property
    def is_start(self) -> bool:
        """Whether others go on from it."""
        return not self.task

    @property
    def key(self) -> tuple[str, str, int | None, int, str]:
        """What its result is known by."""
        return self.task, self.arm, self.start_seed, self.seed, self.digest

    @property
    def folder(self) -> str:
        """Its name as a folder: what it is, and the digest, which alone tells it from others."""
        words = [self.task or "start", self.arm, *(() if self.start_seed is None else (f"from{self.start_seed}",))]
        plain = "-".join(re.sub(r"[^0-9A-Za-z.]+", "_", word).strip("_") or "_" for word in words)
        return f"{plain[:80]}-{self.seed}-{self.digest}"

    @property
    def title(self) -> str:
        """What it is, in words."""
        start = "" if self.start_seed is None else f" from start {self.start_seed}"
        return f"{f'start {self.arm}' if self.is_start else f'{self.task} · {self.arm}'}{start} · seed {self.seed}"

    def filled(self, places: Mapping[str, str]) -> Tables:
        """The tables with `{start}` filled in."""
        return {
            name: {key: _filled(value, places) for key, value in table.items()} for name, table in self.tables.items()
        }


def _filled(value: Any, places: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for place, text in places.items():
            value = value.replace(place, text)
    return value
