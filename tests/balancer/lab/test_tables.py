"""What arms come to, worked out by hand: means, paired differences, the null pair, distances, and what is said."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support.comparisons import TOY
from support.lab_results import places, result, written

from balancer.errors import ConfigError
from balancer.lab.gathered import gathered
from balancer.lab.job import Job
from balancer.lab.plan import NULL, Plan, read_plan
from balancer.lab.remarks import general, remarks
from balancer.lab.results import RESULTS, append
from balancer.lab.tables import ALL, Task, tables, task_table

# Three fixed values on a straight line, an arm behind it and one beyond, and the reference over again.
AT = {"lambda 0": (1.0, 3.0), "lambda 1": (2.0, 2.0), "lambda 3": (3.0, 1.0), "ratio": (3.0, 2.0), NULL: (1.5, 2.0)}
THREE = TOY.replace("seeds = [0]", "seeds = [0, 1, 2]").replace(
    '[arms."lambda 3"]', '[arms."lambda 0"]\ncurve = 0.0\ntrain = {lambda_adv = 0.0}\n\n[arms."lambda 3"]'
)


def plan_of(folder: Path, text: str = THREE) -> Plan:
    (folder / "toy.toml").write_text(text)
    return read_plan(folder / "toy.toml")


def task_of(plan: Plan, *sources: Path) -> Task:
    (task,) = tables(plan, gathered(plan, sources))
    return task


def said(task: Task) -> str:
    return "\n".join(remarks(task))


def test_figures_are_means_over_groups_and_pairs_and_differences_are_paired_by_seed(tmp_path: Path) -> None:
    """The seed moves all arms alike, by 10: differences are without it."""
    plan = plan_of(tmp_path)

    def made(job: Job) -> dict[str, dict[str, float]]:
        own = 10.0 * job.seed + (job.seed - 1.0 if job.arm == "ratio" else 0.0)
        return {
            group: {name: value + own for name, value in figures.items()} for group, figures in places(job, AT).items()
        }

    written(plan, tmp_path, made)
    task = task_of(plan, tmp_path)
    ratio = task.arm("ratio").figures[ALL]["class error"]
    assert ratio.mean == pytest.approx(13.0) and ratio.deviation == pytest.approx(11.0)
    # Differences −(1 + (−1, 0, 1)): mean −1, standard error 1/√3, t of two degrees 4.3027.
    assert sorted(ratio.differences) == pytest.approx([-2.0, -1.0, 0.0])
    assert ratio.closer is not None and ratio.closer.mean == pytest.approx(-1.0)
    assert ratio.closer.low == pytest.approx(-1 - 4.3027 / 3**0.5, abs=1e-3) and ratio.closer.sign == 0
    assert task.arm("ratio").figures["class 1"]["class error"].mean == pytest.approx(13.25)
    assert task.arm("lambda 1").figures[ALL]["class error"].closer is None
    assert task.arms[-1].is_null and task.groups == ("class 0", "class 1")


def test_the_order_of_results_changes_nothing(tmp_path: Path) -> None:
    plan, noise = plan_of(tmp_path), random.Random(0)
    at = {name: (x, y) for name, (x, y) in AT.items()}
    written(plan, tmp_path, lambda job: places(job, {job.arm: (at[job.arm][0] + noise.random(), noise.random())}))
    lines = (tmp_path / RESULTS).read_text().splitlines(keepends=True)
    first = task_of(plan, tmp_path)
    for seed in range(3):
        random.Random(seed).shuffle(lines)
        (tmp_path / RESULTS).write_text("".join(lines))
        again = task_of(plan, tmp_path)
        assert [vars(arm) for arm in again.arms] == [vars(arm) for arm in first.arms]
        assert again.curve == first.curve and said(again) == said(first)


def test_the_curve_goes_through_the_fixed_values_in_their_order_and_arms_lie_on_either_side(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    written(plan, tmp_path, lambda job: places(job, AT))
    task = task_of(plan, tmp_path)
    assert task.curve_arms == ("lambda 0", "lambda 1", "lambda 3")
    assert task.curve is not None and task.curve.units == (2.0, 2.0)
    # x + y = 4 in units of 2: (3, 2) is behind it by 1 / √2 / 2, (1.5, 2) beyond it by half as much.
    found = {arm.name: arm.from_curve for arm in task.arms}
    assert found["ratio"] is not None and found["ratio"].mean == pytest.approx(0.5**0.5 / 2)
    assert found[NULL] is not None and found[NULL].mean == pytest.approx(-(0.5**0.5) / 4)
    # In the middle of a straight line the others show the same; at an end there is no line without it.
    assert found["lambda 1"] is not None and found["lambda 1"].mean == pytest.approx(0.0, abs=1e-9)
    assert found["lambda 0"] is found["lambda 3"] is None


def test_what_failed_and_what_is_missing_is_named_and_pairs_without_it_count_nowhere(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    for job in plan.jobs:
        if job.is_start or (job.arm, job.seed) in (("ratio", 0), ("lambda 3", 2)):
            continue
        if (job.arm, job.seed) == ("ratio", 1):
            append(tmp_path, result(job, {}, error="not finite at step 7"))
        else:
            append(tmp_path, result(job, places(job, AT)))
    task = task_of(plan, tmp_path)
    text = said(task)
    assert "“ratio” failed with seed 1: not finite at step 7" in text
    assert "Not all runs have ended yet: 2 of 15 are missing." in text
    ratio = task.arm("ratio")
    assert list(ratio.runs) == [(None, 2)] and len(ratio.figures[ALL]["class error"].differences) == 1
    assert ratio.from_curve is None  # seed 2 has no whole curve
    assert task.curve is not None


def test_a_run_that_was_tried_again_counts_as_it_ended_whatever_file_says_it_failed(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    written(plan, tmp_path, lambda job: places(job, AT))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    jobs = [job for job in plan.jobs if job.arm == "ratio"]
    append(elsewhere, result(jobs[0], {}, error="no space"))
    append(elsewhere, result(jobs[1], places(jobs[1], {"ratio": (9.0, 9.0)})))
    results = gathered(plan, [tmp_path, elsewhere])
    assert results.disagreeing == 1
    (task,) = tables(plan, results)
    assert len(task.arm("ratio").runs) == 3 and not task.arm("ratio").failed
    assert "1 run made more than once" in " ".join(general(results, plan.path))


def test_results_of_other_settings_are_counted_and_left_out(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    written(plan, tmp_path, lambda job: places(job, AT))
    then = plan_of(tmp_path, THREE.replace("ratio = 0.5", "ratio = 0.25"))
    results = gathered(then, [tmp_path])
    assert results.others == 3
    assert "3 results left out: of other settings" in " ".join(general(results, then.path))
    (task,) = tables(then, results)
    assert not task.arm("ratio").runs
    with pytest.raises(ConfigError, match="none of its runs has a result"):
        gathered(plan_of(tmp_path, THREE.replace("steps = 40", "steps = 41")), [tmp_path])


def test_the_null_pair_says_what_seeds_alone_come_to(tmp_path: Path) -> None:
    """The reference again differs by 0.1, 0.5 and 0.2 (the sign changes), ratio by 1 and a little more in each pair."""
    plan = plan_of(tmp_path)
    apart = (0.1, -0.5, 0.2)

    def made(job: Job) -> dict[str, dict[str, float]]:
        null = (2.0 + apart[job.seed], 2.0 + apart[job.seed])
        return places(job, {**AT, NULL: null, "ratio": (3.0 + 0.01 * job.seed, 2.0)})

    written(plan, tmp_path, made)
    text = said(task_of(plan, tmp_path))
    assert "The reference again, with other seeds, differs from it by up to 0.5 in class error" in text
    assert "of the 9 pairs of the other arms 9 differ by more" in text
    assert (
        "Intervals that leave 0 out: 1 of 1 differences" in text
        and "of the null pair's 0 of 2" in text
        and "though nothing but seeds differs" not in text
    )
    # Where it differs by nearly the same each time its interval leaves 0 out, and that is said aloud.
    (tmp_path / RESULTS).unlink()
    again = (0.1, 0.11, 0.12)
    written(plan, tmp_path, lambda job: places(job, {**AT, NULL: (2.0 + again[job.seed], 2.0)}))
    assert "The interval of the reference again leaves 0 out in class error" in said(task_of(plan, tmp_path))


def test_a_curve_no_longer_than_what_seeds_come_to_is_said_to_say_little(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    near = {**AT, "lambda 0": (2.0, 3.0), "lambda 3": (2.01, 1.0)}
    written(plan, tmp_path, lambda job: places(job, {**near, NULL: (2.0 + 0.3 * job.seed, 2.0)}))
    text = said(task_of(plan, tmp_path))
    assert "Along class error the fixed values lie 0.01 apart, no more than the reference differs from itself" in text
    assert "Along energy distance" not in text


def test_several_starts_make_pairs_of_their_own_and_their_limits_are_said(tmp_path: Path) -> None:
    text = THREE.replace("[tasks.scratch]", '[tasks.onward]\nstart = "begun"').replace('task = "scratch"\n', "")
    plan = plan_of(tmp_path, text.replace("train = {steps = 8}", "train = {steps = 8}\nseeds = [5, 6]"))
    written(plan, tmp_path, lambda job: places(job, AT))
    task = task_of(plan, tmp_path)
    assert task.pairs == tuple((start, seed) for seed in (0, 1, 2) for start in (5, 6))
    assert "has 6 runs: seeds 0, 1, 2 from starts 5, 6." in said(task)
    assert "intervals speak of these starts and no others" in said(task)


def test_versions_and_lengths_that_differ_are_said(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    for job in plan.jobs:
        if not job.is_start:
            other = {"versions": {"torch": "2.11.0"}, "steps": 30} if job.seed == 2 else {}
            append(tmp_path, result(job, places(job, AT), **other))
    text = said(task_of(plan, tmp_path))
    assert "several versions of torch: 2.10.0 in 10, 2.11.0 in 5" in text
    assert "30 steps in 5, 40 steps in 10" in text


def test_seeds_are_counted_as_they_ran_and_not_as_they_were_planned(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    for job in plan.jobs:
        if not job.is_start and (job.arm, job.seed) in (("lambda 1", 0), ("lambda 1", 2), ("ratio", 2)):
            append(tmp_path, result(job, places(job, AT)))
    task = task_of(plan, tmp_path)
    assert "“lambda 1”, has 2 runs of 3 planned: seeds 0, 2." in said(task)
    alone = task_table(plan, task.name, [], task.specs)
    assert "“lambda 1”, has no run yet" in said(alone)


def test_one_pair_has_figures_and_no_intervals(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, THREE.replace("seeds = [0, 1, 2]", "seeds = [0]"))
    written(plan, tmp_path, lambda job: places(job, AT))
    task = task_of(plan, tmp_path)
    closer = task.arm("ratio").figures[ALL]["class error"].closer
    assert closer is not None and closer.mean == pytest.approx(-1.0) and not closer.bounded and closer.sign == 0
    assert "One pair shows nothing of what seeds differ by" in said(task)


@pytest.mark.parametrize(("key", "said"), [("axes", "class errr"), ("shown", "beauty")])
def test_a_figure_that_the_model_lacks_is_refused_with_its_key(key: str, said: str, tmp_path: Path) -> None:
    text = (
        THREE.replace("class error", said) if key == "axes" else THREE.replace("axes =", f'shown = ["{said}"]\naxes =')
    )
    with pytest.raises(ConfigError, match=f"lab.{key}: '{said}' is no figure of the model points"):
        plan_of(tmp_path, text).check()
