"""Text logs of a family: an extension's parser reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from support.written_logs import reading

from balancer.diagnosis.extension import Extension
from balancer.reading import families
from balancer.reading.families import LineParser
from balancer.reading.source import Fact


class ForkParser(LineParser):
    """Lines such as `row 10 4 0.5`: step, batches in an epoch, d_loss; `resume 30`; `row` alone is torn."""

    def feed(self, line: str) -> Mapping[str, float] | Sequence[Fact] | None:
        word, *figures = line.split() or [""]
        if word == "resume":
            return [Fact("resumed", -1, {"step": float(figures[0])})]
        if word == "bug":
            raise ZeroDivisionError("oops")
        if word != "row":
            return None
        if len(figures) < 3:
            raise ValueError("a torn row")
        self.format = "fork"
        self.steps_per_epoch = float(figures[1])
        step = float(figures[0])
        return {"step": step, "epoch": step // self.steps_per_epoch, "d_loss": float(figures[2])}


class Fork(Extension):
    name = "fork"

    def parser(self) -> LineParser:
        return ForkParser()


@pytest.fixture
def fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "families", lambda: {"fork": Fork()})


@pytest.mark.usefixtures("fork")
class TestExtensions:
    """An extension's parser reads its family's logs."""

    def test_it_is_taken_where_it_reads_most(self, tmp_path: Path) -> None:
        text = "setup\n" + "".join(f"row {n} 10 0.5\n" for n in range(40)) + "row 3\n"
        history, source = reading(tmp_path / "a.log", text)
        assert (source.family, source.format, source.steps_per_epoch) == ("fork", "fork", 10)
        assert history["d_loss"].count == 40 and history["epoch"].values[-1] == 3
        assert source.skipped == 1 and source.unread.why == {"a torn row": 1}
        assert source.unread.examples == [(42, "row 3")]

    def test_it_is_not_taken_for_another_log(self, tmp_path: Path) -> None:
        text = "row 1 10 0.5\n" + "step: 1 d_loss: 3\n" * 40
        assert reading(tmp_path / "a.log", text)[1].family == ""

    def test_a_resumed_run_that_counts_from_zero_goes_on_there(self, tmp_path: Path) -> None:
        one = "".join(f"row {n} 10 1\n" for n in range(40))
        two = "".join(f"row {n} 10 2\n" for n in range(20))
        history, source = reading(tmp_path / "a.log", one + "resume 30\n" + two)
        assert source.restarts == [(39, 30)]
        assert history["d_loss"].steps.tolist() == list(range(50))
        assert history["d_loss"].values.tolist() == [1.0] * 30 + [2.0] * 20
        assert history["epoch"].values.tolist() == [step // 10 for step in range(50)]
        assert source.facts == [Fact("resumed", 39, {"step": 30})]

    def test_a_resumed_run_that_counts_on_stays_where_it_is(self, tmp_path: Path) -> None:
        rows = "".join(f"row {n} 10 2\n" for n in range(30, 50))
        history, source = reading(tmp_path / "a.log", "resume 30\n" + rows)
        assert history["d_loss"].steps.tolist() == list(range(30, 50)) and not source.restarts
        assert source.facts == [Fact("resumed", -1, {"step": 30})]

    def test_a_bug_in_it_is_told_and_reading_goes_on(self, tmp_path: Path) -> None:
        text = "".join(f"row {n} 10 0.5\n" for n in range(300)) + "bug\nbug\nrow 300 10 0.5\n"
        path = tmp_path / "a.log"
        with pytest.warns(UserWarning, match="diagnosis fork: its parser failed: ZeroDivisionError: oops"):
            history, source = reading(path, text)
        assert history["d_loss"].count == 301 and source.unread.why == {"ZeroDivisionError": 2}

    def test_one_that_fails_at_once_is_left_out(self, tmp_path: Path) -> None:
        with pytest.warns(UserWarning, match="its parser failed"):
            _, source = reading(tmp_path / "a.log", "bug\n" + "step: 1 d_loss: 3\n" * 40)
        assert source.family == "" and source.rows == 40
