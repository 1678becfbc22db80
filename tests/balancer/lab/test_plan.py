"""The file of a comparison: which runs it asks for, and what is refused before any begins."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.comparisons import TOY

from balancer.errors import BalancerError
from balancer.lab.plan import NULL, Plan, read_plan


def plan(folder: Path, text: str) -> Plan:
    (folder / "toy.toml").write_text(text)
    return read_plan(folder / "toy.toml")


def test_every_arm_runs_with_every_seed_beside_the_reference_over_again(tmp_path: Path) -> None:
    made = plan(tmp_path, TOY.replace("seeds = [0]", "seeds = [4, 2]"))
    runs = [(job.arm, job.seed) for job in made.jobs if not job.is_start]
    arms = ["lambda 1", "lambda 3", "ratio", NULL]
    assert runs == [(arm, seed) for seed in (4, 2) for arm in arms]
    again = next(job for job in made.jobs if job.arm == NULL)
    reference = next(job for job in made.jobs if job.arm == "lambda 1")
    assert again.tables["train"]["seed"] not in (2, 4)
    assert {**again.tables["train"], "seed": 4} == reference.tables["train"]


def test_settings_lie_over_each_other_and_each_change_of_them_is_another_run(tmp_path: Path) -> None:
    first = {job.arm: job for job in plan(tmp_path, TOY).jobs}
    assert first["lambda 3"].tables["train"] == {
        "threads": 1, "device": "cpu", "steps": 40, "batch_size": 32, "checkpoint_every": 8, "lambda_adv": 3.0,
        "seed": 0,
    }  # fmt: skip
    then = {job.arm: job for job in plan(tmp_path, TOY.replace("ratio = 0.5", "ratio = 0.25")).jobs}
    assert [arm for arm in first if first[arm].digest != then[arm].digest] == ["ratio"]


def test_an_arm_may_run_for_longer_than_the_others(tmp_path: Path) -> None:
    first = {job.arm: job for job in plan(tmp_path, TOY).jobs}
    longer = {job.arm: job for job in plan(tmp_path, TOY.replace("[arms.ratio]", "[arms.ratio]\nlength = 1.6")).jobs}
    steps = {arm: job.tables["train"]["steps"] for arm, job in longer.items() if not job.is_start}
    assert steps == {"lambda 1": 40, "lambda 3": 40, "ratio": 64, NULL: 40}
    assert [arm for arm in first if first[arm].digest != longer[arm].digest] == ["ratio"]


def test_runs_go_on_from_each_of_their_starts_and_are_others_where_the_start_is(tmp_path: Path) -> None:
    text = TOY.replace("[tasks.scratch]", '[tasks.scratch]\n\n[tasks.onward]\nstart = "begun"').replace(
        "train = {steps = 8}", "train = {steps = 8}\nseeds = [0, 1]"
    )
    jobs = plan(tmp_path, text).jobs
    assert [job.seed for job in jobs if job.is_start] == [0, 1]
    onward = [job for job in jobs if job.task == "onward" and job.arm == "ratio"]
    assert [(job.start_seed, job.seed) for job in onward] == [(0, 0), (1, 0)]
    assert onward[0].after == jobs[0].folder != onward[1].after
    other = plan(tmp_path, text.replace("train = {steps = 8}", "train = {steps = 9}")).jobs
    assert other[-1].digest != jobs[-1].digest


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('reference = "lambda 1"', 'reference = "lambda 2"', "lab.reference = 'lambda 2' is not there"),
        ("[tasks.scratch]", '[tasks.scratch]\nstart = "begn"', "tasks.scratch.start = 'begn' is not there"),
        ("seeds = [0]", "seeds = [0, 0]", "lab.seeds"),
        ("curve = 3.0", "bend = 3.0", "arms.lambda 3.bend: settings stand in tables"),
        ("[arms.ratio]", "[arm.ratio]", "arm: "),
        ("ratio = 0.5", "ratio = -1", "d_lr_ratio.ratio"),
        ("batch_size", "batchsize", "train.batchsize"),
        ('task = "scratch"', 'start = "begun"', "goes on from itself"),
        ("[tasks.scratch]", "", "no task"),
        ("steps = 40", "epochs = 2", "train.steps: give the length of its runs in steps"),
        ("[arms.ratio]", '[arms."ratio, half"]', "a name has no comma"),
    ],
)
def test_what_cannot_be_run_is_refused_with_its_key_before_anything_is(
    old: str, new: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(BalancerError) as caught:
        plan(tmp_path, TOY.replace(old, new)).check()
    assert said in str(caught.value), caught.value
