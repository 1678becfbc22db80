"""The report of a comparison that has run: page and Markdown say what its results hold, whatever arms are called."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.comparisons import TOY
from support.lab_results import places, written
from support.page_reader import check_self_contained
from support.refusals import Cli, assert_refused, everything

from balancer.lab.cell import done
from balancer.lab.plan import NULL, read_plan
from balancer.lab.report import LabReport, lab_report
from balancer.lab.results import RESULTS, Result, append, read_results
from balancer.page.scales import number
from balancer.train.stopping import stop_requests

HOSTILE = '<script>alert("x")</script> | `a` *b* [c](d)'


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with toy.toml, and in `out` its runs of two seeds, made by what makes them in their processes."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "toy.toml").write_text(TOY.replace("seeds = [0]", "seeds = [0, 1]"))
    (folder / "out" / "runs").mkdir(parents=True)
    with stop_requests(quiet=True) as stop:
        for job in read_plan(folder / "toy.toml").jobs:
            if not job.is_start:
                result = done(job, folder / "out", stop)
                assert result is not None
                append(folder / "out", result)
    return folder


def report_of(lab: Path, *sources: Path) -> LabReport:
    return lab_report(read_plan(lab / "toy.toml"), sources or [lab / "out"])


def finished(lab: Path, arm: str) -> list[Result]:
    return [result for result in read_results(lab / "out") if result.arm == arm]


def mean(results: list[Result], name: str) -> float:
    return float(np.mean([np.mean([group[name] for group in result.figures.values()]) for result in results]))


def rows(markdown: str) -> dict[str, list[str]]:
    """Cells by the first one, of rows whose bars are not escaped."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert len({len(row) for row in cells}) == 1, cells
    return {row[0]: row[1:] for row in cells}


def test_page_and_markdown_hold_every_arms_figures_and_the_null_pair(lab: Path) -> None:
    made = report_of(lab)
    page, table = check_self_contained(made.html, scripts=0), rows(made.markdown)
    assert list(table) == ["arm", "---", "lambda 1 (reference)", "lambda 3", "ratio", NULL]
    for arm in ("lambda 1", "lambda 3", "ratio", NULL):
        for column, name in enumerate(("class error", "energy distance")):
            figure = number(mean(finished(lab, arm), name))
            cells = table[arm if arm != "lambda 1" else "lambda 1 (reference)"]
            assert cells[column + 1].lstrip("*").startswith(f"{figure} ± "), (arm, name)
            assert figure in page.text
        assert {"2 of 2"} == {table[key][0] for key in table if key.startswith(arm)}
    differences = mean(finished(lab, "lambda 1"), "class error") - mean(finished(lab, "ratio"), "class error")
    assert f"({'+' if differences > 0 else ''}{number(float(f'{differences:.3g}'))} [" in table["ratio"][1]
    assert "of the null pair's" in page.text and "up to" in page.text


def test_the_plane_shows_every_arm_and_the_curve_at_both_widths(lab: Path) -> None:
    page = check_self_contained(report_of(lab).html, scripts=0)
    pictures = [svg for svg in page.find("svg") if svg.get("role") == "img"]
    assert len(pictures) == 2 and all("4 arms in the plane of class error and energy" in str(p) for p in pictures)
    assert len(page.find("circle")) == 8 and len(page.find("circle", "null")) == 2
    assert len(page.find("path", "curve")) == 2 and len(page.find("path", "region")) == 2
    assert page.text.count("lambda 3") >= 4


def test_each_group_has_its_figures(lab: Path) -> None:
    page = check_self_contained(report_of(lab).html, scripts=0)
    assert len(page.find("details")) == 4
    for result in finished(lab, "ratio")[:1]:
        several = [group.figures["class 2"]["class error"] for group in finished(lab, "ratio")]
        assert result.figures["class 2"] and number(float(np.mean(several))) in page.text


def test_the_last_sheets_of_one_seed_are_on_the_page_and_without_runs_it_says_there_are_none(
    lab: Path, tmp_path: Path
) -> None:
    shutil.copytree(lab / "out", tmp_path / "out")
    for result in finished(lab, "ratio") + finished(lab, NULL)[1:]:
        sheets = tmp_path / "out" / "runs" / result.run / "sheets"
        sheets.mkdir(exist_ok=True)
        for step in (8, 40):
            Image.new("L", (900, 30), step).save(sheets / f"step_{step:08}.png")
    page = check_self_contained(report_of(lab, tmp_path / "out").html, scripts=0)
    # Seed 1 has two of them, seed 0 one.
    assert "The last sheet of each arm, seed 1." in page.text
    assert [image["alt"] for image in page.find("img")] == [f"Sheet of {a} after 40 steps" for a in ("ratio", NULL)]
    assert {image["width"] for image in page.find("img")} == {"720"}
    shutil.rmtree(tmp_path / "out" / "runs")
    without = check_self_contained(report_of(lab, tmp_path / "out").html, scripts=0)
    assert not without.find("img") and "No pictures: the runs are not here" in without.text
    assert report_of(lab, tmp_path / "out").markdown == report_of(lab).markdown


