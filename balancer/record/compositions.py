"""compositions.jsonl: what a `Balancer` was composed of, from which step on; written, read and cut here.

A line says what the host offered, every knob with its base and the moment after which it is read, the plugins with
their settings, and the seed: all that it takes to explain the run's knobs and to replay its signals.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from balancer.contract.adversarial import AdversarialLoss, RecordedLoss
from balancer.contract.compose import Composition
from balancer.contract.host import SIGHTS, Host
from balancer.contract.knobs import KnobSpec
from balancer.contract.losses import BUILT_IN
from balancer.contract.model import HeadSpec
from balancer.contract.signals import SignalSpec
from balancer.errors import CheckpointError, ConfigError
from balancer.record import files
from balancer.record.damage import Damage
from balancer.record.decisions import from_json
from balancer.record.folder import COMPOSITIONS
from balancer.record.sealed import SEAL, holds, sealed
from balancer.record.settings_tables import as_table

# Lines of format 1 had no seal.
FORMAT: Final = 2


@dataclass(frozen=True)
class Composed:
    """What ran from step `first` on, until before step `until` (None: to the end)."""

    first: int
    until: int | None
    host: Host
    # Every knob, those that plugins brought among them.
    knobs: Mapping[str, KnobSpec]
    # In the order they acted: name -> the distribution that it came from.
    plugins: Mapping[str, str]
    settings: Mapping[str, Mapping[str, Any]]
    seed: int
    steps_per_epoch: int | None
    batch_size: int | None = None
    # How many steps the run was planned to have.
    steps: int | None = None
    # Those that came from a file of their own: name -> `plugin` (PATH.py:CLASS) and `sha256`.
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def reference(self, plugin: str) -> str:
        """What a plugin is composed by: its name, or `PATH.py:CLASS`."""
        return self.files[plugin]["plugin"] if plugin in self.files else plugin

    @classmethod
    def of(
        cls,
        composition: Composition,
        first: int,
        seed: int,
        steps_per_epoch: int | None,
        batch_size: int | None = None,
        steps: int | None = None,
    ) -> Composed:
        """What a composition is, as a record keeps it."""
        plugins = composition.plugins
        return cls(
            first,
            None,
            composition.host,
            composition.knobs,
            {plugin.name: composition.sources[plugin.name] for plugin in plugins},
            {plugin.name: as_table(plugin.config, f"plugin {plugin.name}", plugin.name) for plugin in plugins},
            seed,
            steps_per_epoch,
            batch_size,
            steps,
            {name: file.as_table() for name, file in composition.files.items()},
        )


def keep_composition(folder: Path, composed: Composed) -> None:
    """Add a line, unless the newest one says the same."""
    row = _row_of(composed)
    held = files.read(folder, COMPOSITIONS) if files.exists(folder, COMPOSITIONS) else b""
    line = sealed(row, ensure_ascii=False, sort_keys=True, default=_plain) + b"\n"
    lines = held.splitlines()
    if lines and (newest := _row(lines[-1])) is not None and _said(newest) == _said(json.loads(line)):
        return
    # Where a damaged line has no end, the new one begins its own.
    files.replace(folder, COMPOSITIONS, held + (b"" if held.endswith(b"\n") or not held else b"\n") + line)


def read_compositions(folder: Path) -> list[Composed]:
    """What a run was composed of, in the order of its steps; empty where none is kept.

    Behind a damaged line nobody knows where what it said began, so only what follows the last one is returned.

    Raises:
        CheckpointError: nothing follows a damaged line, or the file cannot be read.
    """
    path = folder / COMPOSITIONS
    made: list[Composed] = []
    damaged = 0
    try:
        lines = files.read(folder, COMPOSITIONS).splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        composed = _composed(line)
        if composed is None:
            made, damaged = [], number
        else:
            made.append(composed)
    if damaged and not made:
        why = f"line {damaged} is damaged, or a newer version wrote it"
        raise CheckpointError(f"{path} does not say what the run was composed of: {why}")
    untils = [*(one.first for one in made[1:]), None]
    return [dataclasses.replace(one, until=until) for one, until in zip(made, untils, strict=False)]


def run_compositions(folder: Path) -> list[Composed]:
    """What a run was composed of, where there must be something.

    Raises:
        ConfigError: there is no such folder, or it does not say.
        CheckpointError: the file is damaged.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a run directory: there is no such folder")
    compositions = read_compositions(folder)
    if not compositions:
        raise ConfigError(
            f"{folder} does not say what it was composed of ({COMPOSITIONS} is missing): "
            "it is not a run directory, no step was taken in it, or a version before 0.2 logged it"
        )
    return compositions


