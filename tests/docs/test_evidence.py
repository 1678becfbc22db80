"""All that quotes a measurement is what the file of results says, by rules that claim no more than it shows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.built_in import BUILT_IN
from support.comparisons import TOY
from support.lab_results import places, result

from balancer.diagnosis.remedies import REMEDIES
from balancer.lab.job import Job
from balancer.lab.plan import NULL, read_plan
from balancer.lab.results import append, read_results

ROOT = Path(__file__).parents[2]
# Three fixed values on a line; (3, 2) lies behind it and (1.5, 1.5) beyond.
AT = {"lambda 0": (1.0, 3.0), "lambda 1": (2.0, 2.0), "lambda 3": (3.0, 1.0), NULL: (2.0, 2.0)}
PLAN = TOY.replace("seeds = [0]", "seeds = [0, 1, 2]").replace(
    '[arms."lambda 3"]', '[arms."lambda 0"]\ncurve = 0.0\ntrain = {lambda_adv = 0.0}\n\n[arms."lambda 3"]'
)
ARMS: dict[str, Any] = {
    "controls": [],
    "near": ["raise_lambda"],
    "equal_cost": [],
    "landing": {"plugin": "another", "arms": ["ratio"], "wrong": ["lambda 0"]},
    "first_task": "scratch",
    "remedies": {"d_lr_ratio": ["ratio"], "raise_lambda": ["lambda 3"], "lambda_one": [NULL]},
    "told": {"ema": {"en": "Told.", "zh-TW": "已說。"}},
}
NUMBER = re.compile(r"\d+(?:\.\d+)?")

Made = Callable[..., Any]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """The evidence of invented runs: where the arm `ratio` lies, by how much a seed moves it, with which seeds."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from evidence_words import Evidence

    from balancer.lab.gathered import gathered
    from balancer.lab.tables import task_table

    def evidence(at: tuple[float, float] | None, noise: float = 0.01, seeds: int = 3) -> Any:
        (tmp_path / "toy.toml").write_text(PLAN)
        plan = read_plan(tmp_path / "toy.toml")
        there = AT if at is None else {**AT, "ratio": at}
        for job in plan.jobs:
            if job.task and job.seed < seeds and job.arm in there:
                own = there[job.arm][0], there[job.arm][1] + (noise * job.seed if job.arm in ("ratio", NULL) else 0.0)
                append(tmp_path, result(job, places(job, {job.arm: own})))
        found = gathered(plan, [tmp_path]).found.values()
        tasks = tuple(task_table(plan, name, found, plan.figures()) for name in plan.tasks)
        return Evidence(plan, tasks, ARMS, ("a machine",))

    return evidence


def test_every_page_is_what_the_results_say_and_that_takes_no_torch() -> None:
    code = (
        "import sys; sys.path.insert(0, 'benchmarks'); sys.argv = ['evidence.py', '--check']; import evidence; "
        "status = evidence.main(); sys.exit('it imported torch' if 'torch' in sys.modules else status)"
    )
    made = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr


@pytest.mark.parametrize(
    ("at", "noise", "seeds", "said"),
    [
        (None, 0.0, 3, "not measured here yet"),
        ((1.5, 1.5), 0.01, 1, "one run of a setting says nothing of gain"),
        ((1.5, 1.5), 0.01, 3, r"beyond every fixed λ by 0\.\d+ \[0\.\d+, 0\.\d+\]: ratio, scratch, 3 pairs"),
        ((1.5, 1.5), 2.0, 3, "no gain seen: ratio, scratch, 3 pairs"),
        ((3.0, 2.0), 0.01, 3, "no gain seen, behind fixed λ: ratio, scratch, 3 pairs"),
    ],
    ids=["not run", "one run", "beyond", "seeds differ by more", "behind"],
)
def test_a_gain_is_an_interval_beyond_the_curve_and_nothing_else(
    made: Made, at: tuple[float, float] | None, noise: float, seeds: int, said: str
) -> None:
    from evidence_pages import card
    from evidence_readme import found, three_lines
    from evidence_words import phrase

    evidence = made(at, noise, seeds)
    text = phrase(evidence.with_plugin("d_lr_ratio"))
    assert re.fullmatch(said, text)
    assert text[1:] in card(evidence, "d_lr_ratio").splitlines()[0]
    lines = three_lines(evidence, "en")
    assert ("**Helps**, beyond every fixed `lambda_adv`: `ratio` in 1 of 1" in lines) == text.startswith("beyond")
    assert ("**Does not help**, as far as was seen: `ratio`" in lines) == text.startswith("no gain")
    assert ("`ratio` (worse than a fixed `lambda_adv` in 1 of 1)" in lines) == ("behind" in text)
    assert ("is not known yet" in lines) == text.startswith("one run") and len(lines.splitlines()) <= 3
    assert NULL in found(evidence, "en")
    assert (NULL in card(evidence, "d_lr_ratio")) == (at is not None)


