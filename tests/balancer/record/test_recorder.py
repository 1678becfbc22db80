"""What a run writes about itself: what TensorBoard shows, what a replay needs, what a cut leaves."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2

from balancer.contract.levels import HEALTHY_D_ADV
from balancer.record import tensorboard
from balancer.record.folder import DECISIONS, SHEETS, SIGNALS
from balancer.record.recorder import Recorder
from balancer.record.run_config import make_config
from balancer.record.signals import SignalRows, column, read_signals
from balancer.record.tensorboard import layout
from balancer.testing import recorded, replay
from balancer.train.run import train

STEPS, LOG_EVERY = 40, 5
PLUGINS = ("dynamic_lambda", "d_skip", "lambda_schedule", "d_lr_ratio")
SETTINGS: dict[str, dict[str, Any]] = {
    "dynamic_lambda": {"warmup_steps": 3, "half_life": 1.0, "hysteresis": 0.001, "bands": [[0.68, 0.2], [0.7, 0.4]]},
    "d_skip": {"every": 1, "accuracy_above": 0.6},
    "d_lr_ratio": {"ratio": 0.5},
    "lambda_schedule": {"steps": [[0, 0.3], [1, 0.5], [2, 0.7]]},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run of the points model, two and a half epochs long."""
    out = tmp_path_factory.mktemp("telemetry") / "run"
    options = {"steps": STEPS, "log_every": LOG_EVERY, "device": "cpu", "batch_size": 32, "lr": 1e-2}
    config = make_config({}, {"train": options, **SETTINGS}, plugins=PLUGINS, model="points")
    assert train(config, out=out, resume=None, quiet=True).finished
    return out


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "run"))


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0}).Reload()


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / DECISIONS).read_text(encoding="utf-8").splitlines()]


# What is there.


def test_tensorboard_shows_losses_signals_knobs_shares_rates_and_the_band(folder: Path) -> None:
    seen = events(folder)
    tags = set(seen.Tags()["scalars"])
    assert {"loss/adv", "loss/category", "loss/g_loss"} <= tags
    assert {"loss/d_loss", "loss/d_loss_real", "loss/d_loss_fake", "loss/d_category"} <= tags
    assert {"signal/d_adv", "signal/d_acc", "signal/d_logit_real", "signal/d_logit_fake"} <= tags
    assert {"signal/adv_effective", "share/adv", "share/category", "lr/d", "lr/g"} <= tags
    assert {f"knob/{name}" for name in ("lambda_adv", "lambda_category", "d_update", "d_frozen")} <= tags
    assert {"knob/real_label", "knob/fake_label"} <= tags
    drawn = list(range(0, STEPS, LOG_EVERY))
    assert all([point.step for point in seen.Scalars(tag)] == drawn for tag in tags)
    for tag, value in zip(("band/d_adv_low", "band/d_adv_high"), HEALTHY_D_ADV, strict=True):
        assert [point.value for point in seen.Scalars(tag)] == pytest.approx([value] * len(drawn))


