"""A search tries settings, remembers them across a kill, ends bad runs early, and finds what is known to be best."""

from __future__ import annotations

import time
from pathlib import Path

import optuna
import pytest
from support.comparisons import TOY, begun, killed

from balancer.errors import ConfigError
from balancer.lab.plan import read_plan
from balancer.lab.results import read_results
from balancer.lab.search import read_search
from balancer.lab.tune import opened_study
from balancer.record.run_config import read_toml

SEARCH = """
[tune]
task = "scratch"
arm = "lambda 1"
figure = "class error"

[tune.space."train.lr"]
low = 1e-6
high = 1e-2
log = true
"""


def search(folder: Path, text: str) -> Path:
    (folder / "toy.toml").write_text(TOY + text)
    return folder / "toy.toml"


def trials(folder: Path) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=None, storage=f"sqlite:///{folder / 'study.db'}").trials


def test_a_search_killed_in_a_trial_goes_on_and_its_best_is_the_best_of_its_runs(tmp_path: Path) -> None:
    file = search(tmp_path, SEARCH)
    process = begun(file, tmp_path, "--trials", "4", command="tune")
    while len([*read_results(tmp_path)]) < 1:
        time.sleep(0.2)
    time.sleep(2.0)
    killed(process)
    process = begun(file, tmp_path, "--trials", "4", command="tune")
    said, wrong = process.communicate()
    assert (process.returncode, wrong) == (0, ""), said
    done = [trial for trial in trials(tmp_path) if trial.state == optuna.trial.TrialState.COMPLETE]
    assert len(done) == 4
    by_rate = {result.tables["train"]["lr"]: result.figures for result in read_results(tmp_path)}
    best = min(done, key=lambda trial: trial.value or 0.0)
    for trial in done:
        groups = by_rate[trial.params["train.lr"]].values()
        assert trial.value == pytest.approx(sum(group["class error"] for group in groups) / len(groups))
    assert f"trial {best.number}: train.lr {best.params['train.lr']:.4g}: {best.value:.4f}" in said.splitlines()[-1]


def test_a_run_that_its_probes_show_to_be_bad_is_given_up(tmp_path: Path) -> None:
    text = SEARCH.replace("low = 1e-6", "low = 1e-9").replace(
        'figure = "class error"', 'figure = "class error"\nprune_by = "val/structure_error"\nstartup = 1'
    )
    base = TOY.replace("steps = 40", "steps = 1500").replace("batch_size = 32", "batch_size = 32\nprobe_every = 10")
    file = tmp_path / "toy.toml"
    file.write_text(base + text)
    plan = read_plan(file)
    study = opened_study(plan, read_search(plan, read_toml(file)), tmp_path)
    for rate in (1e-2, 1e-9):
        study.enqueue_trial({"train.lr": rate})
    said, wrong = begun(file, tmp_path, "--trials", "2", command="tune").communicate()
    assert not wrong
    assert [trial.state.name for trial in trials(tmp_path)] == ["COMPLETE", "PRUNED"]
    assert "trial 1: train.lr 1e-09: pruned" in said


def test_what_breaks_the_guard_is_not_best(tmp_path: Path) -> None:
    text = SEARCH.replace("[tune.space", '[tune.guard]\n"energy distance" = 0.0\n\n[tune.space')
    said, wrong = begun(search(tmp_path, text), tmp_path, "--trials", "1", command="tune").communicate()
    assert "more than 0" in said and said.splitlines()[-1] == "no trial kept the guard", wrong


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('figure = "class error"', 'figure = "beauty"', "has no figure 'beauty'; it has class error"),
        ('"train.lr"', '"lr"', "'lr' is not of the form TABLE.KEY"),
        ("high = 1e-2", "high = 1e-7", "low and high are needed"),
        ('task = "scratch"', 'task = "scrtch"', "tune.task = 'scrtch' is not there"),
        ("[tune]", "[tuning]", "tuning: "),
    ],
)
def test_a_wrong_search_is_refused_with_its_key(old: str, new: str, said: str, tmp_path: Path) -> None:
    file = search(tmp_path, SEARCH.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        read_search(read_plan(file), read_toml(file))
    assert said in str(caught.value)
