"""docs/lab.md names every key of a comparison's file in the words of the settings, and its files can be run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from balancer.contract.settings import Settings
from balancer.lab.plan import ArmSettings, LabSettings, StartSettings, TaskSettings, read_plan

PAGE = (Path(__file__).parents[2] / "docs" / "lab.md").read_text(encoding="utf-8")
FILES = re.findall(r"^```toml\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    ("table", "settings"),
    [("lab", LabSettings), ("tasks.NAME", TaskSettings), ("arms.NAME", ArmSettings), ("starts.NAME", StartSettings)],
)
def test_every_key_stands_in_its_table_in_the_words_of_the_settings(table: str, settings: type[Settings]) -> None:
    rows = PAGE.partition(f"| `[{table}]` |")[2].partition("\n\n")[0]
    listed = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", rows, flags=re.MULTILINE))
    assert list(listed) == [*settings.model_fields]
    for name, field in settings.model_fields.items():
        assert listed[name].replace("`", "").startswith((field.description or "?").replace("`", ""))


def test_the_file_that_it_shows_is_one_that_runs_and_names_its_figures(tmp_path: Path) -> None:
    (tmp_path / "toy.toml").write_text(FILES[0])
    plan = read_plan(tmp_path / "toy.toml")
    plan.check()
    assert len(plan.jobs) == 15 and list(plan.curve.values()) == [0, 1, 3]


def test_a_task_that_goes_on_from_a_start_is_one_too(tmp_path: Path) -> None:
    head = '[lab]\nmodel = "zi2zi"\nseeds = [0]\nreference = "plain"\naxes = ["content cosine", "style distance"]\n'
    (tmp_path / "zi2zi.toml").write_text(f"{head}[base.train]\nsteps = 60\n[tasks.scratch]\n[arms.plain]\n{FILES[1]}")
    plan = read_plan(tmp_path / "zi2zi.toml")
    plan.check()
    assert [job.start_seed for job in plan.jobs if job.task == "continue"] == [0, 0, 1, 1]