def test_every_step_is_kept_under_the_document_s_names_and_agrees_with_tensorboard(folder: Path) -> None:
    columns = read_signals(folder)
    assert columns["step"].tolist() == list(range(STEPS))
    assert columns["epoch"].tolist() == [step // 16 for step in range(STEPS)]
    assert {"loss_adv", "loss_category", "d_loss", "g_loss", "lambda_adv", "adv_effective", "adv_share"} <= set(columns)
    seen = events(folder)
    drawn = {tensorboard.tag(key): column(key) for key in SignalRows(folder).keys}
    assert {name for name in drawn if name} == {n for n in seen.Tags()["scalars"] if not n.startswith("band/")}
    for name in seen.Tags()["scalars"]:
        if not name.startswith("band/"):
            kept = columns[drawn[name]][::LOG_EVERY].tolist()
            assert [point.value for point in seen.Scalars(name)] == pytest.approx(kept, rel=1e-6), name


def test_the_figures_add_up(folder: Path) -> None:
    columns = read_signals(folder)
    adv = columns["lambda_adv"] * columns["loss_adv"]
    assert columns["adv_effective"].tolist() == adv.tolist()
    g_loss = adv + columns["lambda_category"] * columns["loss_category"]
    assert columns["g_loss"].tolist() == pytest.approx(g_loss.tolist())
    assert columns["adv_share"].tolist() == pytest.approx((adv / g_loss).tolist())
    assert columns["lr_d"].tolist() == [0.5 * rate for rate in columns["lr_g"].tolist()]


def test_the_layout_puts_the_healthy_band_beside_d_adv(folder: Path) -> None:
    (tensor,) = events(folder).Tensors("custom_scalars__config__")
    seen = layout_pb2.Layout.FromString(tensor.tensor_proto.string_val[0])
    (category,) = seen.category
    assert [chart.title for chart in category.chart] == list(layout(HEALTHY_D_ADV)["Balance"])
    (series,) = category.chart[0].margin.series
    assert (series.value, series.lower, series.upper) == ("signal/d_adv", "band/d_adv_low", "band/d_adv_high")


def test_hparams_hold_the_settings(folder: Path) -> None:
    content = events(folder).PluginTagToContent("hparams")
    assert b"dynamic_lambda.half_life" in content["_hparams_/session_start_info"]
    assert "_hparams_/experiment" in content


def test_every_decision_is_a_line_of_json_with_all_one_needs_to_judge_it(folder: Path) -> None:
    made, columns = lines(folder), read_signals(folder)
    assert {row["plugin"] for row in made} == set(PLUGINS)
    assert [row["step"] for row in made] == sorted(row["step"] for row in made)
    fields = {"step", "epoch", "moment", "plugin", "knob", "op", "old", "new", "effective", "signals", "note", "crc32"}
    assert all(set(row) == fields and row["old"] != row["new"] for row in made)
    laws = [row for row in made if row["plugin"] == "dynamic_lambda" and row["moment"] == "after_d_step"]
    assert len(laws) >= 2
    for row in laws:
        assert row["signals"] == {"d_adv": columns["d_adv"][row["step"]]}
        assert row["effective"] == columns["lambda_adv"][row["step"]]


def test_a_sheet_is_a_file_and_an_image_of_its_last_step(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, 10)
    recorder.sheet(16, Image.new("L", (8, 4), 200))
    recorder.close()
    with Image.open(tmp_path / SHEETS / "step_00000016.png") as sheet:
        assert sheet.size == (8, 4)
    (image,) = events(tmp_path).Images("held_out/source_output_target")
    assert (image.step, image.width, image.height) == (15, 8, 4)


# Replaying it.


def test_a_replay_of_the_recorded_signals_is_exact(folder: Path) -> None:
    columns = read_signals(folder)
    again = replay(PLUGINS, recorded(folder), settings=SETTINGS)
    assert again["lambda_adv"] == columns["lambda_adv"].tolist()
    assert again["d_update"] == [bool(value) for value in columns["d_update"]]
    assert len(set(again["lambda_adv"])) > 2  # the laws did act
    assert 0 < sum(columns["d_update"]) < STEPS
    plain = [(d.step, d.plugin, d.knob, d.op, d.old, d.new, dict(d.signals)) for d in again.decisions]
    acted = [(d["step"], d["plugin"], d["knob"], d["op"], d["old"], d["new"], d["signals"]) for d in lines(folder)]
    assert plain == acted


def test_other_laws_can_be_replayed_on_a_finished_run(folder: Path) -> None:
    d_adv = read_signals(folder)["d_adv"]
    bands = {"dynamic_lambda": {"warmup_steps": 0, "bands": [[float(d_adv.mean()), 0.1]], "above": 0.5}}
    expected = [0.1 if value < d_adv.mean() else 0.5 for value in d_adv]
    assert replay(["dynamic_lambda"], recorded(folder), settings=bands)["lambda_adv"] == expected


# Cutting it.


@pytest.mark.parametrize("step", [1, 15, 16, 39, 40])
def test_a_cut_leaves_what_was_before_and_nothing_after(folder: Path, copy: Path, step: int) -> None:
    recorder = Recorder(copy, LOG_EVERY)
    recorder.sheet(13, Image.new("L", (2, 2)))
    recorder.sheet(STEPS, Image.new("L", (2, 2)))
    recorder.cut(step)
    whole = read_signals(folder)
    assert {name: values.tolist() for name, values in read_signals(copy).items()} == {
        name: values[:step].tolist() for name, values in whole.items()
    }
    assert lines(copy) == [row for row in lines(folder) if row["step"] < step]
    seen = events(copy)
    for tag in events(folder).Tags()["scalars"]:
        expected = [point.step for point in events(folder).Scalars(tag) if point.step < step]
        assert [point.step for point in seen.Scalars(tag)] == expected
    images = [image.step for image in seen.Images("held_out/source_output_target")] if step > 12 else []
    assert images == [done - 1 for done in (13, STEPS) if done - 1 < step and step > 12]
    assert seen.Tensors("custom_scalars__config__")
    assert seen.PluginTagToContent("hparams")
    assert not list(copy.glob("*.tmp"))


def test_a_run_that_goes_on_after_a_cut_shows_no_step_twice(folder: Path, copy: Path) -> None:
    recorder = Recorder(copy, LOG_EVERY)
    recorder.cut(23)
    for step in range(23, STEPS):
        recorder.step(step, step // 16, {("d", "d_adv"): 0.25, ("knob", "lambda_adv"): 0.5})
    recorder.close()
    columns = read_signals(copy)
    assert columns["step"].tolist() == list(range(STEPS))
    assert columns["d_adv"].tolist() == [*read_signals(folder)["d_adv"][:23].tolist(), *[0.25] * 17]
    assert math.isnan(columns["loss_adv"][-1])
    assert [point.step for point in events(copy).Scalars("signal/d_adv")] == list(range(0, STEPS, LOG_EVERY))
    assert len(events(copy).Tensors("custom_scalars__config__")) == 1


def test_a_cut_repairs_what_a_kill_tore(folder: Path, copy: Path) -> None:
    """A kill in mid-write leaves the beginning of a row, of a line and of a record."""
    (path,) = copy.glob("events.out.tfevents.*")
    for torn in (copy / SIGNALS, copy / DECISIONS, path):
        os.truncate(torn, torn.stat().st_size - 5)
    assert len(read_signals(copy)["step"]) == STEPS - 1
    Recorder(copy, LOG_EVERY).cut(30)
    assert read_signals(copy)["step"].tolist() == list(range(30))
    assert lines(copy) == [row for row in lines(folder) if row["step"] < 30]
    assert [point.step for point in events(copy).Scalars("signal/d_adv")] == list(range(0, 30, LOG_EVERY))


def test_rows_after_a_torn_one_are_not_shifted(copy: Path) -> None:
    """The signals log died on a full disk in step 20; training went on, and was resumed from step 30."""
    width = 8 * (1 + len(read_signals(copy)))
    os.truncate(copy / SIGNALS, 20 * width + 12)
    recorder = Recorder(copy, LOG_EVERY)
    recorder.cut(30)
    recorder.step(30, 1, {("d", "d_adv"): 0.25})
    recorder.close()
    columns = read_signals(copy)
    assert columns["step"].tolist() == [*range(20), 30]
    assert columns["d_adv"][-1] == 0.25
