"""What zi2zi adds to the diagnosis: its log formats, its units, its rules, its words. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from balancer.diagnosis import Case, Extension, History, LineParser, Source, Structure, Units
from zi2zi_model.diagnosis import code_rules, loss_rules, model_rules, unit_rules
from zi2zi_model.diagnosis.logs import ZiLogParser
from zi2zi_model.diagnosis.sizes import port_structure, run_structure
from zi2zi_model.diagnosis.units import zi2zi_units


class Zi2ziDiagnosis(Extension):
    """Logs of kaonashi-tyc/zi2zi and its PyTorch ports, their checkpoints, and our own zi2zi runs."""

    name = "zi2zi"
    rules = (*loss_rules.RULES, *code_rules.RULES, *unit_rules.RULES, *model_rules.RULES)
    words = Path(__file__).parent / "words"
    codes = Path(__file__).parent / "codes.toml"

    def parser(self) -> LineParser:
        """A parser of one log."""
        return ZiLogParser()

    def units(self, history: History, source: Source, told: Units) -> Units | None:
        """The units of a zi2zi text log; turns the history's terms into raw ones (`zi2zi_units`)."""
        return zi2zi_units(history, source, told)

    def import_command(self, case: Case, into: str) -> str | None:
        """The command that imports the checkpoint that the log speaks of: the last one saved, else the one resumed."""
        if case.source.format == "tf":
            return None  # its checkpoints are TensorFlow's
        facts = case.source.facts_of("checkpoint") or case.source.facts_of("resumed")
        step = facts[-1].values["step"] if facts else "STEP"
        name = f"{step:.0f}" if isinstance(step, int | float) else step
        return f"balancer zi2zi import {name}_net_G.pth {name}_net_D.pth --out {into} --set model.data=DATA"

    def structure(self, folder: Path, config: Mapping[str, Any]) -> Structure:
        """The networks and data of a run directory.

        Raises:
            ConfigError: the config's model table is not one of zi2zi.
        """
        return run_structure(folder, config)

    def checkpoint(self, path: Path) -> Structure | None:
        """The networks of a port's checkpoint, named by its G, its D or their folder; None for anything else.

        Raises:
            CheckpointError: a file is missing, damaged or does not fit.
        """
        return port_structure(path)


EXTENSION: Final = Zi2ziDiagnosis()