@pytest.mark.parametrize(("at", "seeds"), [(None, 3), ((1.5, 1.5), 1), ((1.5, 1.5), 3), ((3.0, 2.0), 3)])
def test_both_languages_say_the_same_numbers(made: Made, at: tuple[float, float] | None, seeds: int) -> None:
    from evidence_readme import found, three_lines
    from evidence_words import phrase, remedy

    evidence = made(at, 0.01, seeds)
    said = {
        language: [
            phrase(evidence.with_plugin("d_lr_ratio"), language),
            found(evidence, language),
            three_lines(evidence, language),
            *(remedy(evidence, name, language) for name in REMEDIES if name != "ema"),
        ]
        for language in ("en", "zh-TW")
    }
    for english, chinese in zip(*said.values(), strict=True):
        assert sorted(NUMBER.findall(english)) == sorted(NUMBER.findall(chinese)), english


def test_a_remedy_is_told_by_its_arm_and_one_without_an_arm_has_no_figure(made: Made) -> None:
    from evidence_words import remedy

    evidence = made((3.0, 2.0))
    assert remedy(evidence, "d_lr_ratio", "en").startswith("On scratch, “ratio” beside “lambda 1”: class error −1")
    assert remedy(evidence, "d_lr_ratio", "en").endswith("no gain seen, behind fixed λ.")
    assert remedy(evidence, "lambda_one", "en").startswith("What all else is held against. Run again")
    assert remedy(evidence, "smaller_d", "en") == "Not measured by this repository."
    assert remedy(evidence, "ema", "en") == "Told."


def test_a_landing_is_held_against_the_best_fixed_value_that_keeps_content(made: Made) -> None:
    from evidence_landing import landing

    assert not [*landing(made(None))]
    # Of the fixed values lambda 0 has the least of the first axis, and no other comes near it.
    (row,) = [line for line in landing(made((1.015, 3.3))) if line.startswith("| scratch")]
    assert row == "| scratch | 3 | lambda 0: 3 | +10% (−0.015) | +0% (+0.000) |"


def test_a_control_is_shown_and_is_no_gain_of_the_plugin(made: Made) -> None:
    from evidence_pages import card
    from evidence_readme import three_lines

    evidence = replace(made((1.5, 1.5)), arms={**ARMS, "controls": ["ratio"]})
    text = card(evidence, "d_lr_ratio")
    assert text.startswith("**Not measured here yet.**\nIts control, ") and "| scratch | ratio | 3 |" in text
    assert "Helps" not in three_lines(evidence, "en")


def test_what_is_taken_is_small_adds_to_what_is_there_and_is_read_as_results(made: Made, tmp_path: Path) -> None:
    made(None, 0.0, 1)
    import evidence

    plan, path = read_plan(tmp_path / "toy.toml"), tmp_path / "kept.jsonl"
    (tmp_path / "later").mkdir()
    later: list[Job] = [job for job in plan.jobs if job.task and job.arm == "lambda 1" and job.seed < 2]
    for job in later:
        append(tmp_path / "later", result(job, {"class 0": {"class error": 1 / 3, "energy distance": 2e-7 / 3}}))
    assert evidence.take([tmp_path], plan, path) == 4
    assert evidence.take([tmp_path / "later"], plan, path) == 5
    kept = {found.key: found for found in read_results(path)}
    assert [*kept] == [job.key for job in plan.jobs if job.key in kept] and len(kept) == 5
    assert kept[later[0].key].figures == {"class 0": {"class error": 0.33333, "energy distance": 6.6667e-8}}
    assert kept[later[0].key].tables == {} and kept[later[0].key].versions == {"torch": "2.10.0"}
    first = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    assert first["figures"]["class error"]["best"] == 0.0 and len(first["machines"]) == 1


def test_all_that_arms_toml_names_is_there(made: Made) -> None:
    import evidence

    there = evidence.evidence(ROOT)
    names = {*there.plan.arms, NULL}
    assert {*there.arms["controls"]} <= names and there.arms["first_task"] in there.plan.tasks
    other = read_plan(ROOT / evidence.CONFIRM)
    assert other.arms == {name: there.plan.arms[name] for name in other.arms}, "an arm on other fonts is the same arm"
    assert {*there.arms["near"]} <= {*there.arms["remedies"]}
    assert {name for arms in there.arms["remedies"].values() for name in arms} <= names
    assert {*there.arms["remedies"], *there.arms["told"]} <= {*REMEDIES}
    assert all(there.with_plugin(name) for name in BUILT_IN), "each plugin has an arm"
