"""The report of run directories: every part of it is there, however damaged or long the run's logs are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.page_reader import check_self_contained
from support.sealed_rows import put_table, unsealed
from support.work import assert_in_proportion

from balancer.diagnosis.diagnose import Diagnosis, diagnose
from balancer.errors import BalancerWarning, ConfigError
from balancer.page.folded_decisions import folded_decisions
from balancer.page.page import page_words
from balancer.page.report import report, run_view, with_run
from balancer.page.sheets import chosen_sheets
from balancer.page.view import RunView
from balancer.reading.history import History
from balancer.record.run_config import make_config
from balancer.show.words import LANGUAGES
from balancer.train.run import config_for_resume, train


class Result(Protocol):
    """What the fixture `cli` returns."""

    status: int
    err: str


STEPS = 96  # three epochs of the points
SECTIONS = ["findings", "balance", "shares", "signals", "knobs", "decisions", "sheets", "settings"]


def trained(out: Path, plugins: list[str], **settings: object) -> Path:
    overrides = {"train": {"steps": STEPS, "threads": 1, "device": "cpu", **settings}}
    train(make_config({}, overrides, plugins=plugins, model="points"), out=out, resume=None, quiet=True)
    return out


def draw_sheets(folder: Path, steps: list[int], size: tuple[int, int] = (881, 216)) -> None:
    """Sheets that look like those of glyphs: dark strokes on white."""
    (folder / "sheets").mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    strokes = random.random((size[1] // 8, size[0] // 8)) < 0.3
    image = Image.fromarray(np.where(strokes, 0, 255).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    first, *others = [folder / "sheets" / f"step_{step:08d}.png" for step in steps]
    image.save(first)
    for path in others:
        shutil.copyfile(first, path)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    plugins = ["dynamic_lambda", "lambda_schedule", "d_lr_ratio", "d_skip"]
    draw_sheets(trained(folder / "laws", plugins, lambda_adv=0.5), [32, 64, 96])
    trained(folder / "plain", [])
    return folder


@pytest.fixture
def runs(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "runs"))


def judged(folder: Path) -> Diagnosis:
    return diagnose(folder)


def page_of(*folders: Path, language: str = "en") -> str:
    return report(folders, lang=language).html()


def view_of(folder: Path) -> RunView:
    return run_view(judged(folder), page_words("en"))


def test_a_run_has_every_section(runs: Path) -> None:
    page = page_of(runs / "laws")
    reader = check_self_contained(page)
    assert reader.ids == SECTIONS
    for text in ("points", "dynamic_lambda: set 0.25", "lambda_schedule: max 0.1", "d_skip: period 2", "0–95"):
        assert text in reader.text, text
    assert "d_lr_ratio: ratio 0.25" in reader.text and "judge by this" in reader.text
    assert len(reader.find("img")) == 3
    assert len(page.encode()) < 1_500_000


@pytest.mark.parametrize("language", LANGUAGES)
def test_runs_stand_side_by_side_in_both_languages(runs: Path, language: str) -> None:
    reader = check_self_contained(page_of(runs / "laws", runs / "plain", language=language))
    assert reader.ids == SECTIONS
    marked = {text for _, attributes in reader.tags for text in [attributes.get("data-name")] if text}
    assert {"laws", "plain"} <= marked
    assert "train.lambda_adv" in reader.text and "{" not in reader.text


def test_a_run_without_plugins_or_sheets_leaves_those_sections_out(runs: Path) -> None:
    reader = check_self_contained(page_of(runs / "plain"))
    assert reader.ids == ["findings", "balance", "shares", "signals", "knobs", "settings"]


def test_the_same_runs_give_the_same_bytes(runs: Path) -> None:
    assert page_of(runs / "laws") == page_of(runs / "laws")


def test_names_of_runs_and_settings_are_escaped(runs: Path) -> None:
    folder = (runs / "plain").rename(runs / "<script>alert(1)<&quot;")
    config = folder / "config.toml"
    config.write_text(config.read_text().replace('model = "points"', 'model = "<b>points"'))
    with pytest.warns(BalancerWarning, match=r"config.toml is not as the run wrote it: it was edited, or is damaged"):
        page = page_of(folder)
    check_self_contained(page)
    assert "<script>alert" not in page and "<b>points" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_contributions_are_folded_by_plugin_and_operation(runs: Path) -> None:
    decisions = view_of(runs / "laws").decisions
    assert decisions is not None and decisions.broken == 0
    found = {(c.plugin, c.knob, c.op): c for c in decisions.contributions}
    assert found["dynamic_lambda", "lambda_adv", "set"].values[0] == (0, 0.25)
    assert found["lambda_schedule", "lambda_adv", "max"].values[0] == (0, 0.1)
    assert found["d_skip", "d_update", "period"].values == [(0, 2)]
    assert sum(int(marks.sum()) for marks in decisions.marks.values()) == decisions.count
    assert {d.plugin for d in decisions.chosen} == {"dynamic_lambda", "lambda_schedule", "d_skip", "d_lr_ratio"}


def test_broken_decisions_are_counted(runs: Path) -> None:
    path = runs / "laws" / "decisions.jsonl"
    good = path.read_text().splitlines()
    odd = [
        "no json",
        "[]",
        "{}",
        json.dumps({**unsealed(good[0]), "step": "x"}),
        json.dumps({**unsealed(good[0]), "knob": []}),
    ]
    path.write_text("\n".join([good[0], *odd, *good[1:], '{"step": 3, "pl']))
    with pytest.warns(BalancerWarning, match=r"5 damaged lines are left out \(lines 2 to 6, "):
        decisions = view_of(runs / "laws").decisions
    # The torn last line is no line, as a kill leaves it.
    assert decisions is not None and (decisions.count, decisions.broken) == (len(good), len(odd))
    with pytest.warns(BalancerWarning):
        page = page_of(runs / "laws")
    assert "5 lines could not be read: 2, 3, 4, 5, 6." in check_self_contained(page).text


def test_unreadable_sheets_are_left_out_with_a_note(runs: Path) -> None:
    (runs / "laws" / "sheets" / "step_00000064.png").write_bytes(b"\x89PNG no picture")
    (runs / "laws" / "sheets" / "step_00000096.png").write_bytes(b"")
    (runs / "laws" / "sheets" / "notes.txt").write_text("not a sheet")
    reader = check_self_contained(page_of(runs / "laws"))
    assert len(reader.find("img")) == 1
    assert "1 of 3 sheets. 2 could not be read and are left out." in reader.text


def test_a_folder_without_signals_is_refused(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no signals") as refused:
        with_run(RunView("plain", History()), runs / "plain")
    assert "\n" not in str(refused.value)
    with pytest.raises(ConfigError):
        with_run(RunView("nowhere", History()), tmp_path / "nowhere")


def test_a_log_may_stand_beside_a_run(runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("step,d_loss,g_loss\n" + "".join(f"{step},0.5,2.0\n" for step in range(50)))
    page = check_self_contained(page_of(runs / "laws", path))
    assert "log.csv" in page.text and "laws" in page.text


def test_a_resume_with_other_settings_is_marked_and_ends_contributions(runs: Path) -> None:
    folder = runs / "laws"
    config = config_for_resume(
        folder, None, {"train": {"steps": 2 * STEPS, "lr": 1e-4}}, ["dynamic_lambda"], ["run.plugins", "train.lr"]
    )
    train(config, out=None, resume=folder, quiet=True)
    view = view_of(folder)
    (change,) = view.changes
    assert change.step == STEPS and change.fields["train.lr"] == (2e-4, 1e-4)
    assert view.decisions is not None
    skip = next(c for c in view.decisions.contributions if c.plugin == "d_skip")
    assert skip.values == [(0, 2), (STEPS, None)] and skip.count == 2
    reader = check_self_contained(page_of(folder))
    assert f"settings changed at step {STEPS} (run.plugins, train.lr)" in reader.text


def test_a_long_run_with_many_decisions_and_large_sheets_stays_small(runs: Path) -> None:
    folder = runs / "laws"
    steps = np.arange(100_000)
    header = json.loads((folder / "signals.json").read_text())
    names = header["columns"][1:]
    random = np.random.default_rng(0)
    table = random.random((len(steps), len(names)))
    table[:, names.index("step")], table[:, names.index("epoch")] = steps, steps // 1000
    put_table(folder, table)
    row = unsealed((folder / "decisions.jsonl").read_text().splitlines()[0])
    with (folder / "decisions.jsonl").open("w") as file:
        for step in range(20_000):
            file.write(
                json.dumps({**row, "step": step, "old": 0.1, "new": step % 7 / 7, "effective": step % 7 / 7}) + "\n"
            )
    draw_sheets(folder, [1000 * epoch for epoch in range(1, 60)], (1200, 1600))
    page = page_of(folder)
    reader = check_self_contained(page)
    assert len(page.encode()) < 3_000_000
    assert len(reader.find("img")) == 10
    assert "20 of 20,000" in reader.text
    decisions = folded_decisions(folder / "decisions.jsonl", judged(folder).case.history)
    assert decisions is not None and all(len(c.values) <= 4097 for c in decisions.contributions)


def test_twice_as_many_decisions_are_twice_the_work(runs: Path) -> None:
    folder = runs / "laws"
    row = unsealed((folder / "decisions.jsonl").read_text().splitlines()[0])

    def fold(count: int) -> None:
        rows = [
            {**row, "step": step, "old": 0.1, "new": step % 7 / 7, "effective": step % 7 / 7} for step in range(count)
        ]
        (folder / "decisions.jsonl").write_text("".join(json.dumps(made) + "\n" for made in rows))
        page_of(folder)

    assert_in_proportion(fold, 2000)


@given(st.lists(st.integers(1, 10_000), unique=True, max_size=80).map(sorted), st.data())
def test_sheets_are_chosen_evenly_and_those_to_judge_by_are_among_them(steps: list[int], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, max(len(steps) - 1, 0)))
    judged = steps[first : first + data.draw(st.integers(0, 5))]
    found = chosen_sheets(steps, judged)
    assert len(found) <= 10 and found == sorted(set(found)) and set(found) <= set(steps)
    assert set(judged) <= set(found)
    if steps:
        assert steps[0] in found and steps[-1] in found
        assert len(found) >= min(len(steps), 6)


@pytest.mark.parametrize("missing", ["signals.bin"])
def test_the_command_refuses_a_run_without_signals(
    runs: Path, tmp_path: Path, cli: Callable[..., Result], missing: str
) -> None:
    (runs / "plain" / missing).unlink()
    done = cli("report", runs / "laws", runs / "plain", "--out", tmp_path / "report.html")
    assert done.status == 2 and done.err.count("\n") == 1 and done.err.startswith("balancer: ")
    assert not (tmp_path / "report.html").exists()


def test_the_command_writes_one_file(runs: Path, tmp_path: Path, cli: Callable[..., Result]) -> None:
    out = tmp_path / "report.html"
    done = cli("report", runs / "laws", runs / "plain", "--out", out, "--lang", "zh-TW")
    assert done.status == 0, done
    assert check_self_contained(out.read_text(encoding="utf-8")).ids == SECTIONS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "runs"]
