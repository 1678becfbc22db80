"""Damaged logs of every kind end in one line of error, or in a result that says what was not read. Never otherwise."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.work import assert_in_proportion
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from balancer.errors import BalancerError
from balancer.reading.history import History
from balancer.reading.opening import open_source, read
from balancer.reading.source import Source

ZI2ZI = "Epoch: [{epoch:2d}], [{batch:4d}/ 416] time: 9.99, d_loss: 1.07627, g_loss: 48.83385, category_loss: 0.10315, "
ZI2ZI += "cheat_loss: 8.64635, const_loss: 0.23114, l1_loss: 39.92299\n"


def event_bytes(path: Path, steps: int = 12) -> bytes:
    with path.open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=1.0, file_version="brain.Event:2").SerializeToString())
        for step in range(steps):
            value = [Summary.Value(tag=tag, simple_value=step + 0.5) for tag in ("train/d_loss", "train/g_loss")]
            writer.write(Event(wall_time=step, step=step, summary=Summary(value=value)).SerializeToString())
    return path.read_bytes()


def logs(folder: Path, steps: int = 12) -> dict[str, bytes]:
    """A log of every kind, of so many rows; zi2zi's of a third."""
    every = range(steps)
    rows = [{"step": step, "epoch": step // 4, "d_loss": step + 0.25, "loss": {"G_GAN": 2.5}} for step in every]
    zi2zi = "".join(ZI2ZI.format(epoch=n // 4, batch=100 * (n % 4)) for n in range(steps // 3))
    return {
        "events.out.tfevents.1.a": event_bytes(folder / "a.tfevents", steps),
        "a.csv": ("step,epoch,d_loss,G_GAN\n" + "".join(f"{n},{n // 4},{n}.25,2.5\n" for n in every)).encode(),
        "quoted.csv": ('"step";"d_loss"\n' + "".join(f'"{n}";"{n},25"\n' for n in every)).encode(),
        "a.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode(),
        "zi2zi.log": f"load model 416\n{zi2zi}".encode(),
        "pairs.log": "".join(
            f"(epoch: {n // 4 + 1}, iters: {n % 4}) G_GAN: 1.25 D_real: 0.5\n" for n in every
        ).encode(),
        "spaced.log": "".join(f"[rank0] 第 {n // 4} 輪 step {n} D_loss {n}.25 G_loss 2/1\n" for n in every).encode(),
        "docker.log": "".join(
            json.dumps({"log": f"step {n}: d_loss: np.float32({n}.25)\n", "stream": "stdout"}) + "\n" for n in every
        ).encode(),
        "a.md": ("| step | D loss |\n| --- | ---: |\n" + "".join(f"| {n} | {n}.25 |\n" for n in every)).encode(),
        "utf16.log": "".join(f"步 step: {n} d_loss: 0.5\r\n" for n in every).encode("utf-16"),
    }


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A short log of every kind."""
    return logs(tmp_path_factory.mktemp("samples"))


def outcome(path: Path) -> tuple[History, Source] | str:
    """What reading gives: a result, or the line of an error; nothing else."""
    try:
        reader = open_source(str(path))
        result: tuple[History, Source] | str = read(reader), reader.source
        for series in result[0].series.values():
            assert (series.steps[1:] >= series.steps[:-1]).all()
    except BalancerError as error:
        result = str(error)
        assert "\n" not in result and len(result) < 1000 and str(path) in result
    return result


def damaged(data: bytes, draw: random.Random) -> bytes:
    """A copy with bits flipped, pieces cut out, doubled, or put in."""
    made = bytearray(data)
    for _ in range(draw.randint(1, 6)):
        at, length = draw.randrange(len(made) + 1), draw.randrange(1, 40)
        way = draw.randrange(5)
        if way == 0 and at < len(made):
            made[at] ^= 1 << draw.randrange(8)
        elif way == 1:
            del made[at : at + length]
        elif way == 2:
            made[at:at] = made[at : at + length]
        elif way == 3:
            made[at:at] = draw.randbytes(length)
        else:
            made[at:at] = draw.choice(
                [b"\0" * 8, b"\r", b"\n\n", b'"', b"{", b"1e999", b"nan", b"\xff\xfe", b"\x1b[", b"9" * 500]
            )
    return bytes(made)


def test_every_sample_is_read_whole(samples: dict[str, bytes], tmp_path: Path) -> None:
    for name, data in samples.items():
        path = tmp_path / name
        path.write_bytes(data)
        result = outcome(path)
        assert not isinstance(result, str) and not result[1].unread.count, result


def test_twice_as_long_a_log_is_twice_the_work(tmp_path: Path) -> None:
    sizes = {steps: logs(tmp_path, steps) for steps in (300, 600, 1200)}
    for name in sizes[300]:

        def read_rows(steps: int, name: str = name) -> None:
            path = tmp_path / name
            path.write_bytes(sizes[steps][name])
            result = outcome(path)
            assert not isinstance(result, str) and result[1].rows == steps // (3 if name == "zi2zi.log" else 1)

        assert_in_proportion(read_rows, 300)


def test_logs_cut_anywhere(samples: dict[str, bytes], tmp_path: Path) -> None:
    for name, data in samples.items():
        path = tmp_path / name
        most = 0
        for length in range(0, len(data), max(1, len(data) // 150)):
            path.write_bytes(data[:length])
            result = outcome(path)
            if not isinstance(result, str):
                # A longer piece holds no less, but for a last value that is torn.
                assert result[1].rows >= most - 1
                most = max(most, result[1].rows)
        assert most


@pytest.mark.parametrize("seed", range(6))
def test_damaged_logs(samples: dict[str, bytes], tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    for name, data in samples.items():
        path = tmp_path / name
        for _ in range(40):
            path.write_bytes(damaged(data, draw))
            outcome(path)


@settings(max_examples=150)
@given(data=st.binary(max_size=2000))
def test_bytes_at_random(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("random")
    for name in ("a.log", "a.csv", "events.out.tfevents.1.a"):
        path = folder / name
        path.write_bytes(data)
        result = outcome(path)
        if not isinstance(result, str):
            assert result[1].rows


PIECES = (
    *(
        "損失",
        "判別器",
        "：",
        "，",
        "第",
        "輪",
        "np.float64(",
        "array([",
        "rank0",
        "Gen/Dis Loss",
        "0,5",
        "log",
        "metrics",
    ),
    *("step", "epoch", "d_loss", "g_loss", "D", "G", "val", "tensor(", "nan", "1", "0.5", "-3", "1e999", "9" * 30),
    *" \t[]():=,;/{}\"'|%#字\r\n",
    *("\n", "\n", "\x1b[0m"),
)
WORDS = st.sampled_from(PIECES)


@settings(max_examples=300)
@given(words=st.lists(WORDS, max_size=80))
def test_text_that_looks_like_logs(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:
    path = tmp_path_factory.mktemp("text") / "a.log"
    path.write_text("".join(words), newline="")
    outcome(path)


CELLS = st.one_of(
    st.floats(),
    st.integers(),
    st.text(max_size=8),
    st.none(),
    st.booleans(),
    st.just(float("nan")),
    st.integers(10**300),
)


@settings(max_examples=100)
@given(rows=st.lists(st.dictionaries(st.sampled_from(["step", "epoch", "d_loss", "G_GAN", "x"]), CELLS), min_size=1))
def test_json_of_any_values(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]) -> None:
    path = tmp_path_factory.mktemp("json") / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    outcome(path)


def test_a_table_of_many_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    names = [f"c{index}" for index in range(100_000)]
    path.write_text(",".join(["step", "d_loss", *names]) + "\n" + ",".join(["1"] * 100_002) + "\n")
    assert isinstance(outcome(path), str)
    names = names[:5000]
    path.write_text(",".join(["step", "d_loss", *names]) + "\n" + (",".join(["1"] * 5002) + "\n") * 50)
    result = outcome(path)
    assert not isinstance(result, str) and result[0]["d_loss"].count == 50


def test_objects_of_many_names(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("w") as file:
        for step in range(300):
            row = {"step": step, "d_loss": 1.0, **{f"G/{step}/{index}": 1.0 for index in range(100)}}
            file.write(json.dumps(row) + "\n")
    result = outcome(path)
    assert not isinstance(result, str)
    assert set(result[0]) == {"d_loss"} and len(result[1].other_tags) <= 1000


def _chunks(size: int) -> Iterator[bytes]:
    for _ in range(size >> 20):
        yield b"d_loss: 0.5 " * ((1 << 20) // 12)


@pytest.mark.parametrize("name", ["a.log", "a.csv", "a.jsonl"])
def test_a_line_of_fifty_megabytes(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        file.write(b'{"step": 1, "d_loss": 1}\n' if name == "a.jsonl" else b"step,d_loss\n1,0.5\n")
        file.writelines(_chunks(50 << 20))
    result = outcome(path)
    assert not isinstance(result, str)
    assert result[1].unread.why == {"a line of more than 64 KiB": 1} and result[1].rows == 1
    with path.open("wb") as file:
        file.writelines(_chunks(50 << 20))
    result = outcome(path)
    assert isinstance(result, str) and "a line of more than 64 KiB" in result


def test_memory_stays_bounded(tmp_path: Path) -> None:
    """Three hundred thousand rows of ten signals, in a process of its own."""
    path = tmp_path / "a.csv"
    names = [
        "step",
        "d_loss",
        "g_loss",
        "adv_loss",
        "l1_loss",
        "tv_loss",
        "rec_loss",
        "fm_loss",
        "lr",
        "lr_d",
        "const_loss",
    ]
    with path.open("w") as file:
        file.write(",".join(names) + "\n")
        for step in range(0, 300_000, 1000):
            file.write("".join(f"{step + n}" + ",0.5" * 10 + "\n" for n in range(1000)))
    code = (
        "import resource, sys\n"
        "from balancer.reading.opening import open_source, read\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "history = read(open_source(sys.argv[1]))\n"
        "assert history['const'].count == 300_000\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    assert int(run.stdout) < 60 * 1024  # KiB
