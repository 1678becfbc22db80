"""Long runs: which sheets and points stay, that a resume changes nothing in it, and which event files it touches."""

from __future__ import annotations

import errno
import itertools
import shutil
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from balancer.record import tensorboard
from balancer.record.folder import EVENTS, SHEETS
from balancer.record.recorder import Recorder
from balancer.record.thinning import is_shown, outlived, point_spacing
from balancer.testing import toy_trainer

PICTURE = Image.new("L", (8, 4), 200)


def kept(drawn: list[int]) -> list[int]:
    """What stays of sheets that are drawn one after the other."""
    there: set[int] = set()
    for done in drawn:
        there = {*there, done} - set(outlived({*there, done}, done))
    return sorted(there)


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0}).Reload()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(EVENTS))


def record(recorder: Recorder, steps: range, *, sheet_every: int = 0, value: float = 0.5) -> None:
    for step in steps:
        recorder.step(step, 0, {("d", "d_adv"): value, ("knob", "lambda_adv"): float(step)})
        if sheet_every and (step + 1) % sheet_every == 0:
            recorder.sheet(step + 1, PICTURE)


# Which sheets stay.


def test_a_million_steps_keep_some_hundred_sheets() -> None:
    drawn = list(range(28, 1_000_001, 28))
    stay = sorted(set(drawn) - set(outlived(drawn, drawn[-1])))
    assert stay[:8] == drawn[:8]
    assert stay[-33:] == drawn[-33:]
    assert len(stay) == 365  # as docs/architecture.md says
    # None lies further from the one before it than a sixteenth of how old that one is, with what the grid adds.
    for one, two in itertools.pairwise(stay[8:]):
        assert two - one <= (drawn[-1] - one) / 16 + 28


def test_a_million_steps_show_as_many_pictures_and_points_as_the_documentation_says() -> None:
    drawn = [None, *range(28, 1_000_001, 28)]
    assert sum(is_shown(done, before) for before, done in itertools.pairwise(drawn) if done) == 354
    assert sum(step % point_spacing(step, 10) == 0 for step in range(0, 1_000_000, 10)) == 22_634


@settings(max_examples=30)
@given(st.integers(1, 120), st.randoms(use_true_random=False), st.data())
def test_what_stays_does_not_depend_on_when_it_was_looked_at(count: int, draw: Random, data: st.DataObject) -> None:
    drawn = sorted(draw.sample(range(1, 2000), count))
    last = drawn[-1]
    once = set(drawn) - set(outlived(drawn, last))
    assert kept(drawn) == sorted(once)
    # A run that was killed at some step goes on from an earlier one.
    killed = data.draw(st.sampled_from(drawn))
    back = data.draw(st.integers(0, killed))
    there = [step for step in kept([step for step in drawn if step <= killed]) if step <= back]
    for done in [step for step in drawn if step > back]:
        there = [step for step in [*there, done] if step not in outlived([*there, done], done)]
    assert there == sorted(once)
    assert once >= {*drawn[:8], last}


@given(st.integers(1, 2000), st.integers(1, 50))
def test_points_lie_on_one_grid_and_never_closer_than_asked(log_every: int, thousands: int) -> None:
    spacings = [point_spacing(step, log_every) for step in range(0, thousands * 10_000, 997)]
    assert spacings == sorted(spacings)
    assert all(two % one == 0 for one, two in itertools.pairwise(spacings))
    last = log_every * 8191
    assert point_spacing(last, log_every) == log_every
    assert point_spacing(last + log_every, log_every) == 2 * log_every
    assert point_spacing(100 * last, log_every) == 128 * log_every


# What a recorder does with it.


def test_sheets_that_a_recorder_outlives_are_deleted_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / SHEETS).mkdir()
    others = ["mine.png", "step_100.png", "step_00000100.jpg", "notes.txt"]
    for name in others:
        (tmp_path / SHEETS / name).write_bytes(b"mine")
    recorder = Recorder(tmp_path, 10)
    drawn = list(range(4, 1001, 4))
    for done in drawn:
        recorder.sheet(done, PICTURE)
    recorder.close()
    there = {path.name for path in (tmp_path / SHEETS).iterdir()}
    assert there == {*others, *(f"step_{step:08d}.png" for step in kept(drawn))}
    assert len(there) < len(drawn) / 1.5
    shown = [image.step + 1 for image in events(tmp_path).Images("held_out/source_output_target")]
    assert set(shown) <= set(drawn)
    assert shown[:64] == drawn[:64]
    assert len(shown) < len(drawn) / 1.5
    for one, two in itertools.pairwise(shown):
        assert two - one <= two / 16 + 4


def test_a_whole_run_keeps_all(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, 1)
    recorder.thin = False
    record(recorder, range(1000), sheet_every=4)
    recorder.close()
    assert len([*(tmp_path / SHEETS).iterdir()]) == 250
    assert len(events(tmp_path).Images("held_out/source_output_target")) == 250
    assert len(events(tmp_path).Scalars("signal/d_adv")) == 1000


@pytest.mark.parametrize("thin", [True, False])
def test_the_setting_reaches_the_recorder(thin: bool, tmp_path: Path) -> None:
    trainer = toy_trainer([], folder=tmp_path, thin=thin)
    assert trainer.balance.recorder is not None
    assert trainer.balance.recorder.thin is thin
    trainer.balance.end_run()


