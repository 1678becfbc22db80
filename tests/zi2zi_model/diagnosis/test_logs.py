"""Logs of the zi2zi family: every format read, other text left alone, rows that were cut off refused."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.zi2zi_logs import EVERY, FORMATS, Losses, fork, healthy, lines, read

from zi2zi_model.diagnosis.logs import ZiLogParser

TF = (
    "Epoch: [ 3], [ 120/ 416] time: 812.3341, d_loss: 0.01234, g_loss: 31.20000, category_loss: 0.00001, "
    "cheat_loss: 8.10000, const_loss: 3.20000, l1_loss: 19.90000, tv_loss: 0.00000"
)
PORT = (
    "Epoch: [ 0], [   0/  32] time: 118.22, d_loss: 1.07627, g_loss: 48.83385, category_loss: 0.10315, "
    "cheat_loss: 8.64635, const_loss: 0.23114, l1_loss: 39.92299"
)
FORK = (
    "Epoch: [12], [ 300/ 416] time:  5210, d_loss: 0.0021, g_loss: 33.2412, category_loss: 0.0000, "
    "cheat_loss: 9.5127, const_loss: 0.2794, l1_loss: 0.2477"
)
LATER = (
    "Epoch: [ 0], [ 100/ 416] time:    93, d_loss: 0.0412, g_loss: 30.1400, adv_loss: 4.0312, "
    "const_loss: 0.2711, l1_loss: 0.2466, lambda_adv: 0.35"
)
# Another port prints G's loss first and l1 before const.
SWAPPED = (
    "Epoch: [  7], [ 100/ 250] time: 33.10, g_loss: 20.12345, d_loss: 0.91234, category_loss: 0.00100, "
    "cheat_loss: 1.10000, l1_loss: 17.20000, const_loss: 1.80000"
)


@pytest.mark.parametrize(
    ("line", "form", "step", "some"),
    [
        (TF, "tf", 3 * 416 + 120, {"d_loss": 0.01234, "adv": 8.1, "const": 3.2, "l1": 19.9, "tv": 0.0}),
        (PORT, "port", 0, {"d_loss": 1.07627, "g_loss": 48.83385, "category": 0.10315, "adv": 8.64635}),
        (FORK, "fork", 12 * 416 + 300, {"d_loss": 0.0021, "category": 0.0, "adv": 9.5127, "epoch": 12}),
        (LATER, "later", 100, {"adv": 4.0312, "lambda_adv": 0.35, "l1": 0.2466}),
        (SWAPPED, "port", 1850, {"d_loss": 0.91234, "g_loss": 20.12345, "l1": 17.2, "const": 1.8}),
    ],
)
def test_a_line_of_each_format(line: str, form: str, step: int, some: dict[str, float]) -> None:
    parser = ZiLogParser()
    row = parser.feed(line)
    assert isinstance(row, dict)
    assert parser.format == form
    assert row["step"] == step
    assert row.items() >= some.items()
    assert "time" not in row


def test_two_lines_make_a_row() -> None:
    parser = ZiLogParser()
    head, losses = FORMATS["two-line"](Losses(0.3, 1.0, 0.2, 0.3), 2, 100, (100, 15)).split("\n")
    assert parser.feed(head) is None
    row = parser.feed(losses)
    assert isinstance(row, dict)
    assert row.items() >= {"step": 932, "d_loss": 0.3, "const": 0.3, "fm": 0.0, "perceptual": 0.5}.items()
    assert (parser.format, parser.steps_per_epoch) == ("two-line", 416)
    # A head without its losses is forgotten.
    assert parser.feed(head) is None
    assert parser.feed("Saving the model") is None
    assert parser.feed(" d_loss: 0.1, g_loss: 0.2") is None


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("prefix", ["", "2025-12-24 10:11:12,345 INFO train: "])
def test_a_whole_log_with_other_text(form: str, prefix: str) -> None:
    made = healthy(200)
    history, source, refused = read(lines(made, form, prefix=prefix, spaces=" ", per_loss=form == "port"))
    assert not refused
    assert source.format == form
    assert source.rows == 200
    assert history.last_step == 199 * EVERY
    assert source.steps_per_epoch == 416
    assert [fact.values["count"] for fact in source.facts_of("parameters")] == [52_875_000, 4_412_000]
    decays = source.facts_of("learning_rate")
    assert (decays[0].values["network"], decays[0].values["old"], decays[0].values["new"]) == ("D", 0.001, 0.00099)
    assert [fact.values["step"] for fact in source.facts_of("checkpoint")][:2] == [0.0, 500.0]
    assert source.facts_of("epoch_end")[3].values == {"epoch": 3.0, "seconds": 412.0}
    if form == "port":
        assert history["perceptual"].count == 200


@pytest.mark.parametrize(
    ("line", "kind", "values"),
    [
        ("Resumed model from step/epoch: 64010", "resumed", {"step": 64010.0}),
        ("Resumed model from step/epoch: latest", "resumed", {"step": "latest"}),
        ("load model 500", "resumed", {"step": 500.0}),
        (
            "Decay net_G learning rate from 0.00100 to 0.00050.",
            "learning_rate",
            {"network": "G", "old": 1e-3, "new": 5e-4},
        ),
        ("Checkpoint: checkpoint step 700", "checkpoint", {"step": 700.0}),
        (" Checkpoint saved at step 800", "checkpoint", {"step": 800.0}),
        ("--- End of Epoch 4 --- Time: 12.50s ---", "epoch_end", {"epoch": 4.0, "seconds": 12.5}),
    ],
)
def test_facts(line: str, kind: str, values: dict[str, float | str]) -> None:
    (fact,) = ZiLogParser().feed(line)  # type: ignore[misc]
    assert (fact.kind, fact.values) == (kind, values)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Epoch: 3 done",
        "Epoch: [0][ 10/5005]  Time 0.31  Loss 6.9",
        "--- Epoch 3/99 ---",
        "Checkpoint: checkpoint step 100, will save after 500",
        "the d_loss: of this run is small",
        "d_loss: 0.1, g_loss: 0.2",
        "Starting training from epoch 0/99...",
    ],
)
def test_other_text_is_nothing(line: str) -> None:
    assert ZiLogParser().feed(line) is None


def test_losses_that_are_not_finite() -> None:
    parser = ZiLogParser()
    assert parser.feed(FORK)
    row = parser.feed(FORK.replace("0.0021", "nan").replace("0.2477", "inf"))
    assert isinstance(row, dict)
    assert math.isnan(row["d_loss"]) and math.isinf(row["l1"])
    assert parser.format == "fork"


@pytest.mark.parametrize("line", [TF, PORT, FORK, LATER])
def test_a_row_cut_anywhere_yields_nothing_wrong(line: str) -> None:
    parser = ZiLogParser()
    whole = parser.feed(line)
    for length in range(len(line)):
        cut = line[:length]
        try:
            assert parser.feed(cut) in (None, {}), cut
        except ValueError as error:
            assert str(error).startswith("a row"), cut
        assert parser.feed(line) == whole  # and the log goes on


def test_the_first_row_cut_in_its_last_figure_is_refused() -> None:
    with pytest.raises(ValueError, match="cut off"):
        ZiLogParser().feed(FORK[:-2])
    with pytest.raises(ValueError, match="cut off"):
        ZiLogParser().feed(FORK[: FORK.index(", const")])


def test_a_row_over_the_rest_of_another_is_read() -> None:
    parser = ZiLogParser()
    row = parser.feed(FORK[:80] + FORK)
    assert isinstance(row, dict)
    assert row["adv"] == 9.5127
    with pytest.raises(ValueError, match="without their epoch"):
        parser.feed(
            "021, g_loss: 33.2412, category_loss: 0.0000, cheat_loss: 9.5127, const_loss: 0.2794, l1_loss: 0.2477"
        )


def test_a_log_that_goes_on_with_fewer_columns_is_followed() -> None:
    parser = ZiLogParser()
    assert parser.feed(TF)
    shorter = TF[: TF.index(", tv_loss")]
    with pytest.raises(ValueError, match="cut off"):
        parser.feed(shorter)
    assert parser.feed(shorter)
    assert parser.feed(shorter)


@pytest.mark.parametrize("line", ["Epoch: [ 1], [ 500/ 416] time: 1, d_loss: 0.1", "Epoch: [ 1], [ 0/ 0] time: 1"])
def test_batches_that_cannot_be(line: str) -> None:
    with pytest.raises(ValueError, match="batch"):
        ZiLogParser().feed(line)


@given(st.text(max_size=300))
def test_no_text_breaks_it(text: str) -> None:
    parser = ZiLogParser()
    for line in ("Epoch: [ 1], " + text, text, "Epoch: [ 1], [ 2/ 9] time: 1, d_loss: " + text, FORK + text):
        try:
            parser.feed(line)
        except ValueError as error:
            assert str(error).startswith(("a row", "losses", "a batch"))


def test_two_processes_writing_over_each_other() -> None:
    """Whatever is read has the figures of some whole row."""
    rng = random.Random(1)
    made = healthy(300)
    whole = [fork(row, *divmod(index * EVERY, 416), (90, 5)) for index, row in enumerate(made)]
    mixed = []
    for line in whole:
        if rng.random() < 0.2:
            at, other = rng.randrange(len(line)), rng.choice(whole)
            mixed += [line[:at] + other, line[at:]]
        else:
            mixed.append(line)
    history, _, refused = read(mixed)
    values = {f"{row.adv:.4f}" for row in made}
    assert refused
    assert {f"{value:.4f}" for value in history["adv"].values} <= values
