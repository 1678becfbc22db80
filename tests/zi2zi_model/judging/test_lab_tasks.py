"""The shipped comparison on fonts, in miniature: each of its tasks begins, goes on from its start, and is measured."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import tomli_w

from balancer.lab.plan import read_plan
from balancer.lab.results import read_results
from zi2zi_model.data.font_data import EMBEDDED_TARGETS

ROOT = Path(__file__).parents[3]
FILE = ROOT / "benchmarks" / "lab" / "fonts.toml"


def miniature(folder: Path) -> Path:
    """The file with the embedded glyphs, 24 characters and runs of a few steps."""
    tables = tomllib.loads(FILE.read_text(encoding="utf-8"))
    small = {"charset": "demo", "max_characters": 24, "held_out": 0.25}
    of_fonts = {"source", "targets", *small}
    for part in (tables["base"], *tables["tasks"].values(), *tables["starts"].values()):
        model = part.setdefault("model", {})
        targets = [copied(folder, number) for number in range(len(model.get("targets", ())))]
        part["model"] = {key: value for key, value in model.items() if key not in of_fonts}
        if targets:
            part["model"]["targets"] = targets
        part.setdefault("train", {})["steps"] = 3
    tables["base"]["model"] |= small
    tables["base"]["train"] |= {"probe_every": 1, "batch_size": 4}
    tables["starts"]["won"]["d_alone"] = {"below": 10.0}
    for start in tables["starts"].values():
        start["seeds"] = [0]
    path = folder / "fonts.toml"
    path.write_bytes(tomli_w.dumps(tables).encode())
    return path


def copied(folder: Path, number: int) -> str:
    """The embedded target under a name of its own, as each style has one."""
    return str(shutil.copy(EMBEDDED_TARGETS[0], folder / f"style{number}.ttf"))


def test_every_task_runs_from_its_start_and_is_measured_style_by_style(tmp_path: Path) -> None:
    file = miniature(tmp_path)
    plan = read_plan(file)
    assert {*plan.tasks} == {"scratch", "continue", "saturated", "collapsed", "own", "few"}
    words = [sys.executable, "-m", "balancer", "lab", "run", str(file), "--out", str(tmp_path / "out"), "--jobs", "2"]
    words += ["--arms", "matching_aware at lambda 3", "--seeds", "0"]
    done = subprocess.run(
        words, cwd=ROOT, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = {(result.task, result.arm): result for result in read_results(tmp_path / "out")}
    assert not [result.error for result in results.values() if result.error]
    assert results["", "won"].steps == 1, "it ends where D has won"
    for task in plan.tasks:
        result = results[task, "matching_aware at lambda 3"]
        styles = 1 if task in ("own", "few") else 4
        assert len(result.figures) == styles, [*result.figures]
        assert result.steps == 3 and result.signals["val/csim"] > 0


def test_every_arm_of_the_shipped_file_can_be_composed() -> None:
    read_plan(FILE).check()
