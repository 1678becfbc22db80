"""TensorBoard event files of anybody's are read as TensorBoard shows them."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.event_files import losses, write
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.summary.writer.record_writer import RecordWriter

from balancer.errors import ConfigError, DataError
from balancer.reading.opening import open_source, read
from balancer.reading.superseded import without_superseded


def test_tags_become_signals_and_steps_stay(tmp_path: Path) -> None:
    values = [(step, {"loss/D_real": 0.5, "loss/G_GAN": 2.0, "val/G_GAN": 9.0, "speed": 1.0}) for step in range(50)]
    reader = open_source(str(write(tmp_path / "events.out.tfevents.1.x", values)))
    history = read(reader)
    source = reader.source
    assert source.kind == "tensorboard"
    assert source.tags == {"d_loss_real": "loss/D_real", "adv": "loss/G_GAN"}
    assert source.other_tags == ["val/G_GAN", "speed"]
    assert history["adv"].values.tolist() == [2.0] * 50
    assert history["adv"].steps.tolist() == list(range(50))
    assert source.rows == 50 and not source.unread.count and not source.restarts


def test_scalars_of_one_step_are_one_row(tmp_path: Path) -> None:
    rows = list(open_source(str(write(tmp_path / "a.tfevents", losses(0, 3)))).rows())
    assert rows == [(step, {"d_loss": step, "g_loss": 2.0 * step}) for step in range(3)]


def test_tf2_tensors_are_read_as_scalars(tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.1.v2"
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for step in range(20):
            packed = TensorProto(dtype=1, tensor_content=struct.pack("<f", 0.5))
            listed = TensorProto(dtype=1, float_val=[0.25])
            double = TensorProto(dtype=2, tensor_content=struct.pack("<d", 0.125))
            curve = TensorProto(dtype=1, float_val=[1.0, 2.0])
            tensors = {"d_loss": packed, "g_loss": listed, "adv_loss": double, "l1_loss": curve}
            value = [Summary.Value(tag=tag, tensor=tensor) for tag, tensor in tensors.items()]
            value[0].metadata.plugin_data.plugin_name = "scalars"
            writer.write(Event(step=step, summary=Summary(value=value)).SerializeToString())
    history = read(open_source(str(path)))
    assert {name: history[name].values[0] for name in history} == {"d_loss": 0.5, "g_loss": 0.25, "adv": 0.125}


def test_what_add_scalars_writes_is_named_by_its_folder(tmp_path: Path) -> None:
    write(tmp_path / "events.out.tfevents.1.a", [(step, {"lr": 1e-4}) for step in range(50)])
    for key, value in (("D", 0.5), ("G", 2.0)):
        folder = tmp_path / f"Loss_train_{key}"
        write(folder / "events.out.tfevents.1.b", [(step, {"Loss/train": value}) for step in range(30)])
        write(folder / "events.out.tfevents.2.b", [(step, {"Loss/train": value}) for step in range(30, 50)], began=1030)
    write(tmp_path / "eval" / "events.out.tfevents.1.c", losses(0, 50))
    write(tmp_path / "eval" / "deeper" / "events.out.tfevents.1.c", losses(0, 50))
    reader = open_source(str(tmp_path))
    history = read(reader)
    assert reader.source.tags == {"lr": "lr", "d_loss": "Loss_train_D", "g_loss": "Loss_train_G"}
    assert reader.source.other_tags == ["eval/*"] and not reader.source.restarts
    assert history["d_loss"].values.tolist() == [0.5] * 50 and history["g_loss"].steps.tolist() == list(range(50))
    rows = list(without_superseded(open_source(str(tmp_path)).rows(), []))
    assert [step for step, _ in rows] == list(range(50)) and set(rows[0][1]) == {"lr", "d_loss", "g_loss"}
    told = open_source(str(tmp_path), tags={"adv": "Loss_train_G"})
    assert "adv" in read(told)


def test_a_restarted_run_supersedes_what_came_after(tmp_path: Path) -> None:
    write(tmp_path / "events.out.tfevents.1.a", losses(0, 100), began=1000)
    write(tmp_path / "events.out.tfevents.2.a", losses(60, 120, scale=10), began=5000)
    reader = open_source(str(tmp_path))
    history = read(reader)
    assert reader.source.restarts == [(99, 60)]
    assert history["d_loss"].steps.tolist() == list(range(120))
    assert history["d_loss"].values[59] == 59 and history["d_loss"].values[60] == 600
    again = list(without_superseded(open_source(str(tmp_path)).rows(), reader.source.restarts))
    assert [step for step, _ in again] == list(range(120))
    assert again[60][1] == {"d_loss": 600, "g_loss": 1200}


def test_a_tag_logged_less_often_is_no_restart(tmp_path: Path) -> None:
    values: list[tuple[int, Mapping[str, float]]] = []
    for step in range(200):
        values.append((step, {"d_loss": 1.0}))
        if step % 50 == 10:
            # A writer of its own, behind by some steps.
            values.append((step - 5, {"g_loss": 2.0}))
    reader = open_source(str(write(tmp_path / "a.tfevents", values)))
    history = read(reader)
    assert history["d_loss"].count == 200 and history["g_loss"].count == 4
    assert not reader.source.restarts


def test_files_of_two_writers_at_once_are_read_side_by_side(tmp_path: Path) -> None:
    write(tmp_path / "events.out.tfevents.1.a", [(step, {"d_loss": 1.0}) for step in range(50)], began=1000)
    write(tmp_path / "events.out.tfevents.1.b", [(step, {"g_loss": 2.0}) for step in range(50)], began=1000.5)
    rows = list(open_source(str(tmp_path)).rows())
    assert [step for step, _ in rows] == sorted(step for step, _ in rows)
    assert rows[0][1] == {"d_loss": 1.0, "g_loss": 2.0}


def test_files_are_read_in_the_order_of_their_time_not_of_their_names(tmp_path: Path) -> None:
    write(tmp_path / "b.tfevents", losses(0, 10), began=1000)
    write(tmp_path / "a.tfevents", losses(10, 20), began=2000)
    reader = open_source(str(tmp_path))
    assert read(reader)["d_loss"].count == 20
    assert not reader.source.restarts


def test_the_only_folder_with_event_files_is_taken(tmp_path: Path) -> None:
    write(tmp_path / "version_0" / "events.out.tfevents.1.a", losses(0, 10))
    assert read(open_source(str(tmp_path)))["d_loss"].count == 10


def test_of_several_folders_one_must_be_named(tmp_path: Path) -> None:
    write(tmp_path / "one" / "events.out.tfevents.1.a", losses(0, 10))
    write(tmp_path / "two" / "events.out.tfevents.1.a", losses(0, 10))
    write(tmp_path / "two" / "events.out.tfevents.2.a", losses(0, 10))
    with pytest.raises(ConfigError, match=r"name one of them: .*one \(1\), .*two \(2\)"):
        open_source(str(tmp_path))


def test_a_folders_own_files_are_its_run(tmp_path: Path) -> None:
    write(tmp_path / "events.out.tfevents.1.a", losses(0, 10))
    write(tmp_path / "hparams" / "events.out.tfevents.1.a", losses(0, 5))
    assert read(open_source(str(tmp_path)))["d_loss"].count == 10


def test_a_told_tag_wins_over_the_guess(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfevents", [(step, {"G_GAN": 1.0, "mine": 2.0, "D": 0.5}) for step in range(5)])
    reader = open_source(str(path), tags={"adv": "mine"})
    assert read(reader)["adv"].values[0] == 2.0
    assert reader.source.tags == {"adv": "mine", "d_loss": "D"}
    assert reader.source.other_tags == ["G_GAN"]


def test_a_told_tag_that_is_missing_lists_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfevents", [(0, {"loss/G_GAN": 1.0, "loss/D": 2.0})])
    with pytest.raises(ConfigError, match=r"--tag adv=loss/G_GNA: there is no such name in it; nearest are loss/G_GAN"):
        read(open_source(str(path), tags={"adv": "loss/G_GNA"}))


def test_validation_is_never_taken_for_training(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfevents", [(0, {"val/d_loss": 1.0, "val/g_loss": 2.0})])
    with pytest.raises(DataError, match=r"none of which is recognisably a loss.*val/d_loss, val/g_loss.*--tag"):
        read(open_source(str(path)))


def test_vqgan_calls_the_adversarial_term_g_loss(tmp_path: Path) -> None:
    names = ("disc_loss", "g_loss", "nll_loss", "rec_loss", "p_loss", "d_weight", "logits_real", "logits_fake")
    row = {f"train/{name}": float(place) for place, name in enumerate((*names, "total_loss"))}
    reader = open_source(str(write(tmp_path / "a.tfevents", [(0, row)])))
    read(reader)
    tags = {signal: name.removeprefix("train/") for signal, name in reader.source.tags.items()}
    assert tags == {
        "d_loss": "disc_loss",
        "adv": "g_loss",
        "nll": "nll_loss",
        "rec": "rec_loss",
        "perceptual": "p_loss",
        "lambda_adv": "d_weight",
        "d_logit_real": "logits_real",
        "d_logit_fake": "logits_fake",
        "g_loss": "total_loss",
    }


def test_steps_per_epoch_come_from_an_epoch_tag(tmp_path: Path) -> None:
    values = [(step, {"d_loss": 1.0, "epoch": float(step // 40)}) for step in range(0, 400, 10)]
    reader = open_source(str(write(tmp_path / "a.tfevents", values)))
    read(reader)
    assert reader.source.steps_per_epoch == 40


def test_nan_is_counted(tmp_path: Path) -> None:
    values = [(step, {"d_loss": 1.0, "g_loss": math.nan if step > 7 else 1.0}) for step in range(10)]
    history = read(open_source(str(write(tmp_path / "a.tfevents", values))))
    assert history["g_loss"].nonfinite == 2 and history["g_loss"].first_nonfinite == 8


def test_progress_counts_every_byte(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfevents", losses(0, 500))
    seen: list[int] = []
    read(open_source(str(path), progress=seen.append))
    assert sum(seen) == path.stat().st_size
