"""CSV and JSON lines are read whoever wrote them: names, steps, gaps, restarts, and what cannot be read."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from support.written_logs import reading

from balancer.errors import ConfigError, DataError
from balancer.reading.opening import open_source, read


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_columns_become_signals(tmp_path: Path, mark: str) -> None:
    lines = ["Step,D_loss,G_GAN,time", *(f"{step * 10},0.5,2.5,{step}" for step in range(30))]
    history, source = reading(tmp_path / "a.csv", "\n".join(lines).replace(",", mark) + "\n")
    assert source.kind == "csv" and source.rows == 30
    assert source.tags == {"d_loss": "D_loss", "adv": "G_GAN"} and source.other_tags == ["time"]
    assert history["adv"].steps.tolist() == list(range(0, 300, 10))
    assert history["adv"].values.tolist() == [2.5] * 30


def test_what_it_is_is_told_by_its_content(tmp_path: Path) -> None:
    assert reading(tmp_path / "a.txt", "step,d_loss\n1,2\n2,3\n")[1].kind == "csv"
    assert reading(tmp_path / "b.csv", '{"step": 1, "d_loss": 2}\n')[1].kind == "jsonl"
    assert reading(tmp_path / "c.json", "step: 1, d_loss: 2, g_loss: 3\nstep: 2, d_loss: 3\n")[1].kind == "log"


def test_lightnings_sparse_rows_are_joined_by_their_step(tmp_path: Path) -> None:
    rows = [f"{step // 10},{step},0.5,,0.4\n{step // 10},{step},,1.5,\n" for step in range(100)]
    history, source = reading(tmp_path / "m.csv", "epoch,step,train/d_loss,train/g_loss,val/d_loss\n" + "".join(rows))
    assert history["d_loss"].count == history["g_loss"].count == 100
    assert source.steps_per_epoch == 10 and source.other_tags == ["val/d_loss"]
    assert not source.unread.count


def test_weights_and_biases_export(tmp_path: Path) -> None:
    text = (
        '"Step","brisk-sea-3 - d_loss","brisk-sea-3 - d_loss__MIN","brisk-sea-3 - d_loss__MAX"\n"1","0.5","0.4","0.6"\n'
    )
    for tags in ({}, {"d_loss": "d_loss"}, {"d_loss": "brisk-sea-3 - d_loss"}):
        history, source = reading(tmp_path / "w.csv", text, tags=tags)
        assert source.tags == {"d_loss": "d_loss"}
        assert source.other_tags == ["brisk-sea-3 - d_loss__MIN", "brisk-sea-3 - d_loss__MAX"]
        assert history["d_loss"].values.tolist() == [0.5]


def test_a_chart_of_several_runs_is_read_once_one_is_chosen(tmp_path: Path) -> None:
    columns = [f"run-{run} - {name}{end}" for run in "ab" for name in ("D", "G") for end in ("", "__MIN", "__MAX")]
    text = ",".join(["Step", *columns]) + "\n" + "".join(f"{n}" + ",1" * 6 + ",2" * 6 + "\n" for n in range(30))
    with pytest.raises(ConfigError, match=r"a chart of 2 runs: run-a, run-b; pick one with --tag.*'d_loss=run-a - D'"):
        reading(tmp_path / "w.csv", text)
    with pytest.raises(ConfigError, match="a chart of 2 runs"):
        reading(tmp_path / "w.csv", text, tags={"d_loss": "D"})
    history, source = reading(tmp_path / "w.csv", text, tags={"d_loss": "run-b - D"})
    assert source.tags == {"d_loss": "D", "g_loss": "G"} and set(history["g_loss"].values) == {2}
    assert "run-a - D" in source.other_tags and "run-b - D__MIN" in source.other_tags


def test_columns_that_are_not_named_by_runs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="recognisably a loss of D or G: D - loss, G - loss"):
        reading(tmp_path / "a.csv", "step,D - loss,G - loss\n1,2,3\n2,2,3\n")


LIGHTNING = "epoch,step,train/aeloss_step,train/disc_loss_step,train/rec_loss_step,train/g_loss_step,train/aeloss_epoch"


def test_lightnings_names_end_in_step_or_epoch(tmp_path: Path) -> None:
    rows = "".join(f"{n // 50},{n},0.8,,0.6,-0.1,\n{n // 50},{n},,0.9,,,\n" for n in range(0, 300, 5))
    means = "".join(f"{n},{49 + n * 50},,,,,0.7\n" for n in range(300))
    history, source = reading(tmp_path / "metrics.csv", f"{LIGHTNING}\n{means[:40]}\n{rows}".replace("\n\n", "\n"))
    assert {signal: source.tags[signal] for signal in ("adv", "g_loss", "d_loss", "rec")} == {
        "adv": "train/g_loss_step",
        "g_loss": "train/aeloss_step",
        "d_loss": "train/disc_loss_step",
        "rec": "train/rec_loss_step",
    }
    assert source.other_tags == ["train/aeloss_epoch"] and set(history["adv"].values) == {-0.1}


def test_the_only_table_of_a_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "hparams.yaml").write_text("lr: 1\n")
    (tmp_path / "metrics.csv").write_text("step,d_loss\n1,2\n2,3\n")
    reader = open_source(str(tmp_path))
    assert read(reader)["d_loss"].count == 2 and reader.source.path.endswith("metrics.csv")
    (tmp_path / "other.csv").write_text("step,d_loss\n1,2\n2,3\n")
    with pytest.raises(ConfigError, match=r"name a log in it: metrics\.csv, other\.csv"):
        open_source(str(tmp_path))


ROWS = [{"epoch": n, "loss": {"D": 0.5 + n, "G": 1.5}, "note": "x" * 50} for n in range(60)]
COLUMNS = {"d_loss": [0.5 + n for n in range(60)], "g_loss": [1.5] * 60, "lr": [1]}


class TestSpreadJson:
    """JSON that is not one object on each line."""

    @pytest.mark.parametrize(
        "text",
        [
            json.dumps(ROWS),
            json.dumps(ROWS, indent=2),
            "[\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]\n",
            "\n".join(json.dumps(row, indent=4) for row in ROWS),
            json.dumps({"best": 3, "log_history": ROWS}),
            json.dumps({"best": 3, "log_history": ROWS}, indent=1),
            json.dumps(COLUMNS),
            json.dumps(COLUMNS, indent=2),
        ],
    )
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_its_rows_are_read(self, tmp_path: Path, text: str, encoding: str) -> None:
        history, source = reading(tmp_path / "a.json", text.encode(encoding))
        assert source.kind == "jsonl" and source.rows == 60 and not source.unread.count
        assert history["d_loss"].values.tolist() == [0.5 + n for n in range(60)]
        assert history["g_loss"].count == 60

    def test_what_is_before_a_cut_is_read(self, tmp_path: Path) -> None:
        history, source = reading(tmp_path / "a.json", json.dumps(ROWS)[:-30])
        assert history["d_loss"].count == 59
        assert source.unread.why == {"an object cut short; nothing after it was read": 1}

    def test_and_what_is_before_damage(self, tmp_path: Path) -> None:
        text = json.dumps(ROWS * 3000).replace('{"epoch": 7,', '{"epoch" 7,', 1)
        history, source = reading(tmp_path / "a.json", text)
        assert history["d_loss"].count == 7
        assert source.unread.why == {"an object that is not JSON; nothing after it was read": 1}

    def test_a_long_array_is_read_in_blocks(self, tmp_path: Path) -> None:
        rows = [{"step": n, "d_loss": 0.5, "note": "x" * 300} for n in range(20_000)]
        history, source = reading(tmp_path / "a.json", json.dumps(rows))
        assert source.rows == history["d_loss"].count == 20_000 and history.last_step == 19_999

    def test_an_object_too_large_says_what_to_do(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="an object of more than 8 MiB: write one object on each line"):
            reading(tmp_path / "a.json", '{"d_loss":\n[' + "0.25, " * 2_000_000 + "1]}")

    def test_a_config_before_a_log_is_no_table(self, tmp_path: Path) -> None:
        text = json.dumps({"batch_size": 16, "lr": 1}, indent=2) + "\n" + "step: 1 d_loss: 0.5\nstep: 2 d_loss: 1\n" * 9
        assert reading(tmp_path / "a.log", text)[1].kind == "log"


def test_the_decimal_comma_of_semicolon_tables(tmp_path: Path) -> None:
    history, _ = reading(tmp_path / "a.csv", "step;d_loss;g_loss\n1;0,5;1,25\n2;0,25;3\n")
    assert history["d_loss"].values.tolist() == [0.5, 0.25] and history["g_loss"].values.tolist() == [1.25, 3]


def test_without_a_step_rows_are_numbered(tmp_path: Path) -> None:
    history, _ = reading(tmp_path / "a.csv", "d_loss,g_loss\n" + "0.5,1\n" * 20)
    assert history["d_loss"].steps.tolist() == list(range(20))


def test_a_step_within_the_epoch_goes_on(tmp_path: Path) -> None:
    rows = "".join(f"{epoch},{batch},0.5,1\n" for epoch in range(3) for batch in range(20))
    history, source = reading(tmp_path / "a.csv", "epoch,batch,d_loss,g_loss\n" + rows)
    assert history["d_loss"].steps.tolist() == list(range(60))
    assert source.steps_per_epoch == 20 and not source.restarts


def test_rows_after_a_restart_supersede(tmp_path: Path) -> None:
    rows = [(step, 1.0) for step in range(50)] + [(step, 2.0) for step in range(30, 70)]
    text = "step,d_loss,g_loss\n" + "".join(f"{step},{value},1\n" for step, value in rows)
    history, source = reading(tmp_path / "a.csv", text)
    assert source.restarts == [(49, 30)]
    assert history["d_loss"].steps.tolist() == list(range(70))
    assert history["d_loss"].values.tolist() == [1.0] * 30 + [2.0] * 40


def test_a_header_that_comes_again_is_no_damage(tmp_path: Path) -> None:
    header = "step,d_loss,g_loss\n"
    _, source = reading(tmp_path / "a.csv", header + "1,2,3\n2,2,3\n" + header + "3,2,3\n")
    assert source.skipped == 1 and source.rows == 3 and not source.unread.count


def test_rows_that_cannot_be_read_are_counted_and_shown(tmp_path: Path) -> None:
    text = "step,d_loss,g_loss\n1,0.5,2\n2,oops,2\n3,0.5\nx,0.5,2\ninf,0.5,2\n4,nan,inf\n5,0.5,2"
    history, source = reading(tmp_path / "a.csv", text)
    assert source.unread.why == {
        "a cell that is not a number": 2,
        "a row with another number of cells": 1,
        "a step that is not a number": 1,
    }
    assert source.unread.examples == [(3, "2,oops,2"), (4, "3,0.5"), (5, "x,0.5,2")]
    assert history["d_loss"].count == 2 and history["d_loss"].nonfinite == 1
    assert history["g_loss"].steps.tolist() == [1, 2, 5] and history["g_loss"].first_nonfinite == 4


def test_steps_and_epochs_beyond_all_bounds(tmp_path: Path) -> None:
    rows = ["0,0", "1,1e-300", "2,1e300", "3,-1e300", "1e300,2", "-1e18,3", "4,2e-300", "2,0"]
    text = "step,epoch,d_loss\n" + "".join(f"{row},1\n" for row in rows)
    history, source = reading(tmp_path / "a.csv", text)
    assert history["d_loss"].steps.tolist() == [0, 1, 2]
    assert source.unread.why == {"a step that is not a number": 2}
    history, _ = reading(tmp_path / "b.csv", "epoch,d_loss\n0,1\n1e-300,1\n2e-300,1\n1e-300,1\n0,1\n")
    assert history["d_loss"].count


def test_a_table_without_rows_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"CSV without a row of figures"):
        reading(tmp_path / "a.csv", "step,d_loss,g_loss\n")


def test_a_table_without_losses_names_its_columns(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"CSV, with no name that is recognisably .*: foo, bar; .*--tag d_loss=NAME"):
        reading(tmp_path / "a.csv", "step,foo,bar\n1,2,3\n")


def test_a_told_column_wins(tmp_path: Path) -> None:
    text = "step,foo,d_loss\n1,2,3\n"
    history, source = reading(tmp_path / "a.csv", text, tags={"d_loss": "foo"})
    assert history["d_loss"].values.tolist() == [2] and source.other_tags == ["d_loss"]
    with pytest.raises(ConfigError, match=r"--tag d_loss=fooo: there is no such name in it; nearest are foo"):
        reading(tmp_path / "a.csv", text, tags={"d_loss": "fooo"})


def test_training_goes_before_what_is_not_said_to_be_and_more_values_before_fewer(tmp_path: Path) -> None:
    _, source = reading(tmp_path / "a.csv", "step,d_loss,train/d_loss,G_loss,loss_G\n1,2,3,,5\n2,2,3,,5\n3,2,3,5,5\n")
    assert source.tags == {"d_loss": "train/d_loss", "g_loss": "loss_G"}


def test_nested_objects_are_flattened(tmp_path: Path) -> None:
    rows = [
        {"global_step": step, "epoch": step // 5, "loss": {"D_real": 0.5, "gen": {"adv": 2.0}}, "note": "x", "ok": True}
        for step in range(20)
    ]
    history, source = reading(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert source.tags == {"epoch": "epoch", "d_loss_real": "loss.D_real", "adv": "loss.gen.adv"}
    assert history["adv"].values.tolist() == [2.0] * 20
    assert source.steps_per_epoch == 5


def test_stylegans_stats(tmp_path: Path) -> None:
    rows = [
        {
            "Loss/D/loss": {"num": 64, "mean": 0.5, "std": 0.1},
            "Loss/scores/real": {"num": 64, "mean": 1.5, "std": 0.1},
            "Progress/kimg": {"num": 1, "mean": tick * 4.0, "std": 0.0},
        }
        for tick in range(10)
    ]
    history, _ = reading(tmp_path / "stats.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert history["d_loss"].steps.tolist() == [tick * 4.0 for tick in range(10)]
    assert history["d_logit_real"].values.tolist() == [1.5] * 10


def test_json_may_hold_nan_and_numbers_beyond_all_bounds(tmp_path: Path) -> None:
    lines = [
        '{"step": 1, "d_loss": 0.5, "g_loss": 1}',
        '{"step": 2, "d_loss": NaN, "g_loss": Infinity}',
        '{"step": 3, "d_loss": 1e999, "g_loss": ' + "9" * 400 + "}",
        '{"step": 4, "d_loss": "0.25", "g_loss": null}',
        '{"step": 5, "d_loss": 1, "g_loss": ' + "9" * 9000 + "}",
        '{"step": ' + "9" * 400 + ', "d_loss": 1}',
        '{"d_loss": 0.5}',
        '{"step": 6, "d_lo',
    ]
    history, source = reading(tmp_path / "a.jsonl", "\n".join(lines))
    assert history["d_loss"].values.tolist() == [0.5, 0.25] and history["d_loss"].nonfinite == 2
    assert history["g_loss"].values.tolist() == [1.0] and history["g_loss"].nonfinite == 2
    assert source.unread.why == {
        "a line that is not JSON": 2,
        "a step that is not a number": 1,
        "a row without a step": 1,
    }


def test_objects_too_deep_are_counted(tmp_path: Path) -> None:
    deep = '{"a":' * 20_000 + "1" + "}" * 20_000
    shallow = '{"step": 1, "d_loss": 0.5, ' + '"a": {' * 30 + '"d_loss": 3' + "}" * 30 + "}"
    history, source = reading(tmp_path / "a.jsonl", f'{{"step": 0, "d_loss": 1}}\n{deep}\n{shallow}\n')
    assert history["d_loss"].values.tolist() == [1, 0.5]
    assert source.unread.count == 1


def test_text_among_json_lines_is_passed_over(tmp_path: Path) -> None:
    history, source = reading(
        tmp_path / "a.jsonl", '{"step": 1, "d_loss": 1}\nsaved.\n[1, 2]\n{"step": 2, "d_loss": 3}\n'
    )
    assert history["d_loss"].count == 2 and source.skipped == 2


def test_math_is_not_lost_in_long_tables(tmp_path: Path) -> None:
    rows = "".join(f"{step},{math.sin(step)},{step % 7}\n" for step in range(50_000))
    history, source = reading(tmp_path / "a.csv", "step,d_loss,g_loss\n" + rows)
    assert history["d_loss"].count == 50_000 and len(history["d_loss"].values) <= 4097
    assert history["g_loss"].high.max() == 6 and source.rows == 50_000
