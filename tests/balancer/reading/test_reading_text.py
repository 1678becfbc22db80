"""Text logs: by an extension's parser, by names beside figures as many codes print them, or by the user's pattern."""

from __future__ import annotations

import io
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from support.work import assert_in_proportion

from balancer.diagnosis.extension import Extension
from balancer.errors import ConfigError, DataError
from balancer.reading import families, raw_bytes
from balancer.reading.families import LineParser
from balancer.reading.history import History
from balancer.reading.opening import open_source, read
from balancer.reading.source import Fact, Source
from balancer.reading.superseded import without_superseded


def reading(path: Path, text: str | bytes, **options: object) -> tuple[History, Source]:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    reader = open_source(str(path), **options)  # type: ignore[arg-type]
    return read(reader), reader.source


def test_pix2pix_counts_images_within_the_epoch(tmp_path: Path) -> None:
    """416 images in an epoch, a line every hundred of all images."""
    lines = ["================ Training Loss (Mon) ================"]
    for image in range(100, 416 * 4, 100):
        epoch, iters = divmod(image - 1, 416)
        lines.append(
            f"(epoch: {epoch + 1}, iters: {iters + 1}, time: 0.281, data: 0.002) "
            f"G_GAN: {image / 1000:.3f} G_L1: 20.1 D_real: 0.5 D_fake: 0.4 "
        )
    history, source = reading(tmp_path / "loss_log.txt", "\n".join(lines) + "\n")
    assert source.kind == "log" and source.skipped == 1
    assert source.tags == {"adv": "G_GAN", "l1": "G_L1", "d_loss_real": "D_real", "d_loss_fake": "D_fake"}
    assert history["adv"].steps.tolist() == list(range(100, 1664, 100))
    assert source.steps_per_epoch == 416 and not source.restarts


def test_hifi_gan(tmp_path: Path) -> None:
    line = "Steps : {}, Gen Loss Total : 30.123, Mel-Spec. Error : 0.412, s/b : 0.3\n"
    history, source = reading(tmp_path / "a.log", "".join(line.format(step) for step in range(0, 500, 5)))
    assert source.tags == {"g_loss": "Gen Loss Total", "mel": "Mel-Spec. Error"} and source.other_tags == ["s/b"]
    assert history["mel"].steps.tolist() == list(range(0, 500, 5))


@pytest.mark.parametrize(
    "line",
    [
        "[{epoch}/25][{batch}/100]\tLoss_D: 0.5\tLoss_G: 2.0\tD(x): 0.6\tD(G(z)): 0.4 / 0.3",
        "[Epoch {epoch}/25] [Batch {batch}/100] [D loss: 0.5] [G loss: 2.0]",
        "Epoch [{epoch}/25], Step [{batch}/100], d_loss: 0.5, g_loss: 2.0, D(x): 0.60",
        "Epoch: [ {epoch}], [ {batch}/ 100] time:  52, d_loss: 0.5, g_loss: 2.0",
        "Epoch {epoch}: 45%|████▌ | {batch}/100 [00:10<00:12, 44.0it/s, d_loss=0.5, g_loss=2.0]",
        "2024-01-02 10:00:00,123 INFO trainer: epoch={epoch} iter={batch}/100 errD=0.5 errG=tensor(2.0, device='cuda')",
        "\x1b[32mepoch {epoch}\x1b[0m batch {batch} | discriminator loss = 5.0e-1 | generator loss = +2.",
    ],
)
def test_common_forms(tmp_path: Path, line: str) -> None:
    text = "\n".join(line.format(epoch=epoch, batch=batch) for epoch in range(3) for batch in range(0, 100, 4))
    history, source = reading(tmp_path / "a.log", text)
    assert set(source.tags) - {"d_prob_real", "d_prob_fake"} == {"d_loss", "g_loss"}
    assert history["d_loss"].values.tolist() == [0.5] * 75 and history["g_loss"].values.tolist() == [2.0] * 75
    assert history["d_loss"].steps.tolist() == list(range(0, 300, 4))
    assert source.steps_per_epoch == 100 and not source.restarts


def test_a_number_at_the_beginning_is_the_step(tmp_path: Path) -> None:
    history, _ = reading(
        tmp_path / "a.log", "".join(f"{n} [D loss: 0.69, acc.: 50.00%] [G loss: 0.7]\n" for n in range(0, 90, 3))
    )
    assert history["g_loss"].steps.tolist() == list(range(0, 90, 3))