def test_points_grow_apart_and_the_signals_of_every_step_stay(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, 1)
    record(recorder, range(20_000))
    recorder.close()
    points = [point.step for point in events(tmp_path).Scalars("knob/lambda_adv")]
    assert points == [*range(8192), *range(8192, 16384, 2), *range(16384, 20_000, 4)]
    assert (tmp_path / "signals.bin").stat().st_size == 20_000 * 5 * 8  # row_crc32 among them


# Event files.


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard, "FILE_BYTES", 2000)


def test_a_run_of_several_event_files_is_one_run(small_files: None, tmp_path: Path) -> None:
    record(recorder := Recorder(tmp_path, 1), range(200), sheet_every=50)
    recorder.hparams({"plugin.setting": 1})
    recorder.close()
    assert len(names(tmp_path)) > 5
    assert all(path.stat().st_size < 4000 for path in tmp_path.glob(EVENTS))
    seen = events(tmp_path)
    assert [point.step for point in seen.Scalars("signal/d_adv")] == list(range(200))
    assert len(seen.Tensors("custom_scalars__config__")) == 1


@pytest.mark.parametrize("step", [0, 1, 99, 100, 137, 199, 200, 300])
def test_a_cut_rewrites_one_file_at_most(step: int, small_files: None, tmp_path: Path) -> None:
    record(recorder := Recorder(tmp_path, 1), range(200), sheet_every=50)
    recorder.close()
    before = {path.name: (path.stat().st_ino, path.read_bytes()) for path in tmp_path.glob(EVENTS)}
    recorder.cut(step)
    after = {path.name: (path.stat().st_ino, path.read_bytes()) for path in tmp_path.glob(EVENTS)}
    # Of the files in order: those left as they are, perhaps a shorter one, and none of those after it.
    left = [name for name in before if after.get(name) == before[name]]
    rewritten = set(after) - set(left)
    assert len(rewritten) <= 1
    assert sorted(before)[: len(after)] == sorted(after)
    assert all(len(after[name][1]) < len(before[name][1]) for name in rewritten)
    seen = events(tmp_path)
    points = seen.Scalars("signal/d_adv") if step else []
    assert [point.step for point in points] == list(range(min(step, 200)))
    assert len(seen.Tensors("custom_scalars__config__")) == 1


def test_a_run_that_goes_on_shows_what_a_whole_one_shows(small_files: None, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    record(recorder := Recorder(whole, 1), range(800), sheet_every=4)
    recorder.close()
    record(recorder := Recorder(parts, 1), range(650), sheet_every=4)
    recorder.cut(500)
    record(recorder, range(500, 700), sheet_every=4)
    recorder.close()
    record(recorder := Recorder(parts, 1), range(700, 705), sheet_every=4)
    recorder.cut(697)
    record(recorder, range(697, 800), sheet_every=4)
    recorder.close()

    def shown(folder: Path) -> Any:
        seen, tag = events(folder), "held_out/source_output_target"
        scalars = {name: [(p.step, p.value) for p in seen.Scalars(name)] for name in seen.Tags()["scalars"]}
        return scalars, [(image.step, image.encoded_image_string) for image in seen.Images(tag)]

    assert shown(parts) == shown(whole)
    assert sorted(path.name for path in (parts / SHEETS).iterdir()) == sorted(
        path.name for path in (whole / SHEETS).iterdir()
    )


def test_files_of_another_writer_and_torn_ones_are_cut_through(small_files: None, tmp_path: Path) -> None:
    record(recorder := Recorder(tmp_path, 1), range(100))
    recorder.close()
    ours = names(tmp_path)
    # A script's own SummaryWriter: all that it writes goes into one file, named for the second of its beginning.
    foreign = tmp_path / f"events.out.tfevents.{int(ours[0].split('.')[3][:10])}.host.1.0"
    foreign.write_bytes(b"".join((tmp_path / name).read_bytes() for name in ours[1:]))
    torn = tmp_path / ours[2]
    torn.write_bytes(torn.read_bytes()[:-7])
    recorder.cut(60)
    assert foreign.name in names(tmp_path)
    for path in (foreign, tmp_path):
        assert [point.step for point in events(path).Scalars("signal/d_adv")][-1] == 59


def test_a_clock_that_is_set_back_does_not_put_new_files_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(recorder := Recorder(tmp_path, 1), range(10))
    recorder.close()
    (first,) = names(tmp_path)
    monkeypatch.setattr("time.time_ns", lambda: 10**18)
    record(recorder, range(10, 20))
    recorder.close()
    assert names(tmp_path)[0] == first
    assert len(names(tmp_path)) == 2
    copy = Path(shutil.copytree(tmp_path, tmp_path.with_name("copy")))
    assert [point.step for point in events(copy).Scalars("signal/d_adv")] == list(range(20))


def test_a_refusal_where_a_file_ends_costs_one_row_of_points(
    small_files: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[int] = []

    def once(handle: int) -> None:
        if not refused:
            refused.append(handle)
            raise OSError(errno.EIO, "Input/output error")

    record(recorder := Recorder(tmp_path, 1), range(5))
    monkeypatch.setattr(tensorboard.os, "fsync", once)
    with pytest.warns(UserWarning, match="TensorBoard log") as told:
        record(recorder, range(5, 60))
    recorder.close()
    assert [str(one.message).rpartition(": ")[2] for one in told] == [
        "[Errno 5] Input/output error",
        "1 entries are lost",
    ]
    points = [point.step for point in events(tmp_path).Scalars("signal/d_adv")]
    assert len(refused) == 1
    assert len(points) == 59
    assert set(range(60)) - set(points) < set(range(5, 59))
    assert len(names(tmp_path)) > 2
