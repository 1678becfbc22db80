"""Workers that an engine starts share a comparison's runs among them, and end with what one process ends with."""

from __future__ import annotations

from pathlib import Path

from support.comparisons import TOY, begun

from balancer.lab.results import read_results


def test_two_workers_do_each_run_once_and_the_results_are_those_of_one(tmp_path: Path) -> None:
    (tmp_path / "toy.toml").write_text(TOY)
    for name, options in (("alone", ["--jobs", "2"]), ("shared", ["--on", "local", "--workers", "2"])):
        process = begun(tmp_path / "toy.toml", tmp_path / name, *options)
        said, wrong = process.communicate()
        assert (process.returncode, wrong) == (0, ""), said
    alone, shared = (
        [(result.key, result.figures, result.signals) for result in read_results(tmp_path / name)]
        for name in ("alone", "shared")
    )
    assert len(shared) == len({key for key, *_ in shared}) == 4, "each run once"
    assert sorted(map(str, alone)) == sorted(map(str, shared))
    logs = [*(tmp_path / "shared" / "workers").glob("*_log.out")]
    assert len(logs) == 2


def test_a_machine_without_the_engine_says_so_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "toy.toml").write_text(TOY)
    for options, line in (
        (["--on", "slurm"], '--on slurm: Could not detect "srun"'),
        (["--on", "local", "--option", "colour=x"], "--on local: Parameter 'colour' need to be prefixed"),
        (["--option", "slurm_partition=x"], "--option goes with --on"),
    ):
        process = begun(tmp_path / "toy.toml", tmp_path / "out", *options)
        said, wrong = process.communicate()
        assert process.returncode == 2 and line in wrong and wrong.count("\n") == 1, (said, wrong)