def test_a_bar_that_starts_anew_goes_on(tmp_path: Path) -> None:
    bar = "\r{}%|##| {}/100 [00:10<00:12, 44.0it/s, d_loss=0.5, g_loss=2.0]"
    text = "".join(bar.format(n, n) for _ in range(3) for n in range(0, 101, 10))
    history, source = reading(tmp_path / "a.log", text)
    assert history["d_loss"].last_steps[-1] == 300 and not source.restarts and source.steps_per_epoch == 100


def test_keras(tmp_path: Path) -> None:
    lines = []
    for epoch in range(3):
        lines.append(f"Epoch {epoch + 1}/3")
        bars = [f" {n}/938 [=====>....] - ETA: 5s - d_loss: 0.6912 - g_loss: 0.8" for n in (1, 400, 800)]
        lines.append("\r".join([*bars, "938/938 [======] - 12s 13ms/step - d_loss: 0.69 - g_loss: 0.8"]))
    history, source = reading(tmp_path / "a.log", "\n".join(lines))
    assert source.tags == {"d_loss": "d_loss", "g_loss": "g_loss"} and not source.restarts
    assert history["d_loss"].steps.tolist() == [938 * epoch + n for epoch in range(3) for n in (1, 400, 800, 938)]


def test_losses_of_one_step_on_lines_of_their_own(tmp_path: Path) -> None:
    text = "".join(f"step: {n} d_loss: 0.5\n    g_loss: 2 l1_loss: 3\n" for n in range(0, 900, 100))
    history, source = reading(tmp_path / "a.log", text)
    assert history["g_loss"].steps.tolist() == history["d_loss"].steps.tolist() == list(range(0, 900, 100))
    rows = list(without_superseded(open_source(str(tmp_path / "a.log")).rows(), source.restarts))
    assert rows == [(n, {"d_loss": 0.5, "g_loss": 2, "l1": 3}) for n in range(0, 900, 100)]


def test_printed_dicts(tmp_path: Path) -> None:
    text = "".join(str({"loss_D": 0.5, "loss_G": 2.0, "epoch": step / 50}) + "\n" for step in range(200))
    history, source = reading(tmp_path / "a.log", text)
    assert history["d_loss"].count == 200 and source.steps_per_epoch == pytest.approx(50)


def test_lines_of_validation_are_no_rows(tmp_path: Path) -> None:
    text = (
        "step=1 d_loss=0.5\n[Validation] step=1 d_loss=9\nval_d_loss: 8 d_time: 1\nTest: d_loss: 7\nstep=2 d_loss=0.5\n"
    )
    history, source = reading(tmp_path / "a.log", text)
    assert history["d_loss"].values.tolist() == [0.5, 0.5] and source.skipped == 3


def test_told_names(tmp_path: Path) -> None:
    text = "".join(f"INFO step: {n} critic score: 0.5 foo: 2 D: 3\n" for n in range(5))
    history, source = reading(tmp_path / "a.log", text, tags={"adv": "foo", "d_loss": "critic score"})
    assert source.tags == {"d_loss": "critic score", "adv": "foo"}
    assert history["d_loss"].values[0] == 0.5 and history["adv"].values[0] == 2
    with pytest.raises(ConfigError, match=r"--tag adv=fooo.*nearest are foo"):
        reading(tmp_path / "a.log", text, tags={"adv": "fooo"})


def test_numbers_beyond_all_bounds_are_not_finite(tmp_path: Path) -> None:
    text = f"step: 1 d_loss: nan g_loss: -inf\nstep: 2 d_loss: {'9' * 400} g_loss: 1e999\nstep: 3 d_loss: 1 g_loss: 1\n"
    history, _ = reading(tmp_path / "a.log", text)
    assert history["d_loss"].nonfinite == 2 and history["g_loss"].nonfinite == 2 and history["d_loss"].count == 1


def test_a_new_start_goes_on_and_is_told(tmp_path: Path) -> None:
    one = "".join(f"step: {n} d_loss: 1 g_loss: 1\n" for n in range(0, 1000, 100))
    two = "".join(f"step: {n} d_loss: 2 g_loss: 1\n" for n in range(0, 500, 100))
    history, source = reading(tmp_path / "a.log", one + "loaded checkpoint\n" + two)
    assert source.restarts == [(900, 901)]
    assert history["d_loss"].steps.tolist() == [*range(0, 1000, 100), 901, *range(1001, 1400, 100)]