def cut_compositions(folder: Path, step: int) -> Damage:
    """Forget those that began at `step` or later; a damaged one goes with the one before it."""
    damage, stays, kept = Damage(folder / COMPOSITIONS, "line"), True, []
    if files.exists(folder, COMPOSITIONS):
        for number, line in enumerate(files.read(folder, COMPOSITIONS).splitlines(keepends=True), 1):
            row = _row(line)
            if row is None:
                damage.note(f"line {number}")
            else:
                stays = row["step"] < step
            if stays:
                kept.append(line)
        files.replace(folder, COMPOSITIONS, b"".join(kept))
    return damage


def _row_of(composed: Composed) -> dict[str, Any]:
    row = {
        "format": FORMAT,
        "step": composed.first,
        "seed": composed.seed,
        "steps_per_epoch": composed.steps_per_epoch,
        "batch_size": composed.batch_size,
        "steps": composed.steps,
        "plugins": dict(composed.plugins),
        "settings": {name: dict(table) for name, table in composed.settings.items()},
        "knobs": [dataclasses.asdict(spec) for spec in composed.knobs.values()],
        "host": {
            "name": composed.host.name,
            "knobs": list(composed.host.knobs),
            "signals": [dataclasses.asdict(spec) for spec in composed.host.signals.values()],
            "base": dict(composed.host.base),
            "heads": {name: dataclasses.asdict(head) for name, head in composed.host.heads.items()},
            "d_terms": list(composed.host.d_terms),
            "adversarial": composed.host.adversarial.facts(),
            "calls": list(composed.host.calls),
            "meaningless": dict(composed.host.meaningless),
            "weighs": composed.host.weighs,
            "shows": list(composed.host.shows),
        },
    }
    if composed.files:
        row["files"] = {name: dict(table) for name, table in composed.files.items()}
    return row


def _said(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a line says of the composition itself."""
    return {key: value for key, value in row.items() if key not in ("step", "format", SEAL)}


def _plain(value: Any) -> Any:
    """A set in order; a number of numpy or torch as Python's own."""
    return sorted(value) if isinstance(value, set | frozenset) else value.item()


def _row(line: bytes) -> dict[str, Any] | None:
    """What a line says; None where it is damaged, or of another version."""
    whole = holds(line)
    try:
        row: dict[str, Any] = json.loads(line)
        step, version = row["step"], row["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    known = version == FORMAT if whole else version == 1 and SEAL not in row
    return row if known and whole is not False and isinstance(step, int) else None


def _composed(line: bytes) -> Composed | None:
    try:
        row = _row(line)
        return None if row is None else _made(row)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _made(row: Mapping[str, Any]) -> Composed:
    knobs = {spec["name"]: _knob(spec) for spec in row["knobs"]}
    host = row["host"]
    return Composed(
        int(row["step"]),
        None,
        Host(
            host["name"],
            {name: knobs[name] for name in host["knobs"]},
            {spec["name"]: SignalSpec(**spec) for spec in host["signals"]},
            {name: from_json(value) for name, value in host["base"].items()},
            {name: HeadSpec(tuple(head["d_terms"]), tuple(head["g_terms"])) for name, head in host["heads"].items()},
            tuple(host["d_terms"]),
            _loss(host["adversarial"]),
            tuple(host["calls"]),
            host["meaningless"],
            host["weighs"],
            tuple(host.get("shows", SIGHTS)),
        ),
        knobs,
        row["plugins"],
        row["settings"],
        row["seed"],
        row["steps_per_epoch"],
        row.get("batch_size"),
        row.get("steps"),
        row.get("files", {}),
    )


def _loss(kept: str | Mapping[str, Any]) -> AdversarialLoss:
    """The loss by what was kept of it: its levels, or before 0.3 the name of a built-in one."""
    return BUILT_IN[kept] if isinstance(kept, str) else RecordedLoss(kept)


def _knob(row: Mapping[str, Any]) -> KnobSpec:
    return KnobSpec(**{name: from_json(value) for name, value in row.items()})
