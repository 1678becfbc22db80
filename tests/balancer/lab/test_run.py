"""A comparison runs every run once, goes on after a kill with the same results, and says what failed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from support.comparisons import TOY, begun, killed

from balancer.lab.results import RESULTS, append, read_results


def results(folder: Path) -> dict[tuple[Any, ...], Any]:
    return {result.key: (result.figures, result.signals, result.steps) for result in read_results(folder)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    (folder / "toy.toml").write_text(
        TOY.replace("[tasks.scratch]", '[tasks.scratch]\nstart = "begun"\narms = ["ratio"]')
    )
    process = begun(folder / "toy.toml", folder / "out", "--jobs", "2")
    said, wrong = process.communicate()
    assert (process.returncode, wrong) == (0, "")
    assert said.count("\n") == 5, said  # a start, three runs, and the end
    return folder


def test_every_run_is_measured_and_recorded_once(whole: Path) -> None:
    lines = (whole / "out" / RESULTS).read_text().splitlines()
    assert len(lines) == len(results(whole / "out")) == 4
    for result in read_results(whole / "out"):
        assert set(result.figures) == {f"class {number}" for number in range(4)}
        assert result.seconds is not None and not result.error
        assert result.versions["balancer"] and result.steps == (40 if result.task else 8)


def test_killed_at_any_moment_the_same_command_ends_with_the_same_results(whole: Path, tmp_path: Path) -> None:
    for seconds in (2.0, 4.0, 5.0):
        process = begun(whole / "toy.toml", tmp_path, "--jobs", "2")
        time.sleep(seconds)
        killed(process)
    process = begun(whole / "toy.toml", tmp_path)
    said, wrong = process.communicate()
    assert (process.returncode, wrong) == (0, ""), said
    assert results(tmp_path) == results(whole / "out")


def test_a_second_command_does_nothing_that_is_done(whole: Path) -> None:
    before = (whole / "out" / RESULTS).read_bytes()
    process = begun(whole / "toy.toml", whole / "out")
    assert "done" in process.communicate()[0]
    assert (whole / "out" / RESULTS).read_bytes() == before


def test_a_run_that_fails_is_a_result_and_the_others_go_on(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "toy.toml").write_text(
        TOY.replace('reference = "lambda 1"', 'reference = "ratio"').replace(
            "train = {lambda_adv = 3.0}", "train = {lambda_adv = 3.0, lr = 1.0, precision = 'bf16', micro_batches = 5}"
        )
    )
    said, _ = begun(tmp_path / "toy.toml", tmp_path, "--arms", "lambda 3,ratio").communicate()
    failed = [result for result in read_results(tmp_path) if result.error]
    assert [result.arm for result in failed] == ["lambda 3"]
    assert "micro_batches" in failed[0].error and f"failed: {failed[0].error}" in said
    assert [result.arm for result in read_results(tmp_path) if not result.error and result.task] == ["ratio"]


def test_what_failed_is_left_alone_and_tried_once_more_where_asked(tmp_path: Path) -> None:
    text = TOY.replace("train = {lambda_adv = 3.0}", "train = {micro_batches = 5}").replace('"lambda 1"', '"ratio"', 1)
    (tmp_path / "toy.toml").write_text(text)
    for options, lines in (([], 1), ([], 1), (["--retry"], 2)):
        process = begun(tmp_path / "toy.toml", tmp_path, "--arms", "lambda 3", *options)
        said, wrong = process.communicate(timeout=120)
        assert (process.returncode, wrong) == (1, "") and "1 of 1 failed (--retry tries them again)" in said
        assert len((tmp_path / RESULTS).read_text().splitlines()) == lines


def test_what_waits_for_a_start_that_failed_is_not_begun_and_the_command_ends(tmp_path: Path) -> None:
    text = TOY.replace("train = {steps = 8}", "train = {steps = 8, micro_batches = 5}").replace(
        "[tasks.scratch]", '[starts.further]\nstart = "begun"\n\n[tasks.scratch]\nstart = "further"\narms = ["ratio"]'
    )
    (tmp_path / "toy.toml").write_text(text)
    process = begun(tmp_path / "toy.toml", tmp_path)
    said, wrong = process.communicate(timeout=120)
    assert (process.returncode, wrong) == (1, "")
    assert "1 of 5 failed, and 4 were not begun, since their start failed" in said
    assert [result.arm for result in read_results(tmp_path)] == ["begun"]


def test_a_line_that_a_kill_cut_short_is_no_result_and_the_next_one_stands_alone(whole: Path, tmp_path: Path) -> None:
    kept = [*read_results(whole / "out")]
    append(tmp_path, kept[0])
    whole_line = (tmp_path / RESULTS).read_bytes()
    for cut in range(1, len(whole_line) - 1, 97):
        (tmp_path / RESULTS).write_bytes(whole_line + whole_line[:cut])
        append(tmp_path, kept[1])
        assert [result.key for result in read_results(tmp_path)] == [kept[0].key, kept[1].key]
    assert all(json.loads(line) for line in whole_line.splitlines())