def test_the_probabilities_of_the_dcgan_example(tmp_path: Path) -> None:
    line = "[{}/5][{}/100]\tLoss_D: 1.6\tLoss_G: 5.2\tD(x): 0.6\tD(G(z)): 0.5 / 0.02\n"
    history, source = reading(tmp_path / "a.log", "".join(line.format(n // 10, n % 10 * 10) for n in range(50)))
    assert history["d_prob_real"].values.tolist() == [0.6] * 50
    assert history["d_prob_fake"].values.tolist() == [0.5] * 50
    assert history.last_step == 490 and not source.other_tags


def test_a_step_that_falls_to_the_middle_supersedes(tmp_path: Path) -> None:
    one = "".join(f"step: {n} d_loss: 1 g_loss: 1\n" for n in range(0, 1000, 100))
    two = "".join(f"step: {n} d_loss: 2 g_loss: 1\n" for n in range(500, 1500, 100))
    history, source = reading(tmp_path / "a.log", one + two)
    assert source.restarts == [(900, 500)]
    assert history["d_loss"].steps.tolist() == list(range(0, 1500, 100))
    again = list(without_superseded(open_source(str(tmp_path / "a.log")).rows(), source.restarts))
    assert [row["d_loss"] for _, row in again] == [1] * 5 + [2] * 10


def test_lines_of_ranks_out_of_order_are_no_new_starts(tmp_path: Path) -> None:
    lines = [f"step: {n - 1000 * (n % 3 == 0 and n > 3000)} d_loss: 1" for n in range(1000, 20_000, 1000)]
    history, _ = reading(tmp_path / "a.log", "\n".join(lines))
    assert history.last_step <= 19_000


@pytest.mark.parametrize(
    "encoded",
    [
        lambda text: text.encode(),
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace("note", "字型訓練").encode("big5"),
        lambda text: text.replace("note", "字体训练").encode("gbk"),
        lambda text: text.replace("d_loss", "\x1b[1;31md_loss\x1b[0m").encode(),
        lambda text: text.encode()[:40] + b"\n" + text.encode()[40:].replace(b"note", b"n\0o\0t\0e"),
    ],
)
def test_encodings(tmp_path: Path, encoded: Callable[[str], bytes]) -> None:
    text = "".join(f"note {n * 7}\nstep: {n} d_loss: 0.5 g_loss: 2\n" for n in range(3000))
    history, source = reading(tmp_path / "a.log", encoded(text))
    assert 2999 <= history["d_loss"].count <= 3000
    assert history.last_step == 2999 and not source.unread.count


def test_lines_too_long_are_skipped_and_told(tmp_path: Path) -> None:
    row = "step: {} d_loss: 0.5 g_loss: 2\n"
    parts = [row.format(1), "x" * 70_000 + " d_loss: 3\n", row.format(2), "y" * 5_000_000 + "\n", row.format(3)]
    history, source = reading(tmp_path / "a.log", "".join(parts))
    assert history["d_loss"].steps.tolist() == [1, 2, 3]
    assert source.unread.why == {"a line of more than 64 KiB": 2}
    assert [line for line, _ in source.unread.examples] == [2, 4]


@pytest.mark.parametrize(
    "line",
    [
        "d_loss: " * 8000,
        "a " * 30_000,
        "a" * 60_000,
        "d_loss: 1 " * 6000,
        "1/" * 30_000,
        "1 / " * 15_000,
        "d_loss" + " " * 60_000 + ": 3",
        "d_loss: " + "9" * 60_000,
        "epoch " * 10_000,
        "step: 1 d_loss: 0.5 [" * 3000,
        "\x1b[" * 30_000,
        "\x1b[" + "1;" * 30_000,
        "d_loss=" + "tensor(" * 8000,
        ".".join("a" * 30_000),
        "'" * 60_000 + ":",
    ],
)
def test_no_line_takes_more_than_its_length(tmp_path: Path, line: str) -> None:
    def read_lines(length: int) -> None:
        text = "step: 1 d_loss: 0.5\n" + (line[:length] + "\n") * 20 + "step: 1000 d_loss: 0.5\n"
        history, _ = reading(tmp_path / "a.log", text)
        assert (history.first_step, history.last_step) == (1, 1000)

    assert_in_proportion(read_lines, 15_000)


def test_nothing_recognisable_says_what_was_found(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"a text log on which no line names a loss of D or G; it names foo, bar: say .*--tag"
    ):
        reading(tmp_path / "a.log", "foo: 3 bar: 4\n" * 30)
    with pytest.raises(
        DataError, match=r"a text log without names beside figures, such as: hello world; give --pattern"
    ):
        reading(tmp_path / "a.log", "hello world\n" * 30)


class TestPattern:
    """`--pattern` is the user's own parser."""

    TEXT = "".join(f"{n} | fonts | {0.5 + n} {2.5e-1}\nother\n" for n in range(20))

    def test_groups_are_signals(self, tmp_path: Path) -> None:
        pattern = r"(?P<step>\d+) \| .* \| (?P<d_loss>[\d.eE+-]+) (?P<adv>\S+)"
        history, source = reading(tmp_path / "a.log", self.TEXT, pattern=pattern)
        assert history["d_loss"].values.tolist() == [0.5 + n for n in range(20)]
        assert history["adv"].values.tolist() == [0.25] * 20 and source.skipped == 20
        assert source.tags == {"d_loss": "d_loss", "adv": "adv"}

    def test_tags_rename_groups(self, tmp_path: Path) -> None:
        history, _ = reading(tmp_path / "a.log", self.TEXT, pattern=r"\| (?P<x>[\d.]+)", tags={"g_loss": "x"})
        assert history["g_loss"].count == 20

    @pytest.mark.parametrize(
        ("pattern", "message"),
        [
            ("(", "is not a regular expression"),
            (r"\d+", "names no signal"),
            (r"(?P<step>\d+)", "names no signal"),
            (r"(?P<d_loss>xyz)", "finds nothing on any line, such as: 0 | fonts"),
            (r"(?P<d_loss>f\w+)", "nothing could be read|finds nothing"),
        ],
    )
    def test_a_pattern_that_does_not_do(self, tmp_path: Path, pattern: str, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            reading(tmp_path / "a.log", self.TEXT, pattern=pattern)

    def test_a_folder_has_no_lines(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="is a folder"):
            open_source(str(tmp_path), pattern="(?P<d_loss>x)")


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


class TestOtherPlaces:
    """Standard input, pipes, and paths where no log is."""

    def stdin(self, monkeypatch: pytest.MonkeyPatch, data: bytes) -> Source:
        monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(data)))
        reader = open_source("-")
        read(reader)
        return reader.source

    def test_standard_input(self, monkeypatch: pytest.MonkeyPatch) -> None:
        line = b"step: 1 d_loss: 0.5 g_loss: 2\n"
        source = self.stdin(monkeypatch, line * 20_000)
        assert (source.path, source.kind, source.rows) == ("-", "log", 20_000)
        assert self.stdin(monkeypatch, b"step,d_loss\n1,2\n3,4\n").kind == "csv"
        assert self.stdin(monkeypatch, b'{"d_loss": 1}\n').kind == "jsonl"
        with pytest.raises(DataError, match="standard input is empty"):
            self.stdin(monkeypatch, b"")

    def test_paths_where_no_log_is(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import os

        monkeypatch.setattr(raw_bytes, "PIPE_WAIT_SECONDS", 0.0)
        (tmp_path / "empty.log").touch()
        (tmp_path / "blank.log").write_text("\n \n\n")
        (tmp_path / "a.gz").write_bytes(b"\x1f\x8b\x08\0abc")
        (tmp_path / "a.pt").write_bytes(b"PK\x03\x04" + b"\0" * 100)
        (tmp_path / "a.bin").write_bytes(bytes(range(256)) * 100)
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "train.log").touch()
        for name, message in (
            ("missing.log", "No such file or directory"),
            ("empty.log", "is empty"),
            ("blank.log", "holds no text"),
            ("a.gz", "compressed with gzip.*zcat"),
            ("a.pt", "--checkpoint"),
            ("a.bin", "binary data"),
            ("pipe", "nobody writes into this pipe"),
            ("sub", r"neither a run .*train\.log"),
            ("empty.log/x", "Not a directory"),
            ("n" * 300, "too long"),
            ("a\0b", "null"),
        ):
            with pytest.raises((ConfigError, DataError), match=message) as caught:
                open_source(str(tmp_path / name))
            assert "\n" not in str(caught.value)
        with pytest.raises(ConfigError, match="it is a device"):
            open_source("/dev/zero")

    def test_a_pipe_with_a_writer(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import os
        import threading

        monkeypatch.setattr(raw_bytes, "PIPE_WAIT_SECONDS", None)  # until somebody writes
        os.mkfifo(tmp_path / "pipe")

        def write() -> None:
            (tmp_path / "pipe").write_bytes(b"step: 1 d_loss: 0.5\n" * 20_000)  # more than a pipe holds

        thread = threading.Thread(target=write)
        thread.start()
        reader = open_source(str(tmp_path / "pipe"))
        read(reader)
        thread.join()
        assert reader.source.rows == 20_000

    def test_progress_counts_every_byte(self, tmp_path: Path) -> None:
        seen: list[int] = []
        path = tmp_path / "a.log"
        reading(path, "step: 1 d_loss: 0.5\n" * 100_000, progress=seen.append)
        assert sum(seen) == path.stat().st_size and len(seen) > 1