def test_hostile_names_are_words_on_the_page_and_in_the_table(tmp_path: Path) -> None:
    text = TOY.replace("[arms.ratio]", f"[arms.{json.dumps(HOSTILE)}]\nabout = {json.dumps(HOSTILE)}")
    text = text.replace("[tasks.scratch]", f"[tasks.{json.dumps(HOSTILE)}]\nabout = '- <b>'").replace("scratch", "")
    text = text.replace('task = ""\n', "").replace("[starts.begun]\ntrain = {steps = 8}\n", "")
    (tmp_path / "toy.toml").write_text(text)
    plan = read_plan(tmp_path / "toy.toml")
    at = dict.fromkeys([*plan.arms, NULL], (1.0, 2.0)) | {"lambda 3": (2.0, 1.0)}
    written(plan, tmp_path, lambda job: {f"{group}{HOSTILE}": f for group, f in places(job, at).items()})
    made = lab_report(plan, [tmp_path])
    page = check_self_contained(made.html, scripts=0)
    assert not page.find("script") and not page.find("b") and page.text.count(HOSTILE) >= 4
    assert "<script" not in made.markdown and "<b>" not in made.markdown
    (row,) = (first for first in rows(made.markdown) if "script" in first)
    assert row == r'&lt;script&gt;alert("x")&lt;/script&gt; \| \`a\` \*b\* \[c\](d)'
    assert "\\- &lt;b&gt;" in made.markdown
    assert all(line.isprintable() for line in made.lines())


def test_the_command_writes_both_files_and_says_what_they_hold(lab: Path, tmp_path: Path, cli: Cli) -> None:
    shutil.copytree(lab / "out", tmp_path / "out")
    done = cli("lab", "report", lab / "toy.toml", "--out", tmp_path / "out")
    assert done.status == 0, done.err
    assert (tmp_path / "out" / "report.html").read_text() == report_of(lab).html
    assert (tmp_path / "out" / "report.md").read_text() == report_of(lab).markdown
    assert "scratch, against lambda 1:" in done.out and f"{tmp_path / 'out' / 'report.html'}" in done.out
    for arm in ("lambda 3", "ratio", NULL):
        (line,) = (line for line in done.out.splitlines() if line.startswith(f"  {arm}"))
        assert number(mean(finished(lab, arm), "class error")) in line


def test_results_from_elsewhere_are_added_and_files_go_where_they_are_named(
    lab: Path, tmp_path: Path, cli: Cli
) -> None:
    lines = (lab / "out" / RESULTS).read_text().splitlines(keepends=True)
    for name, part in (("one", lines[::2]), ("two", lines[1::2])):
        (tmp_path / name).mkdir()
        (tmp_path / name / RESULTS).write_text("".join(part))
    places = ("--html", tmp_path / "page.html", "--markdown", tmp_path / "table.md")
    sources = ("--results", tmp_path / "one", "--results", tmp_path / "two" / RESULTS)
    done = cli("lab", "report", lab / "toy.toml", "--out", tmp_path / "none", *sources, *places)
    assert done.status == 0, done.err
    assert (tmp_path / "table.md").read_text() == report_of(lab).markdown
    assert (tmp_path / "page.html").exists() and not (tmp_path / "none").exists()


def refusals(folder: Path, lab: Path) -> list[tuple[tuple[Any, ...], str]]:
    empty = folder / "empty"
    empty.mkdir()
    file = lab / "toy.toml"
    return [
        ((file, "--out", folder / "nowhere"), "nowhere is not there: balancer lab run"),
        ((file, "--out", empty), "none of its runs has a result in"),
        ((file, "--results", folder / "no.jsonl"), "no.jsonl: no results there"),
        ((file, "--out", lab / "out", "--html", folder), "cannot be written: it is a folder"),
        ((file, "--out", lab / "out", "--markdown", folder / "no" / "x.md"), "its folder does not exist"),
        ((folder / "no.toml",), "no.toml"),
    ]


def test_what_cannot_be_reported_is_one_line_and_nothing_is_written(lab: Path, tmp_path: Path, cli: Cli) -> None:
    for arguments, said in refusals(tmp_path, lab):
        before = everything(tmp_path), everything(lab)
        assert said in assert_refused(*cli("lab", "report", *arguments)), arguments
        assert (everything(tmp_path), everything(lab)) == before
